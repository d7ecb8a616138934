import { appendFileSync, readdirSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Contents, sha256OfFile } from '../../../src/engine/content.ts';
import { filesIn } from '../../support/engine_process.ts';
import { temporaryDirectory } from '../../support/media.ts';

/** A file that nobody wrote to for long. */
function settledFile(text = 'content'): { path: string; root: string } {
  const folder = temporaryDirectory();
  const path = join(folder, 'clip.mp4');
  writeFileSync(path, text);
  utimesSync(path, 1e9, 1e9);
  return { path, root: join(folder, 'contents') };
}

describe('Contents', () => {
  it('remembers what a file holds, and notices that it changed', async () => {
    const { path, root } = settledFile();
    const first = await new Contents(root).of(path);
    expect(first.sha256).toBe(await sha256OfFile(path));
    const [entry] = filesIn(root) as [string];
    // What is remembered is believed: the file is not read again.
    const told = { ...first, sha256: 'b'.repeat(64) };
    writeFileSync(join(root, entry), JSON.stringify(told));
    expect(await new Contents(root).of(path)).toEqual(told);
    appendFileSync(path, 'x');
    expect((await new Contents(root).of(path)).sha256).toBe(await sha256OfFile(path));
  });

  it('does not remember a file that was written to just now', async () => {
    const { path, root } = settledFile();
    utimesSync(path, Date.now() / 1000, Date.now() / 1000);
    await new Contents(root).of(path);
    expect(readdirSync(join(root, '..'))).toEqual(['clip.mp4']);
  });

  it.each(['', 'null', '{"fingerprint":1}', '{"sha256":"x"}'])('is not misled by %j', async (text) => {
    const { path, root } = settledFile();
    const contents = new Contents(root);
    const first = await contents.of(path);
    writeFileSync(join(root, filesIn(root)[0]!), text);
    expect(await contents.of(path)).toEqual(first);
  });

  it('works without a place to remember', async () => {
    const { path } = settledFile();
    expect((await new Contents(join(path, 'x')).of(path)).sha256).toBe(await sha256OfFile(path));
  });

  it('reads a large file only where it has to be known', async () => {
    const { path, root } = settledFile('');
    truncateSync(path, 300 * 2 ** 20);
    utimesSync(path, 1e9, 1e9);
    const contents = new Contents(root);
    expect(await contents.quick(path)).toBeNull();
    const known = await contents.of(path);
    expect(await contents.quick(path)).toEqual(known);
  });
});
