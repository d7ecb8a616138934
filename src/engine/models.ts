import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { openCheckpoint } from '../model/checkpoint/checkpoint.ts';
import type { ModelConfig } from '../model/checkpoint/config.ts';
import {
  type CompileProgress,
  compileCached,
  compileCheckpoint,
  findCompiled,
} from '../model/compiler/compile.ts';
import {
  type CompiledModel,
  type CompileOptions,
  type Manifest,
  openCompiled,
} from '../model/compiler/manifest.ts';
import type { PackWorkers } from '../model/compiler/packing.ts';
import type { MemoryPlan } from '../model/runtime/memory.ts';
import { type LoadLimit, loadModel, type OmniModel } from '../model/runtime/model.ts';
import { type ProviderRequest, softwareAdapter } from '../model/runtime/providers.ts';
import { OmniError, type Problem } from '../protocol/errors.ts';
import { locateFfmpeg } from '../video/ffmpeg.ts';
import { findPulled, listPulled } from './hub_models.ts';
import { planCheckpoint, planCompiled } from './memory_plan.ts';
import { cacheDirectory, nanoDirectory, packWorkers } from './paths.ts';

/** What names a model in records and keys of results. */
export interface ModelIdentity {
  readonly id: string;
  /** Names config, tokenizer and compiled weights by their content: the same on every machine. */
  readonly revision: string;
  readonly precision: string;
  readonly compiler: string;
  /** The weights that rate encodes which are compared; null: its own. */
  readonly comparison: { readonly revision: string } | null;
}

/** A model that is loaded, with what a record says of it. */
export interface EngineModel extends ModelIdentity {
  readonly comparison: ComparisonWeights | null;
  readonly config: ModelConfig;
  readonly omni: OmniModel;
  /** Seconds it took to open the graphs, without compiling. */
  readonly loadSeconds: number;
  /** What it may take of its device's memory, and what was given up for that. */
  readonly memory: MemoryPlan;
  /** Frees the model, and what was compiled for this run alone. */
  dispose(): Promise<void>;
}

/** Weights beside a model's own, which know little but which of two encodes is better. */
export interface ComparisonWeights {
  readonly revision: string;
  /**
   * Loaded at the first call, where its model runs, and freed with it.
   *
   * @throws OmniError those of loading.
   */
  load(): Promise<EngineModel>;
}

/** `auto` keeps small models in float32 and takes large ones to int4. */
export const precisions = ['auto', 'fp32', 'fp16', 'int8', 'int4'] as const;
export type PrecisionRequest = (typeof precisions)[number];

export interface LoadCall {
  readonly provider?: ProviderRequest;
  readonly precision?: PrecisionRequest;
  readonly threads?: number;
  readonly limit?: LoadLimit | undefined;
  /** Bytes that the model may take of its device's memory; default: what is free there, as far as that is known. */
  readonly memory?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onCompile?: (progress: CompileProgress) => void;
  /** Told of what went wrong without stopping anything. */
  readonly onProblem?: (problem: Problem) => void;
}

/** Checkpoints up to this size, bytes, stay in float32: quantising them would save nothing that matters. */
const smallCheckpoint = 256 * 2 ** 20;

/** The directory that a model's name stands for: `nano`, a path, or the hub id of a model that was pulled. */
export function modelDirectory(name: string): string {
  if (name === 'nano') return nanoDirectory();
  const directory = resolve(name);
  if (existsSync(directory) && statSync(directory).isDirectory()) return directory;
  const pulled = findPulled(name);
  if (pulled !== null) return pulled;
  throw new OmniError(
    'model_not_found',
    `There is no directory ${name}.`,
    'Name the directory of a checkpoint, the hub id of a pulled model, or nano for the embedded one.',
    { path: name },
  );
}

/** Size of the weights of a checkpoint, with those that it compares encodes by. */
export function checkpointBytes(directory: string): number {
  const { files, comparison } = openCheckpoint(directory);
  return [...files, ...(comparison?.files ?? [])].reduce((sum, file) => sum + statSync(file).size, 0);
}

/** Size of a compiled model, with what it compares encodes by. */
export function compiledBytes({
  manifest,
  comparison,
}: Pick<CompiledModel, 'manifest' | 'comparison'>): number {
  const files = [manifest, comparison?.manifest].flatMap((one) => Object.values(one?.files ?? {}));
  return files.reduce((sum, { size }) => sum + size, 0);
}

/** What a checkpoint is compiled to. */
export function compileOptions(directory: string, request: PrecisionRequest = 'auto'): CompileOptions {
  const small = checkpointBytes(directory) <= smallCheckpoint;
  const decoder = request !== 'auto' ? request : small ? 'fp32' : 'int4';
  return { precision: { decoder, vision: decoder === 'int4' ? 'int8' : decoder }, accuracyLevel: 4 };
}

/**
 * The compiled form of a model: a compiled directory as it is, a checkpoint from the cache or compiled now.
 *
 * @throws OmniError `model_not_found`, `compiled_invalid`, and those of compiling.
 */
export async function compiledModel(name: string, call: LoadCall = {}): Promise<CompiledModel> {
  const directory = modelDirectory(name);
  if (existsSync(join(directory, 'manifest.json'))) return openCompiled(directory);
  return compileCached(directory, join(cacheDirectory(), 'models'), compileCall(directory, call));
}

/** A small checkpoint is compiled before threads would have started. */
export const threadsFor = (directory: string): { workers?: PackWorkers } => {
  const workers = checkpointBytes(directory) > smallCheckpoint ? packWorkers() : undefined;
  return workers ? { workers } : {};
};

const compileCall = (directory: string, { precision, signal, onCompile }: LoadCall) => ({
  ...compileOptions(directory, precision),
  ...threadsFor(directory),
  signal,
  ...(onCompile ? { onProgress: onCompile } : {}),
});

/**
 * As {@link compiledModel}; where the cache can not be written, a small checkpoint is compiled for this run alone.
 *
 * @returns `temporary`: the directory to remove after the run.
 */
async function compiledForRun(
  name: string,
  call: LoadCall,
): Promise<{ compiled: CompiledModel; temporary?: string }> {
  try {
    return { compiled: await compiledModel(name, call) };
  } catch (error) {
    // A system call that has no code of its own here is one on the cache too: everything else was only read.
    const uncached =
      OmniError.is(error, 'not_writable') || OmniError.is(error, 'disk_full') || isSystemError(error);
    const directory = modelDirectory(name);
    if (!uncached || checkpointBytes(directory) > smallCheckpoint) throw error;
    call.onProblem?.({
      code: 'cache_not_written',
      message: `The compiled model can not be kept for next time: ${(error as Error).message}`,
    });
    const temporary = await mkdtemp(join(tmpdir(), 'omnivqa-model-'));
    try {
      const target = join(temporary, 'compiled');
      return {
        compiled: await compileCheckpoint(directory, target, compileCall(directory, call)),
        temporary,
      };
    } catch (failure) {
      await rm(temporary, { recursive: true, force: true });
      throw failure;
    }
  }
}

const isSystemError = (error: unknown): boolean =>
  error instanceof Error && 'syscall' in error && typeof error.syscall === 'string';

/** What a model's config says, without compiling or loading it. */
export async function modelConfig(name: string): Promise<ModelConfig> {
  const directory = modelDirectory(name);
  if (!existsSync(join(directory, 'manifest.json'))) return openCheckpoint(directory).config;
  return (await openCompiled(directory)).config;
}

function identityOf(name: string, compiled: CompiledModel): ModelIdentity {
  const { manifest, comparison } = compiled;
  return {
    id: name === 'nano' ? 'omnivqa-nano' : basename(resolve(name)),
    revision: revisionOf(compiled),
    precision: precisionOf(manifest),
    compiler: String(manifest.compiler),
    comparison: comparison && { revision: revisionOf(comparison) },
  };
}

/**
 * What names a model, from its compiled form: nothing is loaded. null where it was not compiled yet.
 *
 * @throws OmniError `model_not_found`, and those of reading a checkpoint or a compiled directory.
 */
export async function findIdentity(name: string): Promise<ModelIdentity | null> {
  const directory = modelDirectory(name);
  const compiled = existsSync(join(directory, 'manifest.json'))
    ? await openCompiled(directory)
    : await findCompiled(directory, join(cacheDirectory(), 'models'), compileOptions(directory));
  return compiled && identityOf(name, compiled);
}

/**
 * The precision that a checkpoint is to be compiled to: the wanted one, or int4 where the memory is known not to be enough
 * for it. A compiled directory is what it is.
 *
 * @throws OmniError `out_of_memory` where int4 does not fit either: before it is compiled for nothing.
 */
function fittingPrecision(
  name: string,
  { precision = 'auto', provider = 'auto', limit, memory }: LoadCall,
): { readonly precision: PrecisionRequest; readonly problems: readonly Problem[] } {
  const asWanted = { precision, problems: [] };
  const directory = modelDirectory(name);
  if (existsSync(join(directory, 'manifest.json'))) return asWanted;
  const onCpu = limit?.step === 'cpu' || (provider === 'auto' && softwareAdapter() !== undefined);
  const device = onCpu ? 'cpu' : provider;
  // A graphics card may turn up, and nobody knows of which size.
  if (device === 'auto') return asWanted;
  const wanted = compileOptions(directory, precision).precision;
  const ways = wanted.decoder === 'int4' ? [wanted] : [wanted, compileOptions(directory, 'int4').precision];
  const { problems } = planCheckpoint(openCheckpoint(directory), ways, device, memory);
  const lowered = problems.filter(({ code }) => code === 'precision_lowered');
  return lowered.length > 0 ? { precision: 'int4', problems: lowered } : asWanted;
}

/**
 * Compiles where needed, and loads: with as much at a time and windows as long as there is memory for. What it compares
 * encodes by is loaded when it is needed.
 *
 * @throws OmniError `out_of_memory` where there is not enough for any of it, and those of compiling and loading.
 */
export async function loadEngineModel(name: string, call: LoadCall = {}): Promise<EngineModel> {
  // Whoever loads a model decodes next: ffmpeg is looked for meanwhile, and its absence is told where it is missed.
  locateFfmpeg().catch(() => undefined);
  const { precision, problems } = fittingPrecision(name, call);
  const { compiled, temporary } = await compiledForRun(name, { ...call, precision });
  const clean = async () => {
    if (temporary) await rm(temporary, { recursive: true, force: true });
  };
  const model = await loadCompiled(name, compiled, call, problems).catch(async (error: unknown) => {
    await clean();
    throw error;
  });
  const beside = compiled.comparison && new LoadedOnce(compiled.comparison, name, model, call);
  return {
    ...model,
    comparison: beside,
    dispose: async () => {
      await beside?.dispose();
      await model.dispose();
      await clean();
    },
  };
}

/** {@link ComparisonWeights} of a model that is loaded. */
class LoadedOnce implements ComparisonWeights {
  readonly revision: string;
  readonly #start: () => Promise<EngineModel>;
  #loading: Promise<EngineModel> | null = null;

  constructor(compiled: CompiledModel, name: string, { omni, memory }: EngineModel, call: LoadCall) {
    this.revision = revisionOf(compiled);
    const left = call.memory === undefined ? undefined : call.memory - memory.need.weights;
    const there = { ...call, provider: omni.choice.provider, memory: left };
    this.#start = () => loadCompiled(name, compiled, there);
  }

  load(): Promise<EngineModel> {
    this.#loading ??= this.#start().catch((error: unknown) => {
      this.#loading = null;
      throw error;
    });
    return this.#loading;
  }

  async dispose(): Promise<void> {
    const model = await this.#loading?.catch(() => null);
    await model?.dispose();
  }
}

async function loadCompiled(
  name: string,
  compiled: CompiledModel,
  call: LoadCall,
  problems: readonly Problem[] = [],
): Promise<EngineModel> {
  const started = performance.now();
  let plan: MemoryPlan | undefined;
  const omni = await loadModel(compiled, {
    provider: call.provider ?? 'auto',
    limit: call.limit,
    memory: (provider) => {
      plan = planCompiled(compiled, precisionOf(compiled.manifest), provider, call.memory);
      return plan.need.activations;
    },
    ...(call.threads === undefined ? {} : { threads: call.threads }),
  });
  const { config } = compiled;
  const memory = { ...plan!, problems: [...problems, ...plan!.problems] };
  return {
    ...identityOf(name, compiled),
    comparison: null,
    config: { ...config, omnivqa: { ...config.omnivqa, windowSeconds: memory.windowSeconds } },
    omni,
    memory,
    loadSeconds: (performance.now() - started) / 1000,
    dispose: () => omni.dispose(),
  };
}

/** The decoder's precision, and the vision tower's where it is another. */
export function precisionOf({ options }: Manifest): string {
  const { decoder, vision } = options.precision;
  return decoder === vision ? decoder : `${decoder}, vision ${vision}`;
}

/** First half of the SHA-256 over the SHA-256s of all compiled files. */
export function revisionOf({ manifest }: CompiledModel): string {
  const hash = createHash('sha256');
  for (const name of Object.keys(manifest.files).sort())
    hash.update(`${name} ${manifest.files[name]!.sha256}\n`);
  return hash.digest('hex').slice(0, 32);
}

/** One line of `omnivqa model list`. */
export interface ListedModel {
  /** What `--model` takes: `nano`, the id of a pulled model, or a compiled directory. */
  readonly name: string;
  readonly family: string;
  /** null for a checkpoint that is not compiled yet. */
  readonly precision: string | null;
  /** Whether it answers freely; one that does not may still answer fixed questions. */
  readonly chats: boolean;
  readonly bytes: number;
}

/** The embedded model, pulled ones and the compiled ones in the cache; those of another compiler version, or damaged, are left out. */
export async function listModels(): Promise<ListedModel[]> {
  const listed: ListedModel[] = [];
  try {
    const { config, directory } = openCheckpoint(modelDirectory('nano'));
    const { family, converses } = config.omnivqa;
    listed.push({
      name: 'nano',
      family,
      precision: null,
      chats: converses,
      bytes: checkpointBytes(directory),
    });
  } catch (error) {
    // An installation without the embedded model still lists what was compiled.
    if (!OmniError.is(error, 'model_not_found')) throw error;
  }
  for (const { name, directory } of listPulled()) {
    const compiled = existsSync(join(directory, 'manifest.json'))
      ? await openCompiled(directory).catch(() => undefined)
      : null;
    if (compiled) listed.push(listedCompiled(name, compiled));
    if (compiled !== null) continue;
    try {
      const { config } = openCheckpoint(directory);
      const { family, converses } = config.omnivqa;
      listed.push({ name, family, precision: null, chats: converses, bytes: checkpointBytes(directory) });
    } catch (error) {
      // One whose files were damaged since; pulling it again repairs it.
      if (!OmniError.is(error)) throw error;
    }
  }
  const root = join(cacheDirectory(), 'models');
  for (const name of (await readdir(root).catch(() => [])).sort()) {
    const compiled = await openCompiled(join(root, name)).catch(() => undefined);
    if (compiled) listed.push(listedCompiled(compiled.directory, compiled));
  }
  return listed;
}

const listedCompiled = (name: string, { manifest, config, comparison }: CompiledModel): ListedModel => ({
  name,
  family: config.omnivqa.family,
  precision: precisionOf(manifest),
  chats: config.omnivqa.converses,
  bytes: compiledBytes({ manifest, comparison }),
});
