import { describe, expect, it } from 'vitest';
import { fitLogistic, logistic } from '../../../src/evaluation/logistic.ts';

const rising = {
  x: [
    ...[16.9, 28.9, 74.1, 56.6, 17.5, 44.7, 48.3, 22.8, 68.8, 19.1, 41.3, 51.3, 44.5, 56.9, 69.0, 86.5, 32.7],
    ...[61.9, 65.7, 33.4, 10.1, 87.9, 33.9, 35.1],
  ],
  y: [
    ...[1.46, 1.84, 4.73, 3.58, 1.45, 2.87, 2.8, 1.52, 4.4, 1.64, 2.42, 3.37, 2.09, 3.86, 4.03, 4.12, 1.93],
    ...[4.09, 4.03, 1.7, 1.45, 4.45, 2.22, 2.15],
  ],
};
const falling = {
  x: [
    ...[41.5, 48.4, 21.7, 65.9, 33.4, 79.7, 32.0, 54.9, 42.0, 59.0, 25.7, 24.4, 69.7, 70.2, 55.4, 83.7, 26.5],
    ...[78.1, 23.5, 87.1, 59.9, 58.6, 87.6, 73.0],
  ],
  y: [
    ...[
      -2.35, -3.11, -1.24, -4.37, -1.84, -4.62, -1.57, -3.52, -2.53, -4.14, -1.3, -1.46, -4.09, -4.03, -3.48,
    ],
    ...[-4.57, -1.82, -4.55, -1.32, -4.75, -3.97, -3.83, -4.42, -4.2],
  ],
};

describe('fitLogistic', () => {
  it.each([
    ['rising', rising, [4.463286546559315, 1.4807732577058104, 48.31646865345293, 8.150495074257567]],
    ['falling', falling, [-4.604119507406024, -1.0155651870956364, 45.7181119980423, 9.99822757335951]],
  ])('agrees with scipy.optimize.curve_fit: %s', (_, { x, y }, [high, low, middle, width]) => {
    const fit = fitLogistic(x, y)!;
    expect(fit.high).toBeCloseTo(high!, 5);
    expect(fit.low).toBeCloseTo(low!, 5);
    expect(fit.middle).toBeCloseTo(middle!, 4);
    expect(fit.width).toBeCloseTo(width!, 4);
  });

  it('maps a straight line closely and stays within the range of y', () => {
    const x = Array.from({ length: 20 }, (_, i) => i);
    const y = x.map((value) => 2 * value + 1);
    const fit = fitLogistic(x, y)!;
    for (const [i, value] of x.entries()) expect(Math.abs(logistic(fit, value) - y[i]!)).toBeLessThan(1);
  });

  it.each([
    ['too few', [1, 2, 3, 4], [1, 2, 3, 4]],
    ['a constant x', [2, 2, 2, 2, 2], [1, 2, 3, 4, 5]],
    ['a constant y', [1, 2, 3, 4, 5], [2, 2, 2, 2, 2]],
    ['no numbers', [1, 2, 3, 4, Number.NaN], [1, 2, 3, 4, 5]],
  ])('has no fit for %s', (_, x, y) => expect(fitLogistic(x, y)).toBeNull());

  it('survives a step', () => {
    const x = [1, 2, 3, 4, 5, 6, 7, 8];
    const fit = fitLogistic(x, [0, 0, 0, 0, 1, 1, 1, 1])!;
    expect(logistic(fit, 2)).toBeCloseTo(0, 2);
    expect(logistic(fit, 7)).toBeCloseTo(1, 2);
  });
});
