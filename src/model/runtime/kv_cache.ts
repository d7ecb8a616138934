import type { InferenceSession } from 'onnxruntime-node';
import { Tensor } from 'onnxruntime-node';
import { openSession, type Provider, runSession, runtimeError } from './ort.ts';
import { extendGraph, identityGraph } from './probes.ts';

export interface CacheShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Names of the decoder's inputs and outputs that hold layer i's keys and values. */
export interface CacheNames {
  readonly past: (layer: number, part: 'key' | 'value') => string;
  readonly present: (layer: number, part: 'key' | 'value') => string;
}

/**
 * Keys and values of one context, one buffer [1, kvHeads, capacity, headDim] per layer and part. The decoder
 * reads and writes the same buffers (past and present are one), so a step costs no growing and truncation is a
 * number. Slots at and after a context's length hold whatever was there and are never read.
 */
export interface KvCache {
  readonly capacity: number;
  readonly past: Readonly<Record<string, Tensor>>;
  readonly present: Readonly<Record<string, Tensor>>;
  /** Makes room for `capacity` tokens and keeps the first `length`; one buffer at a time is held twice. */
  grow(capacity: number, length: number): Promise<void>;
  dispose(): void;
}

/** Buffers in JavaScript's memory: for every provider whose tensors the binding can not hold on the device. */
export class HostCache implements KvCache {
  readonly past: Record<string, Tensor> = {};
  readonly present: Record<string, Tensor> = {};
  capacity: number;
  readonly #shape: CacheShape;
  readonly #names: CacheNames;

  /** @throws OmniError `out_of_memory`. */
  constructor(shape: CacheShape, names: CacheNames, capacity: number) {
    this.capacity = capacity;
    this.#shape = shape;
    this.#names = names;
    for (const [past, present] of buffers(shape, names)) {
      this.past[past] = this.present[present] = this.#allocate(capacity);
    }
  }

  async grow(capacity: number, length: number): Promise<void> {
    const { kvHeads, headDim } = this.#shape;
    for (const [past, present] of buffers(this.#shape, this.#names)) {
      const from = this.past[past]!.data as Float32Array;
      const tensor = this.#allocate(capacity);
      const to = tensor.data as Float32Array;
      for (let head = 0; head < kvHeads; head += 1) {
        const start = head * this.capacity * headDim;
        to.set(from.subarray(start, start + length * headDim), head * capacity * headDim);
      }
      this.past[past] = this.present[present] = tensor;
    }
    this.capacity = capacity;
  }

  dispose(): void {
    for (const tensor of Object.values(this.past)) tensor.dispose();
  }

  #allocate(capacity: number): Tensor {
    const { kvHeads, headDim } = this.#shape;
    try {
      return new Tensor('float32', new Float32Array(kvHeads * capacity * headDim), [
        1,
        kvHeads,
        capacity,
        headDim,
      ]);
    } catch (error) {
      throw runtimeError(error, 'cpu', `keep ${capacity} tokens`);
    }
  }
}

/**
 * Buffers in the GPU's memory. The binding has no allocator of its own: a buffer is the output of an Identity
 * (or, to grow, a Concat) session that leaves its outputs on the device.
 */
export class DeviceCache implements KvCache {
  readonly past: Record<string, Tensor> = {};
  readonly present: Record<string, Tensor> = {};
  capacity = 0;
  readonly #device: DeviceAllocator;
  readonly #shape: CacheShape;
  readonly #names: CacheNames;

  private constructor(device: DeviceAllocator, shape: CacheShape, names: CacheNames) {
    this.#device = device;
    this.#shape = shape;
    this.#names = names;
  }

  /** @throws OmniError `out_of_memory`, `runtime_failed`. */
  static async create(
    device: DeviceAllocator,
    shape: CacheShape,
    names: CacheNames,
    capacity: number,
  ): Promise<DeviceCache> {
    const cache = new DeviceCache(device, shape, names);
    try {
      for (const [past, present] of buffers(shape, names)) {
        cache.past[past] = cache.present[present] = await device.zeros(cache.#dims(capacity));
      }
    } catch (error) {
      cache.dispose();
      throw error;
    }
    cache.capacity = capacity;
    return cache;
  }

  async grow(capacity: number): Promise<void> {
    for (const [past, present] of buffers(this.#shape, this.#names)) {
      const old = this.past[past]!;
      this.past[past] = this.present[present] = await this.#device.extend(
        old,
        this.#dims(capacity - this.capacity),
      );
      old.dispose();
    }
    this.capacity = capacity;
  }

  dispose(): void {
    for (const tensor of Object.values(this.past)) tensor.dispose();
  }

  #dims(capacity: number): readonly number[] {
    return [1, this.#shape.kvHeads, capacity, this.#shape.headDim];
  }
}

/** The sessions that make buffers on the device; one allocator per loaded model. */
export class DeviceAllocator {
  readonly #provider: Provider;
  readonly #identity: InferenceSession;
  /** Opened when a cache grows for the first time. */
  #extend: InferenceSession | undefined;

  private constructor(provider: Provider, identity: InferenceSession) {
    this.#provider = provider;
    this.#identity = identity;
  }

  static async create(provider: Provider): Promise<DeviceAllocator> {
    return new DeviceAllocator(provider, await openSession(identityGraph(), onDevice(provider)));
  }

  async zeros(dims: readonly number[]): Promise<Tensor> {
    const { y } = await runSession(this.#identity, this.#provider, { x: zeros(dims) }, { y: null });
    return y!;
  }

  /** `tensor` with zeros of shape `dims` after it along axis 2, in a new buffer. */
  async extend(tensor: Tensor, dims: readonly number[]): Promise<Tensor> {
    this.#extend ??= await openSession(extendGraph(), onDevice(this.#provider));
    const feeds = { x: tensor, tail: zeros(dims) };
    const { y } = await runSession(this.#extend, this.#provider, feeds, { y: null });
    return y!;
  }

  async dispose(): Promise<void> {
    await this.#identity.release();
    await this.#extend?.release();
  }
}

const onDevice = (provider: Provider) => ({ provider, threads: 1, keepOnDevice: true });

function zeros(dims: readonly number[]): Tensor {
  const length = dims.reduce((product, dim) => product * dim, 1);
  return new Tensor('float32', new Float32Array(length), dims);
}

function* buffers({ layers }: CacheShape, names: CacheNames): Generator<[past: string, present: string]> {
  for (let layer = 0; layer < layers; layer += 1) {
    for (const part of ['key', 'value'] as const) yield [names.past(layer, part), names.present(layer, part)];
  }
}
