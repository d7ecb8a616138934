import { mkdirSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { parseLadders } from '../../../src/comparison/ladders.ts';
import { omnivqa } from '../../support/cli.ts';
import { smallModel, temporaryCache } from '../../support/engine.ts';
import { ffmpeg, sharedDirectory, temporaryDirectory } from '../../support/media.ts';

const shared = sharedDirectory();
const source = join(shared, 'source.mp4');
beforeAll(() => {
  // Two scenes with a cut between them.
  ffmpeg(
    ...['-f', 'lavfi', '-i', 'testsrc2=size=160x96:rate=10:duration=1.5'],
    ...['-f', 'lavfi', '-i', 'mandelbrot=size=160x96:rate=10:start_scale=0.3'],
    ...['-filter_complex', '[1:v]trim=duration=1.5,negate[b];[0:v][b]concat=n=2'],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-qp', '0', '-pix_fmt', 'yuv420p', `file:${source}`],
  );
});
const compare = (...words: string[]) =>
  omnivqa(['compare', source, ...smallModel, '--codec', 'libx264', '--preset', 'ultrafast', ...words]);

test('a ladder for the title: sizes that the clip has, on the hull, as a file that can be compared', async () => {
  temporaryCache();
  const file = join(temporaryDirectory(), 'clip.ladder.yaml');
  const { status, stdout, stderr } = await compare(
    ...['--per-title', '--heights', '1080,96,48', '--rungs', '3', '-o', file],
  );
  expect([status, stderr]).toEqual([0, '']);
  // Four CRFs of two sizes: 1080 lines are more than the clip has.
  expect(stdout.match(/^\d+p crf \d+ /gm)).toHaveLength(8);
  const { value, problems } = parseLadders(readFileSync(file, 'utf8'), file);
  expect(problems).toEqual([]);
  const rungs = value[0]!.rungs;
  expect(rungs.length).toBeGreaterThan(0);
  expect(rungs.length).toBeLessThanOrEqual(3);
  // The encodes of its rungs are those that were measured.
  const json = await compare('--per-title', '--heights', '96,48', '--rungs', '3', '--format', 'json');
  const record = JSON.parse(json.stdout) as { rungs: { bitrate: number }[] };
  const ladder = await omnivqa(['compare', source, ...smallModel, '--settings', file, '--format', 'json']);
  const { encodes } = JSON.parse(ladder.stdout) as { encodes: { bitrate: number }[] };
  expect(encodes.map(({ bitrate }) => bitrate)).toEqual(record.rungs.map(({ bitrate }) => bitrate));
});

test('each scene is searched on its own, an excerpt says what it stands for, and nothing cut is left', async () => {
  const cache = temporaryCache();
  const left = join(cache, 'cuts', '1-abcdef');
  mkdirSync(left, { recursive: true });
  utimesSync(left, 0, 0);
  const { stdout, stderr } = await compare('--target-mos', '1.2', '--per-scene', '--format', 'json');
  expect(stderr).toBe('');
  const found = JSON.parse(stdout) as {
    scenes: { start: number; end: number; crf: number | null; bytes: number; steps: object[] }[];
    total: { bytes: number };
    encodes: number;
  };
  expect(found.scenes.map(({ start, end }) => [start, end])).toEqual([
    [0, expect.closeTo(1.5, 1)],
    [expect.closeTo(1.5, 1), expect.closeTo(3, 1)],
  ]);
  expect(found.total.bytes).toBe(found.scenes.reduce((sum, { bytes }) => sum + bytes, 0));
  const part = await compare('--excerpt', '2', '--format', 'json', '--', '-c:v', 'libx264', '-crf', '30');
  const { excerpt } = JSON.parse(part.stdout) as {
    excerpt: { parts: { start: number; end: number }[]; seconds: number; error: number };
  };
  expect(excerpt.parts).toEqual([
    { start: expect.closeTo(0.3, 1), end: expect.closeTo(1.3, 1) },
    { start: expect.closeTo(1.8, 1), end: expect.closeTo(2.8, 1) },
  ]);
  expect(excerpt.seconds).toBeCloseTo(2, 1);
  expect(excerpt.error).toBeGreaterThanOrEqual(0);
  expect(readdirSync(join(cache, 'cuts'))).toEqual([]);
});

test.each([
  ['sizes that are none', ['--per-title', '--heights', '0'], /even numbers of lines/],
  ['no size that is small enough', ['--per-title', '--heights', '720'], /has 96 lines/],
  ['a file that is no ladder', ['--per-title', '-o', 'x.txt'], /is no name for a ladder/],
  ['scenes without a target', ['--per-scene'], /searched for a MOS/],
  ['a target for a ladder', ['--per-title', '--target-mos', '4'], /comparison of its own/],
  ['two things at once', ['--per-scene', '--per-title'], /comparison of its own/],
  ['an excerpt of nothing', ['--excerpt', '0'], /a number of seconds/],
])('bad usage: %s', async (_, words, said) => {
  temporaryCache();
  const { status, stderr } = await compare(...words);
  expect(status).toBe(2);
  expect(stderr).toMatch(said);
});
