import { mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { documentOf, OutputFile } from '../../../src/cli/output.ts';
import { temporaryDirectory } from '../../support/media.ts';
import { recordOf } from '../assessment/records.ts';

const failed = { path: 'b.mp4', error: { code: 'file_empty', message: 'b.mp4 is empty.', next: 'Copy it.' } };

describe('documentOf', () => {
  it.each([
    ['one record', [recordOf()], false, recordOf()],
    ['one failure', [failed], false, failed],
    ['a folder of one', [recordOf()], true, [recordOf()]],
    ['several', [recordOf(), failed], true, [recordOf(), failed]],
  ])('as JSON: %s', (_, entries, several, expected) => {
    expect(JSON.parse(documentOf(entries, 'json', several))).toEqual(expected);
  });

  it('as NDJSON: one line per clip', () => {
    const lines = documentOf([recordOf(), failed], 'ndjson', true).split('\n');
    expect(lines.map((line) => line && JSON.parse(line))).toEqual([recordOf(), failed, '']);
  });

  it('as text: reports and errors', () => {
    const text = documentOf([recordOf(), failed], 'text', true);
    expect(text).toContain('MOS 3.33');
    expect(text).toContain('b.mp4 is empty. [file_empty]\n  next: Copy it.');
  });

  it('as HTML: a page whose policy names its style sheet', () => {
    expect(documentOf([recordOf()], 'html', false)).toMatch(/style-src 'sha256-[\w+/]{43}='/);
  });
});

describe('OutputFile', () => {
  it('appears under its name as a whole', async () => {
    const folder = temporaryDirectory();
    writeFileSync(join(folder, 'out.json'), 'before');
    const output = await OutputFile.open(join(folder, 'out.json'));
    expect(readFileSync(join(folder, 'out.json'), 'utf8')).toBe('before');
    await output.write('after');
    await output.close();
    expect(readFileSync(join(folder, 'out.json'), 'utf8')).toBe('after');
    expect(readdirSync(folder)).toEqual(['out.json']);
  });

  it('leaves nothing behind when it is not written', async () => {
    const folder = temporaryDirectory();
    await (await OutputFile.open(join(folder, 'out.json'))).close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('takes a name as long as names may be', async () => {
    const folder = temporaryDirectory();
    const output = await OutputFile.open(join(folder, 'n'.repeat(255)));
    await output.write('x');
    await output.close();
    expect(readdirSync(folder)).toEqual(['n'.repeat(255)]);
  });

  it('follows a link and keeps it', async () => {
    const folder = temporaryDirectory();
    mkdirSync(join(folder, 'real'));
    writeFileSync(join(folder, 'real', 'out.json'), 'before');
    symlinkSync(join('real', 'out.json'), join(folder, 'link.json'));
    const output = await OutputFile.open(join(folder, 'link.json'));
    await output.write('after');
    await output.close();
    expect(readlinkSync(join(folder, 'link.json'))).toBe(join('real', 'out.json'));
    expect(readFileSync(join(folder, 'real', 'out.json'), 'utf8')).toBe('after');
  });

  it.each([
    ['a folder', (folder: string) => folder],
    ['a file in a folder that is not there', (folder: string) => join(folder, 'none', 'out.json')],
    ['a file in a file', (folder: string) => join(folder, 'file', 'out.json')],
  ])('says at once that it can not be written: %s', async (_, path) => {
    const folder = temporaryDirectory();
    writeFileSync(join(folder, 'file'), '');
    await expect(OutputFile.open(path(folder))).rejects.toMatchObject({ code: 'not_writable' });
    expect(readdirSync(folder)).toEqual(['file']);
  });
});
