import { existsSync, readFileSync, statSync, truncateSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Contents } from '../../../src/engine/content.ts';
import { Cuts } from '../../../src/engine/cuts.ts';
import { tidy } from '../../../src/engine/files.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

const open = (store: string) => new Cuts(join(store, 'cuts'), new Contents(join(store, 'contents')));
const parts = [
  { start: 0, end: 0.5 },
  { start: 1, end: 1.5 },
];

test('parts of a clip are cut once, kept as long as they are asked for, and made again when they are damaged', async () => {
  const store = temporaryDirectory();
  const clip = writeClip(join(store, 'clip.mp4'), { seconds: 2 });
  const cuts = open(store);
  const [first, other] = await Promise.all([cuts.cut(clip, parts), cuts.cut(clip, parts.slice(1))]);
  expect(cuts.busy).toBe(false);
  expect(first.parts).toEqual(
    parts.map(({ start, end }) => ({ start: expect.closeTo(start), end: expect.closeTo(end) })),
  );
  expect(other.file).not.toBe(first.file);
  const { value } = await probeVideo(first.file);
  expect(value).toMatchObject({ codec: 'ffv1', duration: expect.closeTo(1) });

  const bytes = readFileSync(first.file);
  const days = (file: string, ago: number) => {
    const then = new Date(Date.now() - ago * 86_400_000);
    for (const one of [file, `${file}.json`]) utimesSync(one, then, then);
  };
  days(first.file, 2);
  days(other.file, 2);
  const { mtimeMs } = statSync(first.file);
  expect(await open(store).cut(clip, parts)).toEqual(first);
  expect(statSync(first.file).mtimeMs).toBeGreaterThan(mtimeMs);
  await tidy(store);
  expect([existsSync(first.file), existsSync(`${first.file}.json`)]).toEqual([true, true]);
  expect([existsSync(other.file), existsSync(`${other.file}.json`)]).toEqual([false, false]);

  truncateSync(first.file, 100);
  await open(store).cut(clip, parts);
  expect(readFileSync(first.file)).toEqual(bytes);
});

test('a clip that is not there is said to be missing', async () => {
  const store = temporaryDirectory();
  await expect(open(store).cut(join(store, 'missing.mp4'), parts)).rejects.toMatchObject({
    code: 'file_not_found',
  });
});

test('a cancelled cut leaves nothing, and the next one is made', async () => {
  const store = temporaryDirectory();
  const clip = writeClip(join(store, 'clip.mp4'), { seconds: 2 });
  const cuts = open(store);
  const abort = new AbortController();
  const cancelled = cuts.cut(clip, parts, abort.signal);
  const next = cuts.cut(clip, parts);
  abort.abort();
  await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
  expect(existsSync((await next).file)).toBe(true);
});
