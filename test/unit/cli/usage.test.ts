import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { omnivqa } from '../../support/cli.ts';
import { temporaryDirectory } from '../../support/media.ts';

describe('help', () => {
  it.each([
    [['--help'], ['assess', 'chat', 'model', 'Exit status:', '130']],
    [
      ['assess', '--help'],
      ['--fail-below', '--no-cache', 'Examples:', 'P.800'],
    ],
    [['chat', '--help'], ['[question]']],
    [
      ['model', '--help'],
      ['list', 'compile', 'verify', 'bench'],
    ],
    [
      ['model', 'compile', '--help'],
      ['--precision', 'int4'],
    ],
    [['help', 'assess'], ['--format']],
  ])('%j is printed to stdout', async (args, words) => {
    const { status, stdout, stderr } = await omnivqa(args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const word of words) expect(stdout).toContain(word);
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(110);
  });

  it('says its version', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(await omnivqa(['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('bad usage ends with status 2 and a hint', () => {
  it.each<[string[], RegExp]>([
    [[], /Usage: omnivqa/],
    [['asess', 'a.mp4'], /Did you mean assess\?/],
    [['assess'], /missing required argument 'video'/],
    [['assess', 'a.mp4', '--formt', 'json'], /Did you mean --format\?/],
    [['assess', 'a.mp4', '--format', 'xml'], /Allowed choices are text, json, ndjson, csv, html/],
    [['assess', 'a.mp4', '--fail-below', '7'], /from 1 to 5/],
    [['assess', 'a.mp4', '--fail-below', ''], /from 1 to 5/],
    [['assess', 'a.mp4', '--threads', '0'], /whole number above 0/],
    [['assess', 'a.mp4', '--threads', '1.5'], /whole number above 0/],
    [['assess', 'a.mp4', '--provider', 'tpu'], /Allowed choices are auto, cpu, webgpu/],
    [['assess', 'a.mp4', '-o'], /argument missing/],
    [['chat', 'a.mp4', 'one', 'two'], /too many arguments/],
    [['chat', 'a.mp4', ' '], /The question is empty/],
    [['model'], /Usage: omnivqa model/],
    [['model', 'pul'], /unknown command/],
    [['model', 'compile'], /missing required argument 'model'/],
    [['assess', '-strange.mp4'], /unknown option[\s\S]*begins with a dash goes after --/],
  ])('%j', async (args, hint) => {
    const { status, stdout, stderr } = await omnivqa(args);
    expect(stderr).toMatch(hint);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  });

  it.each([
    ['a folder without videos', (folder: string) => ['assess', folder], /no video in/],
    [
      'a model that is not there',
      (folder: string) => ['model', 'verify', join(folder, 'm')],
      /model_not_found/,
    ],
    ['a hub id', () => ['model', 'verify', 'q-future/some-model'], /no model of that name was pulled/],
    [
      'a compile target that holds other things',
      (folder: string) => ['model', 'compile', 'nano', '-o', join(folder, '..')],
      /other things in it/,
    ],
  ])('%s', async (_, args, message) => {
    const { status, stdout, stderr } = await omnivqa(args(temporaryDirectory()));
    expect(stderr).toMatch(message);
    expect(stderr).toContain('  next: ');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  });
});
