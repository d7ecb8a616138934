import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { exit } from '../../../src/cli/io.ts';
import { addComparison, copyCheckpoint } from '../../support/checkpoints.ts';
import { omnivqa } from '../../support/cli.ts';
import { checkpointWith, smallModel, temporaryCache } from '../../support/engine.ts';
import { sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

const shared = sharedDirectory();
const source = join(shared, 'source.mp4');
beforeAll(() => {
  writeClip(source, { seconds: 1, output: ['-c:v', 'libx264', '-qp', '0'] });
});

const x264 = (crf: number, ...more: string[]) =>
  ['--', '-c:v', 'libx264', '-preset', 'ultrafast', '-crf', String(crf)].concat(more);
const compare = (...words: string[]) => omnivqa(['compare', source, ...smallModel, ...words]);

interface Compared {
  readonly encodes: {
    readonly codec: string;
    readonly bytes: number;
    readonly mos: number;
    readonly key: string;
    readonly alignment: object | null;
    readonly metrics: { readonly ssim: number };
  }[];
  readonly curves: { readonly anchor: string; readonly bdRate: object }[];
}

test('four CRFs and a second codec: a table, and the BD-rate that few points allow', async () => {
  temporaryCache();
  const groups = [20, 28, 36, 44].flatMap((crf) => x264(crf));
  const other = [20, 28].flatMap((q) => ['--', '-c:v', 'mpeg4', '-q:v', String(q)]);
  const { status, stdout, stderr } = await compare('--format', 'json', ...groups, ...other);
  expect([status, stderr]).toEqual([0, '']);
  const { encodes, curves } = JSON.parse(stdout) as Compared;
  const sizes = encodes.slice(0, 4).map(({ bytes }) => bytes);
  expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
  expect(encodes.map(({ alignment }) => alignment)).toEqual(encodes.map(() => null));
  const ssim = encodes.slice(0, 4).map(({ metrics }) => metrics.ssim);
  expect(ssim).toEqual(ssim.toSorted((a, b) => b - a));
  expect(curves).toMatchObject([{ anchor: 'libx264', test: 'mpeg4', bdRate: { refusal: 'too_few_points' } }]);
  const text = await compare(...groups, ...other);
  expect(text.stdout).toContain('libx264 crf 20');
  expect(text.stdout).toMatch(/BD-rate none: /);
  const page = (await compare('--format', 'html', ...groups, ...other)).stdout;
  expect(page).toMatch(/^<!doctype html>/);
  expect(page.split('<tr><th scope="row">')).toHaveLength(7);
  expect((await compare('--format', 'svg', ...groups, ...other)).stdout.split('<polyline')).toHaveLength(5);
  // What was encoded and assessed is not done again.
  const again = JSON.parse((await compare('--format', 'json', ...groups)).stdout) as Compared;
  expect(again.encodes.map(({ key }) => key)).toEqual(encodes.slice(0, 4).map(({ key }) => key));
});

test('what is compared is looked at as closely as `assess --closely` does', async () => {
  temporaryCache();
  const flags = [
    '--model',
    checkpointWith({ comparison_key_frames: 2 }),
    '--provider',
    'cpu',
    '--threads',
    '1',
  ];
  const json = async (...words: string[]): Promise<unknown> =>
    JSON.parse((await omnivqa([words[0]!, ...flags, '--format', 'json', ...words.slice(1)])).stdout);
  const { encodes, source: whole } = (await json('compare', source, ...x264(40))) as {
    encodes: { file: string; mos: number }[];
    source: { mos: number };
  };
  const { file, mos } = encodes[0]!;
  const assessed = async (...words: string[]) =>
    ((await json('assess', '--no-cache', ...words)) as { mos: number }[]).map((one) => one.mos);
  expect(await assessed('--closely', file, source)).toEqual([mos, whole.mos]);
  expect((await assessed(file, source))[0]).not.toBe(mos);
});

test('what a model has for comparisons rates the encodes and what was encoded, and is named', async () => {
  temporaryCache();
  const model = copyCheckpoint();
  const rater = addComparison(model);
  const json = async (named: string, command: string, ...words: string[]): Promise<unknown> => {
    const flags = ['--model', named, '--provider', 'cpu', '--threads', '1', '--format', 'json'];
    return JSON.parse((await omnivqa([command, ...flags, ...words])).stdout);
  };
  const long = join(temporaryDirectory(), 'long.mp4');
  writeClip(long, { seconds: 3, output: ['-c:v', 'libx264', '-qp', '0'] });
  const whole = (await json(model, 'compare', long, ...x264(40))) as Rated;
  const [file, at] = [whole.encodes[0]!.file, whole.encodes[0]!.mos];
  const said = async (named: string, ...words: string[]) =>
    (await json(named, 'assess', ...words)) as { mos: number; model: { comparison?: string } };
  const close = await said(model, '--closely', file);
  expect([close.mos, close.model.comparison]).toEqual([at, whole.model.comparison]);
  expect((await said(rater, file)).mos).toBe(at);
  expect((await said(model, file)).mos).not.toBe(at);
  expect((await said(rater, long)).mos).toBe(whole.source.mos);
  const part = (await json(model, 'compare', long, '--excerpt', '1', ...x264(40))) as Rated;
  expect(part.source.mos).not.toBe(whole.source.mos);
  expect(part.source.duration).toBe(whole.source.duration);
});

interface Rated {
  readonly model: { readonly comparison: string };
  readonly encodes: readonly { readonly file: string; readonly mos: number }[];
  readonly source: { readonly mos: number; readonly duration: number };
}

test.each([
  ['that is not there', 'missing.mp4', 'file_not_found'],
  ['that is a folder', '.', 'file_unreadable'],
  ['that holds nothing', 'empty.mp4', 'file_empty'],
])('a source %s', async (_, name, code) => {
  temporaryCache();
  const folder = temporaryDirectory();
  writeFileSync(join(folder, 'empty.mp4'), '');
  const { status, stdout, stderr } = await omnivqa([
    'compare',
    join(folder, name),
    ...smallModel,
    ...x264(30),
  ]);
  expect([status, stdout]).toEqual([exit.failed, '']);
  expect(stderr).toContain(`[${code}]`);
});

test('a ladder, its baseline, and what falls below it', async () => {
  temporaryCache();
  const folder = temporaryDirectory();
  const ladder = join(folder, 'a.ladder.yaml');
  const baseline = join(folder, 'baseline.json');
  writeFileSync(ladder, 'rungs:\n  - {name: good, codec: libx264, preset: ultrafast, crf: 20}\n');
  const first = await compare('--settings', ladder, '--format', 'json', '-o', baseline);
  expect([first.status, first.stderr]).toEqual([0, '']);
  const same = await compare('--settings', ladder, '--fail-worse-than', baseline);
  expect(same.status).toBe(0);
  const record = JSON.parse(readFileSync(baseline, 'utf8')) as { encodes: { mos: number }[] };
  record.encodes[0]!.mos += 0.5;
  writeFileSync(baseline, JSON.stringify(record));
  const worse = await compare('--settings', ladder, '--fail-worse-than', baseline, '--max-drop', '0.2');
  expect(worse.status).toBe(1);
  expect(worse.stderr).toMatch(/good: MOS .* is 0\.50 below/);
  writeFileSync(
    ladder,
    'rungs:\n  - {name: good, codec: libx264, preset: ultrafast, crf: 20, targetMos: 5}\n',
  );
  const missed = await compare('--settings', ladder);
  expect([missed.status, missed.stderr]).toEqual([1, expect.stringMatching(/misses its target of 5/)]);
});

test('another frame rate is said, left out of the curves and held against nothing', async () => {
  temporaryCache();
  const settings = [...x264(30), ...x264(30, '-r', '5')];
  const said = 'It has 5 frames per second, the source 10.';
  const { stdout } = await compare(...settings);
  expect(stdout).toContain(`${said} It is left out of the curves and not compared frame by frame.`);
  const [head, ...rows] = (await compare('--format', 'csv', ...settings)).stdout.trimEnd().split(/\r?\n/);
  expect(head).toContain(',frames_of_source,');
  expect(rows).toEqual([expect.stringMatching(/,yes,/), expect.stringMatching(/,no,/)]);
  const baseline = join(temporaryDirectory(), 'baseline.json');
  await compare('--format', 'json', '-o', baseline, ...settings);
  const gate = await compare('--fail-worse-than', baseline, ...settings);
  expect([gate.status, gate.stderr]).toEqual([1, expect.stringContaining(said)]);
  expect(gate.stderr).toContain('is not held against anything');
});

test.each([
  ['nothing to compare', [], /nothing to compare/],
  ['options that are no encode', ['--', '-c:v', 'copy'], /describe no encode/],
  ['a ladder that is none', ['--settings', 'no.ladder.yaml'], /can not be read/],
  ['a target that is no MOS', ['--target-mos', '7'], /A MOS is a number/],
  ['an unknown scale', ['--target-mos', '3', '--codec', 'mpeg2video'], /quality scale of mpeg2video/],
])('bad usage: %s', async (_, words, said) => {
  temporaryCache();
  const { status, stderr } = await compare(...words);
  expect(status).toBeGreaterThanOrEqual(2);
  expect(stderr).toMatch(said);
});
