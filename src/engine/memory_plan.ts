/** How a model is run in the memory that is free now. */
import type { Checkpoint } from '../model/checkpoint/checkpoint.ts';
import type { CompiledModel, CompileOptions } from '../model/compiler/manifest.ts';
import {
  futureWeightBytes,
  headBytes,
  type MemoryPlan,
  memoryText,
  planMemory,
  weightBytes,
} from '../model/runtime/memory.ts';
import type { Provider } from '../model/runtime/ort.ts';
import { freeGraphicsMemory, freeMemory } from './free_memory.ts';

/** What there is to take on a device, bytes; null where nobody can say. */
const availableMemory = (provider: Provider): number | null =>
  provider === 'cpu' ? freeMemory() : freeGraphicsMemory();

const deviceName = (provider: Provider): string =>
  provider === 'cpu' ? 'this computer' : 'the graphics device';

/**
 * @param precision What it is compiled to, in words.
 * @param available Bytes; default: what is free.
 * @throws OmniError `out_of_memory`.
 */
export function planCompiled(
  { config, manifest }: CompiledModel,
  precision: string,
  provider: Provider,
  available = availableMemory(provider),
): MemoryPlan {
  const onCpu = provider === 'cpu';
  const loading = onCpu ? headBytes(config, manifest.options.precision.decoder) : 0;
  const ways = [{ precision, weights: weightBytes(manifest, onCpu), loading }];
  return planMemory({ config, device: deviceName(provider), onCpu, available, ways });
}

/**
 * As {@link planCompiled}, for a checkpoint before it is compiled.
 *
 * @param ways Precisions that it may be compiled to, the wanted one first.
 */
export function planCheckpoint(
  { config, tensors }: Pick<Checkpoint, 'config' | 'tensors'>,
  ways: readonly CompileOptions['precision'][],
  provider: Provider,
  available = availableMemory(provider),
): MemoryPlan {
  const onCpu = provider === 'cpu';
  const stored = [...tensors.values()];
  return planMemory({
    config,
    device: deviceName(provider),
    onCpu,
    available,
    ways: ways.map((way) => ({
      precision: way.decoder,
      weights: futureWeightBytes(stored, config, way, onCpu),
      loading: onCpu ? headBytes(config, way.decoder) : 0,
    })),
  });
}

/** What a plan comes to, in words. */
export const planText = (plan: MemoryPlan, provider: Provider): string =>
  memoryText(plan, deviceName(provider));
