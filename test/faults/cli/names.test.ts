import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Assessment } from '../../../src/assessment/record.ts';
import { omnivqa } from '../../support/cli.ts';
import { smallModel, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

describe('a file is the one that is named, whatever its name', () => {
  it.each([
    '-i.mp4',
    '--help',
    '-',
    "it's.mp4",
    '"quoted".mp4',
    '$(touch pwned) `touch pwned`;touch pwned.mp4',
    'new\nline.mp4',
    'tab\tand\u001b[31mescape.mp4',
    'frame-%03d.mp4',
    'concat:x.mp4',
    'http:',
    'pipe:0',
    'a|b&c>d<e.mp4',
    '~.mp4',
    '*.mp4',
    '[a-z]?.mp4',
    'trailing space ',
    '🎬 видео 動画.mp4',
    'e\u0301 is not \u00e9.mp4',
    'a\u202e4pm.mp4',
    `${'n'.repeat(251)}.mp4`,
    `${'é'.repeat(125)}.mp4`,
  ])('%j', async (name) => {
    temporaryCache();
    const folder = temporaryDirectory();
    const path = join(folder, name);
    writeClip(path, { seconds: 0.3, size: '64x48', output: ['-f', 'mp4'] });
    const before = process.cwd();
    process.chdir(folder);
    try {
      const call = ['assess', ...smallModel];
      const json = await omnivqa([...call, '--format', 'json', '--', basename(path)]);
      expect(json.stderr).toBe('');
      expect(json.status).toBe(0);
      expect((JSON.parse(json.stdout) as Assessment).video).toMatchObject({ path: name, frames: 3 });
      const text = await omnivqa([...call, '--', path]);
      expect(text.status).toBe(0);
      expect(text.stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
    } finally {
      process.chdir(before);
    }
    expect(readdirSync(folder)).toEqual([name]);
  });
});
