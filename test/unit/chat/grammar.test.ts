import { describe, expect, it } from 'vitest';
import { checkClaims } from '../../../src/assessment/claims.ts';
import type { Assessment } from '../../../src/assessment/record.ts';
import { likelihoods } from '../../../src/model/grammar.ts';

/** A language of single letters: the logit of a letter after a text is what the table says, else 0. */
function language(table: Readonly<Record<string, Readonly<Record<string, number>>>>) {
  let text = '';
  const logits = () => {
    const all = new Float32Array(128);
    for (const [letter, value] of Object.entries(table[text] ?? {})) all[letter.charCodeAt(0)] = value;
    return all;
  };
  return {
    model: {
      stopIds: new Set([0]),
      embed: (ids: readonly number[]) => Float32Array.from(ids),
      tokenizer: { encodePlain: (word: string) => [...word].map((letter) => letter.charCodeAt(0)) },
    },
    context: {
      get length() {
        return text.length;
      },
      truncate: (length: number) => {
        text = text.slice(0, length);
      },
      append: async (rows: Float32Array) => {
        text += String.fromCharCode(...rows);
        return { logits: logits(), levelLogits: new Float32Array(0) };
      },
    },
    logits,
  };
}

describe('answers under a grammar', () => {
  it('gives each option of several tokens its probability, and leaves the context as it was', async () => {
    const { model, context, logits } = language({ '': { n: Math.log(3) }, no: { i: Math.log(4) } });
    const { probabilities, tokens } = await likelihoods(model, context, logits(), ['blur', 'noise', 'none']);
    expect(probabilities[0]).toBeCloseTo(1 / 4);
    expect(probabilities[1]).toBeCloseTo((3 / 4) * (4 / 5));
    expect(probabilities[2]).toBeCloseTo((3 / 4) * (1 / 5));
    expect(tokens).toBeGreaterThan(0);
    expect(context.length).toBe(0);
  });

  it('tells an option from one that begins with it by the end of the answer', async () => {
    const { model, context, logits } = language({ no: { n: Math.log(9) } });
    const { probabilities } = await likelihoods(model, context, logits(), ['no', 'none']);
    expect(probabilities[0]).toBeCloseTo(1 / 10);
    expect(probabilities[0]! + probabilities[1]!).toBeCloseTo(1);
  });

  it('refuses options that can not be told apart', async () => {
    const { model, context, logits } = language({});
    await expect(likelihoods(model, context, logits(), ['a', 'a'])).rejects.toMatchObject({
      code: 'bad_usage',
    });
    await expect(likelihoods(model, context, logits(), ['a', ''])).rejects.toMatchObject({
      code: 'bad_usage',
    });
  });
});

describe('claims', () => {
  const record = {
    coverage: [[0, 10]],
    distortions: [
      {
        type: 'blur',
        start: 3,
        end: 5,
        region: { x: 0.5, y: 0, width: 0.5, height: 0.5 },
        severity: 'severe',
        score: 0.99,
      },
    ],
  } as unknown as Assessment;
  it.each([
    ['There is severe blur at 3-5 s in the upper right.', 'agrees'],
    ['There is blur at 7-8 s.', 'contradicts'],
    ['The blur at 0:04 is mild.', 'contradicts'],
    ['The blur is in the lower left.', 'contradicts'],
    ['There is no blur.', 'contradicts'],
    ['There is no noise.', 'agrees'],
    ['The picture is noisy at 0:30.', 'unknown'],
    ['Compression everywhere.', 'contradicts'],
  ])('%s %s', (text, verdict) => {
    const [claim, ...others] = checkClaims(text, record);
    expect(others).toEqual([]);
    expect(claim).toMatchObject({ verdict });
    expect(text.slice(claim!.from, claim!.to)).toBe(claim!.text);
  });

  it('without a record nothing is known', () => {
    expect(checkClaims('It is blurred.', null)).toMatchObject([{ verdict: 'unknown' }]);
    expect(checkClaims('It is beautiful.', record)).toEqual([]);
  });
});
