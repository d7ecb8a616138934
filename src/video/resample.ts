/**
 * Pillow's bicubic resampling (`Image.resize(size, Image.Resampling.BICUBIC)`), bit for bit: kernel a = -0.5, its
 * support widened by the scale where it shrinks, weights renormalised at the borders, two passes with 22-bit
 * fixed-point weights and rounding to 8 bits between them. After Pillow's src/libImaging/Resample.c; the order of the
 * passes is that of Pillow 13, horizontal first unless the vertical one saves more than twice as many lines as the
 * horizontal one columns (found by trying; older releases always begin with the rows, which differs by rounding).
 */

/** 32 bits less 8 of the pixel and 2 of head room, as in Resample.c. */
const precisionBits = 22;
const half = 1 << (precisionBits - 1);

/** The weights of one side: for output pixel i, inputs `first[i]` … `first[i] + count[i] - 1`. */
export interface Weights {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** Row i starts at `i * taps`. */
  readonly values: Int32Array;
  readonly taps: number;
}

/** Keys' cubic with a = -0.5 ("Cubic convolution interpolation for digital image processing", 1981). */
function bicubic(x: number): number {
  const a = -0.5;
  const t = Math.abs(x);
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return (((t - 5) * t + 8) * t - 4) * a;
  return 0;
}

/** Fixed-point weights from `input` to `output` pixels along one side. */
export function bicubicWeights(input: number, output: number): Weights {
  const scale = input / output;
  const filterScale = Math.max(1, scale);
  const support = 2 * filterScale;
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(output);
  const count = new Int32Array(output);
  const values = new Int32Array(output * taps);
  const row = new Float64Array(taps);
  for (let i = 0; i < output; i++) {
    const center = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const length = Math.min(input, Math.trunc(center + support + 0.5)) - start;
    let sum = 0;
    for (let k = 0; k < length; k++) {
      row[k] = bicubic((k + start - center + 0.5) / filterScale);
      sum += row[k]!;
    }
    for (let k = 0; k < length; k++) {
      const weight = (row[k]! / sum) * (1 << precisionBits);
      values[i * taps + k] = Math.trunc(weight + (weight < 0 ? -0.5 : 0.5));
    }
    first[i] = start;
    count[i] = length;
  }
  return { first, count, values, taps };
}

function clip8(value: number): number {
  const shifted = value >> precisionBits;
  return shifted < 0 ? 0 : Math.min(shifted, 255);
}

/** Resamples planes to interleaved RGB. One object per pair of sizes; it owns its weights and its scratch plane. */
export class Resampler {
  readonly inputWidth: number;
  readonly inputHeight: number;
  readonly width: number;
  readonly height: number;
  readonly #horizontal: Weights | null;
  readonly #vertical: Weights | null;
  readonly #verticalFirst: boolean;
  readonly #between: Uint8Array;
  readonly #result: Uint8Array;
  /** A line of the vertical pass. */
  readonly #sums: Int32Array;

  constructor(inputWidth: number, inputHeight: number, width: number, height: number) {
    this.inputWidth = inputWidth;
    this.inputHeight = inputHeight;
    this.width = width;
    this.height = height;
    // A side that keeps its size has no pass.
    this.#horizontal = inputWidth === width ? null : bicubicWeights(inputWidth, width);
    this.#vertical = inputHeight === height ? null : bicubicWeights(inputHeight, height);
    this.#verticalFirst = inputHeight > height && inputHeight - height > 2 * (inputWidth - width);
    this.#between = new Uint8Array(this.#verticalFirst ? inputWidth * height : width * inputHeight);
    this.#result = new Uint8Array(width * height);
    this.#sums = new Int32Array(this.#verticalFirst ? inputWidth : width);
  }

  /**
   * @param planes three planes u8 [inputHeight, inputWidth] one after the other, in the order G, B, R (ffmpeg's gbrp)
   * @param out receives u8 [height, width, 3], RGB, from `offset` on
   */
  fromGbr(planes: Uint8Array, out: Uint8Array, offset: number): void {
    const size = this.inputWidth * this.inputHeight;
    for (const [plane, component] of [1, 2, 0].entries()) {
      let result = planes.subarray(plane * size, (plane + 1) * size);
      if (this.#verticalFirst) {
        result = this.#columns(result, this.inputWidth, this.#horizontal ? this.#between : this.#result);
        result = this.#rows(result, this.height, this.#result);
      } else {
        result = this.#rows(result, this.inputHeight, this.#vertical ? this.#between : this.#result);
        result = this.#columns(result, this.width, this.#result);
      }
      for (let i = 0, at = offset + component; i < result.length; i++, at += 3) out[at] = result[i]!;
    }
  }

  /** The horizontal pass over `lines` lines. */
  #rows(source: Uint8Array, lines: number, out: Uint8Array): Uint8Array {
    if (!this.#horizontal) return source;
    const { first, count, values, taps } = this.#horizontal;
    const { inputWidth, width } = this;
    // Math.imul and | 0 keep the sums integers for the compiler, four lines share each weight, and two weights a turn:
    // written plainly, the loop takes four times as long.
    const whole = lines - (lines % 4);
    for (let x = 0; x < width; x++) {
      const start = first[x]!;
      const length = count[x]!;
      const weights = x * taps;
      for (let y = 0; y < whole; y += 4) {
        let at0 = start + y * inputWidth;
        let at1 = at0 + inputWidth;
        let at2 = at1 + inputWidth;
        let at3 = at2 + inputWidth;
        let sum0 = half;
        let sum1 = half;
        let sum2 = half;
        let sum3 = half;
        const end = weights + length;
        let k = weights;
        for (; k + 2 <= end; k += 2, at0 += 2, at1 += 2, at2 += 2, at3 += 2) {
          const weight = values[k]!;
          const next = values[k + 1]!;
          sum0 = (sum0 + ((Math.imul(source[at0]!, weight) + Math.imul(source[at0 + 1]!, next)) | 0)) | 0;
          sum1 = (sum1 + ((Math.imul(source[at1]!, weight) + Math.imul(source[at1 + 1]!, next)) | 0)) | 0;
          sum2 = (sum2 + ((Math.imul(source[at2]!, weight) + Math.imul(source[at2 + 1]!, next)) | 0)) | 0;
          sum3 = (sum3 + ((Math.imul(source[at3]!, weight) + Math.imul(source[at3 + 1]!, next)) | 0)) | 0;
        }
        if (k < end) {
          const weight = values[k]!;
          sum0 = (sum0 + Math.imul(source[at0]!, weight)) | 0;
          sum1 = (sum1 + Math.imul(source[at1]!, weight)) | 0;
          sum2 = (sum2 + Math.imul(source[at2]!, weight)) | 0;
          sum3 = (sum3 + Math.imul(source[at3]!, weight)) | 0;
        }
        const to = y * width + x;
        out[to] = clip8(sum0);
        out[to + width] = clip8(sum1);
        out[to + 2 * width] = clip8(sum2);
        out[to + 3 * width] = clip8(sum3);
      }
      for (let y = whole; y < lines; y++) {
        const line = start + y * inputWidth;
        let sum = half;
        for (let k = 0; k < length; k++) {
          sum = (sum + Math.imul(source[line + k]!, values[weights + k]!)) | 0;
        }
        out[y * width + x] = clip8(sum);
      }
    }
    return out;
  }

  /** The vertical pass over lines of `width` pixels. */
  #columns(source: Uint8Array, width: number, out: Uint8Array): Uint8Array {
    if (!this.#vertical) return source;
    const { first, count, values, taps } = this.#vertical;
    const sums = this.#sums;
    for (let y = 0; y < this.height; y++) {
      sums.fill(half);
      const length = count[y]!;
      const weights = y * taps;
      let line = first[y]! * width;
      let k = 0;
      for (; k + 4 <= length; k += 4, line += 4 * width) {
        const weight0 = values[weights + k]!;
        const weight1 = values[weights + k + 1]!;
        const weight2 = values[weights + k + 2]!;
        const weight3 = values[weights + k + 3]!;
        const line1 = line + width;
        const line2 = line1 + width;
        const line3 = line2 + width;
        for (let x = 0; x < width; x++) {
          const left = (Math.imul(source[line + x]!, weight0) + Math.imul(source[line1 + x]!, weight1)) | 0;
          const right = (Math.imul(source[line2 + x]!, weight2) + Math.imul(source[line3 + x]!, weight3)) | 0;
          sums[x] = (sums[x]! + left + right) | 0;
        }
      }
      for (; k < length; k++, line += width) {
        const weight = values[weights + k]!;
        for (let x = 0; x < width; x++) sums[x] = (sums[x]! + Math.imul(source[line + x]!, weight)) | 0;
      }
      for (let x = 0; x < width; x++) out[y * width + x] = clip8(sums[x]!);
    }
    return out;
  }
}
