import { describe, expect, it } from 'vitest';
import { betterForLess, cheapestCrf } from '../../../src/comparison/advice.ts';

const points = (...pairs: [crf: number, mos: number][]) =>
  pairs.map(([crf, mos]) => ({ crf, mos, bitrate: 1e6 / crf }));

describe('the cheapest CRF that reaches a target', () => {
  it('lies between a measured one that does and one that does not', () => {
    const advice = cheapestCrf(points([20, 4.4], [30, 3.4]), 4);
    expect(advice).toMatchObject({ crf: 24, basis: 'interpolated' });
    expect(advice?.mos).toBeCloseTo(4, 6);
    expect(cheapestCrf(points([30, 3.4], [20, 4.4]), 3.95)?.crf).toBe(24);
  });
  it('is the measured one where the step to the next is too large', () => {
    const advice = cheapestCrf(points([20, 4.05], [21, 3.9]), 4);
    expect(advice).toEqual({ crf: 20, mos: 4.05, basis: 'measured' });
  });
  it('is the highest measured where all reach it: nothing is said beyond', () => {
    const advice = cheapestCrf(points([20, 4.4], [28, 4.1]), 4);
    expect(advice).toEqual({ crf: 28, mos: 4.1, basis: 'measured' });
  });
  it('is none where none reaches it, or there is too little to tell', () => {
    expect(cheapestCrf(points([20, 3.9], [28, 3.1]), 4)).toBeNull();
    expect(cheapestCrf(points([20, 4.5]), 4)).toBeNull();
    expect(cheapestCrf([], 4)).toBeNull();
  });
  it('takes the last of two with the same CRF', () => {
    expect(cheapestCrf(points([20, 1], [20, 4.5], [30, 3.5]), 4)?.crf).toBe(25);
  });
});

describe('a higher rung', () => {
  const rung = (bitrate: number, mos: number) => ({ bitrate, mos });
  it('is wasted where the one below is as good', () => {
    const below = rung(2, 4);
    expect(betterForLess(rung(3, 4), [rung(1, 5), below])).toBe(below);
    expect(betterForLess(rung(3, 4.1), [rung(1, 3), below])).toBeNull();
    expect(betterForLess(rung(1, 1), [below])).toBeNull();
  });
});
