import { existsSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { openCheckpoint } from '../model/checkpoint/checkpoint.ts';
import type { ModelConfig } from '../model/checkpoint/config.ts';
import { type CompileProgress, compileCached } from '../model/compiler/compile.ts';
import { type CompiledModel, type CompileOptions, openCompiled } from '../model/compiler/manifest.ts';
import { loadModel, type OmniModel } from '../model/runtime/model.ts';
import type { ProviderRequest } from '../model/runtime/providers.ts';
import { OmniError } from '../protocol/errors.ts';
import { cacheDirectory, nanoDirectory } from './paths.ts';

/** A model that is loaded, with what a record says of it. */
export interface EngineModel {
  readonly id: string;
  /** First half of the SHA-256 that names config, tokenizer and weights. */
  readonly revision: string;
  readonly precision: string;
  readonly compiler: string;
  readonly config: ModelConfig;
  readonly omni: OmniModel;
  /** Seconds it took to open the graphs, without compiling. */
  readonly loadSeconds: number;
}

/** `auto` keeps small models in float32 and takes large ones to int4. */
export const precisions = ['auto', 'fp32', 'fp16', 'int8', 'int4'] as const;
export type PrecisionRequest = (typeof precisions)[number];

export interface LoadCall {
  readonly provider?: ProviderRequest;
  readonly precision?: PrecisionRequest;
  readonly threads?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onCompile?: (progress: CompileProgress) => void;
}

/** Checkpoints up to this size, bytes, stay in float32: quantising them would save nothing that matters. */
const smallCheckpoint = 256 * 2 ** 20;

/** The directory that a model's name stands for. */
export function modelDirectory(name: string): string {
  if (name === 'nano') return nanoDirectory();
  const directory = resolve(name);
  if (existsSync(directory) && statSync(directory).isDirectory()) return directory;
  const hub = /^[\w.-]+\/[\w.-]+(@[\w.-]+)?$/.test(name);
  throw new OmniError(
    'model_not_found',
    hub
      ? `There is no directory ${name}. It looks like a hub id; downloading checkpoints is not built yet.`
      : `There is no directory ${name}.`,
    'Name the directory of a downloaded checkpoint, or nano for the embedded model.',
    { path: name },
  );
}

/** What a checkpoint is compiled to. */
export function compileOptions(directory: string, request: PrecisionRequest = 'auto'): CompileOptions {
  const size = openCheckpoint(directory).files.reduce((sum, file) => sum + statSync(file).size, 0);
  const decoder = request !== 'auto' ? request : size <= smallCheckpoint ? 'fp32' : 'int4';
  return { precision: { decoder, vision: decoder === 'int4' ? 'int8' : decoder }, accuracyLevel: 4 };
}

/** The compiled form of a model: a compiled directory as it is, a checkpoint from the cache or compiled now. */
export async function compiledModel(name: string, call: LoadCall = {}): Promise<CompiledModel> {
  const directory = modelDirectory(name);
  if (existsSync(join(directory, 'manifest.json'))) return openCompiled(directory);
  return compileCached(directory, join(cacheDirectory(), 'models'), {
    ...compileOptions(directory, call.precision),
    signal: call.signal,
    ...(call.onCompile ? { onProgress: call.onCompile } : {}),
  });
}

/** Compiles where needed, and loads. */
export async function loadEngineModel(name: string, call: LoadCall = {}): Promise<EngineModel> {
  const compiled = await compiledModel(name, call);
  const started = performance.now();
  const omni = await loadModel(compiled, {
    provider: call.provider ?? 'auto',
    ...(call.threads === undefined ? {} : { threads: call.threads }),
  });
  const { manifest, config } = compiled;
  const { decoder, vision } = manifest.options.precision;
  return {
    id: name === 'nano' ? 'omnivqa-nano' : basename(resolve(name)),
    revision: manifest.source.slice(0, 32),
    precision: decoder === vision ? decoder : `${decoder}, vision ${vision}`,
    compiler: String(manifest.compiler),
    config,
    omni,
    loadSeconds: (performance.now() - started) / 1000,
  };
}

/** One line of `omnivqa model list`. */
export interface ListedModel {
  readonly directory: string;
  readonly family: string;
  readonly precision: string;
  readonly bytes: number;
}

/** The compiled models in the cache; those of another compiler version, or damaged, are left out. */
export async function cachedModels(): Promise<ListedModel[]> {
  const root = join(cacheDirectory(), 'models');
  const names = existsSync(root) ? await readdir(root) : [];
  const listed: ListedModel[] = [];
  for (const name of names.sort()) {
    const compiled = await openCompiled(join(root, name)).catch(() => undefined);
    if (!compiled) continue;
    const { files, options } = compiled.manifest;
    listed.push({
      directory: compiled.directory,
      family: compiled.config.omnivqa.family,
      precision: options.precision.decoder,
      bytes: Object.values(files).reduce((sum, { size }) => sum + size, 0),
    });
  }
  return listed;
}
