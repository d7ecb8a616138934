import { existsSync, readdirSync } from 'node:fs';
import { delimiter } from 'node:path';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { OmniError } from '../../protocol/errors.ts';
import { type CacheNames, DeviceAllocator, DeviceCache, HostCache, type KvCache } from './kv_cache.ts';
import { openSession, type Provider, runSession } from './ort.ts';
import { fusedAttentionGraph, spelledAttentionGraph } from './probes.ts';

/** What a user may ask for; `auto` lets the self-test decide between the GPU (WebGPU) and the CPU. */
export type ProviderRequest = 'auto' | Provider;

export interface AttentionGeometry {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Where a model runs and why. */
export interface ProviderChoice {
  readonly provider: Provider;
  /**
   * `fused`: the provider's attention kernels are right at any length. `chunked`: they are only right for few
   * query tokens at a time, so prompts go in by {@link maxPrefill} and the vision tower spells attention out.
   */
  readonly attention: 'fused' | 'chunked';
  /** Most tokens the decoder may be given at once. */
  readonly maxPrefill: number;
  /** Why this one, in words. */
  readonly reason: string;
}

export interface SelfTestOptions {
  /** Largest difference from the CPU that passes, on values of order 1. */
  readonly tolerance?: number;
  readonly threads?: number;
}

/** Query tokens with which the fused attention of both software Vulkan drivers is still right (measured). */
const chunk = 31;

/**
 * Chooses where a model runs. Every provider but the CPU first has to reproduce the CPU's attention: one prompt
 * of 64 tokens and one decoding step after it, with the model's own head geometry. Some WebGPU drivers are wrong
 * by 1e-2 and more from 32 query tokens on; a score computed there would look like any other.
 *
 * @throws OmniError `provider_unavailable` when a provider was asked for by name and does not exist here or does
 *   not compute what the CPU computes.
 */
export async function chooseProvider(
  request: ProviderRequest,
  geometry: AttentionGeometry,
  options: SelfTestOptions = {},
): Promise<ProviderChoice> {
  const cpu = (reason: string): ProviderChoice => ({
    provider: 'cpu',
    attention: 'fused',
    maxPrefill: Number.POSITIVE_INFINITY,
    reason,
  });
  if (request === 'cpu') return cpu('The CPU was asked for.');
  if (request !== 'auto') return selfTest(request, geometry, options);

  const software = softwareAdapter();
  if (software) return cpu(`No graphics card: ${software}.`);
  try {
    return await selfTest('webgpu', geometry, options);
  } catch (error) {
    if (!OmniError.is(error)) throw error;
    return cpu(error.message);
  }
}

/**
 * Why WebGPU would only find a driver that draws with the CPU, as far as that can be known: onnxruntime does not
 * say which adapter it took.
 */
export function softwareAdapter(): string | undefined {
  const drivers = process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES;
  if (drivers) {
    const software = drivers
      .split(delimiter)
      .every((path) => /swiftshader|lvp_|lavapipe|llvmpipe/i.test(path));
    return software ? `the Vulkan driver is a software one (${drivers})` : undefined;
  }
  if (process.platform !== 'linux') return undefined;
  const nodes = ['/dev/nvidia0', '/dev/dxg', '/dev/kfd', '/dev/mali0', '/dev/nvhost-gpu'];
  const render = existsSync('/dev/dri') && readdirSync('/dev/dri').some((name) => name.startsWith('renderD'));
  return render || nodes.some(existsSync) ? undefined : 'this machine has no graphics device';
}

const tokens = 64;

async function selfTest(
  provider: Exclude<Provider, 'cpu'>,
  geometry: AttentionGeometry,
  { tolerance = 1e-3, threads = 1 }: SelfTestOptions,
): Promise<ProviderChoice> {
  const inputs = drawInputs(geometry);
  const opened: Attention[] = [];
  const open = async (where: Provider) => {
    const attention = await Attention.open(where, geometry, threads);
    opened.push(attention);
    return attention;
  };
  try {
    // The provider under test first: where it does not exist, nothing else needs doing.
    const tested = await open(provider);
    const reference = await open('cpu');
    const expected = await reference.attend(inputs, tokens);
    const fused = difference(expected, await tested.attend(inputs, tokens));
    if (fused <= tolerance) {
      return {
        provider,
        attention: 'fused',
        maxPrefill: 1024,
        reason: `${provider} agrees with the CPU (attention over ${tokens} tokens: ${format(fused)}).`,
      };
    }
    const chunked = difference(expected, await tested.attend(inputs, chunk));
    const spelled = difference(
      await reference.attendSpelledOut(inputs),
      await tested.attendSpelledOut(inputs),
    );
    if (chunked <= tolerance && spelled <= tolerance) {
      return {
        provider,
        attention: 'chunked',
        maxPrefill: chunk,
        reason:
          `${provider} is wrong by ${format(fused)} in fused attention over ${tokens} tokens, and right ` +
          `(${format(Math.max(chunked, spelled))}) over ${chunk} and without fusion: prompts go in by ${chunk}.`,
      };
    }
    throw new OmniError(
      'provider_unavailable',
      `${provider} does not compute what the CPU computes: attention is off by ${format(fused)} over ${tokens} ` +
        `tokens, by ${format(chunked)} over ${chunk}, by ${format(spelled)} without fusion.`,
      'Update the graphics driver, or choose the provider cpu.',
    );
  } finally {
    for (const one of opened) await one.close();
  }
}

const format = (value: number) => value.toExponential(0);

interface AttentionInputs {
  /** [tokens + 1, heads·headDim]; the last row is the decoding step. */
  readonly query: Float32Array;
  /** [tokens + 1, kvHeads·headDim] each. */
  readonly key: Float32Array;
  readonly value: Float32Array;
}

/** Values spread over [-2, 2] by the golden ratio: the same on every machine, no two rows alike. */
function drawInputs({ heads, kvHeads, headDim }: AttentionGeometry): AttentionInputs {
  let step = 0;
  const draw = (length: number) =>
    Float32Array.from({ length }, () => {
      step += 1;
      return ((step * 0.618033988749895) % 1) * 4 - 2;
    });
  const rows = tokens + 1;
  return {
    query: draw(rows * heads * headDim),
    key: draw(rows * kvHeads * headDim),
    value: draw(rows * kvHeads * headDim),
  };
}

/** The sessions of the self-test on one provider. */
class Attention {
  readonly #provider: Provider;
  readonly #geometry: AttentionGeometry;
  readonly #fused: InferenceSession;
  readonly #spelled: InferenceSession;
  readonly #device: DeviceAllocator | null;

  private constructor(
    provider: Provider,
    geometry: AttentionGeometry,
    fused: InferenceSession,
    spelled: InferenceSession,
    device: DeviceAllocator | null,
  ) {
    this.#provider = provider;
    this.#geometry = geometry;
    this.#fused = fused;
    this.#spelled = spelled;
    this.#device = device;
  }

  static async open(provider: Provider, geometry: AttentionGeometry, threads: number): Promise<Attention> {
    const settings = { provider, threads };
    const fused = await openSession(fusedAttentionGraph(geometry.heads, geometry.kvHeads), settings);
    const spelled = await openSession(spelledAttentionGraph(geometry.headDim), settings);
    const device = provider === 'webgpu' ? await DeviceAllocator.create(provider) : null;
    return new Attention(provider, geometry, fused, spelled, device);
  }

  /** Causal attention with the decoder's operator, its in-place cache and prompts of at most `limit` tokens. */
  async attend({ query, key, value }: AttentionInputs, limit: number): Promise<Float32Array> {
    const { heads, kvHeads, headDim } = this.#geometry;
    const shape = { layers: 1, kvHeads, headDim };
    const names: CacheNames = {
      past: (_, part) => `past_${part}`,
      present: (_, part) => `present_${part}`,
    };
    const cache: KvCache = this.#device
      ? await DeviceCache.create(this.#device, shape, names, tokens + 1)
      : new HostCache(shape, names, tokens + 1);
    try {
      const output = new Float32Array(query.length);
      const rows = (all: Float32Array, from: number, count: number) => {
        const width = all.length / (tokens + 1);
        return new Tensor('float32', all.slice(from * width, (from + count) * width), [1, count, width]);
      };
      for (let from = 0; from <= tokens; ) {
        const count = from === tokens ? 1 : Math.min(limit, tokens - from);
        const result = await runSession(
          this.#fused,
          this.#provider,
          {
            query: rows(query, from, count),
            key: rows(key, from, count),
            value: rows(value, from, count),
            ...cache.past,
            seqlens_k: new Tensor('int32', Int32Array.of(from + count - 1), [1]),
            total_sequence_length: new Tensor('int32', Int32Array.of(from + count), []),
          },
          { output: null, ...cache.present },
        );
        output.set(result.output!.data as Float32Array, from * heads * headDim);
        from += count;
      }
      return output;
    } finally {
      cache.dispose();
    }
  }

  /** The queries attending to themselves with MatMul and Softmax, as in the portable vision graph. */
  async attendSpelledOut({ query }: AttentionInputs): Promise<Float32Array> {
    const { heads, headDim } = this.#geometry;
    const x = new Tensor('float32', query.slice(0, heads * tokens * headDim), [1, heads, tokens, headDim]);
    const { output } = await runSession(this.#spelled, this.#provider, { x }, { output: null });
    return output!.data as Float32Array;
  }

  async close(): Promise<void> {
    await this.#fused.release();
    await this.#spelled.release();
    await this.#device?.dispose();
  }
}

/** Largest absolute difference; infinite where either is not a number. */
function difference(a: Float32Array, b: Float32Array): number {
  let most = 0;
  for (let i = 0; i < a.length; i += 1) {
    const one = Math.abs(a[i]! - b[i]!);
    if (!(one <= most)) most = Number.isNaN(one) ? Number.POSITIVE_INFINITY : one;
  }
  return most;
}
