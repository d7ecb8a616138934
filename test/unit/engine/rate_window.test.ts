import { describe, expect, it } from 'vitest';
import { rateWindow } from '../../../src/engine/rate_window.ts';
import { checkpointWith, loadForTest, temporaryCache } from '../../support/engine.ts';

describe('rateWindow', () => {
  it('of several key frames a second gives the mean of what those at one place in their seconds give', async () => {
    temporaryCache();
    const model = await loadForTest(checkpointWith({}));
    const { vision, motion } = model.config;
    const bytes = vision.views.length * vision.imageSize ** 2 * 3;
    const frame = (value: number) => new Uint8Array(bytes).map((_, i) => (i * value) % 251);
    const pictures = [frame(3), frame(5), frame(7), frame(11), frame(13)];
    const motionPixels = new Uint8Array(23 * motion!.imageSize ** 2 * 3).fill(90);
    const rate = async (chosen: readonly number[], keysPerSecond: number, every: number) => {
      const window = {
        times: Float64Array.from({ length: 23 }, (_, i) => i / 10),
        end: 2.3,
        key: {
          frames: Int32Array.from(chosen, (_, i) => i * every),
          pixels: new Uint8Array(chosen.flatMap((one) => [...pictures[one]!])),
        },
        motion: motionPixels,
      };
      const said = await rateWindow(
        window,
        model,
        [undefined],
        (_, work) => work(),
        undefined,
        keysPerSecond,
      );
      return said.answers[0]!;
    };
    const all = await rate([0, 1, 2, 3, 4], 2, 5);
    const [even, odd] = [await rate([0, 2, 4], 1, 10), await rate([1, 3], 1, 10)];
    expect(all.rating.score).toBeCloseTo((even.rating.score + odd.rating.score) / 2, 5);
    expect(all.rating.levels[0]).toBeCloseTo((even.rating.levels[0]! + odd.rating.levels[0]!) / 2, 5);
    // The last second has a key frame of the first sort alone.
    const mean = [0, 1].map((i) => (even.steps[i]!.score + odd.steps[i]!.score) / 2);
    for (const [i, score] of [...mean, even.steps[2]!.score].entries())
      expect(all.steps[i]!.score).toBeCloseTo(score, 3);
  });

  it('gives one answer per question, each with the steps of the window', async () => {
    temporaryCache();
    const model = await loadForTest(checkpointWith({ branches: ['technical', 'aesthetic'] }));
    const { vision, motion } = model.config;
    const window = {
      times: Float64Array.from({ length: 25 }, (_, i) => 7 + i / 10),
      end: 9.5,
      key: {
        frames: Int32Array.of(0, 10, 20),
        pixels: new Uint8Array(3 * vision.views.length * vision.imageSize ** 2 * 3).fill(90),
      },
      motion: new Uint8Array(25 * motion!.imageSize ** 2 * 3).fill(90),
    };
    const { answers } = await rateWindow(
      window,
      model,
      [undefined, 'technical', 'aesthetic'],
      (_, work) => work(),
      undefined,
    );
    expect(answers).toHaveLength(3);
    for (const { steps } of answers) {
      expect(steps.map(({ start, end }) => [start, end])).toEqual([
        [7, 8],
        [8, 9],
        [9, 9.5],
      ]);
    }
  });
});
