/** Whether a model is as sure as it is right: reliability and expected calibration error. */

export interface ReliabilityBin {
  /** Confidences above `low` and up to `high` (the first bin: from `low` on). */
  readonly low: number;
  readonly high: number;
  readonly count: number;
  /** Mean confidence and share of right answers; null in an empty bin. */
  readonly confidence: number | null;
  readonly accuracy: number | null;
}

export interface Calibration {
  readonly count: number;
  /** Expected calibration error, 0..1; null without an answer. */
  readonly ece: number | null;
  readonly bins: readonly ReliabilityBin[];
}

/**
 * Reliability in bins of equal width over 0..1 and the expected calibration error, the mean over all answers of how far
 * a bin's accuracy is from its confidence (Guo et al., On Calibration of Modern Neural Networks, ICML 2017).
 *
 * @param confidences 0..1
 * @param right whether each answer was
 */
export function calibrationOf(
  confidences: ArrayLike<number>,
  right: ArrayLike<boolean>,
  bins = 10,
): Calibration {
  if (confidences.length !== right.length) {
    throw new RangeError(`${confidences.length} confidences for ${right.length} answers`);
  }
  const sums = Array.from({ length: bins }, () => ({ count: 0, confidence: 0, right: 0 }));
  for (let i = 0; i < confidences.length; i += 1) {
    const confidence = confidences[i]!;
    const bin = sums[Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1))]!;
    bin.count += 1;
    bin.confidence += confidence;
    bin.right += right[i]! ? 1 : 0;
  }
  const count = confidences.length;
  const apart = sums.reduce((sum, bin) => sum + Math.abs(bin.right - bin.confidence), 0);
  return {
    count,
    ece: count === 0 ? null : apart / count,
    bins: sums.map((bin, i) => ({
      low: i / bins,
      high: (i + 1) / bins,
      count: bin.count,
      confidence: bin.count === 0 ? null : bin.confidence / bin.count,
      accuracy: bin.count === 0 ? null : bin.right / bin.count,
    })),
  };
}

/** Index of the quality level, 0 the best, that a score of 0..100 is in: fifths of the scale, as in the paper. */
export function levelOfScore(score: number): number {
  return Math.min(4, Math.max(0, 4 - Math.floor(score / 20)));
}

/**
 * Reliability of the five-level softmax: how sure it is of its likeliest level, and whether the target is in it.
 *
 * @param levels for each clip, from high to low
 * @param targets 0..100
 */
export function levelCalibration(
  levels: readonly (readonly number[])[],
  targets: readonly number[],
  bins = 10,
): Calibration {
  const likeliest = levels.map((one) => one.indexOf(Math.max(...one)));
  return calibrationOf(
    levels.map((one, i) => one[likeliest[i]!]!),
    likeliest.map((level, i) => level === levelOfScore(targets[i]!)),
    bins,
  );
}
