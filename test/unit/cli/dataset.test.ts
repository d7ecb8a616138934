import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseTruth, type Truth } from '../../../src/dataset/truth.ts';
import { omnivqa } from '../../support/cli.ts';
import { sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

const shared = sharedDirectory();
const source = join(shared, `-it's "$(x)" %d;[0:v],'.mp4`);
const second = join(shared, 'second.mp4');
beforeAll(() => {
  writeClip(source, { size: '130x98', rate: '10', seconds: 4 });
  writeClip(second, { size: '128x96', rate: '30000/1001', seconds: 3 });
});

const truthOf = (folder: string): Truth[] =>
  parseTruth(readFileSync(join(folder, 'truth.jsonl'), 'utf8')).value;
const degrade = (folder: string, ...flags: string[]) =>
  omnivqa(['dataset', 'degrade', '--out', folder, '--seed', '7', '--seconds', '3', '--jobs', '1', ...flags]);

describe('omnivqa dataset degrade', () => {
  it('writes clips and truth, the same bytes again, and goes on with what is missing', async () => {
    const [first, again] = [join(temporaryDirectory(), 'a'), join(temporaryDirectory(), 'b')];
    const flags = ['--kinds', 'noise,compression,stutter,x264-crf', '--', source, second];
    const run = await degrade(first, '--count', '8', ...flags);
    expect(run.stderr).toBe('');
    expect([run.status, run.stdout]).toEqual([0, `8 clips written, 0 were there; 8 in ${first}.\n`]);
    const truth = truthOf(first);
    expect(new Set(truth.map(({ recipe }) => recipe)).size).toBe(4);
    expect(readdirSync(first).sort()).toEqual([...truth.map(({ file }) => file), 'truth.jsonl'].sort());

    // As after a crash in the middle of a line: the last clip is there and its line is torn.
    mkdirSync(again);
    const lines = readFileSync(join(first, 'truth.jsonl'), 'utf8').split('\n');
    const partial = await degrade(again, '--count', '5', ...flags);
    expect(partial.status).toBe(0);
    rmSync(join(again, truth[3]!.file));
    appendFileSync(join(again, 'truth.jsonl'), lines[5]!.slice(0, 80));
    const rest = await degrade(again, '--count', '8', ...flags);
    expect(rest.stdout).toBe(`4 clips written, 4 were there; 8 in ${again}.\n`);
    expect(rest.stderr).toBe('Note: The last line of the truth was cut short; it was left out.\n');
    // The hashes are in the truth.
    expect(readFileSync(join(again, 'truth.jsonl'), 'utf8')).toBe(lines.join('\n'));
  });

  it('refuses to mix two calls in one folder', async () => {
    const folder = temporaryDirectory();
    await degrade(folder, '--kinds', 'pristine', '--count', '1', second);
    const other = await omnivqa([
      'dataset',
      'degrade',
      second,
      '--out',
      folder,
      '--seed',
      '8',
      '--kinds',
      'pristine',
      '--count',
      '1',
    ]);
    expect([other.status, other.stderr]).toEqual([
      2,
      expect.stringContaining('has another clip 0 than this call'),
    ]);
    expect(truthOf(folder).length).toBe(1);
  });

  it.each([
    ['HDR', { output: ['-color_trc', 'smpte2084'] }, 'is HDR'],
    ['interlaced', { output: ['-flags', '+ildct+ilme', '-x264-params', 'tff=1'] }, 'is interlaced'],
    ['tiny', { size: '32x32' }, 'below 64 px'],
  ])('refuses a source and goes on with the others: %s', async (_, options, why) => {
    const folder = temporaryDirectory();
    const bad = writeClip(join(temporaryDirectory(), 'bad.mp4'), { seconds: 1, ...options });
    const run = await degrade(folder, '--kinds', 'pristine', '--count', '2', bad, second);
    expect(run.status).toBe(3);
    expect(run.stderr).toContain(why);
    expect(run.stderr).toContain('[format_refused]');
    expect(truthOf(folder).map(({ index }) => index)).toEqual([1]);
  });

  it('converts 10-bit 4:2:2 and says so; a source that is too short is left out', async () => {
    const folder = temporaryDirectory();
    const clip = writeClip(join(temporaryDirectory(), 'ten.mp4'), {
      seconds: 1,
      output: ['-pix_fmt', 'yuv422p10le'],
    });
    const run = await degrade(folder, '--kinds', 'pristine,stutter', '--count', '2', clip);
    expect(run.status).toBe(0);
    expect(run.stderr).toContain('yuv422p10le; it was brought to 8-bit 4:2:0');
    expect(run.stderr).toContain('is too short for stutter');
    expect(truthOf(folder).map(({ recipe }) => recipe)).toEqual(['pristine']);
  });

  it('leaves nothing half done when it is interrupted', async () => {
    const folder = temporaryDirectory();
    const controller = new AbortController();
    controller.abort();
    const call = [
      'dataset',
      'degrade',
      second,
      '--out',
      folder,
      '--seed',
      '1',
      '--kinds',
      'pristine',
      '--count',
      '1',
    ];
    expect((await omnivqa(call, { signal: controller.signal })).status).toBe(130);
    expect(readdirSync(folder).filter((name) => name !== 'truth.jsonl')).toEqual([]);
    expect(existsSync(join(folder, 'truth.jsonl')) ? truthOf(folder) : []).toEqual([]);
  });

  it.each([
    [['--kinds', 'sepia'], 'There is no recipe sepia'],
    [['--kinds', 'x264-crf', '--set', 'in-context'], 'There is no recipe x264-crf in in-context'],
    [['--seed', '-1'], 'whole number'],
    [['--set', 'mine'], 'Allowed choices'],
  ])('says what is wrong with the call: %j', async (flags, message) => {
    const run = await degrade(temporaryDirectory(), ...flags, second);
    expect([run.status, run.stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});
