/**
 * The four-parameter logistic that maps predictions to opinion scores before PLCC and RMSE where a comparison asks for
 * it (VQEG; ITU-T P.1401 annex A; Sheikh, Sabir and Bovik 2006):
 * f(x) = low + (high − low) / (1 + exp(−(x − middle) / |width|)).
 */
export interface Logistic {
  readonly high: number;
  readonly low: number;
  readonly middle: number;
  readonly width: number;
}

export function logistic({ high, low, middle, width }: Logistic, x: number): number {
  return low + (high - low) / (1 + Math.exp(-(x - middle) / Math.abs(width)));
}

type Four = [number, number, number, number];

/**
 * The least-squares fit by Levenberg and Marquardt's method, begun where the field's scripts begin it: at the highest
 * and lowest y, the mean of x and a quarter of its standard deviation. It falls as it rises: `high` is then below
 * `low`.
 *
 * @returns null for fewer than five pairs, a series that is constant or has a value that is not finite
 */
export function fitLogistic(x: ArrayLike<number>, y: ArrayLike<number>): Logistic | null {
  const n = x.length;
  if (y.length !== n) throw new RangeError(`two series of ${n} and ${y.length} values`);
  const xs = Array.from({ length: n }, (_, i) => x[i]!);
  const ys = Array.from({ length: n }, (_, i) => y[i]!);
  if (n < 5 || ![...xs, ...ys].every(Number.isFinite)) return null;
  const mean = xs.reduce((sum, value) => sum + value, 0) / n;
  const deviation = Math.sqrt(xs.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n);
  const [top, bottom] = [Math.max(...ys), Math.min(...ys)];
  if (!(deviation > Number.EPSILON * Math.abs(mean) * n) || top === bottom) return null;

  // On x and y without their units, so that one damping serves all four.
  const scale = top - bottom;
  const us = xs.map((value) => (value - mean) / deviation);
  const vs = ys.map((value) => (value - bottom) / scale);
  const rising: Four = [1, 0, 0, 0.25];
  const falling: Four = [0, 1, 0, 0.25];
  const [up, down] = [descend(us, vs, rising), descend(us, vs, falling)];
  const [a, b, c, d] = (up.cost <= down.cost ? up : down).parameters;
  return {
    high: bottom + a * scale,
    low: bottom + b * scale,
    middle: mean + c * deviation,
    width: Math.abs(d) * deviation,
  };
}

function descend(us: readonly number[], vs: readonly number[], start: Four) {
  const value = ([a, b, c, d]: Four, u: number) => b + (a - b) / (1 + Math.exp(-(u - c) / Math.abs(d)));
  const costOf = (parameters: Four) =>
    us.reduce((sum, u, i) => sum + (vs[i]! - value(parameters, u)) ** 2, 0);
  let parameters = start;
  let cost = costOf(parameters);
  let damping = 1e-3;
  for (let step = 0; step < 500 && damping < 1e12; step += 1) {
    const normal = Array.from({ length: 4 }, () => new Float64Array(4));
    const gradient = new Float64Array(4);
    const [a, b, c, d] = parameters;
    const width = Math.abs(d);
    for (const [i, u] of us.entries()) {
      const z = (u - c) / width;
      const share = 1 / (1 + Math.exp(-z));
      const slope = (a - b) * share * (1 - share);
      const row = [share, 1 - share, -slope / width, (-slope * z * Math.sign(d)) / width];
      const residual = vs[i]! - (b + (a - b) * share);
      for (let j = 0; j < 4; j += 1) {
        gradient[j] = gradient[j]! + row[j]! * residual;
        for (let k = 0; k < 4; k += 1) normal[j]![k] = normal[j]![k]! + row[j]! * row[k]!;
      }
    }
    const damped = normal.map((row, j) =>
      Float64Array.from(row, (entry, k) => (j === k ? entry * (1 + damping) + 1e-12 : entry)),
    );
    const move = solve(damped, gradient);
    const next = parameters.map((entry, j) => entry + move[j]!) as Four;
    const nextCost = Math.abs(next[3]) < 1e-6 ? Number.POSITIVE_INFINITY : costOf(next);
    if (nextCost < cost) {
      const settled = cost - nextCost <= 1e-14 * cost;
      [parameters, cost, damping] = [next, nextCost, damping / 10];
      if (settled) break;
    } else damping *= 10;
  }
  return { parameters, cost };
}

/** Gauss with pivots. */
function solve(matrix: readonly Float64Array[], right: Float64Array): Float64Array {
  const size = right.length;
  const rows = matrix.map((row, i) => Float64Array.from([...row, right[i]!]));
  for (let column = 0; column < size; column += 1) {
    let pivot = column;
    for (let i = column + 1; i < size; i += 1) {
      if (Math.abs(rows[i]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = i;
    }
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    for (let i = 0; i < size; i += 1) {
      if (i === column) continue;
      const factor = rows[i]![column]! / rows[column]![column]!;
      for (let j = column; j <= size; j += 1) rows[i]![j] = rows[i]![j]! - factor * rows[column]![j]!;
    }
  }
  return Float64Array.from(rows, (row, i) => row[size]! / row[i]!);
}
