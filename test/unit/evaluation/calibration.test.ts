import { describe, expect, it } from 'vitest';
import { calibrationOf, levelCalibration, levelOfScore } from '../../../src/evaluation/calibration.ts';

describe('calibration', () => {
  it('is the mean distance of accuracy from confidence, by hand', () => {
    // (0, .5]: .2 and .4, one right of two: |.5 - .3| · 2/5; (.5, 1]: .6, .8, 1, two right of three: |.667 - .8| · 3/5.
    const { ece, bins } = calibrationOf([0.2, 0.4, 0.6, 0.8, 1], [true, false, true, true, false], 2);
    expect(ece).toBeCloseTo(0.2 * 0.4 + (0.8 - 2 / 3) * 0.6, 12);
    expect(bins.map(({ count }) => count)).toEqual([2, 3]);
    expect(bins[1]!.confidence).toBeCloseTo(0.8, 12);
  });

  it('is 0 for a model that is as sure as it is right, and 1 for one that is sure and wrong', () => {
    expect(calibrationOf([0.75, 0.75, 0.75, 0.75], [true, true, true, false]).ece).toBe(0);
    expect(calibrationOf([1, 1], [false, false]).ece).toBe(1);
  });

  it('puts 0 and 1 and the bounds of bins in a bin', () => {
    const { bins } = calibrationOf([0, 0.1, 1], [true, true, true]);
    expect(bins.map(({ count }) => count)).toEqual([2, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    expect(bins[1]).toEqual({ low: 0.1, high: 0.2, count: 0, confidence: null, accuracy: null });
  });

  it('has no error without answers', () => expect(calibrationOf([], []).ece).toBeNull());

  it.each([
    [0, 4],
    [19.9, 4],
    [20, 3],
    [59, 2],
    [80, 0],
    [100, 0],
  ])('a score of %d is in level %i', (score, level) => expect(levelOfScore(score)).toBe(level));

  it('asks of the likeliest level whether the target is in it', () => {
    const levels = [
      [0.7, 0.3, 0, 0, 0],
      [0.1, 0.1, 0.6, 0.1, 0.1],
    ];
    const { ece, count } = levelCalibration(levels, [90, 10]);
    expect([count, ece]).toEqual([2, expect.closeTo((0.3 + 0.6) / 2, 12)]);
  });
});
