import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { packetSizes } from '../../../src/video/signals.ts';
import { readClip, sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

const clip = join(sharedDirectory(), 'clip.mp4');

beforeAll(() => {
  writeClip(clip, { seconds: 1 });
});

const names = [
  '-leading-dash.mp4',
  '-i',
  '--help',
  `single'quote.mp4`,
  'double"quote.mp4',
  '$(touch pwned).mp4',
  '`touch pwned`.mp4',
  'semi;colon & ampersand | pipe.mp4',
  'new\nline.mp4',
  'percent%d.mp4',
  'percent%03d and %%.mp4',
  'concat:x.mp4',
  'file:x.mp4',
  'http:clip.mp4',
  'pipe:0',
  'subfile,,start,0,end,0,,:x.mp4',
  'star*question?[set].mp4',
  'back\\slash.mp4',
  'emoji 🎬 \u202eltr.mp4',
  'NFD e\u0301.mp4',
  ' spaces at both ends .mp4 ',
  `${'n'.repeat(251)}.mp4`,
  'no extension',
  'wrong.txt',
].filter((name) => process.platform !== 'win32' || !/[<>:"|?*\n\\]|[ .]$/.test(name));

describe('a name is a name and nothing else', () => {
  it.each(names.map((name) => [JSON.stringify(name).slice(0, 40), name]))('%s', async (_, name) => {
    const directory = temporaryDirectory();
    const path = join(directory, name);
    copyFileSync(clip, path);
    // What a pattern or a script would take instead.
    writeFileSync(join(directory, 'percent1.mp4'), 'not this one');
    writeFileSync(join(directory, 'x.mp4'), 'not this one');
    const { info, coverage } = await readClip(path);
    expect(info.path).toBe(path);
    expect(coverage.frames).toBe(10);
    expect(await packetSizes(info)).toHaveLength(10);
  });

  it('a relative name that starts with a dash or a protocol is resolved first', async () => {
    const directory = temporaryDirectory();
    const before = process.cwd();
    // vitest runs test files in processes of their own, which have a working directory of their own.
    process.chdir(directory);
    try {
      for (const name of ['-y', 'concat:x.mp4']) {
        copyFileSync(clip, join(directory, name));
        const { coverage } = await readClip(name);
        expect(coverage.frames).toBe(10);
      }
    } finally {
      process.chdir(before);
    }
  });
});
