import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { open, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Resampler } from '../../src/video/resample.ts';

/** A directory of the running test, removed after it. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'omnivqa-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Runs ffmpeg to its end; a fixture that can not be made is a broken test set-up. */
export function ffmpeg(...args: string[]): void {
  const result = spawnSync('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args], { encoding: 'utf8' });
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
