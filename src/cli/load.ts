import { printable } from '../assessment/text.ts';
import { type EngineModel, loadEngineModel, type PrecisionRequest } from '../engine/models.ts';
import type { ProviderRequest } from '../model/runtime/providers.ts';
import type { Io, ProgressLine } from './io.ts';

/** The flags of every command that runs a model. */
export interface RuntimeFlags {
  readonly provider: ProviderRequest;
  readonly precision: PrecisionRequest;
  readonly threads?: number;
}

/** Loads a model, compiling it where needed, with progress and notes on stderr. */
export async function loadForCommand(
  name: string,
  { provider, precision, threads }: RuntimeFlags,
  io: Io,
  progress: ProgressLine,
): Promise<EngineModel> {
  try {
    const model = await loadEngineModel(name, {
      provider,
      precision,
      ...(threads === undefined ? {} : { threads }),
      signal: io.signal,
      onCompile: ({ done, total }) => progress.show('Compiling the model', done / 1e6, total / 1e6, 'MB'),
      onProblem: ({ message }) => {
        progress.clear();
        io.stderr.write(`Note: ${printable(message)}\n`);
      },
    });
    progress.clear();
    const { provider: chosen, reason } = model.omni.choice;
    // Whoever watches wants to know which device works; a log does not need it with every call.
    if (provider === 'auto' && io.stderr.isTTY) io.stderr.write(`Runs on ${chosen}: ${printable(reason)}\n`);
    return model;
  } finally {
    progress.clear();
  }
}
