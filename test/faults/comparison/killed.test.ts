/** An engine that is killed while it encodes: what was finished is kept, what was not is made anew. */
import { mkdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { probeVideo } from '../../../src/video/probe.ts';
import { filesIn, removeBundles, startEngine } from '../../support/engine_process.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

removeBundles();

test('a killed engine goes on with the encodes that are missing', { timeout: 300_000 }, async () => {
  const [store, folder] = [temporaryDirectory(), temporaryDirectory()];
  const path = writeClip(join(folder, 'clip.mp4'), { seconds: 3, size: '320x180', filter: 'noise=alls=20' });
  const engine = await startEngine(store, folder, 'nano');
  const encode = (...options: string[]) =>
    engine.client.request('encode', { path, options: ['-c:v', 'libx264', ...options] });
  const first = await encode('-preset', 'ultrafast', '-crf', '40');
  expect(first).toMatchObject({ alignment: null, metrics: { vmaf: expect.toSatisfy(isMetric) } });

  const pid = await engine.pid();
  mkdirSync(join(store, 'encodes'), { recursive: true });
  const watcher = watch(join(store, 'encodes'), (_, name) => {
    if (!name?.includes('.mkv.partial')) return;
    watcher.close();
    process.kill(pid, 'SIGKILL');
  });
  const slow = ['-preset', 'veryslow', '-crf', '20'] as const;
  await expect(encode(...slow)).rejects.toHaveProperty('code');

  // What was finished is the same one; what was not is whole now.
  expect(await encode('-preset', 'ultrafast', '-crf', '40')).toEqual({ ...first, kept: true });
  const second = await encode(...slow);
  expect(second).toMatchObject({ kept: false, alignment: null });
  expect((await probeVideo(second.file)).value.duration).toBeCloseTo(3, 1);
  const whole = filesIn(join(store, 'encodes')).filter((name) => name.endsWith('.mkv'));
  expect(whole).toEqual([first, second].map(({ key }) => `${key}.mkv`).sort());
});

const isMetric = (value: unknown) => value === null || (typeof value === 'number' && value <= 100);
