/** Ways of rounding 32 weights that share a scale: what the compiler does, and what it is held against. */

export interface Block {
  /** Rounded in place. */
  readonly values: Float32Array;
  /** Name of the matrix that they are from. */
  readonly tensor: string;
}

export interface Scheme {
  readonly name: string;
  /** Bits a weight, scales (float32) and zero points included. */
  readonly bits: number;
  readonly round: (block: Block) => void;
}

const extremeOf = (values: Float32Array) =>
  values.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));

/** Whole steps of a scale, low to high, and what is lost. */
function steps(values: Float32Array, scale: number, low: number, high: number): Float32Array {
  return values.map((value) => (scale === 0 ? 0 : clamp(Math.round(value / scale), low, high)));
}

function lost(values: Float32Array, whole: Float32Array, scale: number, zero = 0): number {
  let sum = 0;
  for (let i = 0; i < values.length; i += 1) sum += (values[i]! - (whole[i]! - zero) * scale) ** 2;
  return sum;
}

/** The scale with which given steps lose least: Σ w·q / Σ q². */
function fitted(values: Float32Array, whole: Float32Array): number {
  let product = 0;
  let square = 0;
  for (let i = 0; i < values.length; i += 1) {
    product += values[i]! * whole[i]!;
    square += whole[i]! ** 2;
  }
  return square === 0 ? 0 : product / square;
}

function put({ values }: Block, whole: Float32Array, scale: number, zero = 0): void {
  const kept = Math.fround(scale);
  for (let i = 0; i < values.length; i += 1) values[i] = (whole[i]! - zero) * kept;
}

/** The largest weight is met exactly, the whole range −8…7 is used: llama.cpp's Q4_0. */
function nearest(block: Block): void {
  const scale = extremeOf(block.values) / -8;
  put(block, steps(block.values, scale, -8, 7), scale);
}

function nearestEven(block: Block): void {
  const scale = Math.abs(extremeOf(block.values)) / 7;
  put(block, steps(block.values, scale, -7, 7), scale);
}

function eightBits(block: Block): void {
  const scale = Math.abs(extremeOf(block.values)) / 127;
  put(block, steps(block.values, scale, -127, 127), scale);
}

/** Rounded to nearest, then the scale is fitted to what came out, and once more. */
function refitted(block: Block): void {
  let scale = extremeOf(block.values) / -8;
  let whole = steps(block.values, scale, -8, 7);
  for (let round = 0; round < 2; round += 1) {
    scale = fitted(block.values, whole) || scale;
    whole = steps(block.values, scale, -8, 7);
  }
  put(block, whole, scale);
}

interface Rounded {
  readonly scale: number;
  readonly whole: Float32Array;
  readonly loss: number;
}

const nothing = ({ values }: Block): Rounded => ({
  scale: 0,
  whole: new Float32Array(values.length),
  loss: Number.POSITIVE_INFINITY,
});

/** The best of several scales, each fitted to its own steps. */
const searched = (divisors: readonly number[]) => (block: Block) => {
  const extreme = extremeOf(block.values);
  let best: Rounded = nothing(block);
  for (const divisor of divisors) {
    const whole = steps(block.values, extreme / divisor, -8, 7);
    const scale = fitted(block.values, whole);
    const loss = lost(block.values, whole, scale);
    if (loss < best.loss) best = { scale, whole, loss };
  }
  put(block, best.whole, best.scale);
};

/** From the smallest to the largest weight in 15 steps, with a zero point of 4 bits. */
const asymmetric = (shrinks: readonly number[]) => (block: Block) => {
  const low = Math.min(0, ...block.values);
  const high = Math.max(0, ...block.values);
  let best = {
    scale: 0,
    zero: 0,
    whole: new Float32Array(block.values.length),
    loss: Number.POSITIVE_INFINITY,
  };
  for (const shrink of shrinks) {
    const scale = ((high - low) / 15) * shrink;
    if (scale === 0) continue;
    const zero = clamp(Math.round((-low * shrink) / scale), 0, 15);
    const whole = block.values.map((value) => clamp(Math.round(value / scale) + zero, 0, 15));
    const loss = lost(block.values, whole, scale, zero);
    if (loss < best.loss) best = { scale, zero, whole, loss };
  }
  put(block, best.whole, best.scale, best.zero);
};

const searchedDivisors = [-9.5, -9, -8.5, -8, -7.5, -7, -6.5, 6.5, 7, 7.5, 8, 8.5];
const fewDivisors = [-8.6, -7.6, 7.4];

/** Matrices whose errors reach the residual stream unattenuated: as llama.cpp's Q4_K_M, they keep more bits. */
const sensitive = /\.(v_proj|down_proj)\.weight$/;

export const schemes: readonly Scheme[] = [
  { name: 'nearest, −8…7 (Q4_0)', bits: 5, round: nearest },
  { name: 'nearest, −7…7', bits: 5, round: nearestEven },
  { name: 'nearest, scale fitted twice', bits: 5, round: refitted },
  { name: 'best of 3 scales, fitted', bits: 5, round: searched(fewDivisors) },
  { name: 'best of 12 scales, fitted', bits: 5, round: searched(searchedDivisors) },
  { name: 'asymmetric, nearest', bits: 5.125, round: asymmetric([1]) },
  { name: 'asymmetric, best of 5 ranges', bits: 5.125, round: asymmetric([1, 0.95, 0.9, 0.85, 0.8]) },
  {
    name: 'best of 3 scales; v and down projections 8 bits',
    bits: 6.5,
    round: (block) => (sensitive.test(block.tensor) ? eightBits : searched(fewDivisors))(block),
  },
  { name: '8 bits', bits: 9, round: eightBits },
];
