import { describe, expect, it } from 'vitest';
import { createSampler, type Sampling } from '../../../src/model/runtime/sampling.ts';
import { OmniError } from '../../../src/protocol/errors.ts';

/** Logits whose softmax at temperature 1 is the given distribution. */
const logitsOf = (probabilities: readonly number[]) => Float32Array.from(probabilities, Math.log);

function frequencies(probabilities: readonly number[], sampling: Sampling, draws = 20_000): number[] {
  const sample = createSampler(sampling);
  const logits = logitsOf(probabilities);
  const counts = probabilities.map(() => 0);
  for (let i = 0; i < draws; i += 1) counts[sample(logits)]! += 1;
  return counts.map((count) => count / draws);
}

function check(probabilities: readonly number[], sampling: Sampling, expected: readonly number[]): void {
  const seen = frequencies(probabilities, sampling);
  // Four standard deviations of a share of 20,000 draws are below 0.0142.
  expected.forEach((share, id) => {
    if (share === 0) expect(seen[id]).toBe(0);
    else expect(Math.abs(seen[id]! - share), `share of token ${id}`).toBeLessThan(0.015);
  });
}

describe('sampling', () => {
  it('is greedy without a temperature, the first of equals', () => {
    expect(createSampler()(Float32Array.of(0, 3, 3, 1))).toBe(1);
    expect(createSampler({ topK: 3, topP: 0.5 })(Float32Array.of(-5, -7, -4.5))).toBe(2);
  });

  it('draws from the softmax', () =>
    check([0.5, 0.3, 0.15, 0.05], { temperature: 1 }, [0.5, 0.3, 0.15, 0.05]));

  it('sharpens and flattens by temperature', () => {
    check([0.8, 0.2], { temperature: 0.5 }, [0.64 / 0.68, 0.04 / 0.68]);
    check([0.8, 0.2], { temperature: 2 }, [2 / 3, 1 / 3]);
  });

  it('keeps the k likeliest', () =>
    check([0.1, 0.4, 0.3, 0.2], { temperature: 1, topK: 2 }, [0, 4 / 7, 3 / 7, 0]));

  it('keeps the smallest set that reaches p', () => {
    check([0.1, 0.4, 0.3, 0.2], { temperature: 1, topP: 0.69 }, [0, 4 / 7, 3 / 7, 0]);
    check([0.1, 0.4, 0.3, 0.2], { temperature: 1, topP: 0.71 }, [0, 4 / 9, 3 / 9, 2 / 9]);
    check([0.1, 0.4, 0.3, 0.2], { temperature: 1, topP: 0.01 }, [0, 1, 0, 0]);
  });

  it('takes the nucleus from what top-k left', () =>
    check([0.1, 0.4, 0.3, 0.2], { temperature: 1, topK: 3, topP: 0.5 }, [0, 4 / 7, 3 / 7, 0]));

  it('repeats with the seed and differs without it', () => {
    const run = (seed: number) => {
      const sample = createSampler({ temperature: 1, seed });
      return Array.from({ length: 50 }, () => sample(logitsOf([0.25, 0.25, 0.25, 0.25])));
    };
    expect(run(7)).toEqual(run(7));
    expect(run(7)).not.toEqual(run(8));
  });

  it('never returns a token of weight zero', () => {
    const sample = createSampler({ temperature: 1 });
    const logits = Float32Array.of(Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY);
    for (let i = 0; i < 1000; i += 1) expect(sample(logits)).toBe(1);
  });

  it.each([
    [{ temperature: -1 }],
    [{ temperature: Number.NaN }],
    [{ topK: 0 }],
    [{ topK: 1.5 }],
    [{ topP: 0 }],
    [{ topP: 1.1 }],
  ])('refuses %j', (sampling) =>
    expect(() => createSampler(sampling)).toThrowError(expect.objectContaining({ code: 'bad_usage' })),
  );

  it.each([[Number.NaN], [Number.POSITIVE_INFINITY]])('does not pick a token from %d', (bad) => {
    for (const logits of [Float32Array.of(bad, 0), Float32Array.of(0, bad), Float32Array.of(bad, bad)]) {
      expect(() => createSampler()(logits)).toThrowError(OmniError);
    }
  });
});
