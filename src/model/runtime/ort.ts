import { availableParallelism } from 'node:os';
import { InferenceSession, listSupportedBackends, type Tensor } from 'onnxruntime-node';
import { OmniError } from '../../protocol/errors.ts';

/** The execution providers of onnxruntime that this program knows how to drive. */
export type Provider = 'cpu' | 'webgpu' | 'cuda' | 'dml' | 'coreml';

export interface SessionSettings {
  readonly provider: Provider;
  /** Threads of the CPU provider; all cores by default. */
  readonly threads?: number;
  /** Leave every output in the device's memory (WebGPU only). */
  readonly keepOnDevice?: boolean;
}

/**
 * Opens a graph: a path (weights as external data beside it) or an encoded ModelProto without external data.
 *
 * All sessions of a process belong to one thread: two WebGPU sessions driven from two threads crash
 * (microsoft/onnxruntime#32561). Creating and running block that thread.
 *
 * @throws OmniError `provider_unavailable` where this build, driver or machine has no such provider,
 *   `out_of_memory`, `runtime_failed`.
 */
export async function openSession(
  graph: string | Uint8Array,
  { provider, threads, keepOnDevice = false }: SessionSettings,
): Promise<InferenceSession> {
  const options: InferenceSession.SessionOptions = {
    executionProviders: [provider],
    intraOpNumThreads: threads ?? availableParallelism(),
    // Failures come back as exceptions; onnxruntime's own copy on stderr would land in the middle of a report.
    logSeverityLevel: 4,
    ...(keepOnDevice ? { preferredOutputLocation: 'gpu-buffer' as const } : {}),
    // Without it, operators that the GPU lacks run on the CPU in silence, with a transfer around each.
    extra: {
      session: {
        // ffmpeg decodes beside the model: threads that wait for the next run must not hold its cores.
        intra_op: { allow_spinning: '0' },
        ...(provider === 'webgpu' ? { disable_cpu_ep_fallback: '1' } : {}),
      },
    },
  };
  try {
    return typeof graph === 'string'
      ? await InferenceSession.create(graph, options)
      : await InferenceSession.create(graph, options);
  } catch (error) {
    throw runtimeError(error, provider, 'open a graph');
  }
}

/**
 * Runs a session. An output named in `fetches` with a tensor is written into that tensor.
 *
 * @throws OmniError `out_of_memory`, `device_lost`, `runtime_failed`.
 */
export async function runSession(
  session: InferenceSession,
  provider: Provider,
  feeds: Readonly<Record<string, Tensor>>,
  fetches: Readonly<Record<string, Tensor | null>>,
): Promise<Readonly<Record<string, Tensor>>> {
  try {
    return (await session.run(feeds, fetches)) as Readonly<Record<string, Tensor>>;
  } catch (error) {
    throw runtimeError(error, provider, 'run a graph');
  }
}

/** Which providers the installed onnxruntime carries. */
export function bundledProviders(): readonly string[] {
  return listSupportedBackends().map(({ name }) => name);
}

/**
 * Words of Dawn, Vulkan, Direct3D, CUDA and our own arrays. Dawn reports a buffer that it could not make only where it
 * is used: everything made of it is "invalid due to a previous error".
 */
const memory =
  /out.of.(device.|host.|pool.)?memory|bad.?alloc|not enough memory|8007000E|ALLOC_FAILED|CUDA failure 2:|fail(ed|ure)? to (allocate|create (a )?(GPU )?buffer)|allocation failed|buffer size .* (exceeds|larger)|invalid due to a previous error|invalid (typed )?array length/i;
/** DXGI's removed, hung and reset; CUDA's errors after which the context of the process is dead. */
const lost =
  /device\]? (is|was) lost|device.lost|device.removed|DEVICE_(REMOVED|HUNG|RESET)|GetDeviceRemovedReason|887A000[567]|CUDA failure (46|700|702|719|999):|illegal memory access|unspecified launch failure/i;
const absent =
  /no available backend|backend not found|failed to load (shared )?library|no supported adapters|failed to get a webgpu (adapter|device)|execution provider is not (enabled|supported)|not available in this build/i;

/** Turns what onnxruntime, Dawn or an array allocation threw into an error with a code and a next step. */
export function runtimeError(error: unknown, provider: Provider, doing: string): OmniError {
  if (OmniError.is(error)) return error;
  const text = error instanceof Error ? error.message : String(error);
  // The first line says what happened; the rest are C++ source paths and signatures.
  const cause = (text.trim().split('\n')[0] ?? '').replace(/^.*\bmessage: /, '');
  const detail = { findings: [text] };
  if (provider !== 'cpu' && lost.test(text)) {
    return new OmniError(
      'device_lost',
      `The graphics device was lost (${provider}): ${cause}`,
      'Try again: it goes on in a fresh process. If it happens again, update the graphics driver or choose the CPU.',
      detail,
      { cause: error },
    );
  }
  if (memory.test(text)) {
    return new OmniError(
      'out_of_memory',
      `There was not enough memory to ${doing} on ${provider}: ${cause}`,
      provider === 'cpu'
        ? 'Close other programs, shorten the clip or choose a smaller model or precision.'
        : 'Choose the CPU provider, a shorter clip or a smaller precision.',
      detail,
      { cause: error },
    );
  }
  if (absent.test(text)) {
    return new OmniError(
      'provider_unavailable',
      `The provider ${provider} can not be used here: ${cause}`,
      'Choose the provider auto or cpu.',
      detail,
      { cause: error },
    );
  }
  return new OmniError(
    'runtime_failed',
    `onnxruntime could not ${doing} on ${provider}: ${cause}`,
    provider === 'cpu'
      ? 'Compile the model again (omnivqa model compile); if it stays, report it with the message.'
      : 'Choose the CPU provider; if that works, report the message with the graphics driver’s version.',
    detail,
    { cause: error },
  );
}

/** @throws OmniError `cancelled` when the signal has been aborted. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new OmniError('cancelled', 'The work was cancelled.', 'Start it again if needed.');
  }
}
