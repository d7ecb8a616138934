import { mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Assessment } from '../../../src/assessment/record.ts';
import { TeamFolder } from '../../../src/engine/team.ts';
import {
  eventually,
  filesIn,
  nanoWith,
  removeBundles,
  startEngine,
  timeless,
} from '../../support/engine_process.ts';
import { sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

removeBundles();

const cache = sharedDirectory();
const model = nanoWith(1);
const clip = join(sharedDirectory(), 'clip.mp4');
let undisturbed: Assessment;

beforeAll(() => {
  writeClip(clip, { seconds: 4, size: '320x180' });
  utimesSync(clip, 1e9, 1e9);
});

it('nothing happens: the reference', async () => {
  const engine = await startEngine(temporaryDirectory(), cache, model);
  const { record, outcome } = await engine.assess({ path: clip });
  expect(outcome).toBe('complete');
  undisturbed = record!;
});

const codes = (record: Assessment | null) => record!.problems.map(({ code }) => code).sort();
const same = (record: Assessment | null) =>
  expect(timeless({ ...record!, problems: [] })).toEqual(timeless({ ...undisturbed, problems: [] }));

describe('a store that can not be written', () => {
  it('read-only: costs a note in the record, not the result', async () => {
    const folder = temporaryDirectory();
    // A file where the directory would be refuses root too, which permissions do not.
    writeFileSync(join(folder, 'file'), '');
    const engine = await startEngine(join(folder, 'file', 'store'), cache, model);
    const { outcome, record } = await engine.assess({ path: clip });
    expect(outcome).toBe('complete');
    same(record);
    expect(codes(record)).toEqual(['cache_not_written', 'journal_not_written']);
    expect(filesIn(folder)).toEqual(['file']);
  });

  it('a full disk: costs a note in the record, not the result, and leaves no pieces', async () => {
    const folder = temporaryDirectory();
    const store = join(folder, 'store');
    // No file may grow over a block of 1024 bytes (EFBIG): locks can be written, journals and results can not.
    const node = join(folder, 'node');
    writeFileSync(node, `#!/bin/bash\nulimit -f 1\nexec '${process.execPath}' "$@"\n`, { mode: 0o755 });
    const engine = await startEngine(store, cache, model, { node });
    const { outcome, record } = await engine.assess({ path: clip });
    expect(outcome).toBe('complete');
    same(record);
    expect(codes(record)).toEqual(['cache_not_written', 'journal_not_written']);
    expect(record!.problems.every(({ message }) => /no room left.*(EFBIG|ENOSPC)/.test(message))).toBe(true);
    // What fits of the journal is whole: the next engine reads it.
    await engine.client.dispose();
    const next = await startEngine(store, cache, model);
    const again = await next.assess({ path: clip });
    expect(again.outcome).toBe('complete');
    expect(timeless(again.record)).toEqual(timeless(undisturbed));
    expect(filesIn(store).map((file) => file.split('/')[0])).toEqual(['contents', 'results']);
  });
});

describe('a stored record', () => {
  it('that is damaged is moved aside and computed again', async () => {
    const store = temporaryDirectory();
    const engine = await startEngine(store, cache, model);
    await engine.assess({ path: clip });
    const file = join(store, filesIn(store).find((name) => name.startsWith('results/'))!);
    const damaged = readFileSync(file, 'utf8').slice(0, -40);
    writeFileSync(file, damaged);
    const update = await engine.assess({ path: clip });
    expect(update).toMatchObject({ outcome: 'complete', kept: false });
    same(update.record);
    expect(codes(update.record)).toEqual(['cache_corrupt']);
    const aside = filesIn(store).filter((name) => name.includes('.corrupt-'));
    expect(aside.map((name) => readFileSync(join(store, name), 'utf8'))).toEqual([damaged]);
    expect((await engine.assess({ path: clip })).kept).toBe(true);
  });
});

describe('a team’s record', () => {
  /** A workspace with the clip in it, and where its record belongs. */
  function workspace(): { path: string; teamFolder: string; file: string } {
    const folder = temporaryDirectory();
    const path = join(folder, 'clips', 'a “b” <i>.mp4');
    mkdirSync(dirname(path));
    writeFileSync(path, readFileSync(clip));
    const teamFolder = join(folder, '.omnivqa');
    return { path, teamFolder, file: new TeamFolder(teamFolder).fileOf(path) };
  }

  it('is found by another machine, without assessing', async () => {
    const { path, teamFolder, file } = workspace();
    const first = await startEngine(temporaryDirectory(), cache, model);
    expect((await first.assess({ path, teamFolder })).kept).toBe(false);
    expect((JSON.parse(readFileSync(file, 'utf8')) as Assessment).video.path).toBe('clips/a “b” <i>.mp4');
    const second = await startEngine(temporaryDirectory(), cache, model);
    const update = await second.assess({ path, teamFolder });
    expect(update).toMatchObject({ outcome: 'complete', kept: true });
    expect(update.record!.video.path).toBe(path);
    const { pid } = await second.client.request('facts', {});
    expect((await second.client.request('facts', {})).loaded).toEqual([]);
    expect(pid).not.toBe(await first.pid());
  });

  it('of a newer version is left alone, and said so', async () => {
    const { path, teamFolder, file } = workspace();
    const newer = JSON.stringify({ schema: 'omnivqa/assessment@2', future: true });
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, newer);
    const engine = await startEngine(temporaryDirectory(), cache, model);
    const update = await engine.assess({ path, teamFolder });
    expect(update.outcome).toBe('complete');
    expect(codes(update.record)).toEqual(['record_newer']);
    expect(readFileSync(file, 'utf8')).toBe(newer);
    const choice = { path, teamFolder, model, provider: 'cpu' as const };
    await engine.client.request('forget', choice);
    expect(readFileSync(file, 'utf8')).toBe(newer);
    const { record, problems } = await engine.client.request('lookup', choice);
    expect({ record, codes: problems.map(({ code }) => code) }).toEqual({
      record: null,
      codes: ['record_newer'],
    });
  });

  it('that is damaged is moved aside and computed again; looking at it changes nothing', async () => {
    const { path, teamFolder, file } = workspace();
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, '{"schema":"omnivqa/assessment@1"');
    const engine = await startEngine(temporaryDirectory(), cache, model);
    const choice = { path, teamFolder, model, provider: 'cpu' as const };
    const found = await engine.client.request('lookup', choice);
    expect({ record: found.record, codes: found.problems.map(({ code }) => code) }).toEqual({
      record: null,
      codes: ['record_invalid'],
    });
    expect(filesIn(teamFolder)).toHaveLength(1);
    const update = await engine.assess({ path, teamFolder });
    expect(update.outcome).toBe('complete');
    expect(codes(update.record)).toContain('record_corrupt');
    expect((JSON.parse(readFileSync(file, 'utf8')) as Assessment).status).toBe('complete');
    expect(filesIn(teamFolder).filter((name) => name.includes('.corrupt-'))).toHaveLength(1);
  });

  it('in a folder that can not be written costs a note, not the result', async () => {
    const { path } = workspace();
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    const engine = await startEngine(temporaryDirectory(), cache, model);
    const update = await engine.assess({ path, teamFolder: join(file, '.omnivqa') });
    expect(update.outcome).toBe('complete');
    expect(codes(update.record)).toEqual(['record_not_written']);
  });
});

describe('two engines on one store', () => {
  it('assess a clip once: the second waits and takes the first one’s record', async () => {
    const store = temporaryDirectory();
    const engines = [await startEngine(store, cache, model), await startEngine(store, cache, model)];
    const updates = await Promise.all(engines.map((engine) => engine.assess({ path: clip })));
    expect(updates.map(({ kept }) => kept).sort()).toEqual([false, true]);
    expect(updates[0]!.record).toEqual(updates[1]!.record);
    expect(engines.flatMap(({ crashes }) => crashes)).toEqual([]);
  });

  it('and the first is killed: the second goes on where it was', async () => {
    const store = temporaryDirectory();
    const path = writeClip(join(temporaryDirectory(), 'long.mp4'), { seconds: 20, size: '320x180' });
    const [first, second] = [await startEngine(store, cache, model), await startEngine(store, cache, model)];
    const pid = await first.pid();
    await second.pid();
    void first.assess({ path });
    await eventually(() =>
      filesIn(store).some((name) => name.endsWith('.jsonl') && statSync(join(store, name)).size > 10_000),
    );
    const done = second.assess({ path });
    await second.until(({ state }) => state?.phase === 'queued');
    process.kill(pid, 'SIGKILL');
    await eventually(() => first.crashes.length > 0);
    await first.client.dispose();
    expect(await done).toMatchObject({ outcome: 'complete', kept: false, resumed: true });
  });
});
