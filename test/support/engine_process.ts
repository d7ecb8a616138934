import { randomBytes } from 'node:crypto';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, onTestFinished } from 'vitest';
import type { Assessment } from '../../src/assessment/record.ts';
import { EngineClient, type EngineClientOptions } from '../../src/engine/client.ts';
import type { AssessRequest, JobUpdate } from '../../src/protocol/engine.ts';
import type { OmniError } from '../../src/protocol/errors.ts';
import { editJson } from './checkpoints.ts';
import { sharedDirectory } from './media.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export type Update = JobUpdate<Assessment>;

const bundles = new Map<string, Promise<string>>();

/** A program of ours as one file beside the built ones, where it finds packages; removed after the test file. */
export function bundled(source = 'src/engine/main.ts'): Promise<string> {
  let made = bundles.get(source);
  if (!made) {
    const file = join(root, 'dist', `engine-test-${randomBytes(4).toString('hex')}.mjs`);
    made = build({
      absWorkingDir: root,
      entryPoints: [source],
      outfile: file,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      packages: 'external',
      logLevel: 'warning',
    }).then(() => file);
    bundles.set(source, made);
  }
  return made;
}

/** To be called by a test file that uses {@link bundled} or {@link startEngine}. */
export function removeBundles(): void {
  afterAll(async () => {
    for (const made of bundles.values()) rmSync(await made, { force: true });
    bundles.clear();
  });
}

/** The embedded model with windows of this many seconds; removed after the test file. */
export function nanoWith(seconds: number): string {
  const directory = join(sharedDirectory(), 'nano');
  cpSync(join(root, 'models', 'nano'), directory, { recursive: true });
  editJson(join(directory, 'config.json'), (config) => {
    config.omnivqa = { ...(config.omnivqa as object), window_seconds: seconds };
  });
  return directory;
}

export interface StartedEngine {
  readonly client: EngineClient<Assessment>;
  readonly updates: Update[];
  readonly crashes: { readonly error: OmniError; readonly willRestart: boolean }[];
  readonly log: string[];
  /** Resolves to the first update that fits, of those that came and those that will come. */
  until(fits: (update: Update) => boolean): Promise<Update>;
  /** Asks for a clip and waits for the end of its job. */
  assess(request: Partial<AssessRequest> & { readonly path: string }): Promise<Update>;
  /** Of the engine's process. */
  pid(): Promise<number>;
}

/**
 * A client with an engine of its own on a store; ended after the test.
 *
 * @param cache Where the model is compiled to: shared by engines, so that each is spared the time.
 */
export async function startEngine(
  store: string,
  cache: string,
  model: string,
  options: Partial<EngineClientOptions<Assessment>> = {},
): Promise<StartedEngine> {
  const updates: Update[] = [];
  const crashes: StartedEngine['crashes'] = [];
  const log: string[] = [];
  const waiting = new Set<() => void>();
  const client = new EngineClient<Assessment>({
    entry: await bundled(),
    store,
    node: process.execPath,
    onJob(update) {
      updates.push(update);
      for (const look of [...waiting]) look();
    },
    onLog: (level, text) => log.push(`${level}: ${text}`),
    onCrash: (error, willRestart) => crashes.push({ error, willRestart }),
    ...options,
    env: { ...process.env, OMNIVQA_CACHE: cache, ...options.env },
  });
  onTestFinished(() => client.dispose());
  const until: StartedEngine['until'] = (fits) =>
    new Promise((resolve) => {
      const look = () => {
        const found = updates.find(fits);
        if (!found) return;
        waiting.delete(look);
        resolve(found);
      };
      waiting.add(look);
      look();
    });
  return {
    client,
    updates,
    crashes,
    log,
    until,
    async assess(request) {
      const { job } = await client.request('assess', {
        model,
        provider: 'cpu',
        priority: 0,
        fresh: false,
        teamFolder: null,
        ...request,
      });
      return until((update) => update.job === job && update.state === null);
    },
    async pid() {
      return (await client.request('facts', {})).pid;
    },
  };
}

/** A record without what differs from run to run. */
export const timeless = (record: Assessment | null) => record && { ...record, timing: null };

/** Files below a directory, by their paths in it. */
export function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}

/** Waits for what no event tells of. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}
