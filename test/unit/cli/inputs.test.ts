import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expandInputs } from '../../../src/cli/inputs.ts';
import { temporaryDirectory } from '../../support/media.ts';

/** A folder with these files; a name that ends in / is a folder. */
function tree(...names: string[]): string {
  const root = temporaryDirectory();
  for (const name of names) {
    mkdirSync(join(root, name.endsWith('/') ? name : dirname(name)), { recursive: true });
    if (!name.endsWith('/')) writeFileSync(join(root, name), '');
  }
  return root;
}

const shown = (root: string, files: readonly string[]) => files.map((file) => file.replace(`${root}/`, ''));

describe('expandInputs', () => {
  it('takes the videos of a folder, by name, and nothing else', async () => {
    const root = tree(
      'b.mkv',
      'a.MP4',
      'notes.txt',
      '.hidden.mp4',
      'c.mp4.part',
      'z.webm',
      'deeper/d.mp4',
      'e.mp4/',
    );
    const { files, several } = await expandInputs([root], false);
    expect(shown(root, files)).toEqual(['a.MP4', 'b.mkv', 'z.webm']);
    expect(several).toBe(true);
  });

  it('looks into folders of folders where asked, not through links, which may run in circles', async () => {
    const root = tree('a.mp4', 'deeper/d.mp4', 'deeper/still/e.mov');
    symlinkSync(root, join(root, 'deeper', 'round'));
    const { files } = await expandInputs([root], true);
    expect(shown(root, files)).toEqual(['a.mp4', 'deeper/d.mp4', 'deeper/still/e.mov']);
  });

  it('keeps what is named itself, whatever it is called, in the order given', async () => {
    const root = tree('b.dat', 'a.mp4');
    const named = [join(root, 'b.dat'), join(root, 'missing.mp4'), join(root, 'a.mp4')];
    expect(await expandInputs(named, false)).toEqual({ files: named, several: true });
  });

  it('takes a file once, however often and by whatever way it is named', async () => {
    const root = tree('a.mp4', 'b.mp4');
    symlinkSync(join(root, 'a.mp4'), join(root, 'link.mp4'));
    const { files } = await expandInputs([join(root, 'b.mp4'), root, join(root, '.', 'b.mp4')], false);
    expect(shown(root, files)).toEqual(['b.mp4', 'a.mp4']);
  });

  it('names a missing file once', async () => {
    const { files } = await expandInputs(['no/such.mp4', './no/such.mp4'], false);
    expect(files).toEqual(['no/such.mp4']);
  });

  it('keeps a link that leads nowhere, to be reported', async () => {
    const root = tree();
    symlinkSync(join(root, 'gone'), join(root, 'lost.mp4'));
    expect(shown(root, (await expandInputs([root], false)).files)).toEqual(['lost.mp4']);
  });

  it('tells MPEG-TS from TypeScript', async () => {
    const root = tree('code.ts');
    writeFileSync(join(root, 'code.ts'), `G${'x'.repeat(500)}`);
    const packets = Buffer.alloc(188 * 3, 0xff);
    for (const at of [0, 188, 376]) packets[at] = 0x47;
    writeFileSync(join(root, 'stream.ts'), packets);
    const stamped = Buffer.alloc(192 * 3, 0xff);
    for (const at of [4, 196, 388]) stamped[at] = 0x47;
    writeFileSync(join(root, 'bluray.ts'), stamped);
    expect(shown(root, (await expandInputs([root], false)).files)).toEqual(['bluray.ts', 'stream.ts']);
    expect((await expandInputs([join(root, 'code.ts')], false)).files).toHaveLength(1);
  });

  it('one file is one answer; one folder is a list', async () => {
    const root = tree('a.mp4');
    expect((await expandInputs([join(root, 'a.mp4')], false)).several).toBe(false);
    expect((await expandInputs([root], false)).several).toBe(true);
  });

  it.each([false, true])('says when nothing is left (recursive: %s)', async (recursive) => {
    const root = tree('notes.txt', 'deeper/notes.txt');
    await expect(expandInputs([root], recursive)).rejects.toMatchObject({
      code: 'bad_usage',
      next: recursive ? expect.not.stringContaining('--recursive') : expect.stringContaining('--recursive'),
    });
  });
});
