import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type FramePlan, type FrameWindow, keyInterval, readFrames } from '../../../src/video/frames.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { resizeBicubic, temporaryDirectory, writeClip } from '../../support/media.ts';

async function read(path: string, plan: Partial<FramePlan> = {}) {
  const { value: info, problems } = await probeVideo(path);
  const windows: FrameWindow[] = [];
  const frames = readFrames(info, {
    views: [{ kind: 'squash', size: 32 }],
    motionSize: 16,
    windowSeconds: 10,
    ...plan,
  });
  for (;;) {
    const next = await frames.next();
    if (next.done) return { info, windows, ...next.value, problems: [...problems, ...next.value.problems] };
    windows.push(next.value);
  }
}

/** All frames of a clip as ffmpeg itself converts them to RGB, at full size. */
function decode(path: string, width: number, height: number, filter = 'null'): Uint8Array[] {
  const { stdout } = spawnSync(
    'ffmpeg',
    [
      '-v',
      'error',
      '-i',
      path,
      '-vf',
      `${filter},scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp+bicubic,format=rgb24`,
      '-f',
      'rawvideo',
      '-',
    ],
    { maxBuffer: 2 ** 30 },
  );
  const bytes = width * height * 3;
  return Array.from({ length: stdout.length / bytes }, (_, i) => stdout.subarray(i * bytes, (i + 1) * bytes));
}

function difference(a: Uint8Array, b: Uint8Array) {
  let [sum, beyond] = [0, 0];
  for (let i = 0; i < a.length; i += 1) {
    const one = Math.abs(a[i]! - b[i]!);
    sum += one;
    if (one > 2) beyond += 1;
  }
  expect(a.length).toBe(b.length);
  return { mean: sum / a.length, beyond: beyond / a.length };
}

describe('pixels equal Pillow’s bicubic of the decoded frames', () => {
  it.each([
    ['1080p', '1920x1080', 384],
    ['540p', '960x540', 384],
    ['540p to 224', '960x540', 224],
    ['540p to 48', '960x540', 48],
    ['portrait', '540x960', 384],
    ['odd sizes', '641x359', 224],
    ['upscaled', '160x96', 384],
  ])('%s', async (_, size, target) => {
    const path = join(temporaryDirectory(), 'clip.mp4');
    // A moving fractal, softened as a camera would: detail at all scales, natural colour edges.
    const odd = size === '641x359';
    writeClip(path, {
      source: 'mandelbrot',
      size,
      rate: '4',
      seconds: 1,
      filter: 'trim=end_frame=2,gblur=sigma=1',
      output: ['-crf', '10', ...(odd ? ['-pix_fmt', 'yuv444p'] : [])],
    });
    const [width, height] = size.split('x').map(Number) as [number, number];
    const { windows } = await read(path, { views: [{ kind: 'squash', size: target }], motionSize: target });
    const decoded = decode(path, width, height);
    expect(decoded).toHaveLength(2);
    for (const [i, frame] of decoded.entries()) {
      const expected = resizeBicubic(frame, width, height, target, target);
      const bytes = target * target * 3;
      const { mean, beyond } = difference(windows[0]!.motion.subarray(i * bytes, (i + 1) * bytes), expected);
      expect(mean).toBeLessThanOrEqual(0.5);
      expect(beyond).toBeLessThanOrEqual(0.001);
    }
  });
});

describe('frames, times and windows', () => {
  it('key frames are frames 0, r, 2r … with r the rounded frame rate', async () => {
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { rate: '30000/1001', seconds: 3 });
    const { windows, coverage, problems } = await read(path);
    expect(windows).toHaveLength(1);
    expect([...windows[0]!.key.frames]).toEqual([0, 30, 60]);
    expect(windows[0]!.times[1]).toBeCloseTo(1001 / 30000, 4);
    expect(coverage.end).toBeCloseTo(coverage.frames * (1001 / 30000), 2);
    expect(problems).toEqual([]);
  });

  it.each([
    [24.4, 24],
    [12.5, 13],
    [0.2, 1],
  ])('a rate of %d has a key frame every %d frames', (fps, period) => expect(keyInterval(fps)).toBe(period));

  it('a long clip comes in windows that keep the cadence and hold every frame once', async () => {
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { rate: '10', seconds: 7 });
    const { windows, coverage } = await read(path, { windowSeconds: 2 });
    expect(windows.map(({ firstFrame }) => firstFrame)).toEqual([0, 20, 40, 60]);
    expect(windows.map(({ times }) => times.length)).toEqual([20, 20, 20, 10]);
    expect(windows.map(({ key }) => key.frames.length)).toEqual([2, 2, 2, 1]);
    expect(windows.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(coverage).toMatchObject({ frames: 70 });
    const whole = await read(path, { windowSeconds: 10 });
    expect(Buffer.concat(windows.map(({ motion }) => motion)).equals(whole.windows[0]!.motion)).toBe(true);
    expect(Buffer.concat(windows.map(({ key }) => key.pixels)).equals(whole.windows[0]!.key.pixels)).toBe(
      true,
    );
  });

  it('key frames are the same decoded frames as the motion frames at their place', async () => {
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 3 });
    const { windows } = await read(path, { views: [{ kind: 'squash', size: 16 }], motionSize: 16 });
    const { key, motion } = windows[0]!;
    const bytes = 16 * 16 * 3;
    for (const [i, frame] of key.frames.entries()) {
      expect(key.pixels.subarray(i * bytes, (i + 1) * bytes)).toEqual(
        motion.subarray(frame * bytes, (frame + 1) * bytes),
      );
    }
  });

  it('two views of a key frame lie side by side', async () => {
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 2 });
    const plan = {
      views: [
        { kind: 'squash', size: 48 },
        { kind: 'fragments', size: 48, cell: 16, area: 5000 },
      ] as const,
    };
    const both = (await read(path, plan)).windows[0]!.key.pixels;
    const bytes = 48 * 48 * 3;
    for (const [i, view] of plan.views.entries()) {
      const one = (await read(path, { views: [view] })).windows[0]!.key.pixels;
      for (const frame of [0, 1]) {
        const from = (frame * 2 + i) * bytes;
        expect(both.subarray(from, from + bytes)).toEqual(one.subarray(frame * bytes, (frame + 1) * bytes));
      }
    }
  });
});
