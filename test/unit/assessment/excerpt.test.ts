import { describe, expect, it } from 'vitest';
import { excerpt } from '../../../src/assessment/excerpt.ts';
import { mosOf } from '../../../src/assessment/pooling.ts';
import { parseAssessment } from '../../../src/assessment/record.ts';
import { recordOf } from './records.ts';

const region = { x: 0, y: 0, width: 1, height: 1 };
const record = recordOf({
  coverage: [
    [0, 2],
    [3, 6],
  ],
  timeline: [
    { start: 0, end: 1, score: 10 },
    { start: 1, end: 2, score: 40 },
    { start: 3, end: 4, score: 70 },
    { start: 4, end: 6, score: 100 },
  ],
  distortions: [
    { type: 'blur', start: 0, end: 2, region, severity: 'severe', score: 0.9 },
    { type: 'noise', start: 4, end: 5, region, severity: 'noticeable', score: 0.6 },
  ],
  signals: {
    frameTypes: 'IPP',
    frameBytes: [3, 2, 1],
    sceneCuts: [1, 2, 3.5, 5],
    freezes: [{ start: 0.5, end: 1.5 }],
    black: [{ start: 5, end: 6 }],
  },
  problems: [
    { code: 'vfr', message: 'All of it.' },
    { code: 'decode_errors', message: 'From there on.', start: 4 },
    { code: 'pts_missing', message: 'Here.', start: 0, end: 1 },
  ],
});

describe('excerpt', () => {
  it('has what lies in the span, cut to it, and the figures of its steps', () => {
    const part = excerpt(record, { start: 1, end: 4 })!;
    expect(parseAssessment(part).problems).toEqual([]);
    expect(part).toMatchObject({
      status: 'partial',
      coverage: [
        [1, 2],
        [3, 4],
      ],
      timeline: [
        { start: 1, end: 2, score: 40 },
        { start: 3, end: 4, score: 70 },
      ],
      score: 55,
      mos: mosOf(55),
      pooling: { mean: 55, worst: { start: 1, end: 2, score: 40 } },
      levels: record.levels,
      distortions: [{ type: 'blur', start: 1, end: 2 }],
      signals: {
        frameTypes: 'IPP',
        sceneCuts: [1, 2, 3.5],
        freezes: [{ start: 1, end: 1.5 }],
        black: [],
      },
    });
    expect(part.problems.map(({ code }) => code)).toEqual(['excerpt', 'vfr']);
    expect(part.problems[0]).toMatchObject({ start: 1, end: 4 });
  });

  it('of a span where nothing was assessed is none', () => {
    expect(excerpt(record, { start: 2, end: 3 })).toBeNull();
    expect(excerpt(record, { start: 6, end: 9 })).toBeNull();
  });

  it('of a model that finds no distortions says nothing of them', () => {
    expect(excerpt(recordOf({ distortions: null }), { start: 0, end: 1 })!.distortions).toBeNull();
  });
});
