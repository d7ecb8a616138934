import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type EngineModel, loadEngineModel } from '../../src/engine/models.ts';
import { copyCheckpoint, editJson, fixtures } from './checkpoints.ts';
import { temporaryDirectory } from './media.ts';

/** Flags of a small random model on one thread of the CPU. */
export const smallModel: readonly string[] = [
  ...['--model', join(fixtures, 'separate-patch')],
  ...['--provider', 'cpu', '--threads', '1'],
];

/** Points the cache of this process to a directory of the running test. */
export function temporaryCache(directory = temporaryDirectory()): string {
  const before = process.env.OMNIVQA_CACHE;
  process.env.OMNIVQA_CACHE = directory;
  onTestFinished(() => {
    if (before === undefined) delete process.env.OMNIVQA_CACHE;
    else process.env.OMNIVQA_CACHE = before;
  });
  return directory;
}

/**
 * A random checkpoint whose config has these fields in the place of its own.
 *
 * @param omnivqa Fields of its `omnivqa` section.
 */
export function checkpointWith(
  omnivqa: Readonly<Record<string, unknown>>,
  { name = 'separate-patch', ...fields }: Readonly<Record<string, unknown>> & { name?: string } = {},
): string {
  const directory = copyCheckpoint(name);
  editJson(join(directory, 'config.json'), (config) => {
    Object.assign(config, fields);
    config.omnivqa = { ...(config.omnivqa as object), ...omnivqa };
  });
  return directory;
}

/** Loads a model on the CPU and frees it after the test. */
export async function loadForTest(directory: string): Promise<EngineModel> {
  const model = await loadEngineModel(directory, { provider: 'cpu', threads: 1 });
  onTestFinished(() => model.dispose());
  return model;
}
