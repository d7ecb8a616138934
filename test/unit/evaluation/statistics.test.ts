import { describe, expect, it } from 'vitest';
import {
  bootstrap,
  kendall,
  mulberry32,
  pearson,
  ranks,
  rmse,
  spearman,
} from '../../../src/evaluation/statistics.ts';

const x = [3.1, 4.2, 2.2, 5.0, 3.1, 1.0, 4.4, 2.2, 2.2, 4.9];
const y = [62, 70, 40, 90, 55, 12, 70, 45, 40, 81];

describe('correlations agree with scipy.stats on series with ties', () => {
  it.each([
    ['pearson', pearson(x, y), 0.9771039318699238],
    ['spearman', spearman(x, y), 0.9845625916784139],
    ['kendall (tau-b)', kendall(x, y), 0.952651016459082],
    [
      'rmse',
      rmse(
        x.map((value) => value * 20),
        y,
      ),
      10.27131929208707,
    ],
  ])('%s', (_, value, expected) => expect(value).toBeCloseTo(expected, 12));

  it('kendall equals counting every pair', () => {
    const random = mulberry32(7);
    const a = Array.from({ length: 60 }, () => Math.floor(random() * 12));
    const b = Array.from({ length: 60 }, () => Math.floor(random() * 9));
    let [score, tiesA, tiesB, pairs] = [0, 0, 0, 0];
    for (let i = 0; i < a.length; i += 1) {
      for (let j = 0; j < i; j += 1) {
        pairs += 1;
        if (a[i] === a[j]) tiesA += 1;
        if (b[i] === b[j]) tiesB += 1;
        score += Math.sign(a[i]! - a[j]!) * Math.sign(b[i]! - b[j]!);
      }
    }
    expect(kendall(a, b)).toBeCloseTo(score / Math.sqrt((pairs - tiesA) * (pairs - tiesB)), 12);
  });

  it('a reversed series gives -1, a constant one no figure', () => {
    const down = [...ranks(x)].map((rank) => -rank);
    expect([pearson(ranks(x), down), spearman(x, down), kendall(x, down)]).toEqual([-1, -1, -1]);
    const constant = x.map(() => 0.1);
    expect([pearson(x, constant), spearman(x, constant), kendall(x, constant)]).toEqual([NaN, NaN, NaN]);
    expect(pearson([1], [2])).toBeNaN();
  });

  it('ties share their mean rank', () => expect([...ranks([5, 1, 5, 7])]).toEqual([2.5, 1, 2.5, 4]));

  it('series of different lengths are a mistake of the caller', () =>
    expect(() => pearson([1, 2], [1])).toThrow(RangeError));
});

describe('bootstrap', () => {
  const contents = x.map((_, i) => `content ${i % 5}`);
  const figure = (items: readonly number[]) =>
    spearman(
      items.map((i) => x[i]!),
      items.map((i) => y[i]!),
    );

  it('gives the figure on all items inside its interval, the same for the same seed', () => {
    const interval = bootstrap(contents, figure, { draws: 200 });
    expect(interval.value).toBe(spearman(x, y));
    expect(interval.low).toBeLessThanOrEqual(interval.value);
    expect(interval.high).toBeGreaterThanOrEqual(interval.value);
    expect(bootstrap(contents, figure, { draws: 200 })).toEqual(interval);
  });

  it('draws whole groups: one group has no spread', () =>
    expect(
      bootstrap(
        x.map(() => 'one'),
        figure,
      ),
    ).toMatchObject({
      low: spearman(x, y),
      high: spearman(x, y),
    }));
});
