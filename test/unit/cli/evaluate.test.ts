import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { omnivqa } from '../../support/cli.ts';
import { smallModel, temporaryCache } from '../../support/engine.ts';
import { sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

const shared = sharedDirectory();
beforeAll(async () => {
  for (const [name, filter] of [
    ['a.mp4', 'null'],
    ['b.mp4', 'gblur=sigma=4'],
    ['c.mp4', 'noise=alls=40'],
  ]) {
    writeClip(join(shared, name!), { seconds: 1, filter: filter! });
  }
  const source = writeClip(join(shared, 'source.mp4'), { seconds: 2 });
  const call = ['dataset', 'degrade', source, '--out', join(shared, 'set'), '--seed', '1', '--count', '2'];
  await omnivqa([...call, '--kinds', 'pristine,blur', '--jobs', '1']);
});

const labelFile = (value: unknown) => {
  const path = join(temporaryDirectory(), 'labels.json');
  writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value));
  return path;
};
const labels = [
  { video: 'a.mp4', mos: 4.5, distortion: 'none' },
  { video: 'b.mp4', mos: 2.1, distortion: 'blur' },
  { video: 'c.mp4', mos: 1.4, distortion: 'noise' },
];
const rating = (file: string, ...flags: string[]) =>
  omnivqa(['evaluate', 'rating', '--labels', file, '--videos', shared, ...smallModel, ...flags]);

describe('omnivqa evaluate rating', () => {
  it('prints the same figures as text, JSON and Markdown, and writes them where asked', async () => {
    temporaryCache();
    const file = labelFile(labels);
    const text = await rating(file, '--group', 'distortion');
    expect([text.status, text.stderr]).toEqual([0, '']);
    expect(text.stdout).toMatch(/Agreement with people \(labels of 1 to 5/);
    const json = await rating(file, '--format', 'json');
    const report = JSON.parse(json.stdout) as {
      rows: { clips: number; srcc: { value: number } }[];
      model: object;
    };
    expect(report.rows[0]!.clips).toBe(3);
    expect(report.model).toHaveProperty('revision');
    expect(text.stdout).toContain(report.rows[0]!.srcc.value.toFixed(3));
    const output = join(temporaryDirectory(), 'table.md');
    const markdown = await rating(file, '--format', 'markdown', '-o', output);
    expect([markdown.status, markdown.stdout]).toEqual([0, '']);
    expect(readFileSync(output, 'utf8')).toContain(
      `| all | 3 | 3 | ${report.rows[0]!.srcc.value.toFixed(3)}`,
    );
  });

  it('computes from what could be assessed and says what could not', async () => {
    temporaryCache();
    const run = await rating(labelFile([...labels, { video: 'missing.mp4', mos: 3 }, { video: 'x' }]));
    expect(run.status).toBe(3);
    expect(run.stderr).toContain('[file_not_found]');
    expect(run.stderr).toContain('3 of 4 clips assessed');
    expect(run.stderr).toContain('1 entries of the label file have no path or no score');
    expect(run.stdout).toMatch(/\n {2}all +3/);
  });

  it.each([
    ['no file', () => join(temporaryDirectory(), 'none.json'), 'file_not_found', 3],
    ['no JSON', () => labelFile('{'), 'bad_usage', 2],
    ['no labels', () => labelFile([]), 'bad_usage', 2],
  ])('says what is wrong: %s', async (_, file, code, status) => {
    const run = await rating(file());
    expect([run.status, run.stderr]).toEqual([status, expect.stringContaining(`[${code}]`)]);
  });
});

describe('omnivqa evaluate fine-grained', () => {
  it('measures a model that localises', async () => {
    temporaryCache();
    const truth = join(shared, 'set', 'truth.jsonl');
    const call = ['evaluate', 'fine-grained', '--truth', truth, '--provider', 'cpu', '--threads', '1'];
    const run = await omnivqa([...call, '--format', 'json']);
    expect([run.status, run.stderr]).toEqual([0, '']);
    const report = JSON.parse(run.stdout) as {
      clips: number;
      rows: { name: string; distortions: number }[];
      falseAlarms: { minutes: number };
    };
    expect(report.clips).toBe(2);
    expect(report.rows.map(({ name, distortions }) => [name, distortions])).toEqual([
      ['local', 1],
      ['blur', 1],
    ]);
    expect(report.falseAlarms.minutes).toBeCloseTo(2 / 60, 10);
  });

  it('writes what a judgement is fitted to, of clips that were assessed before as well', async () => {
    temporaryCache();
    const truth = join(shared, 'set', 'truth.jsonl');
    const file = join(temporaryDirectory(), 'candidates.jsonl');
    const call = ['evaluate', 'fine-grained', '--truth', truth, '--provider', 'cpu', '--threads', '1'];
    expect((await omnivqa(call)).status).toBe(0);
    const run = await omnivqa([...call, '--candidates', file]);
    expect([run.status, run.stderr]).toEqual([0, '']);
    const clips = readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { clip: string; minutes: number; candidates: { near: boolean }[] });
    expect(clips.map(({ minutes }) => Math.round(minutes * 60))).toEqual([2, 2]);
    const blurred = clips.find(({ clip }) => clip.includes('blur'));
    expect(blurred?.candidates.some(({ near }) => near)).toBe(true);
  });

  it.each([
    ['a model that was not trained for it', 'set', smallModel, 'not trained to find distortions'],
    ['no truth', 'none', smallModel, 'has no line of truth'],
  ])('says what is wrong: %s', async (_, folder, flags, message) => {
    temporaryCache();
    const copy = join(temporaryDirectory(), 'copy');
    cpSync(join(shared, 'set'), copy, { recursive: true });
    if (folder === 'none') writeFileSync(join(copy, 'truth.jsonl'), '\n');
    const run = await omnivqa(['evaluate', 'fine-grained', '--truth', join(copy, 'truth.jsonl'), ...flags]);
    expect([run.status, run.stdout]).toEqual([2, '']);
    expect(run.stderr).toContain(message);
  });
});
