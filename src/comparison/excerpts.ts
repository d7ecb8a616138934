/** Scenes of a clip, and a part of it that stands for the whole. */

/** Seconds from the first frame. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** Scenes shorter than this belong to the one before, s: the length of a window that is rated. */
const shortestScene = 1;

/**
 * The scenes between cuts, one after the other from 0 to the end. What is too short to be rated belongs to the scene
 * before, at the beginning to the one after.
 *
 * @param cuts s, in any order
 * @param most Scenes at most: the shortest ones are joined with their shorter neighbour.
 */
export function scenesOf(
  duration: number,
  cuts: readonly number[],
  { shortest = shortestScene, most = Number.POSITIVE_INFINITY } = {},
): Stretch[] {
  if (!(duration > 0)) return [];
  const bounds = [0];
  for (const cut of cuts.filter((time) => time > 0 && time < duration).sort((a, b) => a - b)) {
    if (cut - bounds.at(-1)! >= shortest) bounds.push(cut);
  }
  if (bounds.length > 1 && duration - bounds.at(-1)! < shortest) bounds.pop();
  bounds.push(duration);
  while (bounds.length - 1 > Math.max(1, most)) {
    const lengths = bounds.slice(1).map((end, at) => end - bounds[at]!);
    const least = lengths.indexOf(Math.min(...lengths));
    const before = lengths[least - 1] ?? Number.POSITIVE_INFINITY;
    const after = lengths[least + 1] ?? Number.POSITIVE_INFINITY;
    bounds.splice(before <= after ? least : least + 1, 1);
  }
  return bounds.slice(1).map((end, at) => ({ start: bounds[at]!, end }));
}

/**
 * Parts of a clip of as many seconds together, or less where scenes are short: points at even distances over the whole
 * clip say which scenes give how much (systematic sampling), so that each gives its share, and each part lies in the
 * middle of its scene, away from the cuts. The same clip has the same parts every time.
 *
 * @returns in order, not overlapping; one part, the whole, where that is no longer.
 */
export function representativeParts(duration: number, cuts: readonly number[], seconds: number): Stretch[] {
  if (!(duration > 0) || !(seconds > 0)) return [];
  if (seconds >= duration) return [{ start: 0, end: duration }];
  const count = Math.max(1, Math.floor(seconds));
  const each = seconds / count;
  const parts: Stretch[] = [];
  for (const { start, end } of scenesOf(duration, cuts)) {
    const point = (at: number) => ((at + 0.5) * duration) / count;
    const points = Array.from({ length: count }, (_, at) => point(at)).filter(
      (time) => time >= start && time < end,
    );
    const length = Math.min(end - start, points.length * each);
    if (length <= 0) continue;
    const begin = start + (end - start - length) / 2;
    const last = parts.at(-1);
    if (last && begin - last.end < 1e-9) parts[parts.length - 1] = { start: last.start, end: begin + length };
    else parts.push({ start: begin, end: begin + length });
  }
  return parts;
}

/** How far a MOS of an excerpt may be from that of the whole. */
export interface ExcerptError {
  /** {@link bias} and {@link standardError} together. */
  readonly error: number;
  /** By how much the source's own MOS differs between the excerpt and the whole; both are measured. */
  readonly bias: number;
  /**
   * Of the mean of the excerpt's windows as a random sample of the whole's (W. G. Cochran, "Sampling techniques",
   * 1977, eq. 2.20): √((1 − n/N) / n) times the standard deviation between the windows of an encode, of the encode
   * where it is largest.
   */
  readonly standardError: number;
}

/**
 * The error that is stated of an excerpt.
 *
 * @param source MOS of the excerpt of the source and of the whole, with their numbers of windows.
 * @param deviations Standard deviations between windows, one of each encode, MOS.
 */
export function excerptError(
  source: {
    readonly excerpt: { readonly mos: number; readonly windows: number };
    readonly whole: { readonly mos: number; readonly windows: number };
  },
  deviations: readonly number[],
): ExcerptError {
  const { excerpt, whole } = source;
  const bias = Math.abs(excerpt.mos - whole.mos);
  const left = whole.windows > 0 ? Math.max(0, 1 - excerpt.windows / whole.windows) : 0;
  const standardError = Math.max(0, ...deviations) * Math.sqrt(left / Math.max(1, excerpt.windows));
  return { error: bias + standardError, bias, standardError };
}

/** Sample standard deviation; 0 of fewer than two values. */
export function standardDeviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}
