import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseTruth, type Truth, TruthFile, truthId, truthName } from '../../../src/dataset/truth.ts';
import { OmniError } from '../../../src/protocol/errors.ts';
import { temporaryDirectory } from '../../support/media.ts';

const line = (index: number): Truth => ({
  schema: truthId,
  index,
  file: `${index}.mkv`,
  sha256: '0'.repeat(64),
  source: 'a "b"\u0000\n\u202e.mp4',
  sourceSha256: 'f'.repeat(64),
  recipe: 'blur',
  level: 0,
  parameters: { sigma: 0.8 },
  type: 'blur',
  severity: 'noticeable',
  distortions: [],
  clip: { start: 0, frames: 10, rate: '25/1', width: 64, height: 64 },
  seed: 1,
  ffmpeg: '5.1',
});
const text = (...lines: Truth[]) => lines.map((one) => `${JSON.stringify(one)}\n`).join('');

interface Generator {
  readonly schemas: readonly { readonly path: string; readonly name: string }[];
  schemaText(schema: { readonly path: string }): Promise<string>;
}
const generator: string = '../../../scripts/schema.mjs';
const { schemas, schemaText } = (await import(generator)) as Generator;

describe('the truth file', () => {
  it('has the schema that is published', async () => {
    const schema = schemas.find(({ name }) => name === 'TruthSchema')!;
    expect(readFileSync(schema.path, 'utf8')).toBe(await schemaText(schema));
  });

  it.each([
    ['nothing', '', [], []],
    ['lines in any order', text(line(2), line(0)), [0, 2], []],
    ['a last line that was cut', text(line(0)) + text(line(1)).slice(0, 50), [0], ['truth_line_cut']],
    ['a line of something else', `{"a":1}\n${text(line(1))}`, [1], ['truth_line_invalid']],
    ['a clip twice', text(line(1), line(1)), [1], []],
  ])('reads %s', (_, content, indexes, codes) => {
    const { value, problems } = parseTruth(content);
    expect(value.map(({ index }) => index)).toEqual(indexes);
    expect(problems.map(({ code }) => code)).toEqual(codes);
  });

  it('is one line per clip whatever the source is called, and sorted in the end', async () => {
    const folder = temporaryDirectory();
    const file = await TruthFile.open(folder);
    await file.add(line(1));
    await file.add(line(0));
    const path = join(folder, truthName);
    expect(readFileSync(path, 'utf8').trimEnd().split('\n').length).toBe(2);
    expect(readFileSync(path, 'utf8')).not.toMatch(/\u202e/);
    await file.rewrite();
    await file.close();
    expect(
      readFileSync(path, 'utf8')
        .trimEnd()
        .split('\n')
        .map((one) => JSON.parse(one)),
    ).toEqual([line(0), line(1)]);
  });

  it('has one writer at a time; a lock that nobody holds any more is taken over', async () => {
    const folder = temporaryDirectory();
    writeFileSync(join(folder, `.${truthName}.lock`), String(process.ppid));
    await expect(TruthFile.open(folder)).rejects.toSatisfy((error) => OmniError.is(error, 'bad_usage'));
    // Above the highest number that a process can have on Linux, macOS or Windows.
    writeFileSync(join(folder, `.${truthName}.lock`), '4294967290');
    const file = await TruthFile.open(folder);
    await file.close();
  });
});
