import { join } from 'node:path';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { OmniError } from '../../protocol/errors.ts';
import type { ModelConfig } from '../checkpoint/config.ts';
import { type StoredTensor, TensorReader } from '../checkpoint/safetensors.ts';
import { loadTokenizer, type Tokenizer } from '../checkpoint/tokenizer.ts';
import type { CompiledModel } from '../compiler/manifest.ts';
import { type CacheNames, DeviceAllocator, DeviceCache, HostCache, type KvCache } from './kv_cache.ts';
import { fewestActivations, mostActivations } from './memory.ts';
import { openSession, type Provider, runSession, throwIfCancelled } from './ort.ts';
import { chooseProvider, type ProviderChoice, type ProviderRequest } from './providers.ts';

export interface LoadOptions {
  /** Default `auto`. */
  readonly provider?: ProviderRequest;
  /** Threads of the CPU provider; by default all cores, and one for a small network. */
  readonly threads?: number;
  /**
   * Bytes that the activations of one run may take, roughly; decides how much goes in at once. Default 1 GiB. A function
   * is asked before the graphs are opened, and may throw `out_of_memory`.
   */
  readonly memory?: number | ((provider: Provider) => number);
  /** See `chooseProvider`. */
  readonly selfTestTolerance?: number;
  /** What a failure in an earlier process has left of the device. */
  readonly limit?: LoadLimit | undefined;
}

export interface LoadLimit {
  /** `smaller`: the fewest activations that are worth a run; `cpu`: whatever provider is asked for. */
  readonly step: 'smaller' | 'cpu';
  /** What happened, in words. */
  readonly reason: string;
}

export interface RunOptions {
  /** Looked at between runs of a graph. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of frames done so far. */
  readonly onProgress?: (done: number) => void;
}

/** What the decoder says after the last token it was given. */
export interface DecoderOutput {
  /** [vocabulary] */
  readonly logits: Float32Array;
  /** [levels]: the logits of the quality levels, from head rows kept in float32. */
  readonly levelLogits: Float32Array;
}

/**
 * A network with rows narrower than this runs on one thread: waking others takes longer than they save, and ffmpeg decodes
 * beside it. Measured with rows of 192 on two cores: 12 ms of processor time a key frame on both, 8 on one.
 */
const narrow = 512;
/** Key frames of one batch hold at most this many patches: enough to fill the cores, soon done when cancelled. */
const patchesPerBatch = 4096;
/** Tokens by which a full context grows. */
const growth = 256;
/** Fewest tokens worth a run of the decoder on the CPU, whatever the memory bound. */
const leastPrefill = 64;

/**
 * Loads a compiled model: chooses the provider, opens the three graphs and the embedding table.
 *
 * With `auto`, a GPU that fails the self-test or cannot hold the graphs is given up for the CPU; `model.choice`
 * says why. All models of a process must be loaded and used on one thread.
 *
 * @throws OmniError `provider_unavailable`, `out_of_memory`, `runtime_failed`, `compiled_invalid`,
 *   `tokenizer_invalid`.
 */
export async function loadModel(compiled: CompiledModel, options: LoadOptions = {}): Promise<OmniModel> {
  const { threads, selfTestTolerance, limit } = options;
  const request = limit?.step === 'cpu' ? 'cpu' : (options.provider ?? 'auto');
  const { config } = compiled;
  const geometry = {
    heads: config.numAttentionHeads,
    kvHeads: config.numKeyValueHeads,
    headDim: config.headDim,
  };
  const chosen = await chooseProvider(request, geometry, {
    ...(selfTestTolerance === undefined ? {} : { tolerance: selfTestTolerance }),
    ...(threads === undefined ? {} : { threads }),
  });
  // With `cpu` it is said already why it was asked for.
  const reason = limit && (request === 'cpu' ? limit.reason : `${limit.reason} ${chosen.reason}`);
  const choice = reason ? { ...chosen, reason } : chosen;
  try {
    return await OmniModel.open(compiled, choice, options);
  } catch (error) {
    const gaveUp = OmniError.is(error) && request === 'auto' && choice.provider !== 'cpu';
    if (!gaveUp) throw error;
    const cpu = await chooseProvider('cpu', geometry);
    return OmniModel.open(compiled, { ...cpu, reason: error.message }, options);
  }
}

interface Opened {
  readonly compiled: CompiledModel;
  readonly choice: ProviderChoice;
  readonly memory: number;
  readonly keysOneByOne: boolean;
  readonly tokenizer: Tokenizer;
  readonly vision: InferenceSession;
  readonly motion: InferenceSession | null;
  readonly decoder: InferenceSession;
  readonly device: DeviceAllocator | null;
  readonly embeddings: EmbeddingTable;
}

/** A loaded model. What it computes for one clip does not depend on what it computed before. */
export class OmniModel {
  readonly compiled: CompiledModel;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  /** Where it runs and why. */
  readonly choice: ProviderChoice;
  /** Tokens that end an answer: those of config.json, generation_config.json and ChatML's end of turn. */
  readonly stopIds: ReadonlySet<number>;
  /** Learned vector [hidden] that ends the vision tokens of a video. */
  readonly imageNewline: Float32Array;
  readonly #opened: Opened;
  /** The failure after which the provider's sessions are not used again. */
  #lost: OmniError | undefined;

  private constructor(opened: Opened) {
    const { compiled, tokenizer, choice } = opened;
    this.#opened = opened;
    this.compiled = compiled;
    this.config = compiled.config;
    this.tokenizer = tokenizer;
    this.choice = choice;
    const end = tokenizer.id('<|im_end|>');
    this.stopIds = new Set([...compiled.manifest.stopIds, ...(end === undefined ? [] : [end])]);
    this.imageNewline = opened.embeddings.newline();
  }

  /** Opens the graphs on a provider that was chosen before; see {@link loadModel}. */
  static async open(
    compiled: CompiledModel,
    choice: ProviderChoice,
    { threads: asked, limit, memory: given = mostActivations }: LoadOptions = {},
  ): Promise<OmniModel> {
    const { directory } = compiled;
    const wanted = typeof given === 'number' ? given : given(choice.provider);
    const memory = limit?.step === 'smaller' ? Math.min(wanted, fewestActivations) : wanted;
    const alone = choice.provider === 'cpu' && compiled.config.hiddenSize < narrow;
    const threads = asked ?? (alone ? 1 : undefined);
    const settings = { provider: choice.provider, ...(threads === undefined ? {} : { threads }) };
    const portable = usesPortable(choice);
    const opened: { release(): Promise<void> }[] = [];
    const session = async (file: string) => {
      const one = await openSession(join(directory, file), settings);
      opened.push(one);
      return one;
    };
    try {
      const tokenizer = await loadTokenizer(directory);
      const vision = await session(portable ? 'vision.portable.onnx' : 'vision.onnx');
      const motion = compiled.config.motion
        ? await session(portable ? 'motion.portable.onnx' : 'motion.onnx')
        : null;
      const decoder = await session('decoder.onnx');
      const device = choice.provider === 'webgpu' ? await DeviceAllocator.create(choice.provider) : null;
      const embeddings = new EmbeddingTable(compiled);
      return new OmniModel({
        compiled,
        choice,
        memory,
        keysOneByOne: choice.provider === 'cpu' && threads === 1,
        tokenizer,
        vision,
        motion,
        decoder,
        device,
        embeddings,
      });
    } catch (error) {
      for (const one of opened) await one.release();
      throw error;
    }
  }

  /** Whether key frames are best given one at a time: on one thread several together only leave its cache. */
  get keysOneByOne(): boolean {
    return this.#opened.keysOneByOne;
  }

  /** How many of a clip's frames the motion branch takes: a whole multiple, at most as many as it has positions. */
  motionFrames(frames: number): number {
    const { motion } = this.config;
    if (!motion) return 0;
    const most = Math.min(frames, motion.maxPositions);
    return most - (most % motion.frameMultiple);
  }

  /**
   * Vision tokens of key frames.
   *
   * @param pixels RGB 0..255 [K,V,S,S,3]: V views of S² pixels, as `config.vision` says.
   * @returns [K,P,hidden], projected and pooled.
   * @throws OmniError `cancelled`, `out_of_memory`, `runtime_failed`.
   */
  async vision(
    pixels: Uint8Array,
    keyFrames: number,
    { signal, onProgress }: RunOptions = {},
  ): Promise<Float32Array> {
    const { vision, hiddenSize, tokensPerFrame } = this.config;
    const { memory } = this.#opened;
    const { imageSize: side, views, numAttentionHeads: heads } = vision;
    const frameBytes = views.length * side * side * 3;
    check(pixels.length === keyFrames * frameBytes, 'vision pixels', pixels.length, keyFrames * frameBytes);
    const patches = Math.floor(side / vision.patchSize) ** 2;
    // One layer's attention scores, MLP and residuals, and the pixels as floats with what is made of them first.
    const frameMemory =
      4 * (heads * patches ** 2 + patches * (2 * vision.intermediateSize + 8 * vision.hiddenSize)) +
      16 * frameBytes;
    const most = this.keysOneByOne ? 1 : Math.floor(patchesPerBatch / patches);
    const batch = Math.max(1, Math.min(Math.floor(memory / frameMemory), most));
    const tokens = new Float32Array(keyFrames * tokensPerFrame * hiddenSize);
    for (let from = 0; from < keyFrames; from += batch) {
      throwIfCancelled(signal);
      const count = Math.min(batch, keyFrames - from);
      const result = await this.#run(
        this.#opened.vision,
        {
          pixels: this.#pixelTensor(pixels.subarray(from * frameBytes, (from + count) * frameBytes), [
            count,
            views.length,
            side,
            side,
            3,
          ]),
        },
        { tokens: null },
      );
      tokens.set(result.tokens!.data as Float32Array, from * tokensPerFrame * hiddenSize);
      onProgress?.(from + count);
    }
    return tokens;
  }

  /**
   * Motion tokens of consecutive frames, from the clip's first one on. Long clips go in by chunks that overlap by
   * the branch's temporal reach, whose tokens are dropped: the same numbers as in one run.
   *
   * @param pixels RGB 0..255 [T,M,M,3].
   * @param frames T; see {@link motionFrames}.
   * @returns [T,hidden], one token per frame.
   * @throws OmniError `cancelled`, `out_of_memory`, `runtime_failed`.
   */
  async motion(
    pixels: Uint8Array,
    frames: number,
    { signal, onProgress }: RunOptions = {},
  ): Promise<Float32Array> {
    const { motion, hiddenSize } = this.config;
    const session = this.#opened.motion;
    if (!motion || !session || frames === 0) return new Float32Array(0);
    const { imageSize: side } = motion;
    const frameBytes = side * side * 3;
    check(pixels.length === frames * frameBytes, 'motion pixels', pixels.length, frames * frameBytes);
    check(frames <= motion.maxPositions, 'motion frames', frames, motion.maxPositions);
    const [left, right] = motion.radius;
    // The pixels and their copies, and the widest of the stages: its input, its branches and their sum.
    const channels = motion.channels * (motion.input === 'rgb_logdiff' ? 2 : 1);
    let area = (side * side) / (motion.stemStride[1] * motion.stemStride[2]);
    // Frame by frame the first convolution has its taps of time as channels.
    const taps = usesPortable(this.choice) ? 1 : motion.stemKernel[0];
    let widest = 3 * channels * side * side + 2 * taps * motion.stemWidth * area;
    area /= motion.poolStride[1] * motion.poolStride[2];
    for (const [stage, stride] of motion.spatialStrides.entries()) {
      widest = Math.max(widest, 4 * motion.widths[stage]! * area);
      area /= stride ** 2;
    }
    // Half of what a chunk computes is kept, at least.
    const chunk = Math.max(left + right, Math.floor(this.#opened.memory / (4 * widest)) - left - right);
    const tokens = new Float32Array(frames * hiddenSize);
    for (let from = 0; from < frames; from += chunk) {
      throwIfCancelled(signal);
      const to = Math.min(from + chunk, frames);
      const first = Math.max(0, from - left);
      const last = Math.min(frames, to + right);
      const result = await this.#run(
        session,
        {
          pixels: this.#pixelTensor(pixels.subarray(first * frameBytes, last * frameBytes), [
            last - first,
            side,
            side,
            3,
          ]),
          positions: positions(first, last - first, usesPortable(this.choice) ? 'int32' : 'int64', [
            last - first,
          ]),
        },
        { tokens: null },
      );
      const all = result.tokens!.data as Float32Array;
      tokens.set(all.subarray((from - first) * hiddenSize, (to - first) * hiddenSize), from * hiddenSize);
      onProgress?.(to);
    }
    return tokens;
  }

  /**
   * Rows of the embedding table, read from the compiled directory by position.
   *
   * @returns [ids,hidden].
   * @throws OmniError `compiled_invalid` when the table was cut while it was in use.
   */
  embed(ids: readonly number[]): Float32Array {
    const { hiddenSize } = this.config;
    const rows = new Float32Array(ids.length * hiddenSize);
    ids.forEach((id, index) => {
      check(
        Number.isInteger(id) && id >= 0 && id < this.config.vocabSize,
        'token',
        id,
        this.config.vocabSize,
      );
      rows.set(this.#opened.embeddings.row(id), index * hiddenSize);
    });
    return rows;
  }

  /**
   * An empty context of the decoder.
   *
   * @param capacity Tokens to make room for; a context grows by itself, at the cost of a copy.
   * @throws OmniError `out_of_memory`, `context_too_long`.
   */
  async newContext({ capacity = growth }: { readonly capacity?: number } = {}): Promise<DecoderContext> {
    const { config } = this;
    const { device, choice, memory } = this.#opened;
    const shape = {
      layers: config.numHiddenLayers,
      kvHeads: config.numKeyValueHeads,
      headDim: config.headDim,
    };
    const size = Math.min(roundUp(capacity), config.maxPositionEmbeddings);
    const cache = device
      ? await this.#guard(() => DeviceCache.create(device, shape, cacheNames, size))
      : new HostCache(shape, cacheNames, size);
    return new DecoderContext({
      cache,
      limit: config.maxPositionEmbeddings,
      hiddenSize: config.hiddenSize,
      grow: (tokens, length) => this.#guard(() => cache.grow(tokens, length)),
      prefill: (total) => {
        // Attention scores of all heads, the MLP's two halves and some residuals, in float32.
        const bytes =
          4 * (config.numAttentionHeads * total + 2 * config.intermediateSize + 6 * config.hiddenSize);
        return Math.min(choice.maxPrefill, Math.max(leastPrefill, Math.floor(memory / bytes)));
      },
      step: async (embeddings, tokens, past) => {
        const total = past + tokens;
        const result = await this.#run(
          this.#opened.decoder,
          {
            inputs_embeds: new Tensor('float32', embeddings, [1, tokens, config.hiddenSize]),
            position_ids: positions(past, tokens, 'int64', [1, tokens]),
            seqlens_k: new Tensor('int32', Int32Array.of(total - 1), [1]),
            total_sequence_length: new Tensor('int32', Int32Array.of(total), []),
            ...cache.past,
          },
          { logits: null, level_logits: null, ...cache.present },
        );
        return {
          logits: result.logits!.data as Float32Array,
          levelLogits: result.level_logits!.data as Float32Array,
        };
      },
    });
  }

  /** Frees the sessions. Contexts of the model must be disposed before. */
  async dispose(): Promise<void> {
    const { vision, motion, decoder, device, embeddings } = this.#opened;
    embeddings.close();
    for (const one of [vision, motion, decoder]) await one?.release();
    await device?.dispose();
  }

  #run(
    session: InferenceSession,
    feeds: Readonly<Record<string, Tensor>>,
    fetches: Readonly<Record<string, Tensor | null>>,
  ): Promise<Readonly<Record<string, Tensor>>> {
    return this.#guard(() => runSession(session, this.choice.provider, feeds, fetches));
  }

  /** After a failure on a GPU its sessions may compute anything: none of them is used again. */
  async #guard<T>(work: () => Promise<T>): Promise<T> {
    if (this.#lost) throw this.#lost;
    try {
      return await work();
    } catch (error) {
      if (OmniError.is(error) && this.choice.provider !== 'cpu') this.#lost = error;
      throw error;
    }
  }

  #pixelTensor(pixels: Uint8Array, dims: readonly number[]): Tensor {
    return usesPortable(this.choice)
      ? new Tensor('float32', Float32Array.from(pixels), dims)
      : new Tensor('uint8', pixels, dims);
  }
}

/** Rows of embeddings.weights, read when they are needed: the table of a large model takes a gigabyte. */
class EmbeddingTable {
  readonly #reader = new TensorReader();
  readonly #rows: StoredTensor;
  readonly #newline: StoredTensor;

  constructor({ directory, config, manifest }: CompiledModel) {
    const { type, offset, newlineOffset } = manifest.embeddings;
    const { vocabSize, hiddenSize } = config;
    const path = join(directory, 'embeddings.weights');
    const stored = (name: string, kind: StoredTensor['type'], shape: readonly number[], start: number) => ({
      name,
      path,
      type: kind,
      shape,
      start,
      bytes: shape.reduce((product, dim) => product * dim, kind === 'F16' ? 2 : 4),
    });
    this.#rows = stored('the table', type === 'float16' ? 'F16' : 'F32', [vocabSize, hiddenSize], offset);
    this.#newline = stored('the newline vector', 'F32', [hiddenSize], newlineOffset);
  }

  row(id: number): Float32Array {
    const width = this.#rows.shape[1]!;
    return this.#read(this.#rows, id * width, width);
  }

  newline(): Float32Array {
    return this.#read(this.#newline, 0, this.#newline.shape[0]!);
  }

  #read(tensor: StoredTensor, from: number, count: number): Float32Array {
    try {
      return this.#reader.read(tensor, from, count);
    } catch (error) {
      if (!OmniError.is(error, 'checkpoint_corrupt')) throw error;
      throw new OmniError(
        'compiled_invalid',
        `${tensor.path} is shorter than its manifest says.`,
        'Compile the checkpoint again (omnivqa model compile).',
        { path: tensor.path },
        { cause: error },
      );
    }
  }

  close(): void {
    this.#reader.close();
  }
}

interface ContextParts {
  readonly cache: KvCache;
  readonly limit: number;
  readonly hiddenSize: number;
  readonly grow: (capacity: number, length: number) => Promise<void>;
  /** Most tokens for one run of the decoder when the context then holds `total`. */
  readonly prefill: (total: number) => number;
  readonly step: (embeddings: Float32Array, tokens: number, past: number) => Promise<DecoderOutput>;
}

/**
 * A sequence the decoder has read, as keys and values in place. Appending adds to its end; truncating forgets its
 * end at no cost, so that several continuations can share a beginning one after the other. One append at a time.
 */
export class DecoderContext {
  readonly #parts: ContextParts;
  #length = 0;

  constructor(parts: ContextParts) {
    this.#parts = parts;
  }

  /** Tokens read. */
  get length(): number {
    return this.#length;
  }

  /** Tokens there is room for without growing. */
  get capacity(): number {
    return this.#parts.cache.capacity;
  }

  /**
   * Reads tokens. When it fails or is cancelled, the context is as it was before.
   *
   * @param embeddings [tokens,hidden].
   * @throws OmniError `context_too_long`, `cancelled`, `out_of_memory`, `runtime_failed`.
   */
  async append(
    embeddings: Float32Array,
    tokens: number,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<DecoderOutput> {
    const { cache, limit, hiddenSize, grow, prefill, step } = this.#parts;
    check(
      tokens > 0 && embeddings.length === tokens * hiddenSize,
      'embeddings',
      embeddings.length,
      tokens * hiddenSize,
    );
    const total = this.#length + tokens;
    if (total > limit) {
      throw new OmniError(
        'context_too_long',
        `The model reads at most ${limit} tokens; this would be ${total}.`,
        'Start a new conversation, ask a shorter question or choose a shorter part of the clip.',
      );
    }
    if (total > cache.capacity) await grow(Math.min(roundUp(total + growth), limit), this.#length);
    const most = prefill(total);
    let output: DecoderOutput | undefined;
    for (let done = 0; done < tokens; done += most) {
      throwIfCancelled(signal);
      const count = Math.min(most, tokens - done);
      const rows = embeddings.subarray(done * hiddenSize, (done + count) * hiddenSize);
      output = await step(rows, count, this.#length + done);
    }
    this.#length = total;
    return output!;
  }

  /** Forgets the tokens from `length` on. */
  truncate(length: number): void {
    check(length >= 0 && length <= this.#length, 'length', length, this.#length);
    this.#length = length;
  }

  dispose(): void {
    this.#parts.cache.dispose();
  }
}

/** WebGPU lacks uint8 and fused attention that can be trusted; so may any provider that failed the self-test. */
const usesPortable = ({ provider, attention }: ProviderChoice) =>
  provider === 'webgpu' || attention === 'chunked';

const cacheNames: CacheNames = {
  past: (layer, part) => `past_key_values.${layer}.${part}`,
  present: (layer, part) => `present.${layer}.${part}`,
};

function positions(first: number, count: number, type: 'int32' | 'int64', dims: readonly number[]): Tensor {
  return type === 'int32'
    ? new Tensor(
        'int32',
        Int32Array.from({ length: count }, (_, i) => first + i),
        dims,
      )
    : new Tensor(
        'int64',
        BigInt64Array.from({ length: count }, (_, i) => BigInt(first + i)),
        dims,
      );
}

const roundUp = (tokens: number) => Math.ceil(tokens / 64) * 64;

/** A caller that hands over the wrong amount of data is a fault of this program, not of its input. */
function check(right: boolean, what: string, got: number, expected: number): void {
  if (right) return;
  throw new OmniError(
    'internal_error',
    `The model was given ${got} for ${what} where it takes ${expected}.`,
    'Report it: this is a fault in the program.',
  );
}
