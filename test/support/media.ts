import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { open, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, onTestFinished } from 'vitest';
import type { Problem } from '../../src/protocol/errors.ts';
import {
  type FramePlan,
  type FramesRead,
  type FrameWindow,
  type ReadFramesOptions,
  readFrames,
} from '../../src/video/frames.ts';
import { probeVideo, type VideoInfo } from '../../src/video/probe.ts';
import { Resampler } from '../../src/video/resample.ts';

/** A directory of the running test, removed after it. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'omnivqa-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A directory of the test file that calls it outside of its tests, removed after the last of them. */
export function sharedDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'omnivqa-test-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Runs ffmpeg to its end; a fixture that can not be made is a broken test set-up. */
export function ffmpeg(...args: string[]): void {
  const result = spawnSync('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (result.status !== 0) throw new Error(`ffmpeg ${args.join(' ')}\n${result.stderr}`);
}

export interface ClipOptions {
  readonly size?: string;
  readonly rate?: string;
  readonly seconds?: number;
  /** Filters after the test picture. */
  readonly filter?: string;
  /** Options of the encoder and muxer. */
  readonly output?: readonly string[];
  /** A lavfi source without size, rate and duration. */
  readonly source?: string;
}

/** Writes a moving test picture, by default 2 s of 160×96 at 10 fps in x264. */
export function writeClip(
  path: string,
  { size = '160x96', rate = '10', seconds = 2, filter, output = [], source = 'testsrc2' }: ClipOptions = {},
): string {
  ffmpeg(
    ...['-f', 'lavfi', '-i', `${source}=size=${size}:rate=${rate}`, '-t', String(seconds)],
    ...(filter ? ['-vf', filter] : []),
    ...(output.some((option) => option.startsWith('-c:v'))
      ? []
      : ['-c:v', 'libx264', '-preset', 'ultrafast']),
    ...(output.includes('-pix_fmt') ? [] : ['-pix_fmt', 'yuv420p']),
    ...output,
    `file:${path}`,
  );
  return path;
}

/** Keeps the first part of a file. */
export function cutFile(path: string, bytes: number): string {
  truncateSync(path, bytes);
  return path;
}

/** Inverts one byte in every `step` between two places of a file. */
export async function flipBits(path: string, from: number, to: number, step: number): Promise<string> {
  const data = await readFile(path);
  for (let at = from; at < Math.min(to, data.length); at += step) data[at] = data[at]! ^ 0xff;
  await writeFile(path, data);
  return path;
}

/** Overwrites bytes in place. */
export async function patchFile(path: string, at: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, at);
  await file.close();
}

export interface ClipRead extends FramesRead {
  readonly info: VideoInfo;
  readonly windows: FrameWindow[];
  /** Of the probe and of the decode. */
  readonly problems: Problem[];
  /** Their codes. */
  readonly codes: string[];
}

/** Probes and reads a clip to its end. */
export async function readClip(
  path: string,
  plan: Partial<FramePlan> = {},
  options: ReadFramesOptions = {},
): Promise<ClipRead> {
  const { value: info, problems } = await probeVideo(path);
  const windows: FrameWindow[] = [];
  const frames = readFrames(
    info,
    { views: [{ kind: 'squash', size: 32 }], motionSize: 16, windowSeconds: 10, ...plan },
    options,
  );
  for (;;) {
    const next = await frames.next();
    if (next.done) {
      const all = [...problems, ...next.value.problems];
      return { ...next.value, info, windows, problems: all, codes: all.map(({ code }) => code) };
    }
    windows.push(next.value);
  }
}

/** All frames of a clip as ffmpeg itself converts them to RGB at full size. */
export function decodeRgb(path: string, width: number, height: number): Uint8Array[] {
  const filter = 'scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp+bicubic,format=rgb24';
  const { stdout } = spawnSync(
    'ffmpeg',
    ['-nostdin', '-v', 'error', '-i', `file:${path}`, '-vf', filter, '-f', 'rawvideo', 'pipe:1'],
    { maxBuffer: 2 ** 30 },
  );
  const bytes = width * height * 3;
  return Array.from({ length: stdout.length / bytes }, (_, i) => stdout.subarray(i * bytes, (i + 1) * bytes));
}

/** Mean absolute difference, and the share of values that differ by more than 2. */
export function pixelDifference(a: Uint8Array, b: Uint8Array): { mean: number; beyond2: number } {
  if (a.length !== b.length) throw new Error(`${a.length} values against ${b.length}`);
  let [sum, beyond] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const one = Math.abs(a[i]! - b[i]!);
    sum += one;
    if (one > 2) beyond++;
  }
  return { mean: sum / a.length, beyond2: beyond / a.length };
}

/** Pillow's bicubic of RGB u8 [height, width, 3]; held bit for bit against Pillow in test/unit/video/resample.test.ts. */
export function resizeBicubic(
  rgb: Uint8Array,
  width: number,
  height: number,
  toWidth: number,
  toHeight: number,
): Uint8Array {
  const pixels = width * height;
  const planes = new Uint8Array(pixels * 3);
  for (let i = 0; i < pixels; i++) {
    planes[i] = rgb[3 * i + 1]!;
    planes[pixels + i] = rgb[3 * i + 2]!;
    planes[2 * pixels + i] = rgb[3 * i]!;
  }
  const out = new Uint8Array(toWidth * toHeight * 3);
  new Resampler(width, height, toWidth, toHeight).fromGbr(planes, out, 0);
  return out;
}
