import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { locateFfmpeg } from '../../../src/video/ffmpeg.ts';
import { eventually, nanoWith, removeBundles, startEngine } from '../../support/engine_process.ts';
import { sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

removeBundles();

const cache = sharedDirectory();
const model = nanoWith(1);

/** A folder that is to be the whole PATH of an engine. */
async function binaries(ffmpegBody?: string): Promise<string> {
  const folder = temporaryDirectory();
  mkdirSync(join(folder, 'bin'));
  if (ffmpegBody === undefined) return join(folder, 'bin');
  const { ffmpeg, ffprobe } = await locateFfmpeg();
  symlinkSync(ffprobe, join(folder, 'bin', 'ffprobe'));
  writeFileSync(
    join(folder, 'bin', 'ffmpeg'),
    `#!/bin/sh\ncase "$*" in *filter_complex*) ;; *) exec '${ffmpeg}' "$@" ;; esac\n${ffmpegBody}\n`,
    { mode: 0o755 },
  );
  return join(folder, 'bin');
}

describe('ffmpeg', () => {
  it('missing: the job says how to install it; installing it needs no restart', async () => {
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 1, size: '64x48' });
    const PATH = await binaries();
    const engine = await startEngine(temporaryDirectory(), cache, model, {
      env: { PATH, OMNIVQA_FFMPEG: undefined },
    });
    const { outcome, error } = await engine.assess({ path });
    expect({ outcome, code: error?.code }).toEqual({ outcome: 'failed', code: 'ffmpeg_missing' });
    expect(error?.next).toMatch(/nstall/);
    const { ffmpeg: said } = await engine.client.request('facts', {});
    expect(said).toMatchObject({ code: 'ffmpeg_missing' });
    await expect(engine.client.request('still', { path, time: 0, width: 64 })).rejects.toMatchObject({
      code: 'ffmpeg_missing',
    });
    const { ffmpeg, ffprobe } = await locateFfmpeg();
    symlinkSync(ffmpeg, join(PATH, 'ffmpeg'));
    symlinkSync(ffprobe, join(PATH, 'ffprobe'));
    expect((await engine.assess({ path })).outcome).toBe('complete');
    expect(engine.crashes).toEqual([]);
  });

  it('that hangs: the job can be cancelled and leaves no process behind', async () => {
    const folder = temporaryDirectory();
    const path = writeClip(join(folder, 'clip.mp4'), { seconds: 1, size: '64x48' });
    const mark = join(folder, 'hangs');
    const PATH = await binaries(`echo $$ > '${mark}'\nexec /bin/sleep 600`);
    const engine = await startEngine(temporaryDirectory(), cache, model, {
      env: { PATH, OMNIVQA_FFMPEG: undefined },
    });
    const done = engine.assess({ path });
    await eventually(() => readdirSync(folder).includes('hangs') && readFileSync(mark, 'utf8') !== '');
    const { job } = engine.updates[0]!;
    await engine.client.request('cancel', { job });
    expect(await done).toMatchObject({ outcome: 'cancelled', record: null, error: null });
    const pid = Number(readFileSync(mark, 'utf8'));
    await eventually(() => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    });
  });

  it('that dies in the middle: what is finished is shown, with the reason, and gone on with', async () => {
    const folder = temporaryDirectory();
    const path = writeClip(join(folder, 'clip.mp4'), { seconds: 12, size: '64x48' });
    const { ffmpeg } = await locateFfmpeg();
    const PATH = await binaries(
      `'${ffmpeg}' "$@" | /usr/bin/head -c 6000000\n[ -e '${folder}/fixed' ] || kill -SEGV $$`,
    );
    const store = temporaryDirectory();
    const engine = await startEngine(store, cache, model, { env: { PATH, OMNIVQA_FFMPEG: undefined } });
    const update = await engine.assess({ path });
    expect(update).toMatchObject({ outcome: 'partial', error: { code: 'ffmpeg_failed' } });
    const kept = update.record!.timeline.length;
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(12);
    await engine.client.dispose();
    const next = await startEngine(store, cache, model);
    const whole = await next.assess({ path });
    expect(whole).toMatchObject({ outcome: 'complete', resumed: true });
    expect(whole.record!.timeline).toHaveLength(12);
    expect(whole.record!.timeline.slice(0, kept)).toEqual(update.record!.timeline);
  });
});
