import { execFile } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { locateFfmpeg } from '../../../src/video/ffmpeg.ts';

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

interface Truth {
  readonly video: {
    readonly width: number;
    readonly height: number;
    readonly fps: number;
    readonly duration: number;
  };
  readonly distortions: readonly {
    readonly type: string;
    readonly start: number;
    readonly end: number;
    readonly region: Box;
    readonly severity: string;
  }[];
}

const media = fileURLToPath(new URL('../../../media/', import.meta.url));
const truth = JSON.parse(readFileSync(`${media}sample.truth.json`, 'utf8')) as Truth;
const { width, height } = truth.video;
const perSecond = 6;
const frameBytes = width * height;

/** Luma of six frames a second. */
let frames: Uint8Array[];

beforeAll(async () => {
  const { ffmpeg } = await locateFfmpeg();
  const { stdout } = await promisify(execFile)(
    ffmpeg,
    ['-v', 'error', '-nostdin', '-i', `file:${media}sample.mp4`, '-vf', `fps=${perSecond}:round=down`].concat(
      ['-pix_fmt', 'gray', '-f', 'rawvideo', 'pipe:1'],
    ),
    { encoding: 'buffer', maxBuffer: 2 ** 30 },
  );
  frames = Array.from({ length: stdout.length / frameBytes }, (_, i) =>
    stdout.subarray(i * frameBytes, (i + 1) * frameBytes),
  );
});

/** Frames well inside [from, to) seconds: those next to an edge may share a coded block with it. */
const during = (from: number, to: number) => frames.slice(from * perSecond + 1, to * perSecond - 1);

const inside = ({ x, y, width: w, height: h }: Box, px: number, py: number) =>
  px >= x * width && px < (x + w) * width && py >= y * height && py < (y + h) * height;

/** Mean of a measure of each pixel and its neighbours, in the box and out of it, over frames. */
function means(
  some: readonly Uint8Array[],
  box: Box,
  measure: (frame: Uint8Array, k: number, x: number, y: number) => number,
): { readonly in: number; readonly out: number } {
  const sums = { in: 0, out: 0 };
  const counts = { in: 0, out: 0 };
  for (const frame of some) {
    for (let y = 2; y < height - 2; y += 1) {
      for (let x = 2; x < width - 2; x += 1) {
        const side = inside(box, x, y) ? 'in' : 'out';
        sums[side] += measure(frame, y * width + x, x, y);
        counts[side] += 1;
      }
    }
  }
  return { in: sums.in / counts.in, out: sums.out / counts.out };
}

const laplacian = (f: Uint8Array, k: number) =>
  Math.abs(4 * f[k]! - f[k - 1]! - f[k + 1]! - f[k - width]! - f[k + width]!);

const luma = (f: Uint8Array, k: number) => f[k]!;

/**
 * How much a measure changes inside the event's rectangle while it lasts, over how much it changes outside in the
 * same time: the scene's own changes cancel. Before is the second before the event.
 */
function change(type: string, measure: Parameters<typeof means>[2]): number {
  const event = truth.distortions.find((one) => one.type === type)!;
  const now = means(during(event.start, event.end), event.region, measure);
  const before = means(during(event.start - 1, event.start), event.region, measure);
  return now.in / before.in / (now.out / before.out);
}

const difference = (a: Uint8Array, b: Uint8Array) => {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += Math.abs(a[i]! - b[i]!);
  return sum / a.length;
};

describe('the sample clip', () => {
  it('is as long and large as its truth says, and small enough to ship', () => {
    expect(frames).toHaveLength(truth.video.duration * perSecond);
    expect(statSync(`${media}sample.mp4`).size).toBeLessThanOrEqual(4_000_000);
  });

  it('has events that last whole seconds, do not meet, and cover a quarter of the frame', () => {
    const events = truth.distortions.toSorted((a, b) => a.start - b.start);
    for (const [i, { type, start, end, region }] of events.entries()) {
      expect([start, end].every(Number.isInteger)).toBe(true);
      expect(end - start).toBeGreaterThanOrEqual(1);
      expect(end - start).toBeLessThanOrEqual(3);
      expect(region.width * region.height).toBe(type === 'stutter' ? 1 : 0.25);
      if (i > 0) expect(start).toBeGreaterThan(events[i - 1]!.end);
    }
  });

  it('loses detail where it is blurred', () => {
    expect(change('blur', laplacian)).toBeLessThan(0.5);
  });

  it('loses detail where it is compressed', () => {
    expect(change('compression', laplacian)).toBeLessThan(0.6);
  });

  it('gains fine structure where it is noisy', () => {
    expect(change('noise', laplacian)).toBeGreaterThan(1.5);
  });

  it('is brighter, and clipped, where it is overexposed', () => {
    expect(change('overexposure', luma)).toBeGreaterThan(1.3);
    const event = truth.distortions.find(({ type }) => type === 'overexposure')!;
    const clipped = means(during(event.start, event.end), event.region, (f, k) => (f[k]! > 250 ? 1 : 0));
    expect(clipped.in).toBeGreaterThan(0.05);
    expect(clipped.out).toBeLessThan(0.01);
  });

  it('shows the second before a stutter again', () => {
    const { start, end } = truth.distortions.find(({ type }) => type === 'stutter')!;
    const pairs = (second: number) =>
      during(second, second + 1).map((frame, i) => difference(frame, during(second - 1, second)[i]!));
    const repeated = Math.max(...pairs(start));
    const moved = Math.min(...pairs(end));
    expect(repeated).toBeLessThan(moved / 3);
  });
});
