/**
 * The figures by which a quality model is judged against opinion scores or a full-reference metric: rank and linear
 * correlation and error, raw as OmniVQA reports them (arXiv 2505.22543), and after the logistic mapping of ITU-T
 * P.1401 and VQEG where asked for. All take two series of equal length and give NaN where the figure is not defined
 * (fewer than two pairs, or a constant series).
 */

/** Pearson's linear correlation (PLCC). */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): number {
  const n = sameLength(x, y);
  let [meanX, meanY] = [0, 0];
  for (let i = 0; i < n; i += 1) {
    meanX += x[i]! / n;
    meanY += y[i]! / n;
  }
  let [xx, yy, xy] = [0, 0, 0];
  for (let i = 0; i < n; i += 1) {
    const [dx, dy] = [x[i]! - meanX, y[i]! - meanY];
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  // A constant series has no direction; what rounding leaves of its variance must not give it one.
  const flat = (variance: number, mean: number) => variance <= n * (Number.EPSILON * mean) ** 2;
  if (n < 2 || flat(xx, meanX) || flat(yy, meanY)) return Number.NaN;
  return Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)));
}

/** Spearman's rank correlation (SRCC): Pearson's of the ranks, ties sharing their mean rank. */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>): number {
  sameLength(x, y);
  return pearson(ranks(x), ranks(y));
}

/** Kendall's rank correlation (KRCC), τ-b, by Knight's O(n log n) algorithm (JASA 61, 1966). */
export function kendall(x: ArrayLike<number>, y: ArrayLike<number>): number {
  const n = sameLength(x, y);
  const order = Uint32Array.from({ length: n }, (_, i) => i).sort((a, b) => x[a]! - x[b]! || y[a]! - y[b]!);
  const pairs = (count: number) => (count * (count - 1)) / 2;
  /** Pairs tied by `same`, over runs of neighbours in `sequence`. */
  const tied = (sequence: ArrayLike<number>, same: (a: number, b: number) => boolean) => {
    let [total, run] = [0, 1];
    for (let i = 1; i <= n; i += 1) {
      if (i < n && same(sequence[i - 1]!, sequence[i]!)) run += 1;
      else {
        total += pairs(run);
        run = 1;
      }
    }
    return total;
  };
  const tiedX = tied(order, (a, b) => x[a] === x[b]);
  const tiedBoth = tied(order, (a, b) => x[a] === x[b] && y[a] === y[b]);
  let values = Float64Array.from(order, (i) => y[i]!);
  let merged = new Float64Array(n);
  let swaps = 0;
  for (let width = 1; width < n; width *= 2) {
    for (let start = 0; start < n; start += 2 * width) {
      const [middle, end] = [Math.min(start + width, n), Math.min(start + 2 * width, n)];
      for (let left = start, right = middle, at = start; at < end; at += 1) {
        if (left < middle && (right >= end || values[left]! <= values[right]!)) merged[at] = values[left++]!;
        else {
          swaps += middle - left;
          merged[at] = values[right++]!;
        }
      }
    }
    [values, merged] = [merged, values];
  }
  const tiedY = tied(values, (a, b) => a === b);
  const all = pairs(n);
  const comparable = Math.sqrt((all - tiedX) * (all - tiedY));
  return comparable === 0 ? Number.NaN : (all - tiedX - tiedY + tiedBoth - 2 * swaps) / comparable;
}

/** Root mean squared error, in the unit of the series. */
export function rmse(x: ArrayLike<number>, y: ArrayLike<number>): number {
  const n = sameLength(x, y);
  let sum = 0;
  for (let i = 0; i < n; i += 1) sum += (x[i]! - y[i]!) ** 2;
  return Math.sqrt(sum / n);
}

/** 1-based ranks; equal values share the mean of the ranks they cover. */
export function ranks(x: ArrayLike<number>): Float64Array {
  const order = Uint32Array.from({ length: x.length }, (_, i) => i).sort((a, b) => x[a]! - x[b]!);
  const result = new Float64Array(x.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && x[order[end]!] === x[order[start]!]) end += 1;
    for (let i = start; i < end; i += 1) result[order[i]!] = (start + 1 + end) / 2;
    start = end;
  }
  return result;
}

/** The interval that holds 95 % (or another share) of a figure's bootstrap distribution, and the figure itself on all items. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Percentile bootstrap (Efron, 1979). `groups` names the group of each item, its content say: whole groups are
 * drawn, because the clips of one content are not independent of each other. Seeded: the same call gives the same
 * interval. Draws for which the figure is not defined are left out.
 */
export function bootstrap(
  groups: readonly string[],
  figure: (items: readonly number[]) => number,
  { draws = 1000, seed = 1, coverage = 0.95 } = {},
): Interval {
  const members = new Map<string, number[]>();
  for (const [item, group] of groups.entries()) {
    const list = members.get(group);
    if (list) list.push(item);
    else members.set(group, [item]);
  }
  const lists = [...members.values()];
  const random = mulberry32(seed);
  const values: number[] = [];
  for (let draw = 0; draw < draws; draw += 1) {
    const value = figure(lists.flatMap(() => lists[Math.floor(random() * lists.length)]!));
    if (!Number.isNaN(value)) values.push(value);
  }
  values.sort((a, b) => a - b);
  const at = (share: number) => values[Math.round(share * (values.length - 1))] ?? Number.NaN;
  const tail = (1 - coverage) / 2;
  return { value: figure(groups.map((_, item) => item)), low: at(tail), high: at(1 - tail) };
}

/** Tommy Ettinger's mulberry32: 32 bits of state, uniform on [0, 1), the same on every machine. */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function sameLength(x: ArrayLike<number>, y: ArrayLike<number>): number {
  if (x.length !== y.length) throw new RangeError(`two series of ${x.length} and ${y.length} values`);
  return x.length;
}
