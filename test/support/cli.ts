import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll } from 'vitest';
import type { Io } from '../../src/cli/io.ts';
import { run } from '../../src/cli/main.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Collects what is written to it. */
export class Collected extends Writable {
  text = '';
  readonly isTTY: boolean;
  readonly columns: number;

  constructor({ isTTY = false, columns = 80 } = {}) {
    super({ decodeStrings: false });
    this.isTTY = isTTY;
    this.columns = columns;
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

export interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** What stdin holds; nothing by default. */
  readonly input?: string;
  /** Streams to use in the place of ones that are no terminals. */
  readonly stdin?: Io['stdin'];
  readonly stdout?: Collected;
  readonly stderr?: Collected;
}

/** A terminal that nothing was typed into yet. */
export class Keyboard extends PassThrough {
  readonly isTTY = true;
}

/** Runs a command line in this process. */
export async function omnivqa(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { stdout = new Collected(), stderr = new Collected() } = options;
  const stdin = options.stdin ?? Readable.from(options.input === undefined ? [] : [options.input]);
  const signal = options.signal ?? new AbortController().signal;
  const status = await run(args, { stdin, stdout, stderr, env: {}, signal });
  return { status, stdout: stdout.text, stderr: stderr.text };
}

let bundled: Promise<string> | undefined;

/**
 * The command line as one file, bundled once per test file beside the built one, so that it finds packages and the
 * embedded model where that does.
 */
export function bundle(): Promise<string> {
  bundled ??= (async () => {
    const file = join(root, 'dist', `cli-test-${randomBytes(4).toString('hex')}.mjs`);
    await build({
      absWorkingDir: root,
      entryPoints: ['src/cli/omnivqa.ts'],
      outfile: file,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      packages: 'external',
      logLevel: 'warning',
    });
    chmodSync(file, 0o755);
    return file;
  })();
  return bundled;
}

/** Removes what {@link bundle} wrote, after the test file. */
export function removeBundle(): void {
  afterAll(async () => {
    if (bundled) rmSync(await bundled, { force: true });
  });
}

export interface Started {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished & { readonly signal: NodeJS.Signals | null }>;
}

/** Starts a program in a process of its own. */
export function start(
  program: string,
  args: readonly string[],
  { env, cwd }: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Started {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    ...(cwd ? { cwd } : {}),
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const finished = new Promise<Awaited<Started['finished']>>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status: status ?? -1, signal, stdout, stderr }));
  });
  return { child, finished };
}

/** Starts the command line in a process of its own. */
export async function startOmnivqa(
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Promise<Started> {
  return start(process.execPath, [await bundle(), ...args], options);
}
