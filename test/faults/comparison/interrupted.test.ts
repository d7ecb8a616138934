/** Ctrl+C while several encodes run: all of them end, what was finished is kept, and the next call goes on. */
import { mkdirSync, readdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { omnivqa } from '../../support/cli.ts';
import { smallModel, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

test('an interrupted comparison leaves no pieces, and goes on with what it has', async () => {
  const encodes = join(temporaryCache(), 'encodes');
  const source = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 2, size: '320x180' });
  const compare = (signal: AbortSignal, ...presets: string[]) =>
    omnivqa(
      ['compare', source, ...smallModel, '--format', 'json'].concat(
        ...presets.map((preset) => ['--', '-c:v', 'libx264', '-preset', preset, '-crf', '30']),
      ),
      { signal },
    );
  const first = await compare(new AbortController().signal, 'ultrafast');
  expect(first.status).toBe(0);
  const controller = new AbortController();
  mkdirSync(encodes, { recursive: true });
  const watcher = watch(encodes, (_, name) => {
    if (!name?.includes('.mkv.partial')) return;
    watcher.close();
    controller.abort();
  });
  const { status, stdout } = await compare(controller.signal, 'ultrafast', 'veryslow', 'slower', 'slow');
  expect([status, stdout]).toEqual([130, '']);
  const keyOf = (text: string) => (JSON.parse(text) as { encodes: { key: string }[] }).encodes[0]!.key;
  const key = keyOf(first.stdout);
  expect(readdirSync(encodes).sort()).toEqual([`${key}.mkv`, `${key}.mkv.json`]);
  const again = await compare(new AbortController().signal, 'ultrafast', 'veryslow');
  expect(again.status).toBe(0);
  expect(keyOf(again.stdout)).toBe(key);
  expect(readdirSync(encodes)).toHaveLength(4);
});
