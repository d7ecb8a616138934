import { describe, expect, it } from 'vitest';
import {
  clampScore,
  gradeOf,
  meanLevels,
  mergeSpans,
  mosOf,
  pool,
  type ScoredSpan,
} from '../../../src/assessment/pooling.ts';

const spans = (...scores: number[]): ScoredSpan[] =>
  scores.map((score, i) => ({ start: i, end: i + 1, score }));

describe('the five-grade scale', () => {
  it.each([
    [0, 1, 'Bad'],
    [12.4, 1.496, 'Bad'],
    [12.5, 1.5, 'Poor'],
    [37.5, 2.5, 'Fair'],
    [50, 3, 'Fair'],
    [62.5, 3.5, 'Good'],
    [87.5, 4.5, 'Excellent'],
    [100, 5, 'Excellent'],
  ])('a score of %d is a MOS of %d: %s', (score, mos, grade) => {
    expect(mosOf(score)).toBeCloseTo(mos, 12);
    expect(gradeOf(mosOf(score))).toBe(grade);
  });

  it('stays on the scale', () => {
    expect([-3, 40, 250].map(clampScore)).toEqual([0, 40, 100]);
    expect([gradeOf(0), gradeOf(9)]).toEqual(['Bad', 'Excellent']);
  });
});

describe('pool', () => {
  it('weighs spans by their length', () => {
    const pooled = pool([
      { start: 0, end: 3, score: 80 },
      { start: 3, end: 4, score: 20 },
    ]);
    expect(pooled.mean).toBe(65);
    expect(pooled.harmonicMean).toBeCloseTo(4 / (3 / 81 + 1 / 21) - 1, 10);
    expect(pooled.worst).toEqual({ start: 3, end: 4, score: 20 });
  });

  it.each<[string, ScoredSpan[], number]>([
    ['one span', spans(42), 42],
    ['less than 5 % of the time', spans(0, ...Array<number>(30).fill(90)), 90],
    ['5 % of the time', spans(0, ...Array<number>(19).fill(90)), 0],
    ['a third of the time', spans(90, 10, 50), 10],
  ])('p5 of a bad moment: %s', (_, timeline, p5) => {
    expect(pool(timeline).p5).toBe(p5);
  });

  it('takes the first of equally bad moments', () => {
    expect(pool(spans(50, 20, 20)).worst.start).toBe(1);
  });

  it('takes a score of 0 and a clip of one frame', () => {
    const pooled = pool([{ start: 0, end: 0, score: 0 }]);
    expect(pooled).toEqual({ mean: 0, harmonicMean: 0, p5: 0, worst: { start: 0, end: 0, score: 0 } });
  });

  it('is the same for a steady clip however it is cut', () => {
    const whole = pool([{ start: 0, end: 7.3, score: 61 }]);
    const pieces = pool(spans(61, 61, 61, 61, 61, 61, 61));
    for (const name of ['mean', 'harmonicMean', 'p5'] as const)
      expect(pieces[name]).toBeCloseTo(whole[name], 9);
  });
});

describe('meanLevels', () => {
  it('weighs and sums to 1', () => {
    const levels = meanLevels([
      { levels: [1, 0, 0, 0, 0], weight: 3 },
      { levels: [0, 0, 0, 0.5, 0.5], weight: 1 },
    ]);
    expect(levels).toEqual({ high: 0.75, good: 0, fair: 0, poor: 0.125, low: 0.125 });
  });

  it('never passes 1 by rounding', () => {
    const levels = meanLevels([{ levels: [1 + 1e-7, 0, 0, 0, 0], weight: 0.3 }]);
    expect(levels.high).toBe(1);
  });
});

describe('mergeSpans', () => {
  it.each<[string, [number, number][], number, [number, number][]]>([
    ['none', [], 0, []],
    [
      'apart',
      [
        [0, 1],
        [2, 3],
      ],
      0.5,
      [
        [0, 1],
        [2, 3],
      ],
    ],
    [
      'touching',
      [
        [0, 1],
        [1, 2],
      ],
      0,
      [[0, 2]],
    ],
    [
      'within the gap',
      [
        [0, 1],
        [1.04, 2],
      ],
      0.04,
      [[0, 2]],
    ],
    [
      'out of order',
      [
        [2, 3],
        [0, 1],
        [0.5, 2.5],
      ],
      0,
      [[0, 3]],
    ],
    [
      'one inside another',
      [
        [0, 9],
        [2, 3],
      ],
      0,
      [[0, 9]],
    ],
  ])('%s', (_, given, gap, expected) => {
    const before = structuredClone(given);
    expect(mergeSpans(given, gap)).toEqual(expected);
    expect(given).toEqual(before);
  });
});
