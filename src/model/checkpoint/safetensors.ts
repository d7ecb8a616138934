import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { OmniError } from '../../protocol/errors.ts';
import { halves } from './half.ts';

/** The element types that weights are read from; a checkpoint may hold others in tensors that are not read. */
export type StoredType = 'F32' | 'F16' | 'BF16';

export interface StoredTensor {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  /** Where the bytes lie: file, absolute position, length. */
  readonly path: string;
  readonly start: number;
  readonly bytes: number;
}

const width: Readonly<Record<string, number>> = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/** The reference implementation's own limit on a header. */
const headerLimit = 100_000_000;

/** What Git LFS leaves in place of a file (git-lfs specification, the first line of a pointer). */
const lfsPointer = 'version https://git-lfs.github.com/spec/v1';

/** Runs an operation on a weight file; what the system says against it becomes `file_unreadable`. */
function readable<T>(path: string, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    throw new OmniError(
      'file_unreadable',
      `${path} can not be read (${(error as NodeJS.ErrnoException).code}).`,
      'Check that the file is there, that you may read it and that its disk is sound.',
      { path },
      { cause: error },
    );
  }
}

/**
 * The tensors of one safetensors file (huggingface/safetensors, format: u64 header length, JSON header, data). Only
 * the header is read; every offset is checked against the file's size and the tensor's shape.
 *
 * @throws OmniError `checkpoint_corrupt`, `lfs_pointer`, `file_unreadable`.
 */
export function readSafetensorsHeader(path: string): StoredTensor[] {
  const corrupt = (cause: string) =>
    new OmniError(
      'checkpoint_corrupt',
      `${path} is not a whole safetensors file: ${cause}.`,
      'Download the file again and compare its size and SHA-256 with the published ones.',
      { path },
    );
  const file = readable(path, () => openSync(path, 'r'));
  const read = (into: Buffer, at: number) => readable(path, () => readSync(file, into, 0, into.length, at));
  try {
    const { size } = fstatSync(file);
    const prefix = Buffer.alloc(8);
    if (read(prefix, 0) < 8) throw corrupt(`it has ${size} bytes`);
    if (prefix.toString('latin1') === lfsPointer.slice(0, 8)) {
      throw new OmniError(
        'lfs_pointer',
        `${path} is a Git LFS pointer, ${size} bytes of text in place of the weights.`,
        'Fetch the file itself (git lfs pull) and try again.',
        { path },
      );
    }
    const length = prefix.readBigUInt64LE();
    if (length > BigInt(headerLimit) || length + 8n > BigInt(size)) {
      throw corrupt(`its header would be ${length} bytes long, the file has ${size}`);
    }
    const header = Buffer.alloc(Number(length));
    if (read(header, 8) < header.length) throw corrupt('its header is cut off');
    let json: unknown;
    try {
      json = JSON.parse(header.toString('utf8'));
    } catch {
      throw corrupt('its header is not JSON');
    }
    if (typeof json !== 'object' || json === null || Array.isArray(json)) {
      throw corrupt('its header is not an object');
    }
    const tensors: StoredTensor[] = [];
    for (const [name, value] of Object.entries(json)) {
      if (name === '__metadata__') continue;
      const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
      const whole = (list: unknown): list is number[] =>
        Array.isArray(list) && list.every((one) => Number.isSafeInteger(one) && one >= 0);
      if (typeof dtype !== 'string' || !whole(shape) || !whole(offsets) || offsets.length !== 2) {
        throw corrupt(`the entry of ${name} is malformed`);
      }
      const [begin, end] = offsets as [number, number];
      const elements = shape.reduce((product, dim) => product * dim, 1);
      const expected = width[dtype] === undefined ? end - begin : elements * width[dtype];
      if (end - begin !== expected) {
        throw corrupt(
          `${name} (${dtype} [${shape.join(', ')}]) takes ${expected} bytes, its entry says ${end - begin}`,
        );
      }
      const start = 8 + header.length + begin;
      if (end < begin || start + expected > size) {
        throw corrupt(`${name} ends at byte ${8 + header.length + end}, the file at ${size}`);
      }
      tensors.push({ name, type: dtype, shape, path, start, bytes: expected });
    }
    const ordered = [...tensors].sort((a, b) => a.start - b.start);
    for (const [i, tensor] of ordered.entries()) {
      const before = ordered[i - 1];
      if (before && tensor.bytes > 0 && tensor.start < before.start + before.bytes) {
        throw corrupt(`${before.name} and ${tensor.name} overlap`);
      }
    }
    return tensors;
  } finally {
    closeSync(file);
  }
}

/** Reads tensors by position, a bounded piece at a time; keeps each file open until {@link close}. */
export class TensorReader {
  readonly #files = new Map<string, number>();
  #buffer = Buffer.alloc(0);

  /**
   * Elements `from` … `from + count` of a tensor, as float32 (bf16 and fp16 widen exactly).
   *
   * @throws OmniError `checkpoint_corrupt` when the file ends early or a value is not a finite number,
   *   `checkpoint_tensors` for another element type, `file_unreadable`.
   */
  read(tensor: StoredTensor, from: number, count: number, into = new Float32Array(count)): Float32Array {
    const bytes = this.#bytes(tensor, from, count);
    if (widen(tensor, bytes, count, into)) return into;
    throw new OmniError(
      'checkpoint_corrupt',
      `${tensor.name} in ${tensor.path} holds values that are not finite numbers.`,
      'Download the file again; if it stays so, the training that wrote it had diverged.',
      { path: tensor.path },
    );
  }

  close(): void {
    for (const file of this.#files.values()) closeSync(file);
    this.#files.clear();
  }

  #bytes(tensor: StoredTensor, from: number, count: number): Buffer {
    const size = elementWidth(tensor);
    if (this.#buffer.length < count * size) this.#buffer = Buffer.alloc(count * size);
    const file = this.#files.get(tensor.path) ?? readable(tensor.path, () => openSync(tensor.path, 'r'));
    this.#files.set(tensor.path, file);
    let done = 0;
    while (done < count * size) {
      const at = tensor.start + from * size + done;
      const got = readable(tensor.path, () => readSync(file, this.#buffer, done, count * size - done, at));
      if (got === 0) {
        throw new OmniError(
          'checkpoint_corrupt',
          `${tensor.path} ended in the middle of ${tensor.name}.`,
          'The file changed while it was read: download it again.',
          { path: tensor.path },
        );
      }
      done += got;
    }
    return this.#buffer;
  }
}

function elementWidth(tensor: StoredTensor): number {
  if (tensor.type === 'F32') return 4;
  if (tensor.type === 'F16' || tensor.type === 'BF16') return 2;
  throw new OmniError(
    'checkpoint_tensors',
    `${tensor.name} is stored as ${tensor.type}; weights are read from F32, F16 and BF16.`,
    'Convert the checkpoint to bf16 or fp16.',
    { path: tensor.path },
  );
}

/** Widens to float32; false when an exponent is all ones, an infinity or no number. */
function widen(tensor: StoredTensor, bytes: Buffer, count: number, into: Float32Array): boolean {
  let finite = true;
  if (tensor.type === 'F32') {
    const source = new Uint32Array(bytes.buffer, bytes.byteOffset, count);
    for (let i = 0; i < count; i += 1) if ((source[i]! & 0x7f800000) === 0x7f800000) finite = false;
    into.set(new Float32Array(bytes.buffer, bytes.byteOffset, count));
    return finite;
  }
  const source = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
  if (tensor.type === 'BF16') {
    const bits = new Uint32Array(into.buffer, into.byteOffset, count);
    for (let i = 0; i < count; i += 1) {
      const value = source[i]!;
      if ((value & 0x7f80) === 0x7f80) finite = false;
      bits[i] = value << 16;
    }
    return finite;
  }
  const table = halves();
  for (let i = 0; i < count; i += 1) {
    const value = source[i]!;
    if ((value & 0x7c00) === 0x7c00) finite = false;
    into[i] = table[value]!;
  }
  return finite;
}
