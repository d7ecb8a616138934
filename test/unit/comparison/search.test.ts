import { expect, test } from 'vitest';
import { searchCrf } from '../../../src/comparison/search.ts';

const search = async (codec: string, target: number, mos: (crf: number) => number) =>
  searchCrf(codec, target, async (crf) => mos(crf));

/** A course as encoders have it: flat, then falling, then flat. */
const sigmoid = (middle: number, width: number) => (crf: number) =>
  1.2 + 3.6 / (1 + Math.exp((crf - middle) / width));

test.each([
  ['libx264', 4.0, 30, 4],
  ['libx264', 3.0, 34, 3],
  ['libx265', 4.5, 24, 2],
  ['libsvtav1', 4.0, 45, 6],
  ['libvpx-vp9', 2.5, 40, 8],
])(
  '%s for MOS %s: the highest CRF that reaches it, or one that meets it closely',
  async (codec, target, middle, width) => {
    const mos = sigmoid(middle, width);
    const { crf, steps } = await search(codec, target, mos);
    expect(mos(crf!)).toBeGreaterThanOrEqual(target);
    const close = mos(crf!) - target <= 0.05;
    expect(close || mos(crf! + 1) < target).toBe(true);
    expect(steps.length).toBeLessThanOrEqual(7);
  },
);

test('out of reach: no CRF, and the best quality was tried', async () => {
  const { crf, steps } = await search('libx264', 4.9, () => 4.2);
  expect(crf).toBeNull();
  expect(Math.min(...steps.map((step) => step.crf))).toBe(10);
});

test('every CRF reaches it: the worst quality is the answer', async () => {
  expect((await search('libx264', 1.5, () => 4.2)).crf).toBe(51);
});

test('a course that is not monotonic: what is returned was measured to reach the target', async () => {
  const mos = (crf: number) => sigmoid(30, 3)(crf) + (crf % 2 ? 0.4 : 0);
  const { crf, steps } = await search('libx264', 3.5, mos);
  expect(steps.find((step) => step.crf === crf)!.mos).toBeGreaterThanOrEqual(3.5);
});

test('an encoder without a known scale is refused', async () => {
  await expect(search('mpeg2video', 4, () => 4)).rejects.toMatchObject({ code: 'bad_usage' });
});
