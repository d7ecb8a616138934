import { expect, test } from 'vitest';
import {
  excerptError,
  representativeParts,
  type Stretch,
  scenesOf,
  standardDeviation,
} from '../../../src/comparison/excerpts.ts';

const pairs = (some: readonly Stretch[]) => some.map(({ start, end }) => [start, end]);

test.each<[string, number, number[], object, number[][]]>([
  ['no cuts', 10, [], {}, [[0, 10]]],
  ['nothing', 0, [], {}, []],
  [
    'cuts in any order',
    10,
    [7, 3],
    {},
    [
      [0, 3],
      [3, 7],
      [7, 10],
    ],
  ],
  ['outside of the clip', 10, [-1, 0, 10, 12], {}, [[0, 10]]],
  [
    'a flash',
    10,
    [3, 3.2, 6],
    {},
    [
      [0, 3],
      [3, 6],
      [6, 10],
    ],
  ],
  [
    'a short end',
    10,
    [4, 9.5],
    {},
    [
      [0, 4],
      [4, 10],
    ],
  ],
  [
    'a short beginning',
    10,
    [0.4, 4],
    {},
    [
      [0, 4],
      [4, 10],
    ],
  ],
  [
    'too many',
    10,
    [1, 3, 6],
    { most: 2 },
    [
      [0, 6],
      [6, 10],
    ],
  ],
  ['at least one', 10, [1, 3, 6], { most: 0 }, [[0, 10]]],
])('scenes: %s', (_, duration, cuts, options, expected) => {
  expect(pairs(scenesOf(duration, cuts, options))).toEqual(expected);
});

test.each<[string, number, number[], number, number[][]]>([
  ['the middle of one scene', 60, [], 10, [[25, 35]]],
  ['the whole where that is no longer', 8, [2], 10, [[0, 8]]],
  [
    'each scene its share',
    40,
    [10],
    8,
    [
      [4, 6],
      [22, 28],
    ],
  ],
  ['less than a second', 40, [10], 0.5, [[24.75, 25.25]]],
  ['nothing', 40, [], 0, []],
])('parts: %s', (_, duration, cuts, seconds, expected) => {
  expect(pairs(representativeParts(duration, cuts, seconds))).toEqual(expected);
});

test('parts of any clip: in order, within it, no more than asked for, and never across a cut', () => {
  for (let seed = 1; seed < 200; seed += 1) {
    const random = (at: number) => (Math.sin(seed * 12.9898 + at * 78.233) * 43758.5453) % 1;
    const duration = 5 + Math.abs(random(0)) * 200;
    const cuts = Array.from({ length: seed % 40 }, (_, at) => Math.abs(random(at + 1)) * duration);
    const seconds = 1 + Math.abs(random(99)) * duration;
    const parts = representativeParts(duration, cuts, seconds);
    expect(parts.length).toBeGreaterThan(0);
    let at = 0;
    for (const { start, end } of parts) {
      expect(start).toBeGreaterThanOrEqual(at - 1e-9);
      expect(end).toBeGreaterThan(start);
      at = end;
    }
    expect(at).toBeLessThanOrEqual(duration + 1e-9);
    const sum = parts.reduce((total, { start, end }) => total + end - start, 0);
    expect(sum).toBeLessThanOrEqual(seconds + 1e-9);
    expect(representativeParts(duration, cuts, seconds)).toEqual(parts);
  }
});

test('the error: what the source differs by, and what windows differ by', () => {
  const source = { excerpt: { mos: 3.9, windows: 10 }, whole: { mos: 4, windows: 40 } };
  const { bias, standardError, error } = excerptError(source, [0.2, 0.4]);
  expect(bias).toBeCloseTo(0.1);
  expect(standardError).toBeCloseTo(0.4 * Math.sqrt(0.75 / 10));
  expect(error).toBeCloseTo(bias + standardError);
  const all = { mos: 4, windows: 40 };
  expect(excerptError({ excerpt: all, whole: all }, [0.4]).error).toBe(0);
  expect(excerptError({ excerpt: { mos: 4, windows: 0 }, whole: { mos: 4, windows: 0 } }, []).error).toBe(0);
});

test('twice the stated error covers nine in ten excerpts of clips whose quality varies', () => {
  let covered = 0;
  for (let seed = 0; seed < 100; seed += 1) {
    const mos = Array.from(
      { length: 120 },
      (_, at) => 3 + Math.sin(at / 7 + seed) * 0.5 + Math.sin(at * 12.9898 * (seed + 1)) * 0.3,
    );
    const mean = (some: readonly number[]) => some.reduce((sum, one) => sum + one, 0) / some.length;
    const cuts = [20, 33, 60, 61.5, 90];
    const inside = mos.filter((_, at) =>
      representativeParts(120, cuts, 20).some(({ start, end }) => at + 0.5 >= start && at + 0.5 < end),
    );
    const source = { excerpt: { mos: 4.5, windows: inside.length }, whole: { mos: 4.5, windows: 120 } };
    const { error } = excerptError(source, [standardDeviation(inside)]);
    if (Math.abs(mean(inside) - mean(mos)) <= 2 * error) covered += 1;
  }
  expect(covered).toBeGreaterThanOrEqual(90);
});

test.each([
  [[], 0],
  [[3], 0],
  [[1, 3], Math.SQRT2],
])('standard deviation of %j', (values, expected) => {
  expect(standardDeviation(values)).toBeCloseTo(expected);
});
