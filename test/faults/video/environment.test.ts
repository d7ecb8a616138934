import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { OmniError } from '../../../src/protocol/errors.ts';
import { locateFfmpeg } from '../../../src/video/ffmpeg.ts';
import { readFrames } from '../../../src/video/frames.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { packetSizes } from '../../../src/video/signals.ts';
import { readFilmstrip, readStill } from '../../../src/video/stills.ts';
import { readClip, sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

const clip = join(sharedDirectory(), 'clip.mp4');
const environment = { PATH: process.env.PATH, OMNIVQA_FFMPEG: process.env.OMNIVQA_FFMPEG };
let real: { ffmpeg: string; ffprobe: string };

beforeAll(async () => {
  writeClip(clip, { seconds: 30 });
  real = await locateFfmpeg();
});

afterEach(() => {
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

const plan = { views: [], motionSize: 16, windowSeconds: 1 } as const;

/** A directory with programs called ffmpeg and ffprobe, shell scripts that begin with `exec` so that they are one process. */
function programs(scripts: { ffmpeg?: string; ffprobe?: string }): string {
  const directory = temporaryDirectory();
  const given = { ffmpeg: `exec ${real.ffmpeg} "$@"`, ffprobe: `exec ${real.ffprobe} "$@"`, ...scripts };
  for (const [name, script] of Object.entries(given)) {
    const path = join(directory, name);
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
  }
  delete process.env.OMNIVQA_FFMPEG;
  process.env.PATH = [directory, environment.PATH].join(delimiter);
  return directory;
}

/** The script of an ffmpeg that says its version and lists its filters, but does otherwise as told. */
const except = (script: string) =>
  `case "$*" in *-version*|*-filters*) exec ${real.ffmpeg} "$@";; esac\n${script}`;

async function codeOf(promise: Promise<unknown>): Promise<OmniError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!OmniError.is(error)) throw new Error(`expected an OmniError, got ${error}`);
  return error;
}

describe.skipIf(process.platform === 'win32')('ffmpeg that is not there or not as it should be', () => {
  it('missing: not on PATH', async () => {
    delete process.env.OMNIVQA_FFMPEG;
    process.env.PATH = temporaryDirectory();
    const error = await codeOf(probeVideo(clip));
    expect(error.code).toBe('ffmpeg_missing');
    expect(error.next).toMatch(/Install/);
  });

  it('missing: OMNIVQA_FFMPEG names nothing', async () => {
    process.env.OMNIVQA_FFMPEG = join(temporaryDirectory(), 'bin');
    expect(await codeOf(locateFfmpeg())).toMatchObject({
      code: 'ffmpeg_missing',
      message: expect.stringContaining('OMNIVQA_FFMPEG'),
    });
  });

  it('OMNIVQA_FFMPEG may name the program or its directory', async () => {
    const directory = programs({});
    process.env.PATH = environment.PATH;
    for (const place of [directory, join(directory, 'ffmpeg')]) {
      process.env.OMNIVQA_FFMPEG = place;
      const { ffmpeg, ffprobe } = await locateFfmpeg();
      expect([ffmpeg, ffprobe]).toEqual([join(directory, 'ffmpeg'), join(directory, 'ffprobe')]);
    }
  });

  it('ffprobe missing', async () => {
    const directory = programs({});
    rmSync(join(directory, 'ffprobe'));
    process.env.PATH = directory;
    expect(await codeOf(probeVideo(clip))).toMatchObject({
      code: 'ffmpeg_missing',
      message: expect.stringContaining('ffprobe'),
    });
  });

  it('missing now, installed later: no restart needed', async () => {
    delete process.env.OMNIVQA_FFMPEG;
    const directory = temporaryDirectory();
    process.env.PATH = directory;
    expect((await codeOf(locateFfmpeg())).code).toBe('ffmpeg_missing');
    for (const name of ['ffmpeg', 'ffprobe'] as const) {
      writeFileSync(join(directory, name), `#!/bin/sh\nexec ${real[name]} "$@"\n`);
      chmodSync(join(directory, name), 0o755);
    }
    expect((await locateFfmpeg()).ffmpeg).toBe(join(directory, 'ffmpeg'));
  });

  it('old', async () => {
    programs({
      ffmpeg: 'echo "ffmpeg version 3.4.8-0ubuntu0.2 Copyright (c) 2000-2020 the FFmpeg developers"',
    });
    expect(await codeOf(probeVideo(clip))).toMatchObject({
      code: 'ffmpeg_too_old',
      message: expect.stringContaining('3.4.8'),
    });
  });

  it('something else called ffmpeg', async () => {
    programs({ ffmpeg: 'echo hello' });
    expect((await codeOf(probeVideo(clip))).code).toBe('ffmpeg_failed');
  });

  it('hanging: asked for its version', async () => {
    programs({ ffmpeg: 'exec sleep 600' });
    expect((await codeOf(locateFfmpeg({ timeout: 200 }))).code).toBe('ffmpeg_hung');
  });

  it('hanging: ffprobe', async () => {
    programs({ ffprobe: 'exec sleep 600' });
    expect((await codeOf(probeVideo(clip, { timeout: 200 }))).code).toBe('ffmpeg_hung');
  });

  it('hanging: in the middle of a clip, deaf to SIGTERM', async () => {
    const { value: info } = await probeVideo(clip);
    programs({ ffmpeg: except(`trap '' TERM\necho partial >&2\nexec sleep 600`) });
    const error = await codeOf(readFrames(info, plan, { stallTimeout: 300 }).next());
    expect(error.code).toBe('ffmpeg_hung');
    expect(error.detail.stderr).toContain('partial');
    expect(error.detail.command).toContain('-nostdin');
  });

  it('hanging: at a still, at a filmstrip', async () => {
    const { value: info } = await probeVideo(clip);
    programs({ ffmpeg: except('exec sleep 600') });
    expect((await codeOf(readStill(info, 1, { width: 64, stallTimeout: 300 }))).code).toBe('ffmpeg_hung');
    expect((await codeOf(readFilmstrip(info, [1, 20], 64, { stallTimeout: 300 }))).code).toBe('ffmpeg_hung');
  });

  it('a still after a failure', async () => {
    const { value: info } = await probeVideo(clip);
    programs({ ffmpeg: except('exit 1') });
    expect((await codeOf(readStill(info, 1, { width: 64 }))).code).toBe('nothing_decoded');
    expect(await readFilmstrip(info, [1, 20], 64)).toEqual([null, null]);
    process.env.PATH = environment.PATH;
    expect((await readStill(info, 1, { width: 64 })).time).toBeCloseTo(1, 3);
  });

  it('crashing', async () => {
    const { value: info } = await probeVideo(clip);
    programs({ ffmpeg: except('kill -SEGV $$') });
    expect((await codeOf(readStill(info, 1, { width: 64 }))).code).toBe('ffmpeg_failed');
    expect(await codeOf(readFrames(info, plan).next())).toMatchObject({
      code: 'ffmpeg_failed',
      message: expect.stringContaining('SIGSEGV'),
    });
  });

  it('failing, with its own words', async () => {
    const { value: info } = await probeVideo(clip);
    programs({ ffmpeg: except('echo "Unknown decoder" >&2; exit 1') });
    expect(await codeOf(readFrames(info, plan).next())).toMatchObject({
      code: 'nothing_decoded',
      detail: { stderr: 'Unknown decoder' },
    });
  });

  it('writing something else than frames', async () => {
    const { value: info } = await probeVideo(clip);
    programs({ ffmpeg: except('exec cat /dev/zero') });
    expect((await codeOf(readFrames(info, plan).next())).code).toBe('ffmpeg_failed');
  });

  it('without zscale: HDR is taken as it is, and it is said', async () => {
    const path = join(temporaryDirectory(), 'hdr.mkv');
    writeClip(path, {
      seconds: 1,
      output: ['-c:v', 'ffv1', '-pix_fmt', 'yuv420p10le', '-color_trc', 'smpte2084'],
    });
    programs({
      ffmpeg: `case "$*" in *-filters*) echo " ... scale V->V"; exit;; esac\nexec ${real.ffmpeg} "$@"`,
    });
    const { codes, coverage } = await readClip(path);
    expect(codes).toContain('hdr_not_tonemapped');
    expect(coverage.frames).toBe(10);
  });
});

describe('cancelling', () => {
  it('before, during and between windows', async () => {
    const { value: info } = await probeVideo(clip);
    const controller = new AbortController();
    const frames = readFrames(info, plan, { signal: controller.signal });
    await frames.next();
    controller.abort();
    const rest = async () => {
      while (!(await frames.next()).done);
    };
    expect((await codeOf(rest())).code).toBe('cancelled');
    expect((await codeOf(readFrames(info, plan, { signal: controller.signal }).next())).code).toBe(
      'cancelled',
    );
    expect((await codeOf(probeVideo(clip, { signal: controller.signal }))).code).toBe('cancelled');
    expect((await codeOf(packetSizes(info, controller.signal))).code).toBe('cancelled');
    const options = { signal: controller.signal, width: 64 };
    expect((await codeOf(readStill(info, 1, options))).code).toBe('cancelled');
    expect((await codeOf(readFilmstrip(info, [1, 20], 64, options))).code).toBe('cancelled');
    // The same clip for someone who did not cancel.
    expect((await readFilmstrip(info, [1], 64))[0]!.time).toBeCloseTo(1, 3);
  });

  it.skipIf(process.platform !== 'linux')('leaving early ends ffmpeg', async () => {
    const { value: info } = await probeVideo(clip);
    const directory = temporaryDirectory();
    programs({ ffmpeg: except(`echo $$ > ${directory}/pid\nexec ${real.ffmpeg} "$@"`) });
    const frames = readFrames(info, plan);
    await frames.next();
    const pid = Number(readFileSync(join(directory, 'pid'), 'utf8'));
    process.kill(pid, 0);
    await frames.return(undefined as never);
    // A killed process is gone when the system gets to it, not when it is told.
    await expect.poll(() => running(pid), { timeout: 60_000 }).toBe(false);
  });
});

/** Whether a process is there and not a zombie. */
function running(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
