/** What a model takes of a device's memory, and what of it is given up where there is less. Pure. */
import { OmniError, type Problem } from '../../protocol/errors.ts';
import type { ModelConfig } from '../checkpoint/config.ts';
import type { CompileOptions, Manifest } from '../compiler/manifest.ts';
import type { Precision } from '../compiler/weights.ts';

/** Bytes, by what they hold. */
export interface MemoryNeed {
  readonly weights: number;
  /** What opening the graphs takes beside the weights, for a moment: a copy of the largest, which is packed. */
  readonly loading: number;
  /** Keys and values of one window's prompt. */
  readonly cache: number;
  /** What one run of a graph may take beside its weights; decides how much goes in at once. */
  readonly activations: number;
  /** The decoded pictures of two windows: one is read while the other is rated. Never on a graphics card. */
  readonly pictures: number;
}

export const totalMemory = ({ weights, loading, cache, activations, pictures }: MemoryNeed): number =>
  weights + Math.max(loading, cache + activations + pictures);

/** Bytes of activations that a model is run with where there is room, and the fewest that are worth it. */
export const mostActivations = 2 ** 30;
export const fewestActivations = 2 ** 27;

/**
 * What the CPU provider holds of quantised weights, as a multiple of their file: it packs them for its kernels. Measured
 * on a decoder of 7 billion parameters in int4 (3.7 GB took 5.0 GB) and on one of 0.2 billion (1.3 bytes for each byte
 * that int8 has more than int4); single precision took 1.05.
 */
const packing = 1.35;

/** Bytes for each number of a matrix when it is loaded: quantised, with a scale in single precision for every 32. */
const stored = { fp32: 4, fp16: 4, int8: 1 + 4 / 32, int4: 0.5 + 4 / 32 } as const;

/** Tokens of a prompt beside the clip's, with room for the questions that follow. */
const promptTokens = 512;

/** Frame rate up to which a window's motion tokens are planned for; a faster clip's context grows when it comes. */
const plannedRate = 60;

/**
 * Bytes that a compiled model's weights take on a device.
 *
 * Embeddings are read row by row and never loaded. Half precision is that of the file alone: onnxruntime multiplies in
 * single, and turns the weights into it when it loads them.
 */
export function weightBytes({ files, options }: Pick<Manifest, 'files' | 'options'>, onCpu: boolean): number {
  const { decoder, vision } = options.precision;
  const size = (name: string) => files[name]?.size ?? 0;
  const factor = (precision: Precision) =>
    precision === 'fp16' ? 2 : onCpu && precision !== 'fp32' ? packing : 1;
  return (
    size('decoder.weights') * factor(decoder) +
    size('vision.weights') * factor(vision) +
    size('motion.weights')
  );
}

/** Bytes of the largest weight, which is the head: {@link MemoryNeed.loading} on the CPU. */
export const headBytes = (
  { vocabSize, hiddenSize }: Pick<ModelConfig, 'vocabSize' | 'hiddenSize'>,
  decoder: Precision,
): number => vocabSize * hiddenSize * stored[decoder === 'int4' ? 'int8' : decoder];

/**
 * What {@link weightBytes} will come to for a checkpoint that is not compiled yet, to a few percent.
 *
 * @param tensors Those that the network reads.
 */
export function futureWeightBytes(
  tensors: Iterable<{ readonly name: string; readonly shape: readonly number[] }>,
  { tieWordEmbeddings }: Pick<ModelConfig, 'tieWordEmbeddings'>,
  { decoder, vision }: CompileOptions['precision'],
  onCpu: boolean,
): number {
  const held = (precision: Precision) =>
    stored[precision] * (onCpu && precision.startsWith('int') ? packing : 1);
  let bytes = 0;
  for (const { name, shape } of tensors) {
    const numbers = shape.reduce((product, dim) => product * dim, 1);
    const embedding = name === 'model.embed_tokens.weight';
    if (embedding && !tieWordEmbeddings) continue;
    // The head keeps twice the bits: the scores come out of it.
    const head = embedding || name === 'lm_head.weight';
    const part = name.includes('vision_tower') || name.includes('mm_projector') ? vision : decoder;
    const matrix = shape.length === 2 && !name.includes('slowfast');
    bytes += numbers * held(!matrix ? 'fp32' : head && part === 'int4' ? 'int8' : part);
  }
  return bytes;
}

/** Bytes for a window of `seconds`. */
export function windowNeed(
  config: ModelConfig,
  seconds: number,
  onCpu: boolean,
): Pick<MemoryNeed, 'cache' | 'pictures'> {
  const { vision, motion } = config;
  const frames = motion ? Math.min(seconds * plannedRate, motion.maxPositions) : 0;
  const tokens = Math.min(
    config.maxPositionEmbeddings,
    seconds * config.tokensPerFrame + frames + promptTokens,
  );
  const key = seconds * vision.views.length * vision.imageSize ** 2 * 3;
  const moving = frames * (motion?.imageSize ?? 0) ** 2 * 3;
  return {
    cache: config.numHiddenLayers * 2 * config.numKeyValueHeads * config.headDim * 4 * tokens,
    pictures: onCpu ? 2 * (key + moving) : 0,
  };
}

export interface MemoryRequest {
  readonly config: ModelConfig;
  /** `the CPU`, or what a graphics device is called. */
  readonly device: string;
  readonly onCpu: boolean;
  /** Bytes that may be taken; null where nobody can say. */
  readonly available: number | null;
  /** Ways to store the weights, the wanted one first, with the bytes that they take on the device. */
  readonly ways: readonly (Pick<MemoryNeed, 'weights' | 'loading'> & { readonly precision: string })[];
}

export interface MemoryPlan {
  readonly need: MemoryNeed;
  readonly available: number | null;
  /** One of the request's ways. */
  readonly precision: string;
  /** Seconds of a window. */
  readonly windowSeconds: number;
  /** What was given up that changes results. */
  readonly problems: readonly Problem[];
}

/**
 * Chooses how a model is run in the memory that there is. First less goes in at a time, which only costs time; then the
 * weights are stored in fewer bits; then windows get shorter.
 *
 * @throws OmniError `out_of_memory` where even the least does not fit.
 */
export function planMemory({ config, device, onCpu, available, ways }: MemoryRequest): MemoryPlan {
  const wanted = config.omnivqa.windowSeconds;
  const room = available ?? Number.POSITIVE_INFINITY;
  const lengths = [wanted];
  // A window is whole steps, and one step at least.
  const shortest = Math.max(1, Math.min(wanted, config.omnivqa.stepSeconds));
  for (let seconds = wanted; seconds > shortest; ) {
    seconds = Math.max(shortest, Math.floor(seconds / 2));
    lengths.push(seconds);
  }
  for (const seconds of lengths) {
    for (const { precision, weights, loading } of seconds === wanted ? ways : ways.slice(-1)) {
      const fixed = { weights, loading, ...windowNeed(config, seconds, onCpu) };
      if (totalMemory({ ...fixed, activations: fewestActivations }) > room) continue;
      const left = room - weights - fixed.cache - fixed.pictures;
      const problems: Problem[] = [];
      const short = `${device} has ${gigabytes(room)} of memory to spare`;
      if (precision !== ways[0]!.precision) {
        problems.push({
          code: 'precision_lowered',
          message: `${short}: the weights are stored in ${precision} and not in ${ways[0]!.precision}.`,
        });
      }
      if (seconds !== wanted) {
        problems.push({
          code: 'window_shortened',
          message: `${short}: the clip is rated in windows of ${seconds} s and not of ${wanted} s.`,
        });
      }
      return {
        need: { ...fixed, activations: Math.min(mostActivations, left) },
        available,
        precision,
        windowSeconds: seconds,
        problems,
      };
    }
  }
  const { weights, loading } = ways.at(-1)!;
  const least = totalMemory({
    weights,
    loading,
    ...windowNeed(config, shortest, onCpu),
    activations: fewestActivations,
  });
  throw new OmniError(
    'out_of_memory',
    `The model needs ${gigabytes(least)} of memory at least (${gigabytes(weights)} of it for weights in ` +
      `${ways.at(-1)!.precision}); ${device} has ${gigabytes(room)} to spare.`,
    onCpu
      ? 'Close other programs, or choose a smaller model.'
      : 'Choose the provider cpu, close other programs that use the graphics device, or choose a smaller model.',
  );
}

/** "7.1 GB: weights 5.9 GB, context 0.1 GB, activations 1.1 GB; the CPU has 12.0 GB to spare". */
export function memoryText({ need, available }: MemoryPlan, device: string): string {
  const parts = [
    ['weights', need.weights],
    ['context', need.cache],
    ['activations', need.activations],
    ['pictures', need.pictures],
  ] as const;
  const listed = parts.filter(([, bytes]) => bytes > 0).map(([name, bytes]) => `${name} ${gigabytes(bytes)}`);
  const spare =
    available === null
      ? `how much ${device} has is not known`
      : `${device} has ${gigabytes(available)} to spare`;
  return `${gigabytes(totalMemory(need))} at most: ${listed.join(', ')}; ${spare}`;
}

const gigabytes = (bytes: number): string =>
  bytes < 1e9 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
