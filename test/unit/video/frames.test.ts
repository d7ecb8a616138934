import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type FrameWindow, keyInterval } from '../../../src/video/frames.ts';
import { canvasSize, cutFragments } from '../../../src/video/geometry.ts';
import {
  decodeRgb,
  pixelDifference,
  readClip,
  resizeBicubic,
  temporaryDirectory,
  writeClip,
} from '../../support/media.ts';

describe('pixels equal Pillow’s bicubic of the decoded frames', () => {
  it.each([
    ['1080p', 1920, 1080],
    ['540p', 960, 540],
    ['portrait', 608, 1080],
    ['odd sizes', 853, 481],
    ['small: all but the motion frames grow', 176, 144],
  ])('%s, %dx%d', async (_, width, height) => {
    const path = join(temporaryDirectory(), 'clip.mkv');
    // A fractal, softened as a camera would: detail at all scales, strong colours.
    writeClip(path, {
      source: 'mandelbrot',
      size: `${width}x${height}`,
      rate: '4',
      filter: 'trim=end_frame=2,gblur=sigma=1',
      output: ['-crf', '10', ...(width % 2 ? ['-pix_fmt', 'yuv444p'] : [])],
    });
    const decoded = decodeRgb(path, width, height);
    expect(decoded).toHaveLength(2);
    for (const side of [384, 224, 48]) {
      const fragments = {
        kind: 'fragments',
        size: side,
        cell: side === 48 ? 12 : 32,
        area: 518_400,
      } as const;
      const { windows } = await readClip(path, {
        views: [{ kind: 'squash', size: side }, fragments],
        motionSize: side,
      });
      const bytes = side * side * 3;
      const squashed = decoded.map((frame) => resizeBicubic(frame, width, height, side, side));
      const canvas = canvasSize({ width, height }, fragments);
      const cut = new Uint8Array(bytes);
      cutFragments(
        resizeBicubic(decoded[0]!, width, height, canvas.width, canvas.height),
        canvas,
        fragments,
        cut,
        0,
      );
      const [{ motion, key }] = windows as [FrameWindow];
      const pairs = {
        squash: [key.pixels.subarray(0, bytes), squashed[0]!],
        fragments: [key.pixels.subarray(bytes), cut],
        motion: [motion.subarray(0, bytes), squashed[0]!],
        'second motion frame': [motion.subarray(bytes), squashed[1]!],
      } as const;
      for (const [name, [made, expected]] of Object.entries(pairs)) {
        const { mean, beyond2 } = pixelDifference(made, expected);
        expect({ side, name, mean: mean <= 0.5 || mean, beyond2: beyond2 <= 0.001 || beyond2 }).toEqual({
          side,
          name,
          mean: true,
          beyond2: true,
        });
      }
    }
  });
});

describe('frames, times and windows', () => {
  it('key frames are frames 0, r, 2r … with r the rounded frame rate', async () => {
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { rate: '30000/1001', seconds: 3 });
    const { windows, coverage, problems } = await readClip(path);
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
    const { windows, coverage } = await readClip(path, { windowSeconds: 2 });
    expect(windows.map(({ firstFrame }) => firstFrame)).toEqual([0, 20, 40, 60]);
    expect(windows.map(({ times }) => times.length)).toEqual([20, 20, 20, 10]);
    expect(windows.map(({ key }) => key.frames.length)).toEqual([2, 2, 2, 1]);
    expect(windows.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(coverage).toMatchObject({ frames: 70 });
    const whole = await readClip(path, { windowSeconds: 10 });
    expect(Buffer.concat(windows.map(({ motion }) => motion)).equals(whole.windows[0]!.motion)).toBe(true);
    expect(Buffer.concat(windows.map(({ key }) => key.pixels)).equals(whole.windows[0]!.key.pixels)).toBe(
      true,
    );
  });

  it('key frames are the same decoded frames as the motion frames at their place', async () => {
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 3 });
    const { windows } = await readClip(path, { views: [{ kind: 'squash', size: 16 }], motionSize: 16 });
    const { key, motion } = windows[0]!;
    const bytes = 16 * 16 * 3;
    for (const [i, frame] of key.frames.entries()) {
      expect(key.pixels.subarray(i * bytes, (i + 1) * bytes)).toEqual(
        motion.subarray(frame * bytes, (frame + 1) * bytes),
      );
    }
  });

  it('makes something of each key frame as soon as it is read', async () => {
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 3 });
    const plan = {
      views: [
        { kind: 'squash', size: 48 },
        { kind: 'fragments', size: 48, cell: 16, area: 5000 },
      ] as const,
      windowSeconds: 2,
    };
    const { windows } = await readClip(path, plan, {
      eachKey: async (pixels) => Float32Array.from(pixels),
    });
    expect(windows).toHaveLength(2);
    for (const { key } of windows) {
      const made = await Promise.all(key.made!);
      expect(made).toHaveLength(key.frames.length);
      expect(made.flatMap((one) => [...one])).toEqual([...key.pixels]);
    }
  });

  it('what is made of key frames fails where it is looked at, and ends before the reading does', async () => {
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 3 });
    let running = 0;
    const { windows } = await readClip(
      path,
      {},
      {
        eachKey: async () => {
          running++;
          await new Promise((done) => setImmediate(done));
          running--;
          throw new Error('no tokens');
        },
      },
    );
    expect(running).toBe(0);
    await expect(windows[0]!.key.made![0]).rejects.toThrow('no tokens');
  });

  it('two views of a key frame lie side by side', async () => {
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 2 });
    const plan = {
      views: [
        { kind: 'squash', size: 48 },
        { kind: 'fragments', size: 48, cell: 16, area: 5000 },
      ] as const,
    };
    const both = (await readClip(path, plan)).windows[0]!.key.pixels;
    const bytes = 48 * 48 * 3;
    for (const [i, view] of plan.views.entries()) {
      const one = (await readClip(path, { views: [view] })).windows[0]!.key.pixels;
      for (const frame of [0, 1]) {
        const from = (frame * 2 + i) * bytes;
        expect(both.subarray(from, from + bytes)).toEqual(one.subarray(frame * bytes, (frame + 1) * bytes));
      }
    }
  });
});
