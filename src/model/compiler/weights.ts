import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { OmniError } from '../../protocol/errors.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { toHalves } from '../checkpoint/half.ts';
import { type StoredTensor, TensorReader } from '../checkpoint/safetensors.ts';
import { type DataType, dataType, type External, type Graph } from './graph.ts';
import type { PackedRows, Packer } from './packing.ts';
import { blockSize } from './quantise.ts';

/** How the matrices of a part are stored; vectors, norms and convolutions are always float32. */
export type Precision = 'fp32' | 'fp16' | 'int8' | 'int4';

/** Alignment of every tensor in a weight file: a memory page, so that the runtime can map it. */
const alignment = 4096;

/** Elements held at once while a tensor streams through: tens of milliseconds between two turns of the event loop. */
const pieceElements = 2 ** 20;

/** What watches a compile. */
export interface Watch {
  /** Called with the bytes of the checkpoint that were consumed since the last call. */
  readonly onConsumed: (bytes: number) => void;
  /** Lets the event loop turn, so that the process stays alive to its user; throws when the work was cancelled. */
  readonly breathe: () => Promise<void>;
}

/** Writes one file of external data from front to back, hashing what it writes. */
export class WeightFile {
  readonly location: string;
  readonly #path: string;
  readonly #file: number;
  readonly #hash: Hash = createHash('sha256');
  #size = 0;
  #open = true;

  constructor(path: string) {
    this.#path = path;
    this.location = basename(path);
    this.#file = openSync(path, 'wx');
  }

  /** Bytes of zeros up to `offset`, where the next tensor begins. */
  pad(offset: number): void {
    this.write(new Uint8Array(offset - this.#size));
  }

  /** @throws OmniError `disk_full`. */
  write(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    let done = 0;
    while (done < bytes.length) {
      try {
        done += writeSync(this.#file, bytes, done, bytes.length - done);
      } catch (error) {
        throw writeError(error, this.#path);
      }
    }
    this.#size += bytes.length;
  }

  /** Closes the file, finished or not. */
  close(): { readonly size: number; readonly sha256: string } {
    if (this.#open) closeSync(this.#file);
    this.#open = false;
    return { size: this.#size, sha256: this.#hash.copy().digest('hex') };
  }
}

/** Turns what a write threw into an error that says what to do. */
export function writeError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    return new OmniError(
      'disk_full',
      `There is no room left to write ${path} (${code}).`,
      'Free some space, or set OMNIVQA_CACHE to a directory on a larger disk.',
      { path },
      { cause: error },
    );
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ENOTDIR') {
    return new OmniError(
      'not_writable',
      `${path} can not be written (${code}).`,
      'Choose a directory you may write to, or set OMNIVQA_CACHE to one.',
      { path },
      { cause: error },
    );
  }
  return error;
}

/** Bytes of one tensor, made when its turn comes. */
interface Job {
  readonly where: External;
  readonly run: () => void | Promise<void>;
}

/**
 * Brings the tensors of a checkpoint into a weight file and into graphs. Naming a tensor in a graph reserves its place
 * in the file; {@link write} then fills all places in order, a bounded piece at a time. Several graphs may use the
 * same tensor (the plain and the portable variant): it is written once.
 */
export class Weights {
  readonly #checkpoint: Checkpoint;
  readonly #file: WeightFile;
  readonly #watch: Watch;
  readonly #packer: Packer;
  readonly #reader = new TensorReader();
  readonly #placed = new Map<string, readonly [DataType, readonly number[], External]>();
  readonly #jobs: Job[] = [];
  #end = 0;

  constructor(checkpoint: Checkpoint, file: WeightFile, packer: Packer, watch: Watch) {
    this.#checkpoint = checkpoint;
    this.#packer = packer;
    this.#file = file;
    this.#watch = watch;
  }

  /** Fills every reserved place. To be called once, after the graphs are built. */
  async write(): Promise<void> {
    try {
      for (const { where, run } of this.#jobs) {
        await this.#watch.breathe();
        this.#file.pad(where.offset);
        await run();
      }
    } finally {
      this.#reader.close();
    }
  }

  /** A whole tensor as float32, for vectors and small kernels that are computed with before they are written. */
  values(name: string): Float32Array {
    const tensor = this.#tensor(name);
    const values = this.#reader.read(tensor, 0, elements(tensor));
    this.#watch.onConsumed(tensor.bytes);
    return values;
  }

  /** Rows of a matrix [n, width] as float32. */
  rows(name: string, rows: readonly number[]): Float32Array {
    const tensor = this.#tensor(name);
    const width = tensor.shape[1]!;
    const values = new Float32Array(rows.length * width);
    for (const [i, row] of rows.entries())
      values.set(this.#reader.read(tensor, row * width, width), i * width);
    return values;
  }

  /** A tensor of the checkpoint in float32, as it is. */
  tensor(graph: Graph, name: string): string {
    return this.computed(graph, name, this.#tensor(name).shape, () => this.values(name));
  }

  /** A tensor that is computed from the checkpoint's; `compute` runs once, in {@link write}. */
  computed(graph: Graph, name: string, shape: readonly number[], compute: () => Float32Array): string {
    return this.#place(graph, name, 'float32', shape, () => {
      this.#file.write(bytesOf(compute()));
    });
  }

  /**
   * y = x · Wᵀ + b on x [rows, width], W [out, width] as PyTorch stores it. Block-wise precisions use
   * com.microsoft's MatMulNBits, whose layout is that of PyTorch's rows, so nothing is transposed on the way.
   *
   * @param accuracyLevel MatMulNBits' own: 4 multiplies in int8, 0 in float32.
   */
  linear(
    graph: Graph,
    x: string,
    name: string,
    { precision, accuracyLevel, bias = true, source = `${name}.weight` }: LinearOptions,
  ): string {
    const tensor = this.#tensor(source);
    const [out, width] = tensor.shape as [number, number];
    const offset = bias ? this.tensor(graph, `${name}.bias`) : undefined;
    if (precision === 'fp32' || precision === 'fp16') {
      const half = precision === 'fp16';
      const type = half ? 'float16' : 'float32';
      const stored = this.#place(graph, half ? `${source}.f16` : source, type, tensor.shape, () =>
        this.#copy(tensor, type),
      );
      const weight = half ? graph.node('Cast', [stored], { to: dataType.float32 }) : stored;
      return graph.node('Gemm', offset ? [x, weight, offset] : [x, weight], { transB: 1 });
    }
    const bits = precision === 'int8' ? 8 : 4;
    const blocks = Math.ceil(width / blockSize);
    const shape = [out, blocks, (blockSize * bits) / 8];
    let scales: Float32Array | undefined;
    const matrix = this.#place(graph, `${source}.q${bits}`, 'uint8', shape, async () => {
      scales = await this.#quantise(tensor, bits);
    });
    const steps = this.#place(graph, `${source}.q${bits}.scales`, 'float32', [out * blocks], () => {
      this.#file.write(bytesOf(scales!));
      scales = undefined;
    });
    const product = graph.node('com.microsoft.MatMulNBits', [x, matrix, steps], {
      K: width,
      N: out,
      bits,
      block_size: blockSize,
      accuracy_level: accuracyLevel,
    });
    return offset ? graph.node('Add', [product, offset]) : product;
  }

  /** Reserves a place for a tensor that no graph reads, as float32 or float16. */
  stored(name: string, type: 'float32' | 'float16'): External {
    const tensor = this.#tensor(name);
    return this.#reserve(type, tensor.shape, () => this.#copy(tensor, type));
  }

  /** Writes a tensor as float32 or float16, piece by piece. */
  async #copy(tensor: StoredTensor, type: 'float32' | 'float16'): Promise<void> {
    const total = elements(tensor);
    const piece = new Float32Array(Math.min(total, pieceElements));
    const halves = new Uint16Array(type === 'float16' ? piece.length : 0);
    for (let from = 0; from < total; from += piece.length) {
      await this.#watch.breathe();
      const floats = piece.subarray(0, Math.min(piece.length, total - from));
      this.#reader.read(tensor, from, floats.length, floats);
      if (type === 'float32') this.#file.write(bytesOf(floats));
      else {
        const tooLarge = toHalves(floats, halves);
        if (tooLarge >= 0) {
          throw new OmniError(
            'checkpoint_tensors',
            `${tensor.name} holds ${floats[tooLarge]}, which half precision can not (at most 65,504).`,
            'Compile with fp32 or int8.',
            { path: tensor.path },
          );
        }
        this.#file.write(bytesOf(halves.subarray(0, floats.length)));
      }
      this.#watch.onConsumed((tensor.bytes / total) * floats.length);
    }
  }

  /** Writes a matrix as packed rows and returns their scales. */
  async #quantise(tensor: StoredTensor, bits: 4 | 8): Promise<Float32Array> {
    const [out, width] = tensor.shape as [number, number];
    const perPiece = Math.max(1, Math.min(out, Math.floor(pieceElements / width)));
    const scales = new Float32Array(out * Math.ceil(width / blockSize));
    const ordered: Promise<PackedRows>[] = [];
    for (let row = 0, next = 0; row < out; row += perPiece) {
      for (; next < out && ordered.length < this.#packer.ahead; next += perPiece) {
        const count = Math.min(perPiece, out - next);
        const piece = this.#packer.pack({ tensor, from: next, count, bits });
        // It may fail before its turn comes, or never be needed: that alone must not end the process.
        piece.catch(() => undefined);
        ordered.push(piece);
      }
      await this.#watch.breathe();
      const piece = await ordered.shift()!;
      this.#file.write(piece.packed);
      scales.set(piece.scales, row * (scales.length / out));
      this.#watch.onConsumed((tensor.bytes / out) * Math.min(perPiece, out - row));
    }
    return scales;
  }

  #place(graph: Graph, key: string, type: DataType, shape: readonly number[], run: Job['run']): string {
    const placed = this.#placed.get(key) ?? ([type, shape, this.#reserve(type, shape, run)] as const);
    this.#placed.set(key, placed);
    return graph.external(key, ...placed);
  }

  #reserve(type: DataType, shape: readonly number[], run: Job['run']): External {
    const offset = Math.ceil(this.#end / alignment) * alignment;
    const length = shape.reduce((product, dim) => product * dim, elementBytes[type]);
    const where = { location: this.#file.location, offset, length };
    this.#end = offset + length;
    this.#jobs.push({ where, run });
    return where;
  }

  #tensor(name: string): StoredTensor {
    return this.#checkpoint.tensors.get(name)!;
  }
}

export interface LinearOptions {
  readonly precision: Precision;
  readonly accuracyLevel: number;
  /** Whether the layer has a bias; default true. */
  readonly bias?: boolean;
  /** Name of the weight where it is not `<name>.weight`. */
  readonly source?: string;
}

const elementBytes: Readonly<Record<DataType, number>> = {
  float32: 4,
  uint8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
  float16: 2,
};

const elements = (tensor: StoredTensor) => tensor.shape.reduce((product, dim) => product * dim, 1);

const bytesOf = (values: Float32Array | Uint16Array) =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
