import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { OmniError } from '../../../src/protocol/errors.ts';
import {
  availableEncoders,
  clipFormat,
  type Degradation,
  degradeClip,
  frameRate,
} from '../../../src/video/degrade.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { ffmpeg, sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

const [width, height, rate] = [160, 96, 10];
const source = join(sharedDirectory(), 'source.mp4');
beforeAll(() => {
  writeClip(source, { size: `${width}x${height}`, rate: String(rate), seconds: 3 });
});

/** The luma of every frame. */
function lumaOf(path: string, filter = 'null'): Buffer[] {
  const raw = join(temporaryDirectory(), 'raw');
  ffmpeg(
    '-i',
    `file:${path}`,
    '-vf',
    `${filter},extractplanes=y`,
    '-f',
    'rawvideo',
    '-pix_fmt',
    'gray',
    `file:${raw}`,
  );
  const data = readFileSync(raw);
  return Array.from({ length: data.length / (width * height) }, (_, i) =>
    data.subarray(i * width * height, (i + 1) * width * height),
  );
}

async function degraded(degradation: Degradation, { start = 0, frames = 20, encoders = ['libx264'] } = {}) {
  const scratch = temporaryDirectory();
  const output = join(scratch, 'out.mkv');
  const { value: info } = await probeVideo(source);
  await degradeClip({ info, start, frames }, degradation, output, { encoders: new Set(encoders), scratch });
  return output;
}

const blur = { filter: 'gblur=sigma=4' };
const x264 = { encoder: 'libx264', options: ['-crf', '45', '-preset', 'veryfast'] };
const local = { x: 40, y: 24, width: 80, height: 48, first: 5, end: 12 };

describe('degradeClip', () => {
  it.each([['libx264'], ['ffv1']])('carries the pixels as they are: %s', async (encoder) => {
    const clip = lumaOf(await degraded({ steps: [] }, { start: 1, encoders: [encoder] }));
    expect(clip).toEqual(lumaOf(source).slice(10));
  });

  it.each([
    ['a filter', [blur]],
    ['an encoder', [x264]],
    ['filters around an encoder', [blur, x264, { filter: 'gblur=sigma=1' }]],
  ])('%s changes the rectangle in its time and nothing else', async (_, steps) => {
    const before = lumaOf(source);
    const after = lumaOf(await degraded({ steps, local }));
    expect(after.length).toBe(20);
    for (const [n, frame] of after.entries()) {
      let [inside, outside] = [0, 0];
      for (let y = 0; y < height; y += 1) {
        for (let x = 0; x < width; x += 1) {
          if (frame[y * width + x] === before[n]![y * width + x]) continue;
          if (x >= 40 && x < 120 && y >= 24 && y < 72) inside += 1;
          else outside += 1;
        }
      }
      expect(outside).toBe(0);
      if (n >= local.first && n < local.end) expect(inside).toBeGreaterThan(100);
      else expect(inside).toBe(0);
    }
  });

  it('shows frames again in the place of those that follow', async () => {
    const before = lumaOf(source);
    const repeats = [
      { first: 4, end: 8 },
      { first: 15, end: 20 },
    ];
    const after = lumaOf(await degraded({ steps: [], repeats }));
    const shown = [0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 10, 11, 12, 13, 14];
    expect(after.map((frame) => before.findIndex((one) => one.equals(frame)))).toEqual(shown);
  });

  it("leaves an encoder's own stream where it is the last thing done", async () => {
    const { value } = await probeVideo(await degraded({ steps: [blur, x264] }));
    expect([value.codec, value.profile]).toEqual(['h264', 'High']);
  });

  it('writes the same bytes again, noise included', async () => {
    const steps = [{ filter: 'noise=alls=30:allf=t:all_seed=5' }];
    const [first, again] = [await degraded({ steps, local }), await degraded({ steps, local })];
    expect(readFileSync(first).equals(readFileSync(again))).toBe(true);
  });

  it('replaces what is there', async () => {
    const scratch = temporaryDirectory();
    const output = join(scratch, 'out.mkv');
    writeFileSync(output, 'something else');
    const { value: info } = await probeVideo(source);
    const options = { encoders: new Set(['libx264']), scratch };
    await degradeClip({ info, start: 0, frames: 20 }, { steps: [] }, output, options);
    expect(lumaOf(output).length).toBe(20);
  });

  it.each([
    ['fewer frames than were promised', { steps: [] }, { start: 2, frames: 20 }, 'nothing_decoded'],
    ['a filter that there is not', { steps: [{ filter: 'nosuchfilter' }] }, {}, 'ffmpeg_failed'],
  ])('says so: %s', async (_, degradation, options, code) => {
    await expect(degraded(degradation, options)).rejects.toSatisfy(
      (error) => OmniError.is(error) && error.code === code,
    );
  });

  it('ends when it is cancelled', async () => {
    const scratch = temporaryDirectory();
    const { value: info } = await probeVideo(source);
    const signal = AbortSignal.abort();
    await expect(
      degradeClip({ info, start: 0, frames: 20 }, { steps: [] }, join(scratch, 'out.mkv'), {
        encoders: new Set(['libx264']),
        scratch,
        signal,
      }),
    ).rejects.toSatisfy((error) => OmniError.is(error, 'cancelled'));
  });
});

describe('clipFormat', () => {
  it('makes odd sides even and full range limited', async () => {
    const path = writeClip(join(temporaryDirectory(), 'odd.mkv'), {
      size: '131x97',
      seconds: 1,
      output: ['-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p'],
    });
    const { value: info } = await probeVideo(path);
    const { value, problems } = clipFormat(info);
    expect(value).toEqual({ width: 130, height: 96, rate: [10, 1] });
    expect(problems.map(({ code }) => code)).toEqual(['source_converted']);
    const scratch = temporaryDirectory();
    const output = join(scratch, 'out.mkv');
    const encoders = await availableEncoders();
    await degradeClip({ info, start: 0, frames: 10 }, { steps: [] }, output, { encoders, scratch });
    const { value: made } = await probeVideo(output);
    expect([made.width, made.height, made.pixelFormat]).toEqual([130, 96, 'yuv420p']);
  });

  it.each([
    [25, [25, 1]],
    [29.97002997, [30_000, 1001]],
    [23.976, [24_000, 1001]],
    [59.94, [60_000, 1001]],
    [12.5, [12_500, 1000]],
  ])('takes %d frames per second for %j', (fps, fraction) => {
    expect(frameRate(fps)).toEqual(fraction);
  });
});
