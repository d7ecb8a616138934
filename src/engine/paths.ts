import { existsSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PackWorkers } from '../model/compiler/packing.ts';
import { OmniError } from '../protocol/errors.ts';

/** Where compiled models and results are kept: OMNIVQA_CACHE, or the platform's place for caches. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env.OMNIVQA_CACHE) return env.OMNIVQA_CACHE;
  if (process.platform === 'win32') {
    return join(env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'omnivqa', 'cache');
  }
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'omnivqa');
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'omnivqa');
}

/** The embedded model's directory, looked for upwards from this code: it runs from `src` and from a bundle. */
export function nanoDirectory(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const candidate = join(at, 'models', 'nano');
    if (existsSync(join(candidate, 'config.json'))) return candidate;
    if (dirname(at) === at) break;
  }
  throw new OmniError(
    'model_not_found',
    'The embedded model is missing from this installation.',
    'Install OmniVQA again, or name a checkpoint directory with --model.',
  );
}

/** Threads that pack weights, one for each core; undefined where this code does not run from its bundle. */
export function packWorkers(): PackWorkers | undefined {
  const script = join(dirname(fileURLToPath(import.meta.url)), 'pack_worker.mjs');
  return existsSync(script) ? { script, count: availableParallelism() } : undefined;
}
