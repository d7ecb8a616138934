import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ResultCache, type ResultKey } from '../../../src/engine/results.ts';
import { temporaryDirectory } from '../../support/media.ts';
import { recordOf } from '../assessment/records.ts';

const model = (changes: Partial<ResultKey> = {}): ResultKey => ({
  revision: 'r1',
  precision: 'fp32',
  compiler: '1',
  provider: 'cpu',
  ...changes,
});
const sha = recordOf().video.sha256!;
const named = (path: string) => recordOf({ video: { ...recordOf().video, path } });

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe('ResultCache', () => {
  it('finds the record of the same content under its new name', async () => {
    const cache = new ResultCache(temporaryDirectory());
    await cache.put(named('old.mp4'), model());
    expect(await cache.get('new.mp4', sha, model())).toEqual(named('new.mp4'));
    expect(cache.problems).toEqual([]);
  });

  it.each([
    ['content', 'b'.repeat(64), model()],
    ['weights', sha, model({ revision: 'r2' })],
    ['precision', sha, model({ precision: 'int4' })],
    ['compiler', sha, model({ compiler: '2' })],
    ['provider', sha, model({ provider: 'webgpu' })],
  ])('does not find it with another %s', async (_, sha256, other) => {
    const cache = new ResultCache(temporaryDirectory());
    await cache.put(recordOf(), model());
    expect(await cache.get('a.mp4', sha256, other)).toBeUndefined();
    expect(cache.problems).toEqual([]);
  });

  it.each([
    ['partial', recordOf({ status: 'partial' })],
    ['cancelled', recordOf({ status: 'cancelled' })],
    ['without a hash', recordOf({ video: { ...recordOf().video, sha256: null } })],
  ])('keeps whole results only, not one that is %s', async (_, record) => {
    const root = temporaryDirectory();
    await new ResultCache(root).put(record, model());
    expect(filesIn(root)).toEqual([]);
  });

  it.each([
    ['cut off', (text: string) => text.slice(0, -20)],
    ['empty', () => ''],
    ['something else', () => '{"schema":"omnivqa/assessment@1"}'],
    ['the record of another file', (text: string) => text.replaceAll('a'.repeat(64), 'c'.repeat(64))],
    ['not text', () => '\u0000\u0001'],
  ])('moves a damaged entry aside and says so: %s', async (_, damage) => {
    const root = temporaryDirectory();
    const cache = new ResultCache(root);
    await cache.put(recordOf(), model());
    const [file] = filesIn(root) as [string];
    const damaged = damage(readFileSync(file, 'utf8'));
    writeFileSync(file, damaged);
    expect(await cache.get('a.mp4', sha, model())).toBeUndefined();
    expect(cache.problems.map(({ code }) => code)).toEqual(['cache_corrupt']);
    const [aside] = filesIn(root) as [string];
    expect(aside).toMatch(/\.corrupt-/);
    expect(readFileSync(aside, 'utf8')).toBe(damaged);
    await cache.put(recordOf(), model());
    expect(await cache.get(recordOf().video.path, sha, model())).toEqual(recordOf());
  });

  it('a cache that can not be written costs a note, and leaves no pieces', async () => {
    const root = temporaryDirectory();
    writeFileSync(join(root, 'file'), '');
    const cache = new ResultCache(join(root, 'file', 'results'));
    await cache.put(recordOf(), model());
    expect(cache.problems.map(({ code }) => code)).toEqual(['cache_not_written']);
    expect(await cache.get('a.mp4', sha, model())).toBeUndefined();
    expect(readdirSync(root)).toEqual(['file']);
  });

  it('an entry whose place is taken by a folder costs a note', async () => {
    const root = temporaryDirectory();
    await new ResultCache(root).put(recordOf(), model());
    const [file] = filesIn(root) as [string];
    const other = temporaryDirectory();
    mkdirSync(file.replace(root, other), { recursive: true });
    const cache = new ResultCache(other);
    expect(await cache.get('a.mp4', sha, model())).toBeUndefined();
    await cache.put(recordOf(), model());
    expect(cache.problems.map(({ code }) => code)).toEqual(['cache_not_written']);
    expect(filesIn(other)).toEqual([]);
  });
});
