import type { Levels, Pooling } from './record.ts';
import { levelNames } from './vocabulary.ts';

/** A span of the clip with its score, 0..100. */
export interface ScoredSpan {
  readonly start: number;
  readonly end: number;
  readonly score: number;
}

/** MOS on the five-grade scale of ITU-T P.800 and ITU-R BT.500 for a score of 0..100. */
export const mosOf = (score: number): number => 1 + (4 * score) / 100;

/** The words of the five-grade quality scale (ITU-T P.800, table B.1; ITU-R BT.500), in the order of the levels. */
export const gradeNames = ['Excellent', 'Good', 'Fair', 'Poor', 'Bad'] as const;

/** The word that a MOS is nearest to. */
export function gradeOf(mos: number): (typeof gradeNames)[number] {
  return gradeNames[5 - Math.min(5, Math.max(1, Math.round(mos)))]!;
}

/**
 * Statistics of a timeline, each span weighted by its length, s.
 *
 * `harmonicMean` is that of score + 1, less 1, so that a score of 0 is allowed (as VMAF's tools pool); `p5` is the
 * score that 5 % of the time stays at or below; `worst` is the span with the lowest score, the first of equals.
 */
export function pool(timeline: readonly ScoredSpan[]): Pooling {
  let [length, sum, inverse] = [0, 0, 0];
  let worst = timeline[0]!;
  for (const span of timeline) {
    const weight = lengthOf(span);
    length += weight;
    sum += weight * span.score;
    inverse += weight / (span.score + 1);
    if (span.score < worst.score) worst = span;
  }
  const ordered = [...timeline].sort((a, b) => a.score - b.score);
  let below = 0;
  const p5 = ordered.find((span) => {
    below += lengthOf(span);
    return below >= 0.05 * length;
  })!;
  return {
    mean: clampScore(sum / length),
    harmonicMean: clampScore(length / inverse - 1),
    p5: p5.score,
    worst: { start: worst.start, end: worst.end, score: worst.score },
  };
}

/** Mean score of what a timeline says of a span, weighted by the time that is shared; null where nothing is. */
export function meanWithin(
  timeline: readonly ScoredSpan[],
  { start, end }: { readonly start: number; readonly end: number },
): number | null {
  let [length, sum] = [0, 0];
  for (const one of timeline) {
    const shared = Math.min(one.end, end) - Math.max(one.start, start);
    if (shared <= 0) continue;
    length += shared;
    sum += shared * one.score;
  }
  return length > 0 ? sum / length : null;
}

/** A clip of one frame has a span without length; it still counts. */
const lengthOf = ({ start, end }: ScoredSpan) => Math.max(end - start, 1e-6);

export const clampScore = (score: number): number => Math.min(100, Math.max(0, score));

/** Mean of level probabilities, weighted, renormalised against rounding. */
export function meanLevels(
  parts: readonly { readonly levels: readonly number[]; readonly weight: number }[],
): Levels {
  const sums = levelNames.map((_, i) =>
    parts.reduce((sum, { levels, weight }) => sum + levels[i]! * weight, 0),
  );
  const total = sums.reduce((a, b) => a + b, 0);
  const [high, good, fair, poor, low] = sums.map((value) => Math.min(1, value / total)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return { high, good, fair, poor, low };
}

/** Spans that touch or overlap (within `gap` seconds) made one, in order. */
export function mergeSpans(spans: readonly (readonly [number, number])[], gap = 1e-6): [number, number][] {
  const merged: [number, number][] = [];
  for (const [start, end] of [...spans].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last && start <= last[1] + gap) last[1] = Math.max(last[1], end);
    else merged.push([start, end]);
  }
  return merged;
}
