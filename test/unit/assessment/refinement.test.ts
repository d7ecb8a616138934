import { describe, expect, it } from 'vitest';
import { excerpt } from '../../../src/assessment/excerpt.ts';
import type { Distortion, Refinement } from '../../../src/assessment/record.ts';
import { windowsThatMatter, withRefinements } from '../../../src/assessment/refinement.ts';
import { recordOf } from './records.ts';

const timelineOf = (scores: readonly number[]) => scores.map((score, i) => ({ start: i, end: i + 1, score }));

const distortion = (start: number, end: number, severity: Distortion['severity'], score = 1): Distortion => ({
  ...{ type: 'blur', start, end, severity, score },
  region: { x: 0, y: 0, width: 1, height: 1 },
});

const said = (start: number, end: number, score: number, revision = 'b'): Refinement => ({
  ...{ start, end, score, mos: 1 + score / 25, levels: recordOf().levels },
  model: { ...recordOf().model, id: 'full', revision },
});

describe('the windows that matter', () => {
  it.each([
    ['the worst first', [70, 62, 35, 66], [], 1, 2, [2, 1]],
    ['by the worst step in each', [70, 20, 35, 66, 90, 90], [], 2, 2, [0, 1]],
    ['the earlier one of equals', [50, 50, 50], [], 1, 2, [0, 1]],
    ['no more than there are', [70, 60], [], 10, 3, [0]],
    [
      'those with a severe distortion before some points',
      [60, 50, 90],
      [distortion(0, 1, 'severe')],
      1,
      2,
      [0, 1],
    ],
    ['a low score before a slight distortion', [60, 30, 90], [distortion(0, 1, 'noticeable')], 1, 2, [1, 0]],
    ['a distortion that goes on over two', [60, 60, 60, 60], [distortion(1.5, 2.5, 'severe')], 1, 2, [1, 2]],
    ['a distortion that ends where a window begins', [60, 60], [distortion(0, 1, 'severe')], 1, 2, [0, 1]],
  ] as const)('%s', (_, scores, distortions, seconds, most, expected) => {
    const record = { timeline: timelineOf(scores), distortions: [...distortions] };
    expect(windowsThatMatter(record, seconds, most)).toEqual(expected);
  });

  it('are those of the record where it covers a part', () => {
    const timeline = timelineOf([70, 62, 35, 66]).slice(2);
    expect(windowsThatMatter({ timeline, distortions: null }, 1, 5)).toEqual([2, 3]);
  });

  it('take steps whose times are rounded frame times', () => {
    const timeline = [0, 0.9995, 1.9998].map((start, i) => ({ start, end: start + 1, score: 10 * i }));
    expect(windowsThatMatter({ timeline, distortions: null }, 1, 3)).toEqual([0, 1, 2]);
  });
});

describe('what a second model says', () => {
  const record = recordOf();

  it('leaves every figure of the first as it is', () => {
    const refined = withRefinements(record, [said(2, 3, 20)]);
    expect(refined).toEqual({ ...record, refinements: [said(2, 3, 20)] });
    expect(withRefinements(record, [])).toBe(record);
  });

  it('is kept in order, replaced where it is said again, and dropped for that of another model', () => {
    const first = withRefinements(record, [said(2, 3, 20), said(0, 1, 80)]);
    expect(first.refinements).toEqual([said(0, 1, 80), said(2, 3, 20)]);
    const second = withRefinements(first, [said(2, 3, 25), said(1, 2, 60)]);
    expect(second.refinements).toEqual([said(0, 1, 80), said(1, 2, 60), said(2, 3, 25)]);
    expect(withRefinements(second, [said(0, 2, 50, 'c')]).refinements).toEqual([said(0, 2, 50, 'c')]);
  });

  it('goes with the part of the clip that it is about', () => {
    const refined = withRefinements(record, [said(0, 1, 80), said(2, 3, 20)]);
    expect(excerpt(refined, { start: 2, end: 4 })?.refinements).toEqual([said(2, 3, 20)]);
    expect(excerpt(record, { start: 2, end: 4 })).not.toHaveProperty('refinements');
  });
});
