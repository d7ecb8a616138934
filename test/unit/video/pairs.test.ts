/** A source and its encodes on one clock: every pixel of the frames that belong together. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { pairedStills, sourceFrames } from '../../../src/video/pairs.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { decodeRgb, ffmpeg, sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

/** Luma 16 + 2 n in frame n, so that a picture says which frame it is. */
const numbered = "geq=lum='16+2*N':cb=128:cr=128";
const source = join(sharedDirectory(), 'source.mp4');
beforeAll(() => {
  writeClip(source, { rate: '25', seconds: 3, filter: numbered, output: ['-c:v', 'libx264', '-qp', '0'] });
});

const opened = async (path: string) => (await probeVideo(path)).value;

function pixels(png: Uint8Array): Uint8Array {
  const args = ['-nostdin', '-v', 'error', '-f', 'image2pipe', '-c:v', 'png', '-i', 'pipe:0'];
  return spawnSync('ffmpeg', [...args, '-f', 'rawvideo', '-pix_fmt', 'rgb24', 'pipe:1'], { input: png })
    .stdout;
}

function numberIn(png: Uint8Array): number {
  const rgb = pixels(png);
  return Math.round(((rgb.reduce((sum, value) => sum + value, 0) / rgb.length) * 219) / 255 / 2);
}

/** Encodes the source, `input` before and `output` after it. */
function encoded(output: readonly string[], name = 'encode.mkv', of = source): string {
  const path = join(temporaryDirectory(), name);
  ffmpeg('-i', of, '-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '20', ...output, path);
  return path;
}

async function pair(path: string, time: number, of = source) {
  const [first] = await run(path, [time], of);
  return first;
}

/** The numbers that are in an encode's pictures at some times, and their own times. */
async function run(path: string, times: readonly [number, ...number[]], of = source) {
  const stills = await pairedStills(await opened(of), await opened(path), times);
  return stills.map(
    (still) => still && { number: numberIn(still.bytes), time: Number(still.time.toFixed(3)) },
  );
}

describe('the frames of a source', () => {
  it('are those that it has, from the first on, whatever its clock says', async () => {
    const even = Array.from({ length: 75 }, (_, at) => at / 25);
    for (const path of [source, encoded([], 'late.ts')]) {
      const { times, width, height } = await sourceFrames(await opened(path));
      expect([width, height]).toEqual([160, 96]);
      expect(times.map((time) => Number(time.toFixed(3)))).toEqual(even);
    }
  });

  it('come when they come in a file of variable rate', async () => {
    const path = encoded(['-vf', 'select=lt(n\\,10)+gte(n\\,60)', '-fps_mode', 'passthrough']);
    const { times } = await sourceFrames(await opened(path));
    expect(times).toHaveLength(25);
    expect(times.slice(9, 11)).toEqual([expect.closeTo(0.36, 3), expect.closeTo(2.4, 3)]);
  });

  it('are counted where a file has no time stamps', async () => {
    const { times } = await sourceFrames(await opened(encoded(['-f', 'h264'], 'raw.264')));
    expect(times.slice(0, 3)).toEqual([0, 0.04, 0.08]);
  });

  it('are shown with the pixels that were decoded', async () => {
    const [still] = await pairedStills(await opened(source), null, [1]);
    expect(still).toMatchObject({ mime: 'image/png', time: expect.closeTo(1, 6) });
    const decoded = decodeRgb(source, 160, 96)[25]!;
    const shown = pixels(still!.bytes);
    expect(shown.length).toBe(160 * 96 * 3);
    expect(Math.max(...shown.map((value, at) => Math.abs(value - decoded[at]!)))).toBeLessThanOrEqual(1);
  });
});

describe('an encode shows the frame of the same time', () => {
  it.each([
    ['Matroska with B-frames', ['-preset', 'medium', '-bf', '3'], 'a.mkv'],
    ['MPEG-TS, which begins at 1.4 s', [], 'a.ts'],
    ['one group of pictures', ['-g', '1000'], 'a.mp4'],
  ])('%s', async (_, output, name) => {
    const path = encoded(output, name);
    for (const frame of [0, 31, 74]) {
      expect(await pair(path, frame / 25)).toEqual({ number: frame, time: frame / 25 });
    }
  });

  it('of a source that does not begin at 0', async () => {
    const late = encoded([], 'late.ts');
    expect(await pair(encoded([], 'a.mkv', late), 1.24, late)).toEqual({ number: 31, time: 1.24 });
  });

  it('in its own size', async () => {
    const [still] = await pairedStills(
      await opened(source),
      await opened(encoded(['-vf', 'scale=80:48'])),
      [0.4],
    );
    expect(pixels(still!.bytes).length).toBe(80 * 48 * 3);
  });

  it('or the one that it shows then, with its own time', async () => {
    const lost = ['-vf', 'select=gt(n\\,0)*not(eq(n\\,40))', '-fps_mode', 'passthrough'];
    const path = encoded([...lost, '-avoid_negative_ts', 'disabled']);
    expect(await pair(path, 0)).toEqual({ number: 1, time: 0.04 });
    expect(await pair(path, 1.24)).toEqual({ number: 31, time: 1.24 });
    expect(await pair(path, 1.6)).toEqual({ number: 39, time: 1.56 });
    const offset = encoded(['-output_ts_offset', '0.01', '-avoid_negative_ts', 'disabled']);
    expect(await pair(offset, 1.24)).toEqual({ number: 30, time: 1.21 });
    const short = encoded(['-t', '2']);
    expect(await pair(short, 2.8)).toEqual({ number: 49, time: 1.96 });
  });
});

it('an encode of a variable rate shows the frame of the time where frames are close', async () => {
  // The encoder's own clock would have the frames' rate.
  const clock = ['-fps_mode', 'passthrough', '-enc_time_base', '1:1000'];
  const close = ['-vf', "setpts='if(lt(N,20),N/100,0.2+(N-20)/5)/TB'", ...clock];
  const uneven = encoded(close, 'uneven.mkv');
  const path = encoded(clock, 'b.mkv', uneven);
  const { times } = await sourceFrames(await opened(uneven));
  for (const frame of [7, 19, 22]) {
    expect((await pair(path, times[frame]!, uneven))?.number).toBe(frame);
  }
  expect((await run(path, [times[7]!, times[8]!, times[9]!], uneven)).map((one) => one?.number)).toEqual([
    7, 8, 9,
  ]);
});

describe('frames that follow each other come along', () => {
  const at = (frame: number) => ({ number: frame, time: frame / 25 });

  it.each([
    ['Matroska with B-frames', ['-preset', 'medium', '-bf', '3'], 'a.mkv'],
    ['MPEG-TS, which begins at 1.4 s', [], 'a.ts'],
  ])('forwards and backwards: %s', async (_, output, name) => {
    const path = encoded(output, name);
    expect(await run(path, [1.24, 1.28, 1.32, 1.36])).toEqual([31, 32, 33, 34].map(at));
    expect(await run(path, [0.08, 0.04, 0])).toEqual([2, 1, 0].map(at));
    const stills = await pairedStills(await opened(source), null, [1.24, 1.28]);
    expect(stills.map((still) => still && numberIn(still.bytes))).toEqual([31, 32]);
  });

  it('but none for another, and the first is there all the same', async () => {
    const path = encoded(['-vf', 'select=not(between(n\\,31\\,32))', '-fps_mode', 'passthrough']);
    expect(await run(path, [1.2, 1.24, 1.28, 1.32])).toEqual([at(30), null, null, at(33)]);
    expect(await run(path, [1.28, 1.32])).toEqual([at(30), at(33)]);
    const short = encoded(['-t', '2']);
    expect(await run(short, [1.96, 2, 2.04])).toEqual([at(49), null, null]);
    expect(await run(short, [2.04, 2.08])).toEqual([at(49), null]);
  });

  it('without times in the file, and interlaced', async () => {
    const raw = encoded(['-f', 'h264'], 'raw.264');
    expect((await run(raw, [0.4, 0.44])).map((one) => one?.number)).toEqual([10, 11]);
    const fields = encoded(['-flags', '+ilme+ildct', '-x264opts', 'tff=1', '-field_order', 'tt']);
    const stills = await run(fields, [0.4, 0.44]);
    expect(stills[0]?.time).toBe(0.4);
  });
});
