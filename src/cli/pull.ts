import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { printable } from '../assessment/text.ts';
import { pulledDirectory, pullToCache } from '../engine/hub_models.ts';
import {
  compiledModel,
  compileOptions,
  type PrecisionRequest,
  precisionOf,
  threadsFor,
} from '../engine/models.ts';
import { describeModel, freeBytes, type HubModel, parseHubName } from '../model/checkpoint/hub.ts';
import { proxiesOf } from '../model/checkpoint/proxy.ts';
import { compileCheckpoint } from '../model/compiler/compile.ts';
import { openCompiled } from '../model/compiler/manifest.ts';
import { OmniError } from '../protocol/errors.ts';
import { exit, type Io, ProgressLine } from './io.ts';

export interface PullFlags {
  readonly yes: boolean;
  readonly endpoint?: string;
  readonly compile: boolean;
  readonly dropCheckpoint: boolean;
  readonly precision: PrecisionRequest;
}

const gigabytes = (bytes: number) =>
  bytes < 1e8 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;

/** `omnivqa model pull`: fetches a published checkpoint into the cache, and compiles it. */
export async function pullCommand(name: string, flags: PullFlags, io: Io): Promise<number> {
  const parsed = parseHubName(name);
  if (!parsed) {
    throw new OmniError('bad_usage', `${name} is no hub id.`, 'Name a model as owner/name[@revision].');
  }
  if (flags.dropCheckpoint && !flags.compile) {
    throw new OmniError(
      'bad_usage',
      '--drop-checkpoint keeps the compiled model alone, and --no-compile makes none.',
      'Leave one of them out.',
    );
  }
  const revision = parsed.revision ?? 'main';
  const connection = {
    endpoint: flags.endpoint ?? io.env.HF_ENDPOINT,
    token: io.env.HF_TOKEN,
    proxies: proxiesOf(io.env),
    signal: io.signal,
  };
  const model = await describeModel(parsed.id, { revision, ...connection });
  const target = pulledDirectory(model);
  if (!existsSync(target) && !(await agreed(model, target, flags, io))) return exit.done;
  const progress = new ProgressLine(io);
  try {
    const onProgress = ({ done, total }: { done: number; total: number }) =>
      progress.show('Fetching', done / 1e6, total / 1e6, 'MB');
    const directory = await pullToCache(model, revision, { ...connection, onProgress });
    progress.clear();
    io.stdout.write(`${printable(name)} at ${model.commit.slice(0, 12)}\n  ${printable(directory)}\n`);
    if (!flags.compile) return exit.done;
    const compiled = await compilePulled(name, directory, flags, io, progress);
    progress.clear();
    io.stdout.write(`  compiled, ${precisionOf(compiled.manifest)}\n`);
    return exit.done;
  } finally {
    progress.clear();
  }
}

/** Into the cache of compiled models, or in the place of the checkpoint. */
async function compilePulled(
  name: string,
  directory: string,
  { precision, dropCheckpoint }: PullFlags,
  io: Io,
  progress: ProgressLine,
) {
  if (existsSync(join(directory, 'manifest.json'))) return openCompiled(directory);
  const onProgress = ({ done, total }: { done: number; total: number }) =>
    progress.show('Compiling', done / 1e6, total / 1e6, 'MB');
  if (!dropCheckpoint) return compiledModel(name, { precision, signal: io.signal, onCompile: onProgress });
  return compileCheckpoint(directory, directory, {
    ...compileOptions(directory, precision),
    ...threadsFor(directory),
    signal: io.signal,
    onProgress,
  });
}

/** Shows what would be fetched under which licence, and asks. */
async function agreed(model: HubModel, target: string, { yes }: PullFlags, io: Io): Promise<boolean> {
  const tokenizer = model.files.some(({ path }) => path === 'tokenizer.json');
  io.stderr.write(
    [
      `${printable(model.id)} at commit ${model.commit.slice(0, 12)}`,
      `  licence    ${printable(model.licence ?? 'not stated')}${model.gated ? ', only for accounts that were let in' : ''}`,
      `  family     ${model.family ?? 'not known by its name'}`,
      `  size       ${gigabytes(model.bytes)} in ${model.files.length} files`,
      `  free disk  ${gigabytes(await freeBytes(target))}`,
      `  target     ${printable(target)}`,
      ...(tokenizer ? [] : ['  It has no tokenizer.json: it can be fetched, but not run.']),
      '',
    ].join('\n'),
  );
  if (yes) return true;
  if (!io.stdin.isTTY) {
    throw new OmniError(
      'bad_usage',
      'Nobody can be asked whether to fetch it: stdin is no terminal.',
      'Add --yes to agree to its licence and size.',
    );
  }
  io.stderr.write('Fetch it? [y/N] ');
  const lines = createInterface({ input: io.stdin });
  try {
    const answer = await new Promise<string>((resolve) => {
      lines.once('line', resolve);
      lines.once('close', () => resolve(''));
      io.signal.addEventListener('abort', () => resolve(''), { once: true });
    });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
