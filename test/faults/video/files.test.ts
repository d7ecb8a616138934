import {
  copyFileSync,
  mkdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OmniError } from '../../../src/protocol/errors.ts';
import { type FrameWindow, readFrames } from '../../../src/video/frames.ts';
import { parseProbe, probeVideo } from '../../../src/video/probe.ts';
import { cutFile, ffmpeg, flipBits, temporaryDirectory, writeClip } from '../../support/media.ts';

const plan = { views: [{ kind: 'squash', size: 32 } as const], motionSize: 16, windowSeconds: 2 };

/** Reads a whole clip; what it threw, or what there was to say about it. */
async function outcome(path: string) {
  try {
    const { value: info, problems } = await probeVideo(path);
    const windows: FrameWindow[] = [];
    const frames = readFrames(info, plan);
    for (;;) {
      const next = await frames.next();
      if (!next.done) {
        windows.push(next.value);
        continue;
      }
      const codes = [...problems, ...next.value.problems].map(({ code }) => code);
      const times = windows.flatMap((window) => [...window.times]);
      return { error: null, info, windows, times, codes, coverage: next.value.coverage };
    }
  } catch (error) {
    if (!OmniError.is(error)) throw error;
    expect(error.message).not.toBe('');
    expect(error.next).not.toBe('');
    return { error, info: null, windows: [], times: [], codes: [error.code as string], coverage: null };
  }
}

const file = (name: string) => join(temporaryDirectory(), name);

describe('files that are not videos are refused with a code', () => {
  it.each<[string, string, (path: string) => void]>([
    ['missing.mp4', 'file_not_found', () => undefined],
    ['0-bytes.mp4', 'file_empty', (path) => writeFileSync(path, '')],
    ['text.mp4', 'not_a_video', (path) => writeFileSync(path, 'hello '.repeat(500))],
    ['zeros.mkv', 'not_a_video', (path) => writeFileSync(path, Buffer.alloc(100_000))],
    [
      'git-lfs-pointer.mp4',
      'lfs_pointer',
      (path) =>
        writeFileSync(
          path,
          `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 9\n`,
        ),
    ],
    [
      'ffconcat.mp4',
      'playlist_refused',
      (path) => writeFileSync(path, "ffconcat version 1.0\nfile '/etc/passwd'\n"),
    ],
    [
      'hls.mp4',
      'playlist_refused',
      (path) => writeFileSync(path, '#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n'),
    ],
    [
      'dash.mp4',
      'playlist_refused',
      (path) => writeFileSync(path, '<?xml version="1.0"?>\n<MPD type="static"></MPD>'),
    ],
    ['header-only.mp4', 'not_a_video', (path) => cutFile(writeClip(path), 48)],
    ['folder.mp4', 'file_unreadable', (path) => mkdirSync(path)],
    ['dangling-link.mp4', 'file_not_found', (path) => symlinkSync(`${path}.gone`, path)],
    [
      'audio-only.mp4',
      'no_video_stream',
      (path) => ffmpeg('-f', 'lavfi', '-i', 'sine=duration=1', '-c:a', 'aac', path),
    ],
    [
      'cover-art-only.mp4',
      'cover_art_only',
      (path) => {
        const cover = `${path}.png`;
        ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=64x64', '-frames:v', '1', cover);
        ffmpeg(
          ...['-f', 'lavfi', '-i', 'sine=duration=1', '-i', cover, '-map', '0', '-map', '1', '-c:a', 'aac'],
          ...['-c:v', 'copy', '-disposition:v:0', 'attached_pic', path],
        );
      },
    ],
  ])('%s: %s', async (name, code, make) => {
    const path = file(name);
    make(path);
    expect((await outcome(path)).codes).toEqual([code]);
  });
});

describe('damaged files give what can be decoded, and say so', () => {
  const clip = (name: string, ...output: string[]) =>
    writeClip(file(name), { seconds: 4, output: ['-g', '5', '-b:v', '400k', ...output] });

  it.each(['truncated.mkv', 'truncated.webm', 'truncated.avi', 'truncated-faststart.mp4'])(
    '%s',
    async (name) => {
      const path = clip(
        name,
        ...(name.endsWith('webm') ? ['-c:v', 'libvpx', '-deadline', 'realtime'] : []),
        ...(name.endsWith('mp4') ? ['-movflags', '+faststart'] : []),
      );
      cutFile(path, Math.floor(statSync(path).size * 0.55));
      const { error, codes, coverage } = await outcome(path);
      expect(error).toBeNull();
      expect(codes).toContain('truncated');
      expect(coverage!.end).toBeGreaterThan(0.5);
      expect(coverage!.end).toBeLessThan(3.6);
    },
  );

  it('bit-flips.mkv', async () => {
    const path = clip('bit-flips.mkv');
    const { size } = statSync(path);
    await flipBits(path, Math.floor(size * 0.3), Math.floor(size * 0.7), 97);
    const { error, codes } = await outcome(path);
    if (error) expect(['nothing_decoded', 'not_a_video', 'ffmpeg_failed']).toContain(error.code);
    else expect(codes.some((code) => code === 'decode_errors' || code === 'truncated')).toBe(true);
  });

  it('index-at-the-end-cut-off.mp4', async () => {
    const path = clip('index-at-the-end-cut-off.mp4');
    cutFile(path, Math.floor(statSync(path).size * 0.5));
    expect((await outcome(path)).codes).toEqual(['not_a_video']);
  });
});

describe('unusual files are read as they are displayed', () => {
  it('several-video-streams.mkv: the first one, said', async () => {
    const path = file('several-video-streams.mkv');
    ffmpeg(
      ...[
        '-f',
        'lavfi',
        '-i',
        'testsrc2=size=64x48:rate=5',
        '-f',
        'lavfi',
        '-i',
        'testsrc=size=96x64:rate=5',
      ],
      ...['-t', '1', '-map', '0', '-map', '1', '-c:v', 'libx264', '-pix_fmt', 'yuv420p', path],
    );
    const { info, codes } = await outcome(path);
    expect(info).toMatchObject({ width: 64, height: 48 });
    expect(codes).toEqual(['several_video_streams']);
  });

  it('vfr.mkv: times are those of the frames', async () => {
    const path = writeClip(file('vfr.mkv'), {
      seconds: 3,
      filter: "select='not(between(n,5,12))'",
      output: ['-vsync', 'vfr'],
    });
    const { times, windows } = await outcome(path);
    expect(times).toHaveLength(22);
    const steps = times.slice(1).map((time, i) => time - times[i]!);
    expect(Math.max(...steps)).toBeCloseTo(0.9, 2);
    expect(Math.min(...steps)).toBeCloseTo(0.1, 2);
    expect(windows.at(-1)!.end).toBeCloseTo(3, 1);
  });

  it.each([90, 180, 270])('rotated-%d.mp4: the displayed size, and turned pixels', async (angle) => {
    const upright = writeClip(file('upright.mp4'), { size: '160x96' });
    const path = file(`rotated-${angle}.mp4`);
    ffmpeg('-i', upright, '-c', 'copy', '-metadata:s:v', `rotate=${angle}`, path);
    const { info, windows } = await outcome(path);
    expect(info).toMatchObject(angle === 180 ? { width: 160, height: 96 } : { width: 96, height: 160 });
    expect(info!.rotation % 180).toBe(angle % 180);
    const straight = await outcome(upright);
    expect(Buffer.compare(windows[0]!.motion, straight.windows[0]!.motion)).not.toBe(0);
  });

  it('interlaced.mkv: deinterlaced, one picture per frame, said', async () => {
    const path = writeClip(file('interlaced.mkv'), {
      filter: 'interlace',
      rate: '20',
      output: ['-flags', '+ildct+ilme', '-x264-params', 'interlaced=1:tff=1'],
    });
    const { info, codes, times } = await outcome(path);
    expect(info!.interlaced).toBe(true);
    expect(codes).toContain('deinterlaced');
    expect(times).toHaveLength(20);
  });

  it.each([
    ['odd-sizes.mkv', '161x97', 'yuv444p'],
    ['10-bit.mkv', '160x96', 'yuv420p10le'],
    ['4-2-2.mkv', '160x96', 'yuv422p'],
    ['4-4-4.mkv', '160x96', 'yuv444p'],
  ])('%s (%s, %s)', async (name, size, pixels) => {
    const path = writeClip(file(name), { size, output: ['-pix_fmt', pixels] });
    const { error, info, times } = await outcome(path);
    expect(error).toBeNull();
    expect(info!.pixelFormat).toBe(pixels);
    expect(times).toHaveLength(20);
  });

  it.each([
    ['gray.mkv', 'gray', 'ffv1'],
    ['12-bit.mkv', 'gbrp12le', 'ffv1'],
    ['alpha.mkv', 'yuva420p', 'ffv1'],
    ['prores.mov', 'yuv422p10le', 'prores_ks'],
    ['hevc.mp4', 'yuv420p', 'libx265'],
    ['vp9.webm', 'yuv420p', 'libvpx-vp9'],
  ])('%s', async (name, pixels, codec) => {
    const path = writeClip(file(name), { seconds: 1, output: ['-pix_fmt', pixels, '-c:v', codec] });
    const { error, times } = await outcome(path);
    expect(error).toBeNull();
    expect(times).toHaveLength(10);
  });

  it.each([
    ['hdr10.mkv', 'smpte2084'],
    ['hlg.mkv', 'arib-std-b67'],
  ])('%s: tone-mapped, said', async (name, transfer) => {
    const path = writeClip(file(name), {
      seconds: 1,
      output: [
        ...['-pix_fmt', 'yuv420p10le', '-color_primaries', 'bt2020', '-colorspace', 'bt2020nc'],
        ...['-color_trc', transfer],
      ],
    });
    const { info, codes, times } = await outcome(path);
    expect(info!.hdr).not.toBeNull();
    expect(codes.some((code) => code.startsWith('hdr_'))).toBe(true);
    expect(times).toHaveLength(10);
  });

  it('sample-aspect-ratio.mkv and 1x1.nut', async () => {
    const wide = writeClip(file('sample-aspect-ratio.mkv'), { filter: 'setsar=4/3' });
    expect((await outcome(wide)).times).toHaveLength(20);
    const dot = writeClip(file('1x1.nut'), {
      size: '16x16',
      filter: 'scale=1:1',
      output: ['-c:v', 'png', '-pix_fmt', 'rgb24'],
    });
    expect((await outcome(dot)).times).toHaveLength(20);
  });

  it('mid-stream-size-change.ts: no frame is lost and the cadence of key frames stays', async () => {
    const directory = temporaryDirectory();
    const parts = ['160x96', '96x64'].map((size, i) =>
      writeClip(join(directory, `${i}.ts`), { size, seconds: 2, output: ['-bsf:v', 'h264_mp4toannexb'] }),
    );
    const path = join(directory, 'mid-stream-size-change.ts');
    ffmpeg('-i', `concat:${parts.join('|')}`, '-c', 'copy', path);
    const { error, times, windows } = await outcome(path);
    expect(error).toBeNull();
    expect(times.length).toBeGreaterThanOrEqual(38);
    expect([...windows[0]!.key.frames]).toEqual([0, 10]);
  });

  it('negative-and-offset-times.mkv: the clip begins at 0', async () => {
    const straight = writeClip(file('straight.mkv'));
    const path = file('negative-and-offset-times.mkv');
    ffmpeg('-itsoffset', '5', '-i', straight, '-c', 'copy', path);
    const { times } = await outcome(path);
    expect(times[0]).toBe(0);
    expect(times).toHaveLength(20);
  });

  it('missing-times.h264: an elementary stream has times from its rate', async () => {
    const path = writeClip(file('missing-times.h264'));
    const { error, times } = await outcome(path);
    expect(error).toBeNull();
    expect(times.length).toBeGreaterThanOrEqual(19);
    expect(times.every((time, i) => i === 0 || time > times[i - 1]!)).toBe(true);
  });

  it('decompression-bomb: pictures of 30000×30000 are refused before one is decoded', () => {
    const report = { streams: [{ codec_type: 'video', width: 30_000, height: 30_000 }] };
    const bomb = { path: 'decompression-bomb.mkv', size: 1000, fingerprint: '' };
    expect(() => parseProbe(report, bomb)).toThrow(expect.objectContaining({ code: 'frame_too_large' }));
  });
});

describe('a file that changes while it is read', () => {
  const during = async (path: string, change: () => void) => {
    const { value: info } = await probeVideo(path);
    const frames = readFrames(info, { ...plan, windowSeconds: 1 });
    await frames.next();
    change();
    for (;;) if ((await frames.next()).done) return;
  };

  it('replaced', async () => {
    const path = writeClip(file('replaced.mp4'), { seconds: 4 });
    const other = writeClip(file('other.mp4'), { seconds: 4, source: 'testsrc' });
    await expect(
      during(path, () => {
        rmSync(path);
        copyFileSync(other, path);
      }),
    ).rejects.toMatchObject({ code: 'file_replaced' });
  });

  it('deleted', async () => {
    const path = writeClip(file('deleted.mp4'), { seconds: 4 });
    await expect(during(path, () => rmSync(path))).rejects.toMatchObject({ code: 'file_replaced' });
  });

  it('touched and cut', async () => {
    const path = writeClip(file('cut.mkv'), { seconds: 4 });
    await expect(
      during(path, () => {
        truncateSync(path, 1000);
        utimesSync(path, 1, 1);
      }),
    ).rejects.toMatchObject({ code: 'file_replaced' });
  });
});
