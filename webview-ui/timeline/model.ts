/** The record as the timeline needs it: sorted, indexed, summed once; everything drawn or said comes from here. */

import { mosOf } from '../../src/assessment/pooling.ts';
import type { Assessment, Distortion } from '../../src/assessment/record.ts';
import type { DistortionType, Severity } from '../../src/assessment/vocabulary.ts';
import type { Span } from '../../src/protocol/timeline.ts';
import { firstAbove, firstAtLeast, Pyramid } from './pyramid.ts';

export type Region = Distortion['region'];

/** One distortion with its place in every order that the view uses. */
export interface Moment {
  /** Its position in {@link Model.moments}. */
  readonly index: number;
  readonly type: DistortionType;
  readonly start: number;
  readonly end: number;
  readonly region: Region;
  readonly severity: Severity;
  /** 1 noticeable, 2 relatively severe, 3 severe. */
  readonly rank: 1 | 2 | 3;
  readonly confidence: number;
  /** Which row of its lane it lies in, where several of one type overlap in time. */
  readonly row: number;
}

export interface Lane {
  readonly type: DistortionType;
  readonly moments: readonly Moment[];
  /** How many rows its overlapping moments need, at least 1. */
  readonly rows: number;
}

/** The MOS curve: segment i covers `starts[i]` to `ends[i]`. */
export interface Curve {
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  /** MOS, 1..5. */
  readonly mos: Pyramid;
  readonly values: Float64Array;
}

/** What a second model says of one window. */
export interface Refined {
  readonly start: number;
  readonly end: number;
  /** 1..5. */
  readonly mos: number;
  /** The model's name. Untrusted text. */
  readonly by: string;
}

/** What the container says about each frame. */
export interface Frames {
  /** Bytes per frame. */
  readonly bytes: Pyramid;
  readonly values: ArrayLike<number>;
  /** One of I, P, B, ? per frame. */
  readonly types: string;
}

export interface Model {
  readonly record: Assessment;
  readonly duration: number;
  /** Nominal frames per second, at least 1. */
  readonly fps: number;
  /** Displayed width by height. */
  readonly aspect: number;
  readonly frameCount: number;
  readonly curve: Curve;
  /** In order; empty where no second model looked. */
  readonly refined: readonly Refined[];
  readonly lanes: readonly Lane[];
  /** Whether the model was trained to find distortions at all. */
  readonly finds: boolean;
  /** Every distortion, by start. */
  readonly moments: readonly Moment[];
  readonly frames: Frames | null;
  readonly sceneCuts: readonly number[];
  readonly freezes: readonly Span[];
  readonly black: readonly Span[];
  /** What was assessed. */
  readonly covered: readonly Span[];
  /** What was not, in order. */
  readonly missing: readonly Span[];
}

export const distortionTypes: readonly DistortionType[] = [
  'blur',
  'noise',
  'overexposure',
  'underexposure',
  'compression',
  'stutter',
];

export const typeNames: Readonly<Record<DistortionType, string>> = {
  blur: 'Blur',
  noise: 'Noise',
  overexposure: 'Overexposure',
  underexposure: 'Underexposure',
  compression: 'Compression',
  stutter: 'Stutter',
};

/** For a gutter too narrow for the whole word. */
export const shortTypeNames: Readonly<Record<DistortionType, string>> = {
  blur: 'Blur',
  noise: 'Noise',
  overexposure: 'Overexp.',
  underexposure: 'Underexp.',
  compression: 'Compr.',
  stutter: 'Stutter',
};

const ranks: Readonly<Record<Severity, 1 | 2 | 3>> = { noticeable: 1, 'relatively severe': 2, severe: 3 };

export const severityNames: readonly Severity[] = ['noticeable', 'relatively severe', 'severe'];

/** The nine places of the picture, by the region's centre: "upper left", "centre", … or the whole picture. */
export function placeOf(region: Region): string {
  if (region.width > 0.9 && region.height > 0.9) return 'whole picture';
  const third = (centre: number) => (centre < 0.375 ? 0 : centre > 0.625 ? 2 : 1);
  const column = ['left', '', 'right'][third(region.x + region.width / 2)] as string;
  const row = ['upper', '', 'lower'][third(region.y + region.height / 2)] as string;
  return [row, column].filter(Boolean).join(' ') || 'centre';
}

/** What of 0..duration lies in none of the spans; gaps shorter than `tolerance` do not count. */
export function complement(spans: readonly Span[], duration: number, tolerance: number): Span[] {
  const gaps: Span[] = [];
  let at = 0;
  for (const { start, end } of spans.toSorted((a, b) => a.start - b.start)) {
    if (start - at > tolerance) gaps.push({ start: at, end: start });
    at = Math.max(at, end);
  }
  if (duration - at > tolerance) gaps.push({ start: at, end: duration });
  return gaps;
}

/** `fallbackDuration`: the length to use where the container does not state one, s. */
export function buildModel(record: Assessment, fallbackDuration: number | null): Model {
  const fps = record.video.fps > 0 ? record.video.fps : 1;
  const { frameTypes, frameBytes, sceneCuts, freezes, black } = record.signals;
  const covered = record.coverage.map(([start, end]) => ({ start, end }));
  const duration = Math.max(
    record.video.duration ?? fallbackDuration ?? 0,
    ...covered.map(({ end }) => end),
    record.timeline.at(-1)?.end ?? 0,
  );

  const segments = record.timeline.toSorted((a, b) => a.start - b.start);
  const values = Float64Array.from(segments, ({ score }) => mosOf(score));
  const curve: Curve = {
    starts: Float64Array.from(segments, ({ start }) => start),
    ends: Float64Array.from(segments, ({ end }) => end),
    mos: new Pyramid(values),
    values,
  };

  const order = new Map(distortionTypes.map((type, index) => [type, index]));
  const sorted = (record.distortions ?? []).toSorted(
    (a, b) => a.start - b.start || (order.get(a.type) ?? 0) - (order.get(b.type) ?? 0) || a.end - b.end,
  );
  // Greedy interval colouring: a moment takes the first row of its lane that is free at its start.
  const rowEnds = new Map<DistortionType, number[]>(distortionTypes.map((type) => [type, []]));
  const moments = sorted.map((one, index): Moment => {
    const ends = rowEnds.get(one.type) ?? [];
    const free = ends.findIndex((end) => end <= one.start + 1e-6);
    const row = free < 0 ? ends.length : free;
    ends[row] = one.end;
    return {
      index,
      type: one.type,
      start: one.start,
      end: one.end,
      region: one.region,
      severity: one.severity,
      rank: ranks[one.severity],
      confidence: one.score,
      row,
    };
  });

  return {
    record,
    duration,
    fps,
    aspect:
      record.video.width > 0 && record.video.height > 0 ? record.video.width / record.video.height : 16 / 9,
    frameCount: Math.max(1, record.video.frames || Math.round(duration * fps)),
    curve,
    refined: (record.refinements ?? [])
      .map(({ start, end, mos, model }) => ({ start, end, mos, by: model.id }))
      .toSorted((a, b) => a.start - b.start),
    lanes: distortionTypes.map((type) => ({
      type,
      moments: moments.filter((one) => one.type === type),
      rows: Math.max(1, rowEnds.get(type)?.length ?? 1),
    })),
    finds: record.distortions !== null,
    moments,
    frames:
      frameBytes.length > 0
        ? { bytes: new Pyramid(frameBytes), values: frameBytes, types: frameTypes }
        : null,
    sceneCuts,
    freezes,
    black,
    covered,
    missing: complement(covered, duration, 1 / fps),
  };
}

/** The MOS at a time, null where it was not assessed. */
export function mosAt({ starts, ends, values }: Curve, time: number): number | null {
  const i = firstAbove(starts, time) - 1;
  return i >= 0 && time < (ends[i] as number) ? (values[i] as number) : null;
}

/** What a second model says of the window that a time is in. */
export function refinedAt({ refined }: Model, time: number): Refined | null {
  return refined.find(({ start, end }) => start <= time + 1e-6 && time < end - 1e-6) ?? null;
}

/** The mean, lowest and highest MOS of the segments that touch a span; undefined where none does. */
export function mosWithin({ starts, ends, mos }: Curve, { start, end }: Span) {
  return mos.query(firstAbove(ends, start), firstAtLeast(starts, end));
}

/** The distortions that are there at a time. */
export function momentsAt(model: Model, time: number): Moment[] {
  return model.moments.filter(({ start, end }) => start <= time + 1e-6 && time < end - 1e-6);
}

/** Mean bit/s of the frames shown within a span, null where the packets are not known. */
export function bitrateWithin(model: Model, { start, end }: Span): number | null {
  if (!model.frames) return null;
  const from = Math.max(0, Math.round(start * model.fps));
  const to = Math.min(model.frames.bytes.length, Math.max(from + 1, Math.round(end * model.fps)));
  return from < to ? (model.frames.bytes.sum(from, to) * 8 * model.fps) / (to - from) : null;
}
