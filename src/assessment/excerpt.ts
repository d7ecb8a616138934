import { clampScore, mosOf, pool } from './pooling.ts';
import type { Assessment, Span } from './record.ts';

/**
 * A record of one part of a clip, from the record of the whole: what lies in the span, and the figures of its steps.
 * What only the whole clip has (levels, branches, frame types and sizes) is the clip's, and a problem says so.
 *
 * @returns null where nothing of the span was assessed.
 */
export function excerpt(record: Assessment, span: Span): Assessment | null {
  const shared = ({ start, end }: Span) => start < span.end && end > span.start;
  const cut = <T extends Span>(part: T): T => ({
    ...part,
    start: Math.max(part.start, span.start),
    end: Math.min(part.end, span.end),
  });
  const timeline = record.timeline.filter(shared).map(cut);
  if (timeline.length === 0) return null;
  const pooling = pool(timeline);
  const score = clampScore(pooling.mean);
  const { signals } = record;
  return {
    ...record,
    status: 'partial',
    coverage: record.coverage.flatMap(([start, end]): [number, number][] => {
      const part = cut({ start, end });
      return part.end > part.start ? [[part.start, part.end]] : [];
    }),
    mos: mosOf(score),
    score,
    pooling,
    timeline,
    ...(record.refinements ? { refinements: record.refinements.filter(shared) } : {}),
    distortions: record.distortions?.filter(shared).map(cut) ?? null,
    signals: {
      ...signals,
      sceneCuts: signals.sceneCuts.filter((time) => time >= span.start && time < span.end),
      freezes: signals.freezes.filter(shared).map(cut),
      black: signals.black.filter(shared).map(cut),
    },
    problems: [
      {
        code: 'excerpt',
        message: `Only ${span.start.toFixed(2)} s to ${span.end.toFixed(2)} s; level probabilities, branches, frame types and sizes are those of the whole clip.`,
        ...span,
      },
      ...record.problems.filter(
        ({ start, end }) => start === undefined || shared({ start, end: end ?? Number.POSITIVE_INFINITY }),
      ),
    ],
  };
}
