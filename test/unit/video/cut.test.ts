import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cutVideo, scaleVideo } from '../../../src/video/cut.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { packetSizes } from '../../../src/video/signals.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

/** Checksums of the decoded frames. */
const pictures = (file: string) =>
  execFileSync(
    'ffmpeg',
    ['-v', 'error', '-i', file, '-an', '-fps_mode', 'passthrough', '-f', 'framemd5', '-'],
    {
      encoding: 'utf8',
    },
  )
    .split('\n')
    .filter((line) => /^0,/.test(line))
    .map((line) => line.split(',').at(-1)!.trim());

const infoOf = async (path: string) => (await probeVideo(path)).value;

async function cut(path: string, spans: readonly (readonly [number, number])[], name = 'cut.mkv') {
  const output = join(path, '..', name);
  const parts = await cutVideo(
    await infoOf(path),
    spans.map(([start, end]) => ({ start, end })),
    output,
  );
  const times = (await packetSizes(await infoOf(output))).map(({ time }) => time!).sort((a, b) => a - b);
  return { output, parts, times, own: pictures(output), all: pictures(path) };
}

test('the very frames of the parts, one after the other, and the same bytes every time', async () => {
  const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), {
    seconds: 3,
    output: ['-bf', '2', '-g', '7'],
  });
  const spans = [
    [0.45, 1.0],
    [1.8, 2.2],
  ] as const;
  const { output, parts, times, own, all } = await cut(path, spans);
  // 10 frames a second: frames 5 to 9, and 18 to 21.
  expect(own).toEqual([...all.slice(5, 10), ...all.slice(18, 22)]);
  expect(parts).toEqual([
    { start: expect.closeTo(0.5), end: expect.closeTo(1) },
    { start: expect.closeTo(1.8), end: expect.closeTo(2.2) },
  ]);
  expect(times).toEqual(own.map((_, at) => expect.closeTo(at / 10)));
  const again = await cut(path, spans, 'again.mkv');
  expect(readFileSync(again.output)).toEqual(readFileSync(output));
});

describe.each([
  ['transport stream that begins at 1.4 s', 'clip.ts', { output: ['-bf', '2'] }],
  ['variable rate', 'clip.mkv', { filter: 'select=not(eq(mod(n\\,5)\\,3))', output: ['-fps_mode', 'vfr'] }],
  ['29.97 frames a second', 'clip.mp4', { rate: '30000/1001' }],
  ['10 bits', 'clip.mkv', { output: ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p10le'] }],
  ['small', 'clip.mkv', { size: '16x16' }],
] as const)('%s', (_, name, options) => {
  test('is cut by the times of its frames', async () => {
    const path = writeClip(join(temporaryDirectory(), name), { ...options, seconds: 3 });
    const stamps = (await packetSizes(await infoOf(path))).map(({ time }) => time!).sort((a, b) => a - b);
    const at = stamps.map((time) => time - stamps[0]!);
    const { times, own, all } = await cut(path, [
      [at[2]!, at[7]!],
      [at[11]!, at[20]!],
    ]);
    expect(own).toEqual([...all.slice(2, 7), ...all.slice(11, 20)]);
    const expected = [
      ...at.slice(2, 7).map((time) => time - at[2]!),
      ...at.slice(11, 20).map((time) => at[7]! - at[2]! + time - at[11]!),
    ];
    for (const [frame, time] of expected.entries())
      expect(Math.abs(times[frame]! - time)).toBeLessThan(0.0021);
  });
});

test('far into a long clip, the same frames', async () => {
  const path = writeClip(join(temporaryDirectory(), 'clip.ts'), {
    seconds: 40,
    output: ['-bf', '2', '-g', '80'],
  });
  const { own, all } = await cut(path, [
    [25, 26],
    [39, 60],
  ]);
  expect(own).toEqual([...all.slice(250, 260), ...all.slice(390)]);
});

test('at another size: every frame at its time', async () => {
  const path = writeClip(join(temporaryDirectory(), 'clip.mp4'));
  const output = join(path, '..', 'large.mkv');
  await scaleVideo(await infoOf(path), { width: 320, height: 192 }, output);
  expect(await infoOf(output)).toMatchObject({ width: 320, height: 192 });
  const times = async (file: string) =>
    (await packetSizes(await infoOf(file))).map(({ time }) => time!).sort((a, b) => a - b);
  expect(await times(output)).toEqual((await times(path)).map((time) => expect.closeTo(time, 2)));
});

test('nothing to cut, and a cut that was cancelled', async () => {
  const path = writeClip(join(temporaryDirectory(), 'clip.mp4'));
  await expect(cut(path, [[5, 6]])).rejects.toMatchObject({ code: 'nothing_decoded' });
  const signal = AbortSignal.abort();
  await expect(
    cutVideo(await infoOf(path), [{ start: 0, end: 1 }], join(path, '..', 'x.mkv'), { signal }),
  ).rejects.toMatchObject({ code: 'cancelled' });
});
