import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { locateFfmpeg } from '../src/video/ffmpeg.ts';

/** One line of RESULTS.md. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What it is to be held against: a limit, a target, how it was found. */
  readonly note?: string;
}

/** What a bench hands back: a section of RESULTS.md, replaced as a whole when the bench runs again. */
export interface Section {
  /** Heading; also the key under which an older result is found and replaced. */
  readonly title: string;
  readonly text: string;
  readonly figures: readonly Figure[];
}

/** What one process needed. */
export interface Usage {
  /** Seconds from start to end. */
  readonly wall: number;
  /** Seconds of processor time of the process itself, without its children. */
  readonly cpu: number;
  /** Most bytes it had in memory at once, mapped files included. */
  readonly peakBytes: number;
  readonly stdout: string;
}

/** Has a Node process report its own getrusage(2) on file descriptor 3 when it ends. */
const reporter = `data:text/javascript,${encodeURIComponent(
  `import { writeSync } from 'node:fs';
process.on('exit', () => { try { writeSync(3, JSON.stringify(process.resourceUsage())); } catch {} });`,
)}`;

/** Runs a Node script to its end and says what it needed. @throws Error with the end of stderr if it fails. */
export async function runNode(
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Usage> {
  const started = performance.now();
  const child = spawn(process.execPath, ['--import', reporter, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  const [stdout, stderr, report] = await Promise.all([
    text(child.stdout as Readable),
    text(child.stderr as Readable),
    text(child.stdio[3] as Readable),
    ended(child),
  ]);
  const wall = (performance.now() - started) / 1000;
  if (child.exitCode !== 0 || report === '') {
    throw new Error(
      `node ${args.join(' ')} ended with ${child.signalCode ?? `status ${child.exitCode}`}:\n${stderr.slice(-2000)}`,
    );
  }
  const usage = JSON.parse(report) as NodeJS.ResourceUsage;
  return {
    wall,
    cpu: (usage.userCPUTime + usage.systemCPUTime) / 1e6,
    peakBytes: usage.maxRSS * 1024,
    stdout,
  };
}

/** Runs ffmpeg to its end. @returns seconds. @throws Error with what it wrote. */
export async function runFfmpeg(args: readonly string[]): Promise<number> {
  const { ffmpeg } = await locateFfmpeg();
  const started = performance.now();
  const child = spawn(ffmpeg, ['-nostdin', '-v', 'error', '-y', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [stderr] = await Promise.all([text(child.stderr as Readable), ended(child)]);
  if (child.exitCode !== 0) throw new Error(`ffmpeg ${args.join(' ')}: ${stderr}`);
  return (performance.now() - started) / 1000;
}

const ended = (child: ChildProcess) =>
  new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => resolve());
  });

async function text(stream: Readable): Promise<string> {
  let all = '';
  for await (const chunk of stream.setEncoding('utf8')) all += chunk;
  return all;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A textured moving clip at 1080p30 and about 8 Mb/s of the sample, played again and again where it is too short. */
export async function makeClip(sample: string, path: string, seconds = 10): Promise<void> {
  await runFfmpeg([
    ...['-stream_loop', '-1', '-t', String(seconds), '-i', `file:${sample}`],
    ...['-vf', 'scale=1920:1080:flags=lanczos,noise=alls=5:allf=t:all_seed=7', '-r', '30'],
    ...['-c:v', 'libx264', '-preset', 'fast', '-b:v', '8M', '-maxrate', '10M', '-bufsize', '16M'],
    ...['-pix_fmt', 'yuv420p', '-an', `file:${path}`],
  ]);
}

/** Bytes per second of writing `bytes` in order to a new file in a directory, to the disk (fsync), and reading back. */
export function diskRate(directory: string, bytes: number): { write: number; read: number } {
  const path = join(directory, `disk-rate-${process.pid}`);
  const piece = Buffer.alloc(8 * 2 ** 20);
  for (let i = 0; i < piece.length; i += 4) piece.writeInt32LE(Math.imul(i, 2654435761) | 0, i);
  const rounds = Math.ceil(bytes / piece.length);
  try {
    let file = openSync(path, 'w');
    let started = performance.now();
    for (let i = 0; i < rounds; i += 1) writeSync(file, piece);
    fsyncSync(file);
    const write = (rounds * piece.length) / ((performance.now() - started) / 1000);
    closeSync(file);
    file = openSync(path, 'r');
    started = performance.now();
    for (let i = 0; i < rounds; i += 1) readSync(file, piece);
    const read = (rounds * piece.length) / ((performance.now() - started) / 1000);
    closeSync(file);
    return { write, read };
  } finally {
    rmSync(path, { force: true });
  }
}

/** How long a piece of work takes, s. */
export async function clock<T>(work: () => Promise<T> | T): Promise<{ value: T; wall: number }> {
  const started = performance.now();
  const value = await work();
  return { value, wall: (performance.now() - started) / 1000 };
}

export const GiB = 2 ** 30;
