/** What measured encodes say about each other; for Problems and their quick fixes. */
import { cheapestFor } from '../assessment/bd_rate.ts';

/** An encode as it was measured. */
export interface Measured {
  readonly mos: number;
  /** Bits per second. */
  readonly bitrate: number;
}

/** An encode of a family that differs in its CRF alone. */
export interface MeasuredCrf extends Measured {
  readonly crf: number;
}

export interface CrfAdvice {
  /** A whole number, or one that was measured. */
  readonly crf: number;
  /** What it has or is expected to have. */
  readonly mos: number;
  readonly basis: 'measured' | 'interpolated';
}

/**
 * The cheapest CRF that reaches a MOS, as {@link cheapestFor} finds it; where even the cheapest encode reaches it, that
 * one: nothing is said beyond what was measured.
 *
 * @param points encodes of one source that differ in CRF alone; of equal CRFs the last counts
 * @returns null where no measured CRF reaches the target, or the rates do not follow the CRF
 */
export function cheapestCrf(points: readonly MeasuredCrf[], target: number): CrfAdvice | null {
  const distinct = [...new Map(points.map((point) => [point.crf, point])).values()];
  const found = cheapestFor(
    distinct.map(({ crf, mos, bitrate }) => ({ setting: crf, quality: mos, rate: bitrate })),
    target,
  );
  if (!('refusal' in found)) return { crf: found.setting, mos: found.quality, basis: found.basis };
  if (found.refusal !== 'below_range') return null;
  const [cheapest] = distinct.sort((a, b) => a.bitrate - b.bitrate);
  return cheapest ? { crf: cheapest.crf, mos: cheapest.mos, basis: 'measured' } : null;
}

/**
 * The encode with the next lower rate that is at least as good, where there is one: the higher rate is spent for
 * nothing.
 *
 * @param others encodes of the same source
 */
export function betterForLess<M extends Measured>(one: Measured, others: readonly M[]): M | null {
  const below = others.filter(({ bitrate }) => bitrate < one.bitrate);
  const [next] = below.sort((a, b) => b.bitrate - a.bitrate);
  return next && next.mos >= one.mos ? next : null;
}
