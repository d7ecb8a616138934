/**
 * Pillow's bicubic resampling (`Image.resize(size, Image.Resampling.BICUBIC)`), bit for bit: kernel a = -0.5, its
 * support widened by the scale where it shrinks, weights renormalised at the borders, two passes with 22-bit
 * fixed-point weights and rounding to 8 bits between them. After Pillow's src/libImaging/Resample.c; the order of the
 * passes is that of Pillow 13, horizontal first unless the vertical one saves more than twice as many lines as the
 * horizontal one columns (found by trying; older releases always begin with the rows, which differs by rounding).
 */
import { resampleModule } from './resample_wasm.ts';

/** 32 bits less 8 of the pixel and 2 of head room, as in Resample.c. */
const precisionBits = 22;

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

/** What resample.wat exports; every argument is an address or a count. */
interface Loops {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  rows(
    source: number,
    input: number,
    lines: number,
    out: number,
    width: number,
    first: number,
    weights: number,
    taps: number,
  ): void;
  columns(
    source: number,
    width: number,
    out: number,
    height: number,
    first: number,
    weights: number,
    pairs: number,
  ): void;
  interleave(red: number, green: number, blue: number, out: number, count: number): void;
}

// TypeScript declares it for browsers only.
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: unknown };
};

let compiled: object | null = null;

/** A copy of the loops with a memory of its own. */
function loops(): Loops {
  compiled ??= new WebAssembly.Module(Buffer.from(resampleModule, 'base64'));
  return new WebAssembly.Instance(compiled).exports as Loops;
}

const pageBytes = 65_536;
/** Vectors begin at multiples of it, and the loops read and write at most one beyond what they are given. */
const vectorBytes = 16;
/** Lines that the horizontal pass reads and writes at a time. */
const linesAtOnce = 4;
/** Weights are split into two of 16 bits. */
const lowBits = 12;

/** The passes of one side in the loops' memory. */
interface Pass {
  readonly first: number;
  readonly weights: number;
  /** Per output pixel, zeros included. */
  readonly taps: number;
}

/** Resamples planes to interleaved RGB. One object per pair of sizes; it owns its weights and its memory. */
export class Resampler {
  readonly inputWidth: number;
  readonly inputHeight: number;
  readonly width: number;
  readonly height: number;
  readonly #loops = loops();
  readonly #horizontal: Pass | null;
  readonly #vertical: Pass | null;
  readonly #verticalFirst: boolean;
  /** Addresses: the planes G, B, R that are resampled, what is between the passes, the same planes resampled, pixels. */
  readonly #planes: number;
  readonly #between: number;
  readonly #results: readonly [number, number, number];
  readonly #pixels: number;
  readonly #bytes: Uint8Array;

  constructor(inputWidth: number, inputHeight: number, width: number, height: number) {
    this.inputWidth = inputWidth;
    this.inputHeight = inputHeight;
    this.width = width;
    this.height = height;
    this.#verticalFirst = inputHeight > height && inputHeight - height > 2 * (inputWidth - width);
    // A side that keeps its size has no pass.
    const across = inputWidth === width ? null : bicubicWeights(inputWidth, width);
    const down = inputHeight === height ? null : bicubicWeights(inputHeight, height);
    const acrossTaps = across ? roundUp(Math.max(...across.count), 8) : 0;
    const downTaps = down ? roundUp(Math.max(...down.count), 2) : 0;

    let end = 0;
    const place = (bytes: number): number => {
      const at = end;
      end = roundUp(end + bytes + vectorBytes, vectorBytes);
      return at;
    };
    this.#planes = place(3 * inputWidth * inputHeight);
    const [betweenWidth, betweenHeight] = this.#verticalFirst ? [inputWidth, height] : [width, inputHeight];
    const lines = betweenHeight + linesAtOnce;
    this.#between = place(betweenWidth * lines);
    const result = () => place(width * (height + linesAtOnce));
    this.#results = [result(), result(), result()];
    this.#pixels = place(3 * roundUp(width * height, vectorBytes));
    const horizontal = across && {
      first: place(4 * width),
      weights: place(4 * acrossTaps * width),
      taps: acrossTaps,
    };
    const vertical = down && {
      first: place(4 * height),
      weights: place(4 * downTaps * height),
      taps: downTaps,
    };
    // Weights of zero reach beyond the last pixel and the last line.
    end += acrossTaps + (downTaps + linesAtOnce) * Math.max(inputWidth, width);
    this.#loops.memory.grow(Math.ceil(end / pageBytes));
    this.#bytes = new Uint8Array(this.#loops.memory.buffer);
    if (across) this.#write(across, horizontal!);
    if (down) this.#write(down, vertical!);
    this.#horizontal = horizontal;
    this.#vertical = vertical;
  }

  /** Lays weights out as the loops read them. */
  #write({ first, count, values, taps: stride }: Weights, { first: at, weights, taps }: Pass): void {
    new Int32Array(this.#bytes.buffer, at, first.length).set(first);
    const rows = new Int16Array(this.#bytes.buffer, weights, 2 * taps * first.length);
    for (let i = 0; i < first.length; i++) {
      for (let k = 0; k < count[i]!; k++) {
        const weight = values[i * stride + k]!;
        rows[2 * i * taps + k] = weight >> lowBits;
        rows[(2 * i + 1) * taps + k] = weight & ((1 << lowBits) - 1);
      }
    }
  }

  /**
   * @param planes three planes u8 [inputHeight, inputWidth] one after the other, in the order G, B, R (ffmpeg's gbrp)
   * @param out receives u8 [height, width, 3], RGB, from `offset` on
   */
  fromGbr(planes: Uint8Array, out: Uint8Array, offset: number): void {
    const { inputWidth, inputHeight, width, height } = this;
    const size = inputWidth * inputHeight;
    this.#bytes.set(planes.subarray(0, 3 * size), this.#planes);
    const [green, blue, red] = this.#results.map((result, plane) => {
      const source = this.#planes + plane * size;
      if (this.#verticalFirst) {
        const between = this.#columns(source, inputWidth, this.#horizontal ? this.#between : result);
        return this.#rows(between, height, result);
      }
      const between = this.#rows(source, inputHeight, this.#vertical ? this.#between : result);
      return this.#columns(between, width, result);
    }) as [number, number, number];
    this.#loops.interleave(red, green, blue, this.#pixels, width * height);
    out.set(this.#bytes.subarray(this.#pixels, this.#pixels + 3 * width * height), offset);
  }

  /** The horizontal pass over `lines` lines. */
  #rows(source: number, lines: number, out: number): number {
    if (!this.#horizontal) return source;
    const { first, weights, taps } = this.#horizontal;
    this.#loops.rows(source, this.inputWidth, lines, out, this.width, first, weights, taps);
    return out;
  }

  /** The vertical pass over lines of `width` pixels. */
  #columns(source: number, width: number, out: number): number {
    if (!this.#vertical) return source;
    const { first, weights, taps } = this.#vertical;
    this.#loops.columns(source, width, out, this.height, first, weights, taps / 2);
    return out;
  }
}

const roundUp = (value: number, to: number) => Math.ceil(value / to) * to;
