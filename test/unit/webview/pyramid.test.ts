import { describe, expect, it } from 'vitest';
import { firstAbove, firstAtLeast, Pyramid } from '../../../webview-ui/timeline/pyramid.ts';

/** Deterministic samples without a pattern that a tree could hide behind. */
const samples = (count: number) => Array.from({ length: count }, (_, i) => ((i * 7919) % 1009) - 300);

describe('Pyramid', () => {
  it.each([1, 2, 3, 7, 8, 64, 100, 257])('says of every run of %i samples what the samples say', (count) => {
    const values = samples(count);
    const pyramid = new Pyramid(values);
    for (let from = 0; from < count; from += 1) {
      for (let to = from + 1; to <= count; to += Math.ceil(count / 40)) {
        const run = values.slice(from, to);
        const found = pyramid.query(from, to)!;
        expect(found.low).toBe(Math.min(...run));
        expect(found.high).toBe(Math.max(...run));
        expect(found.mean).toBeCloseTo(run.reduce((sum, one) => sum + one, 0) / run.length, 9);
      }
    }
  });

  it('clips to what there is and says nothing of nothing', () => {
    const pyramid = new Pyramid([3, 1, 2]);
    expect(pyramid.query(-5, 99)).toEqual({ low: 1, high: 3, mean: 2 });
    expect(pyramid.query(2, 2)).toBeUndefined();
    expect(pyramid.query(5, 9)).toBeUndefined();
    expect(new Pyramid([]).query(0, 1)).toBeUndefined();
  });
});

it.each([
  [[], 1, 0, 0],
  [[1, 2, 2, 3], 0, 0, 0],
  [[1, 2, 2, 3], 2, 3, 1],
  [[1, 2, 2, 3], 2.5, 3, 3],
  [[1, 2, 2, 3], 9, 4, 4],
] as const)('in %j, %d: first above is %i, first at least is %i', (list, limit, above, atLeast) => {
  expect(firstAbove(list, limit)).toBe(above);
  expect(firstAtLeast(list, limit)).toBe(atLeast);
});
