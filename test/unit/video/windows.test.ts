import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { locateFfmpeg } from '../../../src/video/ffmpeg.ts';
import type { FrameWindow } from '../../../src/video/frames.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { type Packet, packetSizes } from '../../../src/video/signals.ts';
import { cutFile, ffmpeg, readClip, temporaryDirectory, writeClip } from '../../support/media.ts';

const x264 = ['-c:v', 'libx264', '-preset', 'fast', '-bf', '3', '-g', '25'];
const plan = {
  views: [
    { kind: 'squash', size: 32 },
    { kind: 'fragments', size: 32, cell: 8, area: 4000 },
  ],
  motionSize: 16,
  windowSeconds: 2,
} as const;

async function packetsOf(path: string): Promise<Packet[]> {
  return packetSizes((await probeVideo(path)).value);
}

/**
 * A window as text, its pixels and times to the last bit. Of errors only whether there were any: a decoder's threads write
 * theirs beside those of the demuxer, now before a frame is told of and now after it, and into each other's lines.
 */
function exactly({ key, motion, times, findings, ...rest }: FrameWindow) {
  const { errors, errorAt: _, ...found } = findings;
  return {
    ...rest,
    findings: { ...found, damaged: errors > 0 },
    times: [...times],
    keyFrames: [...key.frames],
    keyPixels: Buffer.from(key.pixels).toString('base64'),
    motion: Buffer.from(motion).toString('base64'),
  };
}

describe.skipIf(process.platform === 'win32')('a read that begins later', () => {
  const setting = process.env.OMNIVQA_FFMPEG;
  let log = '';

  // An ffmpeg that notes how each decode was begun: where it was told to seek, or at the start.
  beforeEach(async () => {
    const real = await locateFfmpeg();
    const directory = temporaryDirectory();
    log = join(directory, 'log');
    const note = `case "$*" in *"-ss "*) echo sought >> ${log};; *views*|*gbrp*) echo start >> ${log};; esac`;
    for (const name of ['ffmpeg', 'ffprobe'] as const) {
      const script = `#!/bin/sh\n${name === 'ffmpeg' ? note : ''}\nexec ${real[name]} "$@"\n`;
      writeFileSync(join(directory, name), script);
      chmodSync(join(directory, name), 0o755);
    }
    process.env.OMNIVQA_FFMPEG = directory;
  });
  afterEach(() => {
    if (setting === undefined) delete process.env.OMNIVQA_FFMPEG;
    else process.env.OMNIVQA_FFMPEG = setting;
  });

  /** How the decodes since the last call were begun. */
  const decodes = (): string[] => {
    const found = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
    rmSync(log, { force: true });
    return found;
  };

  it.each([
    ['H.264 with B-frames', 'clip.mp4', x264, 1],
    ['H.264, open groups of pictures', 'clip.mkv', [...x264, '-x264-params', 'open-gop=1:bframes=3'], 1],
    [
      'HEVC, open groups of pictures',
      'clip.mp4',
      ['-c:v', 'libx265', '-x265-params', 'log-level=none:keyint=25'],
      1,
    ],
    ['VP9', 'clip.webm', ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-g', '25'], 1],
    ['ProRes', 'clip.mov', ['-c:v', 'prores_ks', '-pix_fmt', 'yuv422p10le'], 1],
    ['MPEG-TS, which starts at 1.4 s', 'clip.ts', [...x264, '-g', '10'], 3],
    ['MPEG-2 in a program stream', 'clip.mpg', ['-c:v', 'mpeg2video', '-bf', '2', '-g', '12'], null],
    ['fragmented MP4', 'clip.mp4', [...x264, '-movflags', 'frag_keyframe+empty_moov+default_base_moof'], 1],
    ['one group of pictures', 'clip.mp4', [...x264, '-g', '1000'], 1],
    ['intra refresh', 'clip.mkv', [...x264, '-intra-refresh', '1'], null],
    [
      'frames that no packet stands for',
      'clip.webm',
      ['-c:v', 'libvpx', '-auto-alt-ref', '1', '-lag-in-frames', '16'],
      99,
    ],
    ['a raw stream, which can not be sought', 'clip.264', x264, 99],
    ['interlaced', 'clip.mkv', ['-c:v', 'mpeg2video', '-flags', '+ilme+ildct', '-top', '1'], 99],
  ] as const)('%s', async (_, name, output, seeksFrom) => {
    const path = join(temporaryDirectory(), name);
    writeClip(path, { rate: '25', seconds: 7, output });
    const packets = await packetsOf(path);
    const whole = await readClip(path, plan);
    expect(whole.windows.map(({ times }) => times.length)).toEqual([50, 50, 50, 25]);
    decodes();
    for (const startWindow of [1, 3]) {
      const expected = whole.windows.slice(startWindow).map(exactly);
      const sought = await readClip(path, plan, { startWindow, packets });
      expect(sought.windows.map(exactly)).toEqual(expected);
      const begun = decodes();
      if (seeksFrom !== null) expect(begun).toEqual([startWindow >= seeksFrom ? 'sought' : 'start']);
      expect(sought).toMatchObject({ ended: true, vfr: whole.vfr, codes: whole.codes });
      expect(sought.coverage).toEqual({
        start: expected[0]!.times[0],
        end: whole.coverage.end,
        frames: 175 - 50 * startWindow,
      });
    }
    const left = await readClip(path, plan, { startWindow: 1 });
    expect(left.windows.map(exactly)).toEqual(whole.windows.slice(1).map(exactly));
    expect(decodes()).toEqual(['start']);
    expect(left.codes).toEqual(whole.codes);
  });

  it('a variable frame rate', async () => {
    const path = join(temporaryDirectory(), 'clip.mkv');
    writeClip(path, {
      rate: '25',
      seconds: 12,
      filter: `select='not(between(n,100,140))*gt(mod(n,7),2)'`,
      output: [...x264, '-fps_mode', 'passthrough'],
    });
    const packets = await packetsOf(path);
    const whole = await readClip(path, plan);
    expect(whole.windows.length).toBeGreaterThan(2);
    decodes();
    for (const startWindow of [1, 2]) {
      const { windows, codes } = await readClip(path, plan, { startWindow, packets });
      expect(windows.map(exactly)).toEqual(whole.windows.slice(startWindow).map(exactly));
      expect(decodes()).toEqual(['sought']);
      expect(codes).toContain('vfr');
    }
  });

  it('an edit list', async () => {
    const directory = temporaryDirectory();
    const uncut = writeClip(join(directory, 'whole.mp4'), {
      rate: '25',
      seconds: 9,
      output: [...x264, '-g', '50'],
    });
    const path = join(directory, 'cut.mp4');
    ffmpeg('-ss', '1.2', '-i', uncut, '-c', 'copy', path);
    const packets = await packetsOf(path);
    const whole = await readClip(path, plan);
    for (const startWindow of [1, 2, 3]) {
      const { windows } = await readClip(path, plan, { startWindow, packets });
      expect(windows.map(exactly)).toEqual(whole.windows.slice(startWindow).map(exactly));
    }
  });

  it('packets that are not those of the file', async () => {
    const path = join(temporaryDirectory(), 'clip.mp4');
    writeClip(path, { rate: '25', seconds: 5, output: x264 });
    const packets = await packetsOf(path);
    const whole = await readClip(path, plan);
    decodes();
    const wrong: readonly (readonly Packet[])[] = [
      packets.map(({ time, bytes }) => ({ time: time! + 0.5, bytes })),
      packets.map(({ time, bytes }, i) => ({ time: i === 40 ? time! + 0.01 : time, bytes })),
      packets.map(({ bytes }) => ({ time: null, bytes })),
      packets.slice(0, 30),
      [],
    ];
    for (const given of wrong) {
      const { windows } = await readClip(path, plan, { startWindow: 1, packets: given });
      expect(windows.map(exactly)).toEqual(whole.windows.slice(1).map(exactly));
      expect(decodes().at(-1)).toBe('start');
    }
  });

  it('ends before the window to stop at, and then claims nothing of the rest', async () => {
    const path = join(temporaryDirectory(), 'clip.mp4');
    writeClip(path, { rate: '25', seconds: 9, output: [...x264, '-movflags', '+faststart'] });
    const packets = await packetsOf(path);
    const whole = await readClip(path, plan);
    const options = { startWindow: 1, stopWindow: 3, packets };
    const { windows, ended, coverage, codes } = await readClip(path, plan, options);
    expect(windows.map(exactly)).toEqual(whole.windows.slice(1, 3).map(exactly));
    expect({ ended, coverage, codes }).toEqual({
      ended: false,
      coverage: { start: 2, end: 6, frames: 100 },
      codes: [],
    });
    const first = await readClip(path, plan, { stopWindow: 1 });
    expect(first.windows.map(exactly)).toEqual([exactly(whole.windows[0]!)]);
    expect((await readClip(path, plan, { stopWindow: 99 })).ended).toBe(true);
  });

  it('a cut file is truncated where it ends, and has no windows behind that', async () => {
    const path = join(temporaryDirectory(), 'clip.mp4');
    writeClip(path, { rate: '25', seconds: 9, output: [...x264, '-movflags', '+faststart'] });
    const { size } = (await probeVideo(path)).value;
    cutFile(path, Math.round(size * 0.7));
    const packets = await packetsOf(path);
    const whole = await readClip(path, plan);
    expect(whole.codes).toContain('truncated');
    const last = whole.windows.length - 1;
    const read = await readClip(path, plan, { startWindow: last, packets });
    expect(read.windows.map(exactly)).toEqual([exactly(whole.windows[last]!)]);
    expect(read.problems.find(({ code }) => code === 'truncated')).toEqual(
      whole.problems.find(({ code }) => code === 'truncated'),
    );
    const behind = await readClip(path, plan, { startWindow: last + 1, packets });
    expect(behind).toMatchObject({ windows: [], ended: true, coverage: { frames: 0 } });
    expect(behind.coverage.end).toBeCloseTo(whole.coverage.end, 2);
    expect(behind.codes).toContain('truncated');
  });

  it.each([{ startWindow: -1 }, { startWindow: 0.5 }, { startWindow: 2, stopWindow: 2 }])(
    '%o is refused',
    async (options) => {
      const path = writeClip(join(temporaryDirectory(), 'clip.mp4'));
      await expect(readClip(path, plan, options)).rejects.toMatchObject({ code: 'bad_usage' });
    },
  );
});
