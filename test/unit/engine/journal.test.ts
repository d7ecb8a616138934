import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Journal, type JournalKey } from '../../../src/engine/journal.ts';
import type { WindowResult } from '../../../src/engine/windows.ts';
import type { VideoInfo } from '../../../src/video/probe.ts';
import { temporaryDirectory } from '../../support/media.ts';

const key: JournalKey = {
  sha256: 'a'.repeat(64),
  revision: 'r1',
  precision: 'fp32',
  compiler: '2',
  provider: 'cpu',
};
const clip = {
  info: { path: '/clips/a\n"b".mp4', fps: 25 } as VideoInfo,
  problems: [],
  branches: ['technical'],
  thresholds: null,
};
const windowOf = (index: number) =>
  ({ index, start: index / 3, end: (index + 1) / 3, frames: 8, problems: [] }) as unknown as WindowResult;
const end = { windows: 3, conversions: [{ code: 'deinterlaced', message: 'x' }] };

/** A journal with the clip, two windows, the packets, and on request the end. */
async function written(withEnd = false): Promise<string> {
  const file = join(temporaryDirectory(), 'deep', 'er', 'clip.jsonl');
  const journal = await Journal.open(file, key);
  await journal.begin(clip);
  await Promise.all([
    journal.add(windowOf(0)),
    journal.add(windowOf(2)),
    journal.keepPackets([{ time: 0.1, bytes: 7 }]),
  ]);
  if (withEnd) await journal.finish(end);
  expect(journal.problems).toEqual([]);
  await journal.close();
  return file;
}

describe('Journal', () => {
  it('holds what was written, exactly', async () => {
    const journal = await Journal.open(await written(true), key);
    expect([...journal.windows.values()]).toEqual([windowOf(0), windowOf(2)]);
    expect(journal).toMatchObject({ clip, end, packets: [{ time: 0.1, bytes: 7 }], problems: [] });
  });

  it('of no file is empty, and opening makes none', async () => {
    const folder = temporaryDirectory();
    const journal = await Journal.open(join(folder, 'none.jsonl'), key);
    expect(journal).toMatchObject({ clip: null, end: null, packets: null, problems: [] });
    expect(journal.windows.size).toBe(0);
    await journal.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('cut anywhere has the windows whose lines are whole, and goes on from there', async () => {
    const file = await written();
    const data = readFileSync(file);
    const lines = data.toString().split('\n').slice(0, -1);
    for (let size = 0; size <= data.length; size += 3) {
      writeFileSync(file, data.subarray(0, size));
      const whole = data.subarray(0, size).toString('latin1').split('\n').length - 1;
      const journal = await Journal.open(file, key);
      expect(journal.problems).toEqual([]);
      expect(journal.windows.size).toBe(
        lines.slice(0, whole).filter((line) => /{"window"/.test(line)).length,
      );
      await journal.begin(clip);
      await journal.add(windowOf(1));
      await journal.close();
      const again = await Journal.open(file, key);
      expect(again.problems).toEqual([]);
      expect(again.windows.get(1)).toEqual(windowOf(1));
      expect(again.windows.size).toBe(journal.windows.size);
      await again.close();
    }
  });

  it.each([
    ['a flipped bit', (text: string) => text.replace('"start":0', '"start":1')],
    ['a lost first line', (text: string) => text.slice(text.indexOf('\n') + 1)],
    ['zeros, as after a power cut', (text: string) => `${text}${'\0'.repeat(64)}\n`],
    ['another version', (text: string) => text.replace('{"journal":2,', '{"journal":3,')],
    ['something else', () => 'hello\n'],
    ['empty lines', (text: string) => `${text}\n\n`],
  ])('damaged by %s is moved aside', async (_, damage) => {
    const file = await written();
    const damaged = damage(readFileSync(file, 'utf8'));
    writeFileSync(file, damaged);
    const journal = await Journal.open(file, key);
    expect(journal.problems.map(({ code }) => code)).toEqual(['journal_corrupt']);
    expect(journal.windows.size).toBe(0);
    const [aside] = readdirSync(join(file, '..')) as [string];
    expect(aside).toMatch(/\.corrupt-/);
    expect(readFileSync(join(file, '..', aside), 'utf8')).toBe(damaged);
    await journal.begin(clip);
    await journal.add(windowOf(0));
    await journal.close();
    expect((await Journal.open(file, key)).windows.size).toBe(1);
  });

  it('of another content or model is not taken', async () => {
    const file = await written();
    const journal = await Journal.open(file, { ...key, revision: 'r2' });
    expect(journal.windows.size).toBe(0);
    expect(journal.problems.map(({ code }) => code)).toEqual(['journal_corrupt']);
  });

  it('that can not be written keeps its windows in memory and says so once', async () => {
    const folder = temporaryDirectory();
    writeFileSync(join(folder, 'file'), '');
    const journal = await Journal.open(join(folder, 'file', 'clip.jsonl'), key);
    await journal.begin(clip);
    await journal.add(windowOf(0));
    await journal.add(windowOf(1));
    expect(journal.windows.size).toBe(2);
    expect(journal.problems.map(({ code }) => code)).toEqual(['journal_not_written']);
    await journal.remove();
    expect(statSync(join(folder, 'file')).size).toBe(0);
  });

  it('is gone when it is removed', async () => {
    const file = await written();
    const journal = await Journal.open(file, key);
    await journal.add(windowOf(1));
    await journal.remove();
    expect(readdirSync(join(file, '..'))).toEqual([]);
  });
});
