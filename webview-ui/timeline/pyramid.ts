/**
 * Minimum, maximum and mean of any run of samples in logarithmic time, so that drawing costs what the pixels
 * cost and not what the samples cost. Built once per record: O(n) time, 2n + n floats.
 */
export class Pyramid {
  readonly length: number;
  readonly #low: Float64Array;
  readonly #high: Float64Array;
  readonly #sum: Float64Array;

  /** Samples must be finite. */
  constructor(samples: ArrayLike<number>) {
    const n = samples.length;
    this.length = n;
    // A bottom-up segment tree: leaf i sits at n + i, node k covers nodes 2k and 2k + 1.
    this.#low = new Float64Array(2 * n);
    this.#high = new Float64Array(2 * n);
    this.#sum = new Float64Array(n + 1);
    for (let i = 0; i < n; i += 1) {
      const value = samples[i] as number;
      this.#low[n + i] = value;
      this.#high[n + i] = value;
      this.#sum[i + 1] = (this.#sum[i] as number) + value;
    }
    for (let k = n - 1; k > 0; k -= 1) {
      this.#low[k] = Math.min(this.#low[2 * k] as number, this.#low[2 * k + 1] as number);
      this.#high[k] = Math.max(this.#high[2 * k] as number, this.#high[2 * k + 1] as number);
    }
  }

  /** Over samples `from` (inclusive) to `to` (exclusive), clipped to what there is; undefined where empty. */
  query(from: number, to: number): { low: number; high: number; mean: number } | undefined {
    const first = Math.max(0, from);
    const last = Math.min(this.length, to);
    if (first >= last) return undefined;
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    let a = first + this.length;
    let b = last + this.length;
    while (a < b) {
      if (a & 1) {
        low = Math.min(low, this.#low[a] as number);
        high = Math.max(high, this.#high[a] as number);
        a += 1;
      }
      if (b & 1) {
        b -= 1;
        low = Math.min(low, this.#low[b] as number);
        high = Math.max(high, this.#high[b] as number);
      }
      a >>= 1;
      b >>= 1;
    }
    return { low, high, mean: this.sum(first, last) / (last - first) };
  }

  /** The sum over `from` (inclusive) to `to` (exclusive). Both must lie within the samples. */
  sum(from: number, to: number): number {
    return (this.#sum[to] as number) - (this.#sum[from] as number);
  }
}

/** The first index whose value is greater than `limit` in an ascending list; its length where none is. */
export function firstAbove(sorted: ArrayLike<number>, limit: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The first index whose value is at least `limit` in an ascending list; its length where none is. */
export function firstAtLeast(sorted: ArrayLike<number>, limit: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) >= limit) high = middle;
    else low = middle + 1;
  }
  return low;
}
