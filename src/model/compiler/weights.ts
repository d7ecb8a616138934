import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { OmniError } from '../../protocol/errors.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { type StoredTensor, TensorReader, toHalf } from '../checkpoint/safetensors.ts';
import { type DataType, dataType, type External, type Graph } from './graph.ts';
import { quantisedRowBytes, quantiseRows } from './quantise.ts';

/** How the matrices of a part are stored; vectors, norms and convolutions are always float32. */
export type Precision = 'fp32' | 'fp16' | 'int8' | 'int4';

/** Alignment of every tensor in a weight file: a memory page, so that the runtime can map it. */
const alignment = 4096;

/** Most elements held at once while a tensor streams through. */
const pieceElements = 4 * 2 ** 20;

/** What watches a compile. */
export interface Watch {
  /** Called with the bytes of the checkpoint that were consumed since the last call. */
  readonly onConsumed: (bytes: number) => void;
  /** Lets the event loop turn, so that the process stays alive to its user; throws when the work was cancelled. */
  readonly breathe: () => Promise<void>;
}

/** Appends tensors to one file of external data, hashing what it writes. */
export class WeightFile {
  readonly location: string;
  readonly #path: string;
  readonly #file: number;
  readonly #hash: Hash = createHash('sha256');
  #size = 0;

  constructor(path: string) {
    this.#path = path;
    this.location = basename(path);
    this.#file = openSync(path, 'w');
  }

  /** Starts a tensor at the next page. */
  begin(): number {
    const padding = (alignment - (this.#size % alignment)) % alignment;
    if (padding > 0) this.write(new Uint8Array(padding));
    return this.#size;
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

  append(bytes: Uint8Array): External {
    const offset = this.begin();
    this.write(bytes);
    return { location: this.location, offset, length: bytes.length };
  }

  close(): { readonly size: number; readonly sha256: string } {
    closeSync(this.#file);
    return { size: this.#size, sha256: this.#hash.digest('hex') };
  }

  /** Closes without finishing, after an error. */
  abandon(): void {
    try {
      closeSync(this.#file);
    } catch {
      // Already closed: there is nothing left to give up.
    }
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

/**
 * Brings the tensors of a checkpoint into a weight file and into graphs, a bounded piece at a time. Several graphs
 * may use the same tensor (the plain and the portable variant): it is written once.
 */
export class Weights {
  readonly #checkpoint: Checkpoint;
  readonly #file: WeightFile;
  readonly #watch: Watch;
  readonly #reader = new TensorReader();
  readonly #written = new Map<string, readonly [DataType, readonly number[], External]>();

  constructor(checkpoint: Checkpoint, file: WeightFile, watch: Watch) {
    this.#checkpoint = checkpoint;
    this.#file = file;
    this.#watch = watch;
  }

  close(): void {
    this.#reader.close();
  }

  breathe(): Promise<void> {
    return this.#watch.breathe();
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

  /** A tensor that is computed from the checkpoint's; `compute` runs once for all graphs. */
  computed(graph: Graph, name: string, shape: readonly number[], compute: () => Float32Array): string {
    return this.#once(graph, name, 'float32', shape, () => {
      const values = compute();
      return this.#file.append(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
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
    if (precision === 'fp32') {
      const weight = this.#streamed(graph, source, 'float32', tensor);
      return graph.node('Gemm', offset ? [x, weight, offset] : [x, weight], { transB: 1 });
    }
    if (precision === 'fp16') {
      const half = this.#streamed(graph, source, 'float16', tensor);
      const weight = graph.node('Cast', [half], { to: dataType.float32 });
      return graph.node('Gemm', offset ? [x, weight, offset] : [x, weight], { transB: 1 });
    }
    const bits = precision === 'int8' ? 8 : 4;
    const [matrix, scales] = this.#quantised(graph, source, tensor, bits);
    const product = graph.node('com.microsoft.MatMulNBits', [x, matrix, scales], {
      K: width,
      N: out,
      bits,
      block_size: blockSize,
      accuracy_level: accuracyLevel,
    });
    return offset ? graph.node('Add', [product, offset]) : product;
  }

  #quantised(graph: Graph, name: string, tensor: StoredTensor, bits: 4 | 8): readonly [string, string] {
    const [out, width] = tensor.shape as [number, number];
    const blocks = Math.ceil(width / blockSize);
    const key = `${name}.q${bits}`;
    const shape = [out, blocks, (blockSize * bits) / 8];
    if (!this.#written.has(key)) {
      const rowBytes = quantisedRowBytes(width, bits);
      const perPiece = Math.max(1, Math.floor(pieceElements / width));
      const piece = new Float32Array(perPiece * width);
      const scales = new Float32Array(out * blocks);
      const offset = this.#file.begin();
      for (let row = 0; row < out; row += perPiece) {
        const count = Math.min(perPiece, out - row);
        this.#reader.read(tensor, row * width, count * width, piece);
        const packed = new Uint8Array(count * rowBytes);
        quantiseRows(
          piece,
          count,
          width,
          bits,
          packed,
          scales.subarray(row * blocks, (row + count) * blocks),
        );
        this.#file.write(packed);
        this.#watch.onConsumed((tensor.bytes / out) * count);
      }
      this.#written.set(key, [
        'uint8',
        shape,
        { location: this.#file.location, offset, length: out * rowBytes },
      ]);
      const bytes = new Uint8Array(scales.buffer);
      this.#written.set(`${key}.scales`, ['float32', [out * blocks], this.#file.append(bytes)]);
    }
    return [this.#place(graph, key), this.#place(graph, `${key}.scales`)];
  }

  /** A matrix in one of the float types, piece by piece. */
  #streamed(graph: Graph, name: string, type: 'float32' | 'float16', tensor: StoredTensor): string {
    return this.#once(graph, name, type, tensor.shape, () => this.stream(tensor.name, type));
  }

  /** Copies a tensor into the file as float32 or float16. */
  stream(name: string, type: 'float32' | 'float16'): External {
    const tensor = this.#tensor(name);
    const total = elements(tensor);
    const piece = new Float32Array(Math.min(total, pieceElements));
    const offset = this.#file.begin();
    for (let from = 0; from < total; from += pieceElements) {
      const count = Math.min(pieceElements, total - from);
      this.#reader.read(tensor, from, count, piece);
      const floats = piece.subarray(0, count);
      const values = type === 'float32' ? floats : halvesOf(floats);
      this.#file.write(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      this.#watch.onConsumed((tensor.bytes / total) * count);
    }
    return { location: this.#file.location, offset, length: total * (type === 'float32' ? 4 : 2) };
  }

  #once(graph: Graph, name: string, type: DataType, shape: readonly number[], write: () => External): string {
    const key = type === 'float16' ? `${name}.f16` : name;
    if (!this.#written.has(key)) this.#written.set(key, [type, shape, write()]);
    return this.#place(graph, key);
  }

  #place(graph: Graph, key: string): string {
    const [type, shape, where] = this.#written.get(key)!;
    return graph.external(key, type, shape, where);
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

/** Elements that share a scale in the block-wise precisions. */
export const blockSize = 32;

const elements = (tensor: StoredTensor) => tensor.shape.reduce((product, dim) => product * dim, 1);

function halvesOf(floats: Float32Array): Uint16Array {
  const halves = new Uint16Array(floats.length);
  for (let i = 0; i < floats.length; i += 1) halves[i] = toHalf(floats[i]!);
  return halves;
}
