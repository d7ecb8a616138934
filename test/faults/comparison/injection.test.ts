/** Settings come from files that others wrote: nothing in them may run, read or write anything but the encode. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodesIn } from '../../../src/comparison/encodes.ts';
import { Contents } from '../../../src/engine/content.ts';
import { Encodes, outputOf } from '../../../src/engine/encodes.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

const engine = (folder: string) =>
  new Encodes(join(folder, 'encodes'), new Contents(join(folder, 'contents')));

test.each([
  ['a shell command as preset', (mark: string) => ['-c:v', 'libx264', '-preset', `$(touch ${mark})`]],
  ['a second output', (mark: string) => ['-c:v', 'libx264', '-f', 'null', mark, '-f', 'data']],
  ['statistics into a file', (mark: string) => ['-c:v', 'libx264', '-vstats_file', mark]],
  ['a log of passes elsewhere', (mark: string) => ['-c:v', 'libx264', '-pass', '1', '-passlogfile', mark]],
  ['a dump of x264', (mark: string) => ['-c:v', 'libx264', '-x264-params', `dump-yuv=${mark}:crf=30`]],
  ['a stats file of x264', (mark: string) => ['-c:v', 'libx264', '-x264-params', `stats=${mark}:pass=1`]],
  ['a filter that writes', (mark: string) => ['-c:v', 'libx264', '-vf', `metadata=print:file=${mark}`]],
  ['a filter that opens', (mark: string) => ['-c:v', 'libx264', '-vf', `movie=${mark}`]],
  ['an attachment', (mark: string) => ['-c:v', 'libx264', '-attach', mark]],
  ['a report', (mark: string) => ['-c:v', 'libx264', '-report', '-progress', `file:${mark}`]],
])('injection through settings: %s', async (_, options) => {
  const folder = temporaryDirectory();
  const mark = join(folder, 'mark');
  const source = writeClip(join(folder, 'clip.mp4'), { seconds: 1 });
  // Refused, failed or made without it: all are fine, as long as nothing else happened.
  await Promise.resolve()
    .then(() => engine(folder).encode(source, outputOf(options(mark))))
    .catch((error: unknown) => expect(error).toHaveProperty('code'));
  expect(existsSync(mark)).toBe(false);
  expect(readdirSync(folder).filter((name) => name.startsWith('mark'))).toEqual([]);
});

test.each([
  '$(touch mark).mp4',
  '`touch mark`.mp4',
  'a; touch mark;.mp4',
  '-y "mark".mp4',
  'concat:mark|x.mp4',
  '%d.mp4',
])('injection through file names: %s', async (name) => {
  const folder = temporaryDirectory();
  const source = writeClip(join(folder, name), { seconds: 1 });
  const { bytes, file } = await engine(folder).encode(source, outputOf(['-c:v', 'libx264', '-crf', '40']));
  expect(bytes).toBeGreaterThan(100);
  expect(file.startsWith(join(folder, 'encodes'))).toBe(true);
  expect(existsSync(join(folder, 'mark'))).toBe(false);
});

test('injection through ladder fields: what is encoded has none of it', async () => {
  const folder = temporaryDirectory();
  const mark = join(folder, 'mark');
  const text = [
    'source: "$(touch mark).mp4"',
    'rungs:',
    `  - {name: "a; touch ${mark}", codec: libx264, crf: 40, args: ["-vf", "metadata=print:file=${mark}"]}`,
    `  - {name: b, codec: libx264, crf: 41, args: ["-x264-params", "csv=${mark}:aq-mode=2"]}`,
  ].join('\n');
  writeFileSync(join(folder, 'x.ladder.yaml'), text);
  const source = writeClip(join(folder, 'clip.mp4'), { seconds: 1 });
  const { encodes } = encodesIn(text, 'yaml', 'x.ladder.yaml');
  for (const { output } of encodes) {
    const made = await engine(folder).encode(source, output);
    expect(made.arguments.join(' ')).not.toContain('mark');
  }
  expect(encodes.length).toBeGreaterThan(0);
  expect(existsSync(mark)).toBe(false);
});
