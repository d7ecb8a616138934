import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { printable, safeJson } from '../assessment/text.ts';
import { cancelled } from '../engine/content.ts';
import { planCompiled, planText } from '../engine/memory_plan.ts';
import {
  compiledBytes,
  compiledModel,
  compileOptions,
  listModels,
  modelDirectory,
  type PrecisionRequest,
  precisionOf,
  threadsFor,
} from '../engine/models.ts';
import { type Checkpoint, openCheckpoint } from '../model/checkpoint/checkpoint.ts';
import { TensorReader } from '../model/checkpoint/safetensors.ts';
import { loadTokenizer } from '../model/checkpoint/tokenizer.ts';
import { compileCheckpoint } from '../model/compiler/compile.ts';
import { type CompiledModel, openCompiled } from '../model/compiler/manifest.ts';
import { OmniError } from '../protocol/errors.ts';
import { exit, type Io, ProgressLine } from './io.ts';

export const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

export interface TableFlags {
  readonly format: 'text' | 'json';
}

/** `omnivqa model list`: the embedded model and what lies compiled in the cache. */
export async function listCommand({ format }: TableFlags, io: Io): Promise<number> {
  const models = await listModels();
  if (format === 'json') {
    io.stdout.write(`${safeJson(models, 2)}\n`);
    return exit.done;
  }
  const rows = models.map(({ name, family, precision, chats, bytes }) => [
    family,
    precision ?? 'checkpoint',
    chats ? 'rates, chats' : 'rates',
    megabytes(bytes),
    name,
  ]);
  const table = [['FAMILY', 'PRECISION', 'CAN', 'SIZE', 'MODEL'], ...rows].map((row) => row.map(printable));
  const widths = table[0]!.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  for (const row of table) {
    io.stdout.write(
      `${row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd()}\n`,
    );
  }
  return exit.done;
}

export interface CompileFlags {
  readonly precision: PrecisionRequest;
  readonly output?: string;
}

/** `omnivqa model compile`: into the cache, or into a directory that the user names. */
export async function compileCommand(
  name: string,
  { precision, output }: CompileFlags,
  io: Io,
): Promise<number> {
  const progress = new ProgressLine(io);
  const onProgress = ({ done, total }: { done: number; total: number }) =>
    progress.show('Compiling', done / 1e6, total / 1e6, 'MB');
  const started = performance.now();
  const directory = modelDirectory(name);
  try {
    const compiled =
      output === undefined
        ? await compiledModel(name, { precision, signal: io.signal, onCompile: onProgress })
        : await compileCheckpoint(directory, vacant(output), {
            ...compileOptions(directory, precision),
            ...threadsFor(directory),
            signal: io.signal,
            onProgress,
          });
    progress.clear();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    io.stdout.write(
      `${printable(compiled.directory)}\n  ${precisionOf(compiled.manifest)}, ${megabytes(compiledBytes(compiled))}, ${seconds} s\n`,
    );
    return exit.done;
  } finally {
    progress.clear();
  }
}

/** Compiling replaces its target as a whole: only what is free, or was compiled before, may be one. */
function vacant(directory: string): string {
  const stats = statSync(directory, { throwIfNoEntry: false });
  const free =
    !stats ||
    (stats.isDirectory() &&
      (readdirSync(directory).length === 0 || existsSync(join(directory, 'manifest.json'))));
  if (free) return directory;
  throw new OmniError(
    'bad_usage',
    `${directory} is ${stats.isDirectory() ? 'a folder with other things in it' : 'not a folder'}.`,
    'Name a new or empty folder with -o.',
    { path: directory },
  );
}

/** What a compiled model takes of this computer's memory, or why there is not enough for it. */
function memoryOf(compiled: CompiledModel): string {
  try {
    return `On the CPU it takes ${planText(planCompiled(compiled, precisionOf(compiled.manifest), 'cpu'), 'cpu')}.`;
  } catch (error) {
    if (OmniError.is(error, 'out_of_memory')) return error.message;
    throw error;
  }
}

/** `omnivqa model verify`: every byte of a compiled directory, every number of a checkpoint. */
export async function verifyCommand(name: string, io: Io): Promise<number> {
  const directory = modelDirectory(name);
  const shown = printable(directory);
  if (existsSync(join(directory, 'manifest.json'))) {
    const compiled = await openCompiled(directory, 'deep');
    const { manifest, comparison } = compiled;
    const files = [manifest, comparison?.manifest].flatMap((one) => Object.keys(one?.files ?? {})).length;
    io.stdout.write(
      `${shown}: compiled, ${precisionOf(manifest)}, ${files} files, all as they were written.\n` +
        `${memoryOf(compiled)}\n`,
    );
    return exit.done;
  }
  const checkpoint = openCheckpoint(directory);
  await loadTokenizer(directory);
  const { comparison } = checkpoint;
  if (comparison) await loadTokenizer(comparison.directory);
  const numbers = await verifyNumbers(checkpoint, io);
  const compared = comparison ? await verifyNumbers(comparison, io) : 0;
  const { tensors, files, config } = checkpoint;
  io.stdout.write(
    `${shown}: checkpoint of family ${printable(config.omnivqa.family)}, ${tensors.size} tensors in ` +
      `${files.length} file${files.length === 1 ? '' : 's'}, ${(numbers / 1e6).toFixed(2)} M parameters, all finite.\n` +
      (comparison ? `For comparing encodes: ${(compared / 1e6).toFixed(2)} M parameters, all finite.\n` : ''),
  );
  return exit.done;
}

/**
 * Reads every number of a checkpoint: one that is none would make every score one that is none.
 *
 * @returns how many there are.
 * @throws OmniError `checkpoint_corrupt` with one finding per tensor, `cancelled`.
 */
async function verifyNumbers({ directory, tensors }: Checkpoint, io: Io): Promise<number> {
  const progress = new ProgressLine(io);
  const reader = new TensorReader();
  const total = [...tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  const piece = new Float32Array(2 ** 20);
  const findings: string[] = [];
  let [read, count] = [0, 0];
  try {
    for (const tensor of tensors.values()) {
      const elements = tensor.shape.reduce((product, dim) => product * dim, 1);
      try {
        for (let from = 0; from < elements; from += piece.length) {
          reader.read(tensor, from, Math.min(piece.length, elements - from), piece);
          progress.show('Reading', (read + (tensor.bytes * from) / elements) / 1e6, total / 1e6, 'MB');
          await new Promise(setImmediate);
          if (io.signal.aborted) throw cancelled();
        }
      } catch (error) {
        if (!OmniError.is(error, 'checkpoint_corrupt')) throw error;
        findings.push(error.message);
      }
      read += tensor.bytes;
      count += elements;
    }
  } finally {
    reader.close();
    progress.clear();
  }
  if (findings.length === 0) return count;
  throw new OmniError(
    'checkpoint_corrupt',
    `${findings.length} of the ${tensors.size} tensors in ${directory} can not be used.`,
    'Download the files again; if it stays so, the training that wrote them had diverged.',
    { path: directory, findings },
  );
}
