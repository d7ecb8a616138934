/** One encode of a source: its rate (any unit, above 0) and its quality on any scale where more is better. */
export interface RatePoint {
  readonly rate: number;
  readonly quality: number;
}

/** Why two curves cannot be compared; the reasons of VMAF's `calculate_bd_rate` and values that are no numbers. */
export type BdRefusal = 'too_few_points' | 'not_finite' | 'zero_rate' | 'not_monotonic' | 'no_overlap';

export type BdResult =
  | {
      readonly value: number;
      /** What the curves have in common: qualities for a BD-rate, rates for a BD-quality. */
      readonly range: readonly [number, number];
      /** `range` as a share of what either curve covers, 0..1 (on the axis of the integral). */
      readonly overlap: number;
    }
  | { readonly refusal: BdRefusal; readonly message: string };

export interface BdOptions {
  /**
   * How the points are joined: `pchip`, piecewise cubic Hermite interpolation as in the JCT-VC and JVET spreadsheets
   * (JCTVC-L1100, JVET-T2010) and VMAF's tools; `cubic`, one polynomial of degree 3 by least squares as in VCEG-M33.
   */
  readonly method?: 'pchip' | 'cubic';
  /** `exact` integrates the polynomials; `sampled` takes the trapezoids of 100 samples, as VMAF's `bd_rate.py` does. */
  readonly integration?: 'exact' | 'sampled';
}

/** What VMAF's tools take for an infinite quality (the PSNR of equal pictures). */
const infiniteQuality = 100;
const samples = 100;

/**
 * Bjøntegaard delta rate: the mean difference in rate at equal quality, as a fraction of the anchor's rate (−0.1: the
 * test needs 10 % fewer bits). Rates are compared by their logarithm, over the qualities that both curves have.
 *
 * Sources: G. Bjøntegaard, VCEG-M33 (2001) and VCEG-AI11 (2008); F. Bossen, JCTVC-L1100; Netflix, vmaf/tools/bd_rate.py.
 */
export function bdRate(
  anchor: readonly RatePoint[],
  test: readonly RatePoint[],
  options: BdOptions = {},
): BdResult {
  const curves = prepare(anchor, test);
  if ('refusal' in curves) return curves;
  const [a, b] = curves.map(overQuality);
  const mean = meanDifference(a!, b!, options);
  if ('refusal' in mean) return mean;
  return { value: Math.expm1(mean.value), range: mean.range, overlap: mean.overlap };
}

/**
 * Bjøntegaard delta quality: the mean difference in quality at equal rate, in the units of the quality (BD-MOS, BD-PSNR).
 * Averaged over the logarithm of the rates that both curves have.
 */
export function bdQuality(
  anchor: readonly RatePoint[],
  test: readonly RatePoint[],
  options: BdOptions = {},
): BdResult {
  const curves = prepare(anchor, test);
  if ('refusal' in curves) return curves;
  const [a, b] = curves.map(overRate);
  const mean = meanDifference(a!, b!, options);
  if ('refusal' in mean) return mean;
  const [low, high] = mean.range;
  return { value: mean.value, range: [Math.exp(low), Math.exp(high)], overlap: mean.overlap };
}

interface Curve {
  readonly x: readonly number[];
  readonly y: readonly number[];
}

const overQuality = (points: readonly RatePoint[]): Curve => ({
  x: points.map(({ quality }) => quality),
  y: points.map(({ rate }) => Math.log(rate)),
});

const overRate = (points: readonly RatePoint[]): Curve => ({
  x: points.map(({ rate }) => Math.log(rate)),
  y: points.map(({ quality }) => quality),
});

type Refusal = Extract<BdResult, { refusal: BdRefusal }>;

const refuse = (refusal: BdRefusal, message: string): Refusal => ({ refusal, message });

function prepare(
  anchor: readonly RatePoint[],
  test: readonly RatePoint[],
): readonly [readonly RatePoint[], readonly RatePoint[]] | Refusal {
  const [a, b] = [anchor, test].map((points) =>
    points
      .map(({ rate, quality }) => ({
        rate,
        quality: quality === Number.POSITIVE_INFINITY ? infiniteQuality : quality,
      }))
      .sort((one, other) => one.quality - other.quality || one.rate - other.rate),
  ) as [RatePoint[], RatePoint[]];
  if (Math.min(a.length, b.length) < 4) {
    return refuse('too_few_points', 'A BD-rate needs at least four encodes on each curve.');
  }
  const all = [...a, ...b];
  if (all.some(({ rate, quality }) => !Number.isFinite(rate) || !Number.isFinite(quality))) {
    return refuse('not_finite', 'A rate or a quality is not a number.');
  }
  if (all.some(({ rate }) => rate <= 0)) {
    return refuse('zero_rate', 'A rate is zero or less; its logarithm does not exist.');
  }
  if (!isRising(a) || !isRising(b)) {
    return refuse('not_monotonic', 'On one of the curves more bits do not give more quality.');
  }
  return [a, b];
}

const isRising = (points: readonly RatePoint[]): boolean =>
  points.every(
    ({ rate, quality }, index) =>
      index === 0 || (rate > points[index - 1]!.rate && quality > points[index - 1]!.quality),
  );

function meanDifference(
  a: Curve,
  b: Curve,
  { method = 'pchip', integration = 'exact' }: BdOptions,
): BdResult {
  const low = Math.max(a.x[0]!, b.x[0]!);
  const high = Math.min(a.x.at(-1)!, b.x.at(-1)!);
  if (high <= low) return refuse('no_overlap', 'The curves have no range in common.');
  const [first, second] = [a, b].map((curve) => {
    const pieces = method === 'pchip' ? pchip(curve) : [cubic(curve)];
    return integration === 'exact' ? integrate(pieces, low, high) : trapezoids(pieces, low, high);
  }) as [number, number];
  const whole = Math.max(a.x.at(-1)!, b.x.at(-1)!) - Math.min(a.x[0]!, b.x[0]!);
  return { value: (second - first) / (high - low), range: [low, high], overlap: (high - low) / whole };
}

/** A polynomial of t = x − start, lowest power first, for x from start to end. */
interface Piece {
  readonly start: number;
  readonly end: number;
  readonly coefficients: readonly [number, number, number, number];
}

/**
 * Piecewise cubic Hermite interpolation that keeps the points' order: slopes are the weighted harmonic means of
 * F. N. Fritsch and J. Butland (1984), at the ends the three-point formula of C. Moler, "Numerical Computing with
 * MATLAB", § 3.6. As in scipy's PchipInterpolator. `x` rises; at least two points.
 */
function pchip({ x, y }: Curve): Piece[] {
  const last = x.length - 1;
  const h = Array.from({ length: last }, (_, i) => x[i + 1]! - x[i]!);
  const delta = h.map((step, i) => (y[i + 1]! - y[i]!) / step);
  const slopes = x.map((_, i) => {
    if (last === 1) return delta[0]!;
    if (i === 0) return endSlope(h[0]!, h[1]!, delta[0]!, delta[1]!);
    if (i === last) return endSlope(h[last - 1]!, h[last - 2]!, delta[last - 1]!, delta[last - 2]!);
    const [before, after] = [delta[i - 1]!, delta[i]!];
    if (before * after <= 0) return 0;
    const [w1, w2] = [2 * h[i]! + h[i - 1]!, h[i]! + 2 * h[i - 1]!];
    return (w1 + w2) / (w1 / before + w2 / after);
  });
  return h.map((step, i) => ({
    start: x[i]!,
    end: x[i + 1]!,
    coefficients: [
      y[i]!,
      slopes[i]!,
      (3 * delta[i]! - 2 * slopes[i]! - slopes[i + 1]!) / step,
      (slopes[i]! - 2 * delta[i]! + slopes[i + 1]!) / (step * step),
    ],
  }));
}

function endSlope(h1: number, h2: number, delta1: number, delta2: number): number {
  const slope = ((2 * h1 + h2) * delta1 - h1 * delta2) / (h1 + h2);
  if (Math.sign(slope) !== Math.sign(delta1)) return 0;
  return Math.sign(delta1) !== Math.sign(delta2) && Math.abs(slope) > 3 * Math.abs(delta1)
    ? 3 * delta1
    : slope;
}

/** The polynomial of degree 3 nearest to the points, by least squares. */
function cubic({ x, y }: Curve): Piece {
  const [start, end] = [x[0]!, x.at(-1)!];
  // On −1..1 the normal equations lose few digits.
  const half = (end - start) / 2;
  const rows = x.map((value, i) => ({ u: (value - start) / half - 1, y: y[i]! }));
  const system = [0, 1, 2, 3].map((row) => [
    ...[0, 1, 2, 3].map((column) => rows.reduce((sum, { u }) => sum + u ** (row + column), 0)),
    rows.reduce((sum, { u, y: value }) => sum + value * u ** row, 0),
  ]);
  const [p0, p1, p2, p3] = solve(system) as [number, number, number, number];
  // From powers of u = t/half − 1 to powers of t.
  return {
    start,
    end,
    coefficients: [
      p0 - p1 + p2 - p3,
      (p1 - 2 * p2 + 3 * p3) / half,
      (p2 - 3 * p3) / half ** 2,
      p3 / half ** 3,
    ],
  };
}

/** Gaussian elimination with pivoting; each row ends in its right-hand side. */
function solve(system: readonly (readonly number[])[]): number[] {
  const rows = system.map((row) => [...row]);
  const size = rows.length;
  for (let column = 0; column < size; column += 1) {
    let pivot = column;
    for (let row = column + 1; row < size; row += 1) {
      if (Math.abs(rows[row]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = row;
    }
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    for (let row = 0; row < size; row += 1) {
      if (row === column) continue;
      const factor = rows[row]![column]! / rows[column]![column]!;
      for (let at = column; at <= size; at += 1) rows[row]![at]! -= factor * rows[column]![at]!;
    }
  }
  return rows.map((row, index) => row[size]! / row[index]!);
}

function integrate(pieces: readonly Piece[], low: number, high: number): number {
  let sum = 0;
  for (const { start, end, coefficients } of pieces) {
    const from = Math.max(low, start) - start;
    const to = Math.min(high, end) - start;
    if (to <= from) continue;
    for (const [power, coefficient] of coefficients.entries()) {
      sum += (coefficient * (to ** (power + 1) - from ** (power + 1))) / (power + 1);
    }
  }
  return sum;
}

function trapezoids(pieces: readonly Piece[], low: number, high: number): number {
  const step = (high - low) / (samples - 1);
  let sum = 0;
  for (let index = 0; index < samples; index += 1) {
    const weight = index === 0 || index === samples - 1 ? 0.5 : 1;
    sum += weight * evaluate(pieces, index === samples - 1 ? high : low + index * step);
  }
  return sum * step;
}

function evaluate(pieces: readonly Piece[], x: number): number {
  const piece = pieces.find(({ end }) => x <= end) ?? pieces.at(-1)!;
  const t = x - piece.start;
  const [c0, c1, c2, c3] = piece.coefficients;
  return c0 + t * (c1 + t * (c2 + t * c3));
}

/**
 * The rate that a curve needs for a quality, by the same interpolation as {@link bdRate}; null outside the curve, or
 * where it does not rise.
 */
export function rateForQuality(points: readonly RatePoint[], quality: number): number | null {
  const ordered = [...points].sort((a, b) => a.quality - b.quality);
  if (!usable(ordered) || !(quality >= ordered[0]!.quality) || !(quality <= ordered.at(-1)!.quality))
    return null;
  return Math.exp(evaluate(pchip(overQuality(ordered)), quality));
}

/** The quality that a curve has at a rate; null outside the curve, or where it does not rise. */
export function qualityAtRate(points: readonly RatePoint[], rate: number): number | null {
  const ordered = [...points].sort((a, b) => a.rate - b.rate);
  if (!usable(ordered) || !(rate >= ordered[0]!.rate) || !(rate <= ordered.at(-1)!.rate)) return null;
  return evaluate(pchip(overRate(ordered)), Math.log(rate));
}

const usable = (points: readonly RatePoint[]): boolean =>
  points.length >= 2 &&
  points.every(({ rate, quality }) => rate > 0 && Number.isFinite(rate) && Number.isFinite(quality)) &&
  isRising(points);

/**
 * The points that no mix of others beats: the upper convex hull of quality over rate, by rising rate, without points
 * that cost more than a better one (A. M. Andrew's monotone chain, as in VMAF's `convex_hull.py`).
 */
export function convexHull<T extends RatePoint>(points: readonly T[]): T[] {
  const ordered = points
    .filter(({ rate, quality }) => Number.isFinite(rate) && Number.isFinite(quality))
    .sort((a, b) => a.rate - b.rate || b.quality - a.quality);
  const hull: T[] = [];
  for (const point of ordered) {
    const last = hull.at(-1);
    if (last && point.quality <= last.quality) continue;
    while (hull.length >= 2 && turnsUp(hull.at(-2)!, hull.at(-1)!, point)) hull.pop();
    hull.push(point);
  }
  return hull;
}

const turnsUp = (a: RatePoint, b: RatePoint, c: RatePoint): boolean =>
  (b.rate - a.rate) * (c.quality - a.quality) >= (b.quality - a.quality) * (c.rate - a.rate);

/** One encode with the setting that made it, such as its CRF. */
export interface SettingPoint extends RatePoint {
  readonly setting: number;
}

export type CheapestSetting =
  | {
      /** On the grid of `step`, on the side that reaches the target. */
      readonly setting: number;
      /** What is expected there: what was measured, or interpolated between the neighbours. */
      readonly quality: number;
      readonly rate: number;
      readonly basis: 'measured' | 'interpolated';
      /** The measured settings around it, the cheaper first. */
      readonly between: readonly [number, number];
    }
  | {
      readonly refusal: 'too_few_points' | 'out_of_reach' | 'below_range' | 'not_monotonic';
      readonly message: string;
    };

/**
 * The cheapest setting that reaches a quality, by interpolation between a few encodes. Works for settings that cost
 * more as they rise (bit rates) and as they fall (CRF, QP).
 *
 * `out_of_reach`: even the dearest encode stays below the target; `below_range`: even the cheapest reaches it, so that
 * a cheaper one still might; `not_monotonic`: the setting does not order the rates.
 *
 * @param step the settings' grid (1 for a CRF of whole numbers, 0.25, 50 kb/s); 0 for any value
 */
export function cheapestFor(points: readonly SettingPoint[], target: number, step = 1): CheapestSetting {
  const known = points.filter((one) => [one.setting, one.rate, one.quality].every(Number.isFinite));
  const ordered = [...known].sort((a, b) => a.rate - b.rate);
  if (ordered.length < 2) {
    return { refusal: 'too_few_points', message: 'Two encodes at least are needed to interpolate between.' };
  }
  const sign = Math.sign(ordered.at(-1)!.setting - ordered[0]!.setting);
  const monotonic = ordered.every(
    ({ setting, rate }, index) =>
      index === 0 ||
      (Math.sign(setting - ordered[index - 1]!.setting) === sign && rate > ordered[index - 1]!.rate),
  );
  if (sign === 0 || !monotonic) {
    return { refusal: 'not_monotonic', message: 'The rates do not follow the setting.' };
  }
  if (ordered[0]!.quality >= target) {
    return { refusal: 'below_range', message: 'The cheapest encode already reaches the target.' };
  }
  if (ordered.at(-1)!.quality < target) {
    return { refusal: 'out_of_reach', message: 'The best encode stays below the target.' };
  }
  // Where noise crosses the target more than once, the dearest crossing is the safe one.
  const upper = ordered.findLastIndex(
    ({ quality }, index) => index > 0 && ordered[index - 1]!.quality < target && quality >= target,
  );
  const [below, above] = [ordered[upper - 1]!, ordered[upper]!];
  const rising = isRising(ordered);
  const span = rising ? ordered : [below, above];
  const settings = pchip({ x: span.map(({ quality }) => quality), y: span.map(({ setting }) => setting) });
  const exact = evaluate(settings, target);
  const snapped = step > 0 ? (sign > 0 ? Math.ceil : Math.floor)(exact / step - sign * 1e-9) * step : exact;
  const setting = sign > 0 ? Math.min(snapped, above.setting) : Math.max(snapped, above.setting);
  const between = [below.setting, above.setting] as const;
  const measured = ordered.find((one) => one.setting === setting);
  if (measured)
    return { setting, quality: measured.quality, rate: measured.rate, basis: 'measured', between };
  const bySetting = (some: readonly SettingPoint[], value: (one: SettingPoint) => number) => {
    const rows = sign > 0 ? some : [...some].reverse();
    return evaluate(pchip({ x: rows.map((one) => one.setting), y: rows.map(value) }), setting);
  };
  return {
    setting,
    quality: bySetting(span, ({ quality }) => quality),
    rate: Math.exp(bySetting(span, ({ rate }) => Math.log(rate))),
    basis: 'interpolated',
    between,
  };
}
