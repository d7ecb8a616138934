/** Pictures of encodes that can not be shown: each fault is said by its name, and the other clip is shown all the same. */
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { pairedStills, sourceFrames } from '../../../src/video/pairs.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { ffmpeg, sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

const source = join(sharedDirectory(), 'source.mp4');
beforeAll(() => {
  writeClip(source, { rate: '25', seconds: 2, output: ['-c:v', 'libx264', '-crf', '10'] });
});

function encoded(): string {
  const path = join(temporaryDirectory(), 'encode.mkv');
  ffmpeg('-i', source, '-c:v', 'libx264', '-preset', 'ultrafast', '-g', '10', path);
  return path;
}

const opened = async (path: string) => (await probeVideo(path)).value;

it('an encode that is gone, before or while it is looked at', async () => {
  const path = encoded();
  const [clip, encode] = await Promise.all([opened(source), opened(path)]);
  rmSync(path);
  await expect(opened(path)).rejects.toMatchObject({ code: 'file_not_found' });
  await expect(pairedStills(clip, encode, [1, 1.04])).rejects.toMatchObject({ code: 'file_replaced' });
  expect((await pairedStills(clip, null, [1]))[0]?.time).toBeCloseTo(1, 6);
});

it('an encode that was cut off: its last frame, with its own time', async () => {
  const path = encoded();
  truncateSync(path, 20_000);
  const [still] = await pairedStills(await opened(source), await opened(path), [1.92, 1.96]);
  expect(still?.time).toBeLessThan(1.9);
});

it('an encode that was replaced by something else', async () => {
  const path = encoded();
  const [clip, encode] = await Promise.all([opened(source), opened(path)]);
  writeFileSync(path, 'no video');
  await expect(pairedStills(clip, encode, [1, 1.04])).rejects.toMatchObject({ code: 'file_replaced' });
});

it('a source whose frames can not be told', async () => {
  const path = join(temporaryDirectory(), 'source.mp4');
  ffmpeg('-i', source, '-c', 'copy', path);
  const clip = await opened(path);
  rmSync(path);
  await expect(sourceFrames(clip)).rejects.toMatchObject({ name: 'OmniError' });
});
