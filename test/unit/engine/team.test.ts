import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Assessment } from '../../../src/assessment/record.ts';
import { TeamFolder } from '../../../src/engine/team.ts';
import { temporaryDirectory } from '../../support/media.ts';
import { recordOf } from '../assessment/records.ts';

describe('where a record belongs', () => {
  const team = new TeamFolder('/work space/.omnivqa');
  const placeOf = (path: string) => team.fileOf(path).slice('/work space/.omnivqa/'.length);

  it.each([
    ['/work space/a.mp4', 'a.mp4.omnivqa.json'],
    ['/work space/clips/a.mp4', 'clips/a.mp4.omnivqa.json'],
    ['/work space/clips/../a.mp4', 'a.mp4.omnivqa.json'],
    ['/work space/..a.mp4', '..a.mp4.omnivqa.json'],
    ['/work space/a.mov', 'a.mov.omnivqa.json'],
  ])('%s: %s', (path, place) => {
    expect(placeOf(path)).toBe(place);
  });

  it('of clips from elsewhere: below the folder, and apart', () => {
    const places = ['/else/a.mp4', '/other/a.mp4', '/work space2/a.mp4', '/a.mp4'].map(placeOf);
    expect(new Set(places).size).toBe(4);
    for (const place of places) expect(place).toMatch(/^outside\/[0-9a-f]{16}\/a\.mp4\.omnivqa\.json$/);
  });

  it('of names that leave no room for more: short enough, and apart', () => {
    const [a, b] = ['x', 'y'].map((end) => placeOf(`/work space/${'é'.repeat(120)}${end}.mp4`)) as [
      string,
      string,
    ];
    expect(a).not.toBe(b);
    expect(Buffer.byteLength(basename(a))).toBeLessThanOrEqual(255);
    const path = join(temporaryDirectory(), `${'😀'.repeat(62)}.mp4`);
    const file = new TeamFolder(join(dirname(path), '.omnivqa')).fileOf(path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, '');
  });
});

describe('TeamFolder', () => {
  const inWorkspace = () => {
    const folder = temporaryDirectory();
    const team = () => new TeamFolder(join(folder, '.omnivqa'));
    return { path: join(folder, 'clips', 'a.mp4'), team };
  };

  it('keeps a record under a path that means the same to everybody', async () => {
    const { path, team } = inWorkspace();
    const record = recordOf({ video: { ...recordOf().video, path } });
    await team().put(path, record);
    const file = team().fileOf(path);
    expect((JSON.parse(readFileSync(file, 'utf8')) as Assessment).video.path).toBe('clips/a.mp4');
    expect(await team().get(path)).toEqual(record);
    await team().remove(path);
    expect(existsSync(file)).toBe(false);
    expect(await team().get(path)).toBeNull();
  });

  it('leaves a whole one of the same content and model', async () => {
    const { path, team } = inWorkspace();
    await team().put(path, recordOf({ status: 'complete' }));
    await team().put(path, recordOf({ status: 'partial' }));
    expect((await team().get(path))!.status).toBe('complete');
    const other = recordOf({ status: 'partial', model: { ...recordOf().model, revision: 'r2' } });
    await team().put(path, other);
    expect((await team().get(path))!.status).toBe('partial');
  });

  it('says once what it met twice', async () => {
    const { path, team } = inWorkspace();
    const file = team().fileOf(path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, 'no record');
    const one = team();
    expect(await one.get(path)).toBeNull();
    expect(await one.get(path)).toBeNull();
    expect(one.problems.map(({ code }) => code)).toEqual(['record_invalid']);
    await one.put(path, recordOf());
    expect(one.problems.map(({ code }) => code)).toEqual(['record_invalid', 'record_corrupt']);
    expect(readdirSync(dirname(file))).toHaveLength(2);
  });
});
