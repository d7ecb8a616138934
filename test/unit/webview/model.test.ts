import { describe, expect, it } from 'vitest';
import { mosOf } from '../../../src/assessment/pooling.ts';
import { makeRecord, partOf, refined } from '../../../webview-ui/dev/records.ts';
import { barsOf } from '../../../webview-ui/timeline/lanes.ts';
import {
  bitrateWithin,
  buildModel,
  complement,
  momentsAt,
  mosAt,
  mosWithin,
  placeOf,
  refinedAt,
} from '../../../webview-ui/timeline/model.ts';

const record = makeRecord();
const model = buildModel(record, null);
const distortion = (start: number, end: number, type: 'blur' | 'noise' = 'blur') =>
  ({
    type,
    start,
    end,
    region: { x: 0, y: 0, width: 1, height: 1 },
    severity: 'severe',
    score: 0.9,
  }) as const;
const withDistortions = (list: readonly ReturnType<typeof distortion>[]) =>
  buildModel({ ...record, distortions: [...list] }, null);

describe('places', () => {
  it.each([
    [{ x: 0, y: 0, width: 1, height: 1 }, 'whole picture'],
    [{ x: 0, y: 0, width: 0.5, height: 0.5 }, 'upper left'],
    [{ x: 0.5, y: 0.5, width: 0.5, height: 0.5 }, 'lower right'],
    [{ x: 0.25, y: 0.25, width: 0.5, height: 0.5 }, 'centre'],
    [{ x: 0.25, y: 0, width: 0.5, height: 0.5 }, 'upper'],
    [{ x: 0, y: 0.25, width: 0.5, height: 0.5 }, 'left'],
  ])('%j is %s', (region, place) => expect(placeOf(region)).toBe(place));
});

describe('what a second model says', () => {
  it('is found at a time, and nothing where it did not look', () => {
    const one = buildModel({ ...makeRecord({ seconds: 40 }), ...refined }, null);
    expect(one.refined.map(({ by }) => by)).toEqual(['omnivqa-8b', 'omnivqa-8b', 'omnivqa-8b']);
    expect(refinedAt(one, 10)).toMatchObject({ start: 10, end: 20, mos: mosOf(82) });
    expect(refinedAt(one, 20)).toBeNull();
    expect(refinedAt(one, 29.99)).toBeNull();
    expect(model.refined).toEqual([]);
  });
});

describe('the model of a record', () => {
  it('answers for a moment and for a span', () => {
    const segment = record.timeline[3]!;
    expect(mosAt(model.curve, segment.start)).toBeCloseTo(mosOf(segment.score), 9);
    expect(mosAt(model.curve, segment.end - 1e-6)).toBeCloseTo(mosOf(segment.score), 9);
    expect(mosAt(model.curve, record.video.duration!)).toBeNull();
    const span = mosWithin(model.curve, { start: segment.start, end: record.timeline[4]!.end })!;
    const pair = [segment, record.timeline[4]!].map(({ score }) => mosOf(score));
    expect(span.low).toBeCloseTo(Math.min(...pair), 9);
    expect(span.mean).toBeCloseTo((pair[0]! + pair[1]!) / 2, 9);
    const bytes = record.signals.frameBytes.slice(25, 50).reduce((sum, one) => sum + one, 0);
    expect(bitrateWithin(model, { start: 1, end: 2 })).toBeCloseTo(bytes * 8, 6);
  });

  it('knows what is missing of a partial record', () => {
    const partial = buildModel(partOf(record, [{ start: 2, end: 4 }], 'partial'), null);
    expect(partial.missing).toEqual([
      { start: 0, end: 2 },
      { start: 4, end: record.video.duration },
    ]);
    expect(mosAt(partial.curve, 1)).toBeNull();
    expect(model.missing).toEqual([]);
  });

  it('keeps the order of time and gives overlapping ones of a type rows of their own', () => {
    const { moments, lanes } = withDistortions([
      distortion(5, 6),
      distortion(1, 4),
      distortion(2, 3),
      distortion(3, 5),
      distortion(2, 3, 'noise'),
    ]);
    expect(moments.map(({ start, type, row }) => [start, type, row])).toEqual([
      [1, 'blur', 0],
      [2, 'blur', 1],
      [2, 'noise', 0],
      [3, 'blur', 1],
      [5, 'blur', 0],
    ]);
    expect(lanes.map(({ type, rows }) => [type, rows])).toContainEqual(['blur', 2]);
    expect(momentsAt({ ...model, moments }, 2.5).map(({ type }) => type)).toEqual(['blur', 'blur', 'noise']);
    expect(momentsAt({ ...model, moments }, 4).map(({ start }) => start)).toEqual([3]);
  });

  it('works without what a container may not say', () => {
    const bare = buildModel(
      {
        ...record,
        video: { ...record.video, duration: null, frames: 0, width: 0, height: 0, fps: 0 },
        signals: { ...record.signals, frameTypes: '', frameBytes: [] },
        timeline: [],
        coverage: [],
        distortions: [],
      },
      8,
    );
    expect(bare).toMatchObject({ duration: 8, fps: 1, frameCount: 8, frames: null });
    expect(bare.missing).toEqual([{ start: 0, end: 8 }]);
    expect(bitrateWithin(bare, { start: 0, end: 8 })).toBeNull();
  });

  it.each([
    [[], [[0, 10]]],
    [[[0, 10]], []],
    [[[0, 9.98]], []],
    [
      [
        [4, 6],
        [0, 2],
        [1, 3],
      ],
      [
        [3, 4],
        [6, 10],
      ],
    ],
  ] as const)('of 10 s the complement of %j is %j', (spans, gaps) => {
    const found = complement(
      spans.map(([start, end]) => ({ start, end })),
      10,
      0.04,
    );
    expect(found.map(({ start, end }) => [start, end])).toEqual(gaps);
  });
});

describe('the bars of a lane', () => {
  const bars = (
    list: readonly ReturnType<typeof distortion>[],
    start: number,
    end: number,
    width: number,
  ) => {
    const lane = withDistortions(list).lanes.find(({ type }) => type === 'blur')!;
    return barsOf(lane.moments, { start, end }, width);
  };

  it('lie where their time lies', () => {
    expect(bars([distortion(2, 4), distortion(6, 7)], 0, 10, 1000)).toMatchObject([
      { left: 200, width: 200, row: 0, rows: 1, rank: 3 },
      { left: 600, width: 100 },
    ]);
  });

  it('leave out what is not in view', () => {
    expect(bars([distortion(0, 1), distortion(2, 4), distortion(9, 10)], 3, 8, 500)).toMatchObject([
      { left: -100, width: 200 },
    ]);
  });

  it('are never too small to hit, and merge where they would touch', () => {
    const many = Array.from({ length: 5000 }, (_, i) => distortion(i * 0.002, i * 0.002 + 0.001));
    const found = bars(many, 0, 10, 1000);
    expect(found.length).toBeLessThanOrEqual(48);
    expect(found.length).toBeGreaterThan(20);
    expect(found.every(({ width }) => width >= 6)).toBe(true);
    expect(found.flatMap(({ moments }) => moments)).toHaveLength(5000);
  });
});
