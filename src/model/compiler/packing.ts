import { Worker } from 'node:worker_threads';
import { OmniError, type SerializedError } from '../../protocol/errors.ts';
import { type StoredTensor, TensorReader } from '../checkpoint/safetensors.ts';
import { blockSize, quantisedRowBytes, quantiseRows } from './quantise.ts';

/** Rows of a matrix [rows, width] of a checkpoint that are to be packed. */
export interface PackOrder {
  readonly tensor: StoredTensor;
  /** First row, and how many. */
  readonly from: number;
  readonly count: number;
  readonly bits: 4 | 8;
}

/** What {@link quantiseRows} makes of them. */
export interface PackedRows {
  readonly packed: Uint8Array<ArrayBuffer>;
  readonly scales: Float32Array<ArrayBuffer>;
}

/** Packs rows somewhere. */
export interface Packer {
  /** Orders that are worth giving before the first of them is done. */
  readonly ahead: number;
  /** @throws OmniError those of reading the checkpoint. */
  pack(order: PackOrder): Promise<PackedRows>;
  /** Gives up what is not done. */
  close(): Promise<void>;
}

export interface PackWorkers {
  /** Path of the bundled `pack_worker.ts`. */
  readonly script: string;
  readonly count: number;
}

/** One order after another, in the calling thread. */
export function packRows(reader: TensorReader, { tensor, from, count, bits }: PackOrder): PackedRows {
  const width = tensor.shape[1]!;
  const rows = reader.read(tensor, from * width, count * width);
  const packed = new Uint8Array(count * quantisedRowBytes(width, bits));
  const scales = new Float32Array(count * Math.ceil(width / blockSize));
  quantiseRows(rows, count, width, bits, packed, scales);
  return { packed, scales };
}

/** Packs in the calling thread, or in threads of its own: the bytes are the same. */
export function openPacker(workers: PackWorkers | undefined): Packer {
  if (workers) return new ThreadPacker(workers);
  const reader = new TensorReader();
  return {
    ahead: 1,
    pack: async (order) => packRows(reader, order),
    close: async () => reader.close(),
  };
}

/** What a worker answers. */
export type PackAnswer = { readonly done: PackedRows } | { readonly failed: SerializedError };

interface Waiting {
  readonly resolve: (rows: PackedRows) => void;
  readonly reject: (error: unknown) => void;
}

/** Every worker answers its orders in the order in which it got them; each order goes to the one with the fewest. */
class ThreadPacker implements Packer {
  readonly ahead: number;
  #ended: unknown;
  readonly #workers: { readonly worker: Worker; readonly queue: Waiting[] }[];

  constructor({ script, count }: PackWorkers) {
    this.ahead = 2 * count;
    this.#workers = Array.from({ length: count }, () => {
      const worker = new Worker(script);
      const queue: Waiting[] = [];
      // A thread that ends answers nothing any more: neither what it was given nor what it would be.
      const fail = (error: unknown) => {
        this.#ended ??= error;
        for (const { reject } of queue.splice(0)) reject(error);
      };
      worker.on('message', (answer: PackAnswer) => {
        const order = queue.shift();
        if ('done' in answer) order?.resolve(answer.done);
        else {
          const { code, message, next, ...detail } = answer.failed;
          order?.reject(new OmniError(code, message, next, detail));
        }
      });
      worker.on('error', fail);
      worker.on('exit', () => fail(new Error('A thread that packs weights ended.')));
      return { worker, queue };
    });
  }

  pack(order: PackOrder): Promise<PackedRows> {
    const { worker, queue } = this.#workers.reduce((idle, one) =>
      one.queue.length < idle.queue.length ? one : idle,
    );
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended);
        return;
      }
      queue.push({ resolve, reject });
      worker.postMessage(order);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map(({ worker }) => worker.terminate()));
  }
}
