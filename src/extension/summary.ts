import type { Assessment } from '../assessment/record.ts';

/** A moment worth going to. Times in seconds. */
export interface Moment {
  readonly start: number;
  readonly end: number;
  /** `quality`: a low score; otherwise the distortion that was found. */
  readonly kind: string;
  readonly severity: string | null;
  readonly mos: number | null;
}

/** What the views show of a result without reading it again. */
export interface ClipSummary {
  readonly path: string;
  readonly mos: number;
  readonly status: Assessment['status'];
  readonly duration: number;
  readonly moments: readonly Moment[];
  /** Distortions found in all; null where the model does not look for any. */
  readonly distortions: number | null;
  readonly model: string;
  /** Milliseconds since 1970. */
  readonly assessedAt: number;
  /** The file as it was assessed; null where it could not be looked at. */
  readonly file: { readonly size: number; readonly mtime: number } | null;
}

const mostMoments = 5;
const rank = ['severe', 'relatively severe', 'noticeable'];

/** Summary of a record: its distortions, worst first, then its lowest span, five moments at most. */
export function summarise(path: string, record: Assessment, file: ClipSummary['file']): ClipSummary {
  const mosAt = (start: number, end: number) => {
    const inside = record.timeline.filter((span) => span.start < end && span.end > start);
    return inside.length > 0 ? 1 + (4 * Math.min(...inside.map(({ score }) => score))) / 100 : null;
  };
  const found = [...(record.distortions ?? [])].sort(
    (a, b) => rank.indexOf(a.severity) - rank.indexOf(b.severity) || b.score - a.score || a.start - b.start,
  );
  const moments: Moment[] = found.slice(0, mostMoments - 1).map(({ type, start, end, severity }) => ({
    start,
    end,
    kind: type,
    severity,
    mos: mosAt(start, end),
  }));
  const { worst } = record.pooling;
  moments.push({
    start: worst.start,
    end: worst.end,
    kind: 'quality',
    severity: null,
    mos: 1 + (4 * worst.score) / 100,
  });
  return {
    path,
    mos: record.mos,
    status: record.status,
    duration: record.timeline.at(-1)?.end ?? record.video.duration ?? 0,
    moments,
    distortions: record.distortions?.length ?? null,
    model: record.model.id,
    assessedAt: Date.now(),
    file,
  };
}
