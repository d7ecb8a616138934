/** What measured encodes say about each other; for Problems and their quick fixes. */

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
  /** A whole number, the highest that is expected to reach the target. */
  readonly crf: number;
  /** What it has or is expected to have. */
  readonly mos: number;
  /** Whether an encode with this CRF was measured; otherwise it lies between two that were. */
  readonly measured: boolean;
}

/**
 * The cheapest whole CRF that reaches a MOS, by linear interpolation between measured ones; never beyond them.
 *
 * @param points encodes of one source that differ in CRF alone; of equal CRFs the last counts
 * @returns null where no measured CRF reaches the target, the measured ones do not enclose it, or the MOS rises with
 *   the CRF around it, so that there is nothing to interpolate
 */
export function cheapestCrf(points: readonly MeasuredCrf[], target: number): CrfAdvice | null {
  const sorted = [...new Map(points.map((point) => [point.crf, point])).values()].sort(
    (a, b) => a.crf - b.crf,
  );
  // Beyond the first one that misses, another one that reaches the target is an outlier, not a bargain.
  const missing = sorted.findIndex(({ mos }) => mos < target);
  const last = missing < 0 ? sorted.at(-1) : sorted[missing - 1];
  if (!last) return null;
  const next = missing < 0 ? undefined : sorted[missing];
  if (!next) return Number.isInteger(last.crf) ? { crf: last.crf, mos: last.mos, measured: true } : null;
  const slope = (next.mos - last.mos) / (next.crf - last.crf);
  // Rounding errors must not take one whole step from a target that is met exactly.
  const crf = Math.floor(last.crf + (target - last.mos) / slope + 1e-9);
  if (crf < last.crf) return null;
  return { crf, mos: last.mos + slope * (crf - last.crf), measured: crf === last.crf };
}

/**
 * The encode with the next lower rate that is at least as good, where there is one: the higher rate is spent for nothing.
 *
 * @param others encodes of the same source
 */
export function betterForLess<M extends Measured>(one: Measured, others: readonly M[]): M | null {
  const below = others.filter(({ bitrate }) => bitrate < one.bitrate);
  const [next] = below.sort((a, b) => b.bitrate - a.bitrate);
  return next && next.mos >= one.mos ? next : null;
}
