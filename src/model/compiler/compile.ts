import { createHash, randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { OmniError } from '../../protocol/errors.ts';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.ts';
import { loadTokenizer } from '../checkpoint/tokenizer.ts';
import { decoderGraph } from './decoder.ts';
import type { Graph } from './graph.ts';
import {
  type CompiledModel,
  type CompileOptions,
  compilerVersion,
  digestOf,
  type Manifest,
  openCompiled,
  sha256Of,
} from './manifest.ts';
import { motionGraph } from './motion.ts';
import { openPacker, type PackWorkers } from './packing.ts';
import { visionGraph } from './vision.ts';
import { type Watch, WeightFile, Weights, writeError } from './weights.ts';

export interface CompileProgress {
  /** Bytes of the checkpoint consumed, and in all. */
  readonly done: number;
  readonly total: number;
}

export interface CompileCall extends Partial<CompileOptions> {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: CompileProgress) => void;
  /** Threads that pack the weights; without them it is done in the calling one. */
  readonly workers?: PackWorkers | undefined;
}

/** Files of a checkpoint that a compiled directory takes along as they are. */
const copied = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'generation_config.json'];

/** What is compiled when nothing else is asked for: everything in float32. */
export const defaultOptions: CompileOptions = {
  precision: { decoder: 'fp32', vision: 'fp32' },
  accuracyLevel: 4,
};

/**
 * Compiles a checkpoint, one that is open or a directory of one, into `directory`: ONNX graphs with their weights as
 * external data, and a manifest. Weights stream through a bounded buffer, whatever the size of the checkpoint.
 * Everything is written beside the target and renamed at the end: a directory is there whole or not at all.
 *
 * @throws OmniError those of `openCheckpoint`, `tokenizer_invalid`, `file_replaced`, `disk_full`, `not_writable`,
 *   `cancelled`.
 */
export async function compileCheckpoint(
  from: string | Checkpoint,
  directory: string,
  { signal, onProgress, precision, accuracyLevel, workers }: CompileCall = {},
): Promise<CompiledModel> {
  const options: CompileOptions = {
    precision: precision ?? defaultOptions.precision,
    accuracyLevel: accuracyLevel ?? defaultOptions.accuracyLevel,
  };
  const checkpoint = typeof from === 'string' ? openCheckpoint(from) : from;
  const source = checkpoint.directory;
  const fingerprinted = await fingerprint(checkpoint);
  const { config } = checkpoint;
  const tokenizer = await loadTokenizer(source);
  const levelIds = config.omnivqa.levels.map((level) => {
    const ids = tokenizer.encode(` ${level}`);
    if (ids.length === 1) return ids[0]!;
    throw new OmniError(
      'tokenizer_invalid',
      `The quality level " ${level}" is ${ids.length} tokens in ${source}; a rating is read from one token each.`,
      'Take tokenizer.json from the same place as the weights, or name other levels in config.json.',
      { path: source },
    );
  });

  const beside = checkpoint.comparison;
  const total = tensorBytes(checkpoint) + (beside ? tensorBytes(beside) : 0);
  let done = 0;
  const watch: Watch = {
    onConsumed: (bytes) => {
      done = Math.min(total, done + bytes);
      onProgress?.({ done, total });
    },
    breathe: async () => {
      await new Promise(setImmediate);
      if (signal?.aborted) {
        throw new OmniError('cancelled', 'The compilation was cancelled.', 'Start it again when needed.');
      }
    },
  };

  const partial = partialName(directory);
  let open: WeightFile | undefined;
  const packer = openPacker(workers);
  try {
    await removeAbandoned(directory);
    await mkdir(partial, { recursive: true });
    const files: Record<string, { size: number; sha256: string }> = {};
    const put = async (name: string, bytes: Uint8Array) => {
      await writeFile(join(partial, name), bytes);
      files[name] = { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
    };
    /** One weight file, and the graphs that use it by the names of their files. */
    const part = async <T>(
      name: string,
      build: (weights: Weights) => { readonly graphs: Readonly<Record<string, Graph>>; readonly result: T },
    ): Promise<T> => {
      open = new WeightFile(join(partial, `${name}.weights`));
      const weights = new Weights(checkpoint, open, packer, watch);
      const { graphs, result } = build(weights);
      for (const [file, graph] of Object.entries(graphs)) await put(file, graph.encode(name));
      await weights.write();
      files[`${name}.weights`] = open.close();
      return result;
    };
    const variants = (name: string, build: (weights: Weights, portable: boolean) => Graph) =>
      part(name, (weights) => ({
        graphs: {
          [`${name}.onnx`]: build(weights, false),
          [`${name}.portable.onnx`]: build(weights, true),
        },
        result: undefined,
      }));

    for (const name of copied) {
      if (!existsSync(join(source, name))) continue;
      await copyFile(join(source, name), join(partial, name));
      files[name] = { size: statSync(join(partial, name)).size, sha256: await sha256Of(join(partial, name)) };
    }
    const { accuracyLevel: level } = options;
    await variants('vision', (weights, portable) =>
      visionGraph(config, weights, {
        precision: options.precision.vision,
        accuracyLevel: level,
        portable,
      }),
    );
    const { motion } = config;
    if (motion)
      await variants('motion', (weights, portable) => motionGraph(config, motion, weights, portable));
    const embeddings = await part('embeddings', (weights) => {
      const type = options.precision.decoder === 'fp32' ? ('float32' as const) : ('float16' as const);
      const { offset } = weights.stored('model.embed_tokens.weight', type);
      const { offset: newlineOffset } = weights.stored('model.image_newline', 'float32');
      return { graphs: {}, result: { type, offset, newlineOffset } };
    });
    await part('decoder', (weights) => {
      const graph = decoderGraph(config, weights, {
        precision: options.precision.decoder,
        accuracyLevel: level,
        levelIds,
      });
      return { graphs: { 'decoder.onnx': graph }, result: undefined };
    });
    if ((await fingerprint(checkpoint)) !== fingerprinted) {
      throw new OmniError(
        'file_replaced',
        `${source} changed while it was compiled.`,
        'Wait until the download is complete and compile again.',
        { path: source },
      );
    }
    const from = done;
    const comparison =
      beside &&
      (await compileCheckpoint(beside, join(partial, 'comparison'), {
        ...options,
        signal,
        workers,
        onProgress: (nested) => onProgress?.({ done: from + nested.done, total }),
      }));
    const content = {
      compiler: compilerVersion,
      source: fingerprinted,
      options,
      files,
      config,
      motion: motion ? { radius: motion.radius } : null,
      levelIds,
      stopIds: [...new Set([...config.eosTokenIds, ...(await generationStops(source))])],
      embeddings,
      ...(comparison ? { comparison: comparison.manifest.digest } : {}),
    };
    const manifest: Manifest = { digest: digestOf(content), ...content };
    await writeFile(join(partial, 'manifest.json'), `${JSON.stringify(manifest, null, 1)}\n`);
    await moveIntoPlace(partial, directory);
    return {
      directory,
      manifest,
      config,
      comparison: comparison && { ...comparison, directory: join(directory, 'comparison') },
    };
  } catch (error) {
    open?.close();
    // What can not be removed (no folder to write to in the first place) must not hide why it is to be removed.
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw writeError(error, directory);
  } finally {
    await packer.close();
  }
}

const tensorBytes = ({ tensors }: Checkpoint): number =>
  [...tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);

/**
 * The compiled form of a checkpoint below a cache directory: the one that is there, if the checkpoint, the options and
 * the compiler are the same and its files are whole; otherwise it is compiled (again).
 */
export async function compileCached(
  source: string,
  cache: string,
  call: CompileCall = {},
): Promise<CompiledModel> {
  const directory = await cachedDirectory(source, cache, call);
  return (await openWhole(directory)) ?? compileCheckpoint(source, directory, call);
}

/** As {@link compileCached}, but nothing is compiled: null where it is not there. */
export async function findCompiled(
  source: string,
  cache: string,
  options: Partial<CompileOptions> = {},
): Promise<CompiledModel | null> {
  return openWhole(await cachedDirectory(source, cache, options));
}

async function openWhole(directory: string): Promise<CompiledModel | null> {
  try {
    return await openCompiled(directory);
  } catch (error) {
    if (!OmniError.is(error, 'compiled_invalid')) throw error;
    return null;
  }
}

/** Where the compiled form of a checkpoint belongs. */
async function cachedDirectory(
  source: string,
  cache: string,
  { precision, accuracyLevel }: Partial<CompileOptions>,
): Promise<string> {
  const options: CompileOptions = {
    precision: precision ?? defaultOptions.precision,
    accuracyLevel: accuracyLevel ?? defaultOptions.accuracyLevel,
  };
  const key = createHash('sha256')
    .update(JSON.stringify([compilerVersion, await fingerprint(openCheckpoint(source)), options]))
    .digest('hex');
  return join(cache, key.slice(0, 32));
}

/** Weight files up to this size, bytes, are told apart by their content: it takes a fraction of a second. */
const hashedWhole = 64 * 2 ** 20;

/**
 * What tells one checkpoint from another: the normalised config (a directory's name can decide its family), the small
 * files, where the tensors lie, and the weight files, small ones by content and large ones by size and time of change.
 * A small checkpoint therefore has the same fingerprint wherever it is copied.
 */
async function fingerprint({ config, tensors, directory, files, comparison }: Checkpoint): Promise<string> {
  const places = [...tensors.values()].map(({ path, ...place }) => ({ ...place, file: basename(path) }));
  const hash = createHash('sha256').update(JSON.stringify([config, places]));
  for (const name of copied) {
    const path = join(directory, name);
    if (existsSync(path)) hash.update(`${name}\n`).update(await readFile(path));
  }
  for (const path of files) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat && stat.size <= hashedWhole) hash.update(await sha256Of(path));
    else hash.update(`${stat?.size} ${stat?.mtimeMs}\n`);
  }
  if (comparison) hash.update(await fingerprint(comparison));
  return hash.digest('hex');
}

/** Stop tokens of generation_config.json, where there is one. */
async function generationStops(source: string): Promise<readonly number[]> {
  const text = await readFile(join(source, 'generation_config.json'), 'utf8').catch(() => '{}');
  try {
    const { eos_token_id: stops } = JSON.parse(text) as { eos_token_id?: number | number[] };
    return [stops ?? []].flat().filter((id) => Number.isSafeInteger(id));
  } catch {
    // A broken optional file costs its stop tokens, not the model.
    return [];
  }
}

/** Between a compiled directory's name and the process that is writing it. */
const partialMark = `.partial-${hostname()}-`;

/** What `directory` is called while this process is at it; see {@link removeAbandoned}. */
export const partialName = (directory: string): string =>
  `${directory}${partialMark}${process.pid}-${randomBytes(4).toString('hex')}`;

/** Removes what compilations of the same target left behind that were killed: gigabytes, for the large model. */
export async function removeAbandoned(directory: string): Promise<void> {
  const parent = dirname(directory);
  const prefix = `${basename(directory)}${partialMark}`;
  for (const name of await readdir(parent).catch(() => [])) {
    if (!name.startsWith(prefix)) continue;
    const pid = Number.parseInt(name.slice(prefix.length), 10);
    try {
      process.kill(pid, 0);
    } catch (error) {
      const gone = (error as NodeJS.ErrnoException).code === 'ESRCH';
      if (gone) await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}

/** Renames a finished directory to its name; if another process was first, its equal result stays. */
async function moveIntoPlace(partial: string, directory: string): Promise<void> {
  await mkdir(dirname(directory), { recursive: true });
  const old = `${partial}.old`;
  // Each round sets aside a directory that is in the way; more than a few mean that others keep putting theirs there.
  for (let round = 0; ; round += 1) {
    try {
      await rename(partial, directory);
      return;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (round === 3 || !['ENOTEMPTY', 'EEXIST', 'EPERM'].includes(code)) throw error;
      const [there, mine] = [
        await openCompiled(directory).catch(() => undefined),
        await openCompiled(partial),
      ];
      if (there && isDeepStrictEqual(there.manifest, mine.manifest)) {
        await rm(partial, { recursive: true, force: true });
        return;
      }
      await rename(directory, old).catch(() => undefined);
      await rm(old, { recursive: true, force: true });
    }
  }
}
