import type { Assessment } from '../assessment/record.ts';
import { printable } from '../assessment/text.ts';
import { type AssessOptions, assessCached, assessVideo } from '../engine/assess.ts';
import { isDeviceFailure, loadLimit, nextLimit, problemOf } from '../engine/devices.ts';
import { HeldWindows } from '../engine/held_windows.ts';
import { planText } from '../engine/memory_plan.ts';
import { type EngineModel, loadEngineModel, type PrecisionRequest } from '../engine/models.ts';
import type { ResultCache } from '../engine/results.ts';
import type { LoadLimit } from '../model/runtime/model.ts';
import type { ProviderRequest } from '../model/runtime/providers.ts';
import type { OmniError, Problem } from '../protocol/errors.ts';
import type { Io, ProgressLine } from './io.ts';

/** Bytes of weights up to which nobody asks what a model takes. */
const smallWeights = 2 ** 28;

/** The flags of every command that runs a model. */
export interface RuntimeFlags {
  readonly provider: ProviderRequest;
  readonly precision: PrecisionRequest;
  readonly threads?: number;
  /** GB. */
  readonly memory?: number;
}

/** Loads a model, compiling it where needed, with progress and notes on stderr. */
export async function loadForCommand(
  name: string,
  { provider, precision, threads, memory }: RuntimeFlags,
  io: Io,
  progress: ProgressLine,
  limit?: LoadLimit,
): Promise<EngineModel> {
  try {
    const model = await loadEngineModel(name, {
      provider,
      precision,
      ...(threads === undefined ? {} : { threads }),
      memory: memory === undefined ? undefined : memory * 1e9,
      signal: io.signal,
      limit,
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
    const large = model.memory.need.weights > smallWeights;
    if (large && io.stderr.isTTY) io.stderr.write(`Takes ${planText(model.memory, chosen)}.\n`);
    for (const { message } of model.memory.problems) io.stderr.write(`Note: ${printable(message)}\n`);
    return model;
  } finally {
    progress.clear();
  }
}

/**
 * The model of a command that assesses clips. Where the device fails that it runs on, it is loaded again on the CPU and
 * the clip goes on from its last finished window: in the same process, as nothing of the failed provider is used, or
 * freed, after that. Another try on the device would take a process of its own, as the engine's client gives it.
 */
export class AssessingModel {
  readonly #name: string;
  readonly #flags: RuntimeFlags;
  readonly #io: Io;
  readonly #progress: ProgressLine;
  /** What happened, once it has. */
  #notes: readonly Problem[] = [];
  model: EngineModel;

  private constructor(name: string, flags: RuntimeFlags, io: Io, progress: ProgressLine, model: EngineModel) {
    this.#name = name;
    this.#flags = flags;
    this.#io = io;
    this.#progress = progress;
    this.model = model;
  }

  /** As {@link loadForCommand}. */
  static async load(
    name: string,
    flags: RuntimeFlags,
    io: Io,
    progress: ProgressLine,
  ): Promise<AssessingModel> {
    const model = await loadForCommand(name, flags, io, progress);
    return new AssessingModel(name, flags, io, progress, model);
  }

  /** As `assessCached`; without a cache, nothing is kept. */
  async assess(
    path: string,
    cache: ResultCache | undefined,
    options: Omit<AssessOptions, 'content' | 'store' | 'notes' | 'onStopped'>,
  ): Promise<{ record: Assessment; kept: boolean }> {
    const store = new HeldWindows();
    for (;;) {
      const { model } = this;
      const { provider } = model.omni.choice;
      let failure: unknown;
      const attempt = {
        ...options,
        store,
        notes: this.#notes,
        onStopped: (error: unknown) => {
          failure = error;
        },
      };
      const result = await (cache
        ? assessCached(path, model, cache, attempt)
        : assessVideo(path, model, attempt).then((record) => ({ record, kept: false }))
      ).catch((error: unknown) => {
        failure = error;
        return null;
      });
      if (isDeviceFailure(failure, provider)) {
        store.computedOn(provider);
        await this.#toCpu(failure, provider);
      } else if (result) return result;
      else throw failure;
    }
  }

  async #toCpu(failure: OmniError, provider: Exclude<ProviderRequest, 'auto'>): Promise<void> {
    const report = { model: this.#name, provider: this.#flags.provider, on: provider, failure };
    const limit = { ...nextLimit(report, failure, undefined), step: 'cpu' } as const;
    const note = problemOf(limit, 'cpu');
    this.#progress.clear();
    this.#io.stderr.write(`Note: ${printable(note.message)}\n`);
    this.model = await loadForCommand(this.#name, this.#flags, this.#io, this.#progress, loadLimit(limit));
    this.#notes = [note];
  }

  async dispose(): Promise<void> {
    await this.model.dispose();
  }
}
