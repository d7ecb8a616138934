/** What the matrices of a decoder cost on a device with nothing else around them: the limits that a model runs against. */
import { closeSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { ModelConfig } from '../checkpoint/config.ts';
import { Graph } from '../compiler/graph.ts';
import type { CompileOptions } from '../compiler/manifest.ts';
import { type Precision, writeError } from '../compiler/weights.ts';
import type { OmniModel } from './model.ts';
import { openSession, type Provider, runSession, throwIfCancelled } from './ort.ts';

/** A weight [out, width] that vectors [rows, width] are multiplied with. */
export interface Matrix {
  readonly width: number;
  readonly out: number;
  readonly precision: Precision;
}

export interface MeasureCall {
  readonly provider: Provider;
  /** Threads of the CPU provider; all cores by default. */
  readonly threads?: number | undefined;
  /** MatMulNBits' own: 4 multiplies in int8 (default), 0 in float32. */
  readonly accuracyLevel?: number;
  readonly signal?: AbortSignal | undefined;
}

/** As the compiler stores them. */
const blockSize = 32;

/** Bytes of a matrix as it is multiplied with: half precision is that of the file alone. */
export function matrixBytes({ width, out, precision }: Matrix): number {
  if (precision === 'fp32' || precision === 'fp16') return 4 * width * out;
  const blocks = Math.ceil(width / blockSize);
  return out * blocks * (blockSize * (precision === 'int8' ? 1 : 0.5) + 4);
}

const bytesOf = (matrices: readonly Matrix[]) =>
  matrices.reduce((sum, matrix) => sum + matrixBytes(matrix), 0);

/** Multiplications and additions for one row. */
const flopOf = (matrices: readonly Matrix[]) =>
  matrices.reduce((sum, { width, out }) => sum + 2 * width * out, 0);

/** Runs are measured this often at least and at most, and no more once they took so long, s. */
const [fewestRuns, mostRuns, enoughSeconds] = [3, 50, 1];

/** Made-up matrices in a session of their own, opened as the model's are. */
export class Products {
  readonly #call: MeasureCall;
  readonly #session: InferenceSession;
  readonly #widths: readonly number[];
  /** Of all matrices, as {@link matrixBytes}. */
  readonly bytes: number;
  /** Multiplications and additions of all matrices for one row. */
  readonly flop: number;

  /** Holds the weights: on some systems a file that is in use can not be removed. */
  readonly #directory: string;

  private constructor(
    call: MeasureCall,
    session: InferenceSession,
    matrices: readonly Matrix[],
    directory: string,
  ) {
    this.#call = call;
    this.#session = session;
    this.#directory = directory;
    this.#widths = [...new Set(matrices.map(({ width }) => width))];
    this.bytes = bytesOf(matrices);
    this.flop = flopOf(matrices);
  }

  /**
   * @param directory Where their weights lie until they are released: onnxruntime packs only constants for its fast
   *   kernels, and such large ones only from a file.
   * @throws OmniError `disk_full`, `not_writable`, `out_of_memory`, `provider_unavailable`, `runtime_failed`.
   */
  static async open(matrices: readonly Matrix[], directory: string, call: MeasureCall): Promise<Products> {
    let own: string | undefined;
    try {
      own = await mkdtemp(join(directory, 'omnivqa-products-'));
      const path = join(own, 'products.onnx');
      writeProducts(own, path, matrices, call.accuracyLevel ?? 4);
      const { provider, threads } = call;
      const session = await openSession(path, { provider, ...(threads === undefined ? {} : { threads }) });
      return new Products(call, session, matrices, own);
    } catch (error) {
      if (own) rmSync(own, { recursive: true, force: true });
      throw writeError(error, directory);
    }
  }

  /**
   * Multiplies vectors [rows, width] with every matrix once.
   *
   * @returns a function that does so and says how many seconds it took. It throws OmniError `cancelled`,
   *   `out_of_memory`, `device_lost`, `runtime_failed`.
   */
  run(rows: number): () => Promise<number> {
    const { provider, signal } = this.#call;
    const feeds = Object.fromEntries(
      this.#widths.map((width) => {
        const values = Float32Array.from({ length: rows * width }, (_, i) => Math.sin(i));
        return [`x${width}`, new Tensor('float32', values, [rows, width])];
      }),
    );
    return async () => {
      throwIfCancelled(signal);
      const from = performance.now();
      await runSession(this.#session, provider, feeds, { y: null });
      return (performance.now() - from) / 1000;
    };
  }

  async release(): Promise<void> {
    await this.#session.release();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/**
 * What runs take when they follow each other round and round, each of them as its median, s: what one has read then lies
 * in no cache for the next round, where they read much.
 */
export async function medianSeconds(runs: readonly (() => Promise<number>)[]): Promise<number[]> {
  // The first time they make room for the results.
  for (const run of runs) await run();
  const times: number[][] = runs.map(() => []);
  let rounds = 0;
  for (let spent = 0; rounds < fewestRuns || (spent < enoughSeconds && rounds < mostRuns); rounds += 1) {
    for (const [i, run] of runs.entries()) {
      const time = await run();
      times[i]!.push(time);
      spent += time;
    }
  }
  return times.map(median);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** Weights are written by pieces of this size, each like the one before. */
const pieceBytes = 2 ** 22;

function writeProducts(
  directory: string,
  path: string,
  matrices: readonly Matrix[],
  accuracyLevel: number,
): void {
  const location = 'products.weights';
  const anyBytes = Buffer.alloc(pieceBytes);
  for (let i = 0; i < pieceBytes; i += 4) anyBytes.writeInt32LE(Math.imul(i + 1, 2654435761) | 0, i);
  // Results of many numbers of either sign stay small.
  const smallNumbers = Buffer.alloc(pieceBytes);
  for (let i = 0; i < pieceBytes; i += 4) smallNumbers.writeFloatLE(0.01 * Math.sin(i), i);
  const graph = new Graph();
  const inputs = new Map<number, string>();
  const file = openSync(join(directory, location), 'w');
  let offset = 0;
  const place = (type: 'float32' | 'uint8', shape: readonly number[]) => {
    const length = shape.reduce((product, dim) => product * dim, type === 'float32' ? 4 : 1);
    const pieces = type === 'float32' ? smallNumbers : anyBytes;
    for (let left = length; left > 0; left -= pieces.length)
      writeSync(file, pieces, 0, Math.min(left, pieces.length));
    const tensor = graph.external(`weights.${offset}`, type, shape, { location, offset, length });
    offset += length;
    return tensor;
  };
  try {
    const [last, end, axes] = [
      [-1, -1],
      [2 ** 31 - 1, 2 ** 31 - 1],
      [0, 1],
    ].map((values) => graph.constant('int64', values)) as [string, string, string];
    const corners = matrices.map(({ width, out, precision }) => {
      const x = inputs.get(width) ?? graph.input(`x${width}`, 'float32', ['rows', width]);
      inputs.set(width, x);
      let y: string;
      if (precision === 'fp32' || precision === 'fp16') {
        y = graph.node('Gemm', [x, place('float32', [out, width])], { transB: 1 });
      } else {
        const bits = precision === 'int8' ? 8 : 4;
        const blocks = Math.ceil(width / blockSize);
        const matrix = place('uint8', [out, blocks, (blockSize * bits) / 8]);
        const scales = place('float32', [out * blocks]);
        const attributes = { K: width, N: out, bits, block_size: blockSize, accuracy_level: accuracyLevel };
        y = graph.node('com.microsoft.MatMulNBits', [x, matrix, scales], attributes);
      }
      // Fetching whole results from a device would be measured along.
      return graph.node('Slice', [y, last, end, axes]);
    });
    graph.node('Concat', corners, { axis: 0 }, 'y');
    graph.output('y', 'float32', [matrices.length, 1]);
    writeFileSync(path, graph.encode('products'));
  } finally {
    closeSync(file);
  }
}

/** The matrices that a token is multiplied with. */
export interface DecoderMatrices {
  /** Of one layer; all layers have the same. */
  readonly layer: readonly Matrix[];
  readonly layers: number;
  /** Turns the last state into scores of all words. */
  readonly head: Matrix;
}

export function decoderMatrices(
  config: ModelConfig,
  { precision: { decoder: precision } }: CompileOptions,
): DecoderMatrices {
  const { hiddenSize: hidden, intermediateSize: inner, headDim, vocabSize } = config;
  const [queries, keys] = [config.numAttentionHeads * headDim, config.numKeyValueHeads * headDim];
  const shapes = [
    [hidden, queries],
    [hidden, keys],
    [hidden, keys],
    [queries, hidden],
    [hidden, inner],
    [hidden, inner],
    [inner, hidden],
  ] as const;
  return {
    layer: shapes.map(([width, out]) => ({ width, out, precision })),
    layers: config.numHiddenLayers,
    head: { width: hidden, out: vocabSize, precision: precision === 'int4' ? 'int8' : precision },
  };
}

/** What a device can do with a decoder's matrices and nothing else. */
export interface DecoderLimits {
  /** Multiplications and additions a second, of many tokens at once. */
  readonly flopPerSecond: number;
  /** Bytes of the layers' weights a second that one token reads. */
  readonly layerBytesPerSecond: number;
  readonly headBytesPerSecond: number;
  /** Tokens a second, were there nothing but the products. */
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

/** Bytes of weights to measure with, where the model has them: far more than any cache holds. */
const measuredBytes = 2 ** 28;

/** The sessions in which a decoder's limits are measured, as often as wanted. */
export class LimitBench {
  readonly #matrices: DecoderMatrices;
  readonly #layers: Products;
  readonly #head: Products;
  /** Bytes of weights that a decoded token reads. */
  readonly bytesPerToken: number;

  private constructor(matrices: DecoderMatrices, layers: Products, head: Products) {
    this.#matrices = matrices;
    this.#layers = layers;
    this.#head = head;
    this.bytesPerToken = matrices.layers * bytesOf(matrices.layer) + matrixBytes(matrices.head);
  }

  /** As {@link Products.open}: matrices of the model's own shapes, as many of its layers as make the caches too small. */
  static async open(matrices: DecoderMatrices, directory: string, call: MeasureCall): Promise<LimitBench> {
    const { layer, layers, head } = matrices;
    const count = Math.min(layers, Math.ceil(measuredBytes / bytesOf(layer)));
    const stack = Array.from({ length: count }, () => layer).flat();
    const part = Math.min(1, measuredBytes / matrixBytes(head));
    const opened = await Products.open(stack, directory, call);
    try {
      const rows = { ...head, out: Math.ceil(head.out * part) };
      return new LimitBench(matrices, opened, await Products.open([rows], directory, call));
    } catch (error) {
      await opened.release();
      throw error;
    }
  }

  /** How fast one token's weights are read: layers and head in turn, as a token reads them. As {@link Products.run}. */
  async reads(): Promise<Omit<DecoderLimits, 'flopPerSecond' | 'prefillTokensPerSecond'>> {
    const { layer, layers, head } = this.#matrices;
    const times = await medianSeconds([this.#layers.run(1), this.#head.run(1)]);
    const [layerBytesPerSecond, headBytesPerSecond] = [this.#layers, this.#head].map(
      ({ bytes }, i) => bytes / times[i]!,
    ) as [number, number];
    const seconds = (layers * bytesOf(layer)) / layerBytesPerSecond + matrixBytes(head) / headBytesPerSecond;
    return { layerBytesPerSecond, headBytesPerSecond, decodeTokensPerSecond: 1 / seconds };
  }

  /**
   * How fast `rows` tokens at once are multiplied. The head is left out: of a prompt it sees the last token alone.
   * As {@link Products.run}.
   */
  async products(rows: number): Promise<Pick<DecoderLimits, 'flopPerSecond' | 'prefillTokensPerSecond'>> {
    const { layer, layers } = this.#matrices;
    const [seconds] = (await medianSeconds([this.#layers.run(rows)])) as [number];
    const flopPerSecond = (rows * this.#layers.flop) / seconds;
    return { flopPerSecond, prefillTokensPerSecond: flopPerSecond / (layers * flopOf(layer)) };
  }

  async release(): Promise<void> {
    await this.#layers.release();
    await this.#head.release();
  }
}

/** Reading a prompt, and writing after it. */
export interface TextTimes {
  readonly promptTokens: number;
  readonly prefillTokensPerSecond: number;
  /** Of the median token. */
  readonly decodeTokensPerSecond: number;
}

/**
 * Reads a made-up prompt and then token by token: the arithmetic does not depend on what is said.
 *
 * @param promptTokens At most; fewer where the model's context ends before.
 * @throws OmniError `cancelled`, `out_of_memory`, `device_lost`, `runtime_failed`.
 */
export async function timeText(
  omni: OmniModel,
  promptTokens: number,
  steps: number,
  signal?: AbortSignal,
): Promise<TextTimes> {
  const { hiddenSize, tokenizerModelMaxLength, maxPositionEmbeddings } = omni.config;
  const length = Math.min(promptTokens, Math.min(tokenizerModelMaxLength, maxPositionEmbeddings) - steps);
  const row = omni.embed([0]);
  const prompt = new Float32Array(length * hiddenSize).map(
    (_, i) => row[i % row.length]! + 0.01 * Math.sin(i),
  );
  const context = await omni.newContext({ capacity: length + steps });
  try {
    const started = performance.now();
    await context.append(prompt, length, { signal });
    const read = performance.now();
    const times: number[] = [];
    for (let i = 0; i < steps; i += 1) {
      const from = performance.now();
      await context.append(row, 1, { signal });
      times.push(performance.now() - from);
    }
    return {
      promptTokens: length,
      prefillTokensPerSecond: (1000 * length) / (read - started),
      decodeTokensPerSecond: 1000 / median(times),
    };
  } finally {
    context.dispose();
  }
}
