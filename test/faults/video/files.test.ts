import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readFrames } from '../../../src/video/frames.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import {
  cutFile,
  decodeRgb,
  ffmpeg,
  flipBits,
  patchFile,
  pixelDifference,
  readClip,
  resizeBicubic,
  sharedDirectory,
  temporaryDirectory,
  writeClip,
} from '../../support/media.ts';

const shared = sharedDirectory();
/** 6 s of 160x96 at 10 fps, a key frame a second, with B frames. */
const whole = join(shared, 'whole.mp4');

beforeAll(() => {
  writeClip(whole, { seconds: 6, output: ['-c:v', 'libx264', '-preset', 'fast', '-g', '10', '-bf', '2'] });
});

const at = (name: string) => join(temporaryDirectory(), name);

/** The clip's packets in another container; AVI, which has no order of its own for B frames, gets MPEG-4 without. */
function remux(name: string, ...options: string[]): string {
  const path = at(name);
  const codec = name.endsWith('.avi') ? ['-c:v', 'mpeg4', '-g', '10'] : ['-c', 'copy'];
  ffmpeg('-i', whole, ...codec, ...options, path);
  return path;
}

function textFile(name: string, text: string): string {
  const path = at(name);
  writeFileSync(path, text);
  return path;
}

describe('files that are refused, with the reason', () => {
  it.each([
    ['zero-bytes.mp4', '', 'file_empty'],
    ['lfs-pointer.mp4', 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n', 'lfs_pointer'],
    ['hls.mp4', '#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n/etc/passwd\n', 'playlist_refused'],
    ['hls-with-bom.mp4', '\uFEFF#EXTM3U\n#EXTINF:1,\nclip.ts\n', 'playlist_refused'],
    ['ffconcat.mp4', 'ffconcat version 1.0\nfile /etc/passwd\n', 'playlist_refused'],
    ['concat-without-header.mp4', "file 'clip.mp4'\nfile 'clip.mp4'\n", 'playlist_refused'],
    [
      'dash.mp4',
      '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
      'playlist_refused',
    ],
    ['session.mp4', 'v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n', 'playlist_refused'],
    ['page.mp4', '<!DOCTYPE html><html><body>404</body></html>', 'format_refused'],
    [
      'subtitles.mp4',
      '1\n00:00:00,000 --> 00:00:01,000\nHello\n\n2\n00:00:01,000 --> 00:00:02,000\nBye\n',
      'format_refused',
    ],
    ['lavfi.mp4', 'testsrc2=size=64x64:rate=5:duration=1', 'not_a_video'],
    ['noise.mp4', '\u0000\u0001\u0002 nothing that is a video \u0003'.repeat(200), 'not_a_video'],
  ])('%s', async (name, text, code) => {
    await expect(probeVideo(textFile(name, text))).rejects.toMatchObject({ name: 'OmniError', code });
  });

  it.each([
    ['picture.png.mp4', ['-f', 'image2', '-c:v', 'png']],
    ['picture.jpg.mp4', ['-f', 'image2', '-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p']],
  ])('%s: a still picture', async (name, options) => {
    const path = at(name);
    ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=64x64', '-frames:v', '1', '-update', '1', ...options, path);
    await expect(probeVideo(path)).rejects.toMatchObject({ code: 'format_refused' });
  });

  it('a hidden concat script that names the file it lies beside is not opened even without its header', async () => {
    const directory = temporaryDirectory();
    copyFileSync(whole, join(directory, 'clip.mp4'));
    const script = join(directory, 'script.mp4');
    writeFileSync(script, '# comment\nffconcat version 1.0\nfile clip.mp4\n');
    await expect(probeVideo(script)).rejects.toMatchObject({ name: 'OmniError' });
  });

  it('header-only.mp4', async () => {
    await expect(probeVideo(cutFile(remux('header-only.mp4'), 40))).rejects.toMatchObject({
      code: 'not_a_video',
    });
  });

  it('header-only.mkv: no frame to tell what the stream is', async () => {
    const path = remux('header-only.mkv');
    const cluster = readFileSync(path).indexOf(Buffer.from([0x1f, 0x43, 0xb6, 0x75]));
    await expect(readClip(cutFile(path, cluster))).rejects.toMatchObject({ code: 'not_a_video' });
  });

  it('no-index.mp4: cut, with the index at its end', async () => {
    const path = remux('no-index.mp4');
    truncateSync(path, Math.floor(statSync(path).size / 2));
    await expect(probeVideo(path)).rejects.toMatchObject({
      code: 'not_a_video',
      message: expect.stringContaining('moov'),
    });
  });

  it('no-video-stream.mkv', async () => {
    const path = at('no-video-stream.mkv');
    ffmpeg('-f', 'lavfi', '-i', 'sine=duration=1', '-c:a', 'flac', path);
    await expect(probeVideo(path)).rejects.toMatchObject({ code: 'no_video_stream' });
  });

  it('cover-art-only.m4a', async () => {
    const path = at('cover-art-only.m4a');
    ffmpeg(
      ...['-f', 'lavfi', '-i', 'sine=duration=1', '-f', 'lavfi', '-i', 'testsrc2=size=64x64:duration=0.04'],
      ...['-map', '0', '-map', '1', '-c:a', 'aac', '-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p'],
      ...['-disposition:v:0', 'attached_pic', path],
    );
    await expect(probeVideo(path)).rejects.toMatchObject({ code: 'cover_art_only' });
  });

  it('unknown-codec.mp4', async () => {
    const path = remux('unknown-codec.mp4');
    await patchFile(path, readFileSync(path).indexOf('avc1', 64), Buffer.from('zzzz'));
    await expect(readClip(path)).rejects.toMatchObject({ name: 'OmniError', code: 'nothing_decoded' });
  });

  it('decompression-bomb.y4m: a header that claims 20000x20000', async () => {
    const path = textFile(
      'decompression-bomb.y4m',
      'YUV4MPEG2 W20000 H20000 F25:1 Ip A1:1 C420jpeg\nFRAME\n',
    );
    await expect(probeVideo(path)).rejects.toMatchObject({ code: 'frame_too_large' });
  });

  it('absent.mp4, a folder, and a file as a folder', async () => {
    await expect(probeVideo(at('absent.mp4'))).rejects.toMatchObject({ code: 'file_not_found' });
    await expect(probeVideo(temporaryDirectory())).rejects.toMatchObject({ code: 'file_unreadable' });
    await expect(probeVideo(join(whole, 'clip.mp4'))).rejects.toMatchObject({ code: 'file_not_found' });
  });
});

describe('damaged files are read as far as they go', () => {
  it.each([
    ['truncated.mkv', []],
    ['truncated.mp4', ['-movflags', 'faststart']],
    ['truncated.avi', []],
  ])('%s: the real coverage, and a problem', async (name, options) => {
    const path = remux(name, ...options);
    truncateSync(path, Math.floor(statSync(path).size / 2));
    const { coverage, problems, codes, windows } = await readClip(path);
    expect(codes).toContain('truncated');
    expect(coverage.end).toBeGreaterThan(1);
    expect(coverage.end).toBeLessThan(5);
    expect(coverage.frames).toBe(windows[0]!.times.length);
    expect(problems.find(({ code }) => code === 'truncated')).toMatchObject({ start: coverage.end });
  });

  it('whole files of every container are not called truncated', async () => {
    for (const name of ['whole.mkv', 'whole.mov', 'whole.avi', 'whole.ts', 'whole.flv', 'whole.nut']) {
      const { coverage, codes } = await readClip(remux(name));
      expect([name, coverage.frames, codes.includes('truncated')]).toEqual([name, 60, false]);
      expect(coverage.end).toBeCloseTo(6, 1);
    }
  });

  it('bit-flips.mkv: decoded, counted', async () => {
    const path = remux('bit-flips.mkv');
    const { size } = statSync(path);
    await flipBits(path, Math.floor(size * 0.4), Math.floor(size * 0.6), 97);
    const { coverage, problems } = await readClip(path);
    expect(coverage.frames).toBeGreaterThan(30);
    expect(problems.find(({ code }) => code === 'decode_errors')?.message).toMatch(/reported \d+ error/);
  });

  it('size-change.h264: all frames, the key cadence unbroken', async () => {
    const [small, large, both] = [at('a.h264'), at('b.h264'), at('size-change.h264')];
    writeClip(small, { seconds: 1.5, size: '160x96' });
    writeClip(large, { seconds: 1.5, size: '320x240' });
    writeFileSync(both, Buffer.concat([readFileSync(small), readFileSync(large)]));
    // An elementary stream has no frame rate of its own to go by: ffmpeg takes it from the stream's headers.
    const { info, coverage, codes, windows, problems } = await readClip(both);
    expect([info.width, info.height]).toEqual([160, 96]);
    expect(coverage.frames).toBe(30);
    expect(codes).toContain('size_changed');
    expect(problems.find(({ code }) => code === 'size_changed')?.message).toContain('160x96 to 320x240');
    const [first] = windows;
    expect([...first!.key.frames]).toEqual(
      Array.from({ length: first!.key.frames.length }, (_, i) => i * Math.round(info.fps)),
    );
    // The last key frame shows the larger picture, scaled as a whole.
    const bytes = 32 * 32 * 3;
    const last = first!.key.frames.at(-1)!;
    const expected = resizeBicubic(decodeRgb(large, 320, 240)[last - 15]!, 320, 240, 32, 32);
    const key = first!.key.pixels.subarray((first!.key.frames.length - 1) * bytes);
    expect(pixelDifference(key, expected).mean).toBeLessThan(1.5);
  });
});

describe('unusual time', () => {
  it('vfr.mkv: times are those of the frames', async () => {
    const path = at('vfr.mkv');
    writeClip(path, { seconds: 3, filter: "select='not(between(n,8,17))'", output: ['-vsync', 'vfr'] });
    const { windows, vfr, codes, coverage } = await readClip(path);
    expect(vfr).toBe(true);
    expect(codes).toContain('vfr');
    expect(coverage.frames).toBe(20);
    expect(windows[0]!.times[7]).toBeCloseTo(0.7, 2);
    expect(windows[0]!.times[8]).toBeCloseTo(1.8, 2);
    expect(coverage.end).toBeCloseTo(3, 0);
  });

  it('negative-pts.ts, late-pts.ts: the clip starts at 0', async () => {
    for (const path of [
      remux('negative-pts.ts', '-output_ts_offset', '-2', '-avoid_negative_ts', 'disabled'),
      remux('late-pts.ts', '-output_ts_offset', '50'),
    ]) {
      const { windows, coverage } = await readClip(path);
      expect(windows[0]!.times[0]).toBe(0);
      expect(coverage.frames).toBe(60);
      expect(coverage.end).toBeCloseTo(6, 1);
    }
  });

  it('missing-pts.h264: an elementary stream without time stamps', async () => {
    const path = remux('missing-pts.h264');
    const { windows, coverage, info } = await readClip(path);
    expect(coverage.frames).toBe(60);
    const times = [...windows.flatMap(({ times }) => [...times])];
    expect(times.every((time, i) => i === 0 || time > times[i - 1]!)).toBe(true);
    expect(coverage.end).toBeCloseTo(60 / info.fps, 0);
  });

  it('repeated-pts.nut: time is made to increase', async () => {
    const path = at('repeated-pts.mkv');
    // Raw frames in NUT whose time stamps stand still for frames 4 to 6.
    ffmpeg(
      ...[
        '-f',
        'lavfi',
        '-i',
        'testsrc2=size=64x64:rate=10:duration=1',
        '-c:v',
        'rawvideo',
        '-pix_fmt',
        'yuv420p',
      ],
      ...[
        '-bsf:v',
        "setts=pts='if(between(N,4,6),4,N)*100':dts=N",
        '-f',
        'matroska',
        '-allow_raw_vfw',
        '1',
        path,
      ],
    );
    const { windows, coverage } = await readClip(path);
    expect(coverage.frames).toBe(10);
    const times = [...windows.flatMap(({ times }) => [...times])];
    expect(times.every((time, i) => i === 0 || time > times[i - 1]!)).toBe(true);
  });

  it('edit-list.mp4: what the edit leaves out is not shown, and it is said', async () => {
    const path = at('edit-list.mp4');
    ffmpeg('-ss', '1.55', '-i', whole, '-c', 'copy', path);
    const { coverage, codes } = await readClip(path);
    expect(codes).toContain('edit_list');
    expect(codes).not.toContain('truncated');
    expect(coverage.frames).toBeLessThan(50);
    expect((await readClip(whole)).codes).toEqual([]);
  });

  it('hours-long.mkv: in windows, in bounded memory, and left early without waiting', async () => {
    const path = at('hours-long.mkv');
    const seconds = 3 * 3600;
    ffmpeg(
      ...[
        '-f',
        'lavfi',
        '-i',
        `testsrc=size=32x32:rate=1:duration=${seconds}`,
        '-c:v',
        'mpeg4',
        '-g',
        '600',
        path,
      ],
    );
    const { value: info } = await probeVideo(path);
    const plan = { views: [{ kind: 'squash', size: 64 }] as const, motionSize: 48, windowSeconds: 10 };
    let [windows, most] = [0, 0];
    const frames = readFrames(info, plan);
    for (;;) {
      const next = await frames.next();
      if (next.done) {
        expect(next.value.coverage).toMatchObject({ frames: seconds });
        break;
      }
      windows++;
      most = Math.max(most, process.memoryUsage().arrayBuffers);
      if (windows === 500) globalThis.gc?.();
    }
    expect(windows).toBe(seconds / 10);
    expect(most).toBeLessThan(200 * 2 ** 20);
    const early = readFrames(info, plan);
    await early.next();
    await early.return(undefined as never);
    expect((await early.next()).done).toBe(true);
  });
});

describe('unusual pictures', () => {
  const side = 48;

  /** Motion and key frames against ffmpeg's own RGB of the same file. */
  async function expectPixels(path: string, width: number, height: number, mean = 0.5) {
    const plan = { views: [{ kind: 'squash', size: side }] as const, motionSize: side };
    const read = await readClip(path, plan);
    const decoded = decodeRgb(path, width, height);
    expect(read.coverage.frames).toBe(decoded.length);
    expect([read.info.width, read.info.height]).toEqual([width, height]);
    const expected = resizeBicubic(decoded[0]!, width, height, side, side);
    const bytes = side * side * 3;
    expect(pixelDifference(read.windows[0]!.motion.subarray(0, bytes), expected).mean).toBeLessThan(mean);
    expect(pixelDifference(read.windows[0]!.key.pixels.subarray(0, bytes), expected).mean).toBeLessThan(mean);
    return read;
  }

  it.each([
    ['10-bit', 'yuv420p10le', 10],
    ['12-bit', 'yuv422p12le', 12],
    ['4-2-2', 'yuv422p', 8],
    ['4-4-4', 'yuv444p', 8],
    ['gray', 'gray', 8],
    ['gray-10-bit', 'gray10le', 10],
    ['rgb', 'bgr0', 8],
    ['alpha', 'yuva420p', 8],
  ])('%s.mkv (%s)', async (name, format, depth) => {
    const path = writeClip(at(`${name}.mkv`), { seconds: 1, output: ['-c:v', 'ffv1', '-pix_fmt', format] });
    const { info, codes } = await expectPixels(path, 160, 96);
    expect([info.pixelFormat, info.bitDepth]).toEqual([format, depth]);
    expect(codes.includes('alpha_ignored')).toBe(format.startsWith('yuva'));
  });

  it.each([
    ['prores.mov', 'prores_ks', 'yuv422p10le'],
    ['hevc.mp4', 'libx265', 'yuv420p'],
    ['vp9.webm', 'libvpx-vp9', 'yuv420p'],
    ['theora.ogv', 'libtheora', 'yuv420p'],
    ['mpeg2.mpg', 'mpeg2video', 'yuv420p'],
    ['motion-jpeg.avi', 'mjpeg', 'yuvj420p'],
  ])('%s', async (name, codec, format) => {
    const rate = codec === 'mpeg2video' ? '25' : '10';
    const output = ['-c:v', codec, '-pix_fmt', format, '-q:v', '2'];
    const { codes } = await expectPixels(writeClip(at(name), { seconds: 1, rate, output }), 160, 96);
    expect(codes).toEqual([]);
  });

  it('odd-sizes.mkv', async () => {
    const path = writeClip(at('odd-sizes.mkv'), {
      seconds: 1,
      filter: 'scale=161:97',
      output: ['-c:v', 'ffv1', '-pix_fmt', 'yuv420p'],
    });
    await expectPixels(path, 161, 97);
  });

  it('1x1.mkv', async () => {
    const path = writeClip(at('1x1.mkv'), {
      seconds: 1,
      filter: 'drawbox=color=red:thickness=fill,format=bgr0,crop=1:1',
      output: ['-c:v', 'ffv1', '-pix_fmt', 'bgr0'],
    });
    const { windows } = await readClip(path, {
      views: [
        { kind: 'squash', size: side },
        { kind: 'fragments', size: side, cell: 16, area: 518_400 },
      ],
      motionSize: side,
    });
    expect(windows[0]!.times).toHaveLength(10);
    expect(windows[0]!.motion.subarray(0, 3)).toEqual(windows[0]!.motion.subarray(-3));
    expect(windows[0]!.motion[0]!).toBeGreaterThan(240);
    expect(windows[0]!.motion[1]!).toBeLessThan(10);
  });

  it('8k.mp4', async () => {
    const path = writeClip(at('8k.mp4'), { size: '7680x4320', rate: '2', seconds: 1 });
    const { windows, info } = await readClip(path, {
      views: [{ kind: 'fragments', size: 384, cell: 32, area: 518_400 }],
      motionSize: side,
    });
    expect([info.width, info.height, windows[0]!.times.length]).toEqual([7680, 4320, 2]);
    expect(windows[0]!.key.pixels).toHaveLength(384 * 384 * 3);
  });

  it('sar.mp4: the aspect of the pixels is recorded, the square takes the stored picture', async () => {
    const path = writeClip(at('sar.mp4'), { seconds: 1, filter: 'setsar=4/3', output: ['-crf', '1'] });
    const { info } = await expectPixels(path, 160, 96);
    expect(info.sampleAspectRatio).toBeCloseTo(4 / 3, 6);
  });

  it.each([
    [90, [0, 1, -1, 0]],
    [180, [-1, 0, 0, -1]],
    [270, [0, -1, 1, 0]],
  ] as const)('rotation-%d.mp4: upright', async (degrees, [a, b, c, d]) => {
    const path = writeClip(at(`rotation-${degrees}.mp4`), { seconds: 1 });
    const plain = decodeRgb(path, 160, 96)[0]!;
    // The matrix of the track header box, version 0 (ISO/IEC 14496-12, § 8.3.2), in 16.16 and 2.30 fixed point.
    const matrix = Buffer.alloc(36);
    for (const [i, value] of [a, b, 0, c, d, 0, 0, 0].entries()) matrix.writeInt32BE(value * 65_536, i * 4);
    matrix.writeInt32BE(0x4000_0000, 32);
    await patchFile(path, readFileSync(path).indexOf('tkhd') + 4 + 40, matrix);
    const turned = degrees !== 180;
    const { info, windows } = await expectPixels(path, turned ? 96 : 160, turned ? 160 : 96);
    expect(info.rotation).toBe(degrees);
    // The top left corner of the stored picture is top right, bottom right, bottom left of the displayed one.
    const small = resizeBicubic(plain, 160, 96, side, side);
    const [y, x] = { 90: [0, side - 1], 180: [side - 1, side - 1], 270: [side - 1, 0] }[degrees] as [
      number,
      number,
    ];
    for (const component of [0, 1, 2]) {
      const shown = windows[0]!.motion[(y * side + x) * 3 + component]!;
      expect(Math.abs(shown - small[component]!)).toBeLessThan(24);
    }
  });

  it('interlaced.mkv: deinterlaced, as many frames as before', async () => {
    const path = writeClip(at('interlaced.mkv'), {
      rate: '50',
      seconds: 2,
      filter: 'tinterlace=interleave_top,fieldorder=tff',
      output: ['-c:v', 'libx264', '-flags', '+ildct+ilme', '-x264opts', 'tff=1'],
    });
    const { info, codes, coverage, windows } = await readClip(path);
    expect(info.interlaced).toBe(true);
    expect(codes).toContain('deinterlaced');
    expect(coverage.frames).toBe(50);
    expect(windows[0]!.key.frames).toHaveLength(Math.ceil(50 / Math.round(info.fps)));
  });

  it('hdr_720.mkv: read although its motion frames are shrunk to an odd size before they are mapped', async () => {
    const path = writeClip(at('hdr_720.mkv'), {
      size: '1280x720',
      seconds: 0.5,
      output: [
        ...['-c:v', 'ffv1', '-pix_fmt', 'yuv420p10le', '-color_trc', 'arib-std-b67', '-color_range', 'tv'],
        ...['-color_primaries', 'bt2020', '-colorspace', 'bt2020nc'],
      ],
    });
    // 1280 / 6 is 213: Nano's motion frames; and the same where they are not small.
    for (const motionSize of [48, 224]) {
      const { codes, coverage } = await readClip(path, { motionSize, views: [] });
      expect(codes).toContain('hdr_tonemapped');
      expect(coverage.frames).toBe(5);
    }
  });

  it.each([
    ['hdr10.mkv', 'smpte2084', 'pq'],
    ['hlg.mkv', 'arib-std-b67', 'hlg'],
  ])('%s: mapped to SDR, and it is said', async (name, transfer, hdr) => {
    const path = writeClip(at(name), {
      seconds: 1,
      output: [
        ...['-c:v', 'ffv1', '-pix_fmt', 'yuv420p10le'],
        ...[
          '-color_trc',
          transfer,
          '-color_primaries',
          'bt2020',
          '-colorspace',
          'bt2020nc',
          '-color_range',
          'tv',
        ],
      ],
    });
    const { info, codes, windows } = await readClip(path, {
      motionSize: side,
      views: [{ kind: 'squash', size: side }],
    });
    expect(info.hdr).toBe(hdr);
    expect(codes).toContain('hdr_tonemapped');
    const plain = resizeBicubic(decodeRgb(path, 160, 96)[0]!, 160, 96, side, side);
    const bytes = side * side * 3;
    expect(pixelDifference(windows[0]!.motion.subarray(0, bytes), plain).mean).toBeGreaterThan(5);
    expect(
      pixelDifference(windows[0]!.key.pixels.subarray(0, bytes), windows[0]!.motion.subarray(0, bytes)).mean,
    ).toBeLessThan(0.5);
  });

  it('several-video-streams.mkv: the first is assessed', async () => {
    const path = at('several-video-streams.mkv');
    ffmpeg(
      ...[
        '-f',
        'lavfi',
        '-i',
        'testsrc2=size=160x96:rate=10:duration=1',
        '-f',
        'lavfi',
        '-i',
        'color=size=64x64:rate=5:duration=2',
      ],
      ...['-map', '0', '-map', '1', '-c:v', 'ffv1', '-pix_fmt', 'yuv420p', path],
    );
    const { codes } = await expectPixels(path, 160, 96);
    expect(codes).toContain('several_video_streams');
  });

  it('cover-beside.mp4: a cover picture is no second video', async () => {
    const path = at('cover-beside.mp4');
    ffmpeg(
      ...['-f', 'lavfi', '-i', 'testsrc2=size=64x64:duration=0.04', '-i', whole, '-map', '0', '-map', '1'],
      ...['-c:v:0', 'mjpeg', '-pix_fmt:v:0', 'yuvj420p', '-c:v:1', 'copy'],
      ...['-disposition:v:0', 'attached_pic', '-disposition:v:1', 'default', path],
    );
    const { info, coverage, codes } = await readClip(path);
    expect([info.width, info.codec, coverage.frames]).toEqual([160, 'h264', 60]);
    expect(codes).not.toContain('several_video_streams');
  });
});

describe('a file that changes while it is read', () => {
  it.each(['replaced', 'deleted', 'written to'])('%s-while-read.mp4', async (what) => {
    const directory = temporaryDirectory();
    mkdirSync(directory, { recursive: true });
    const path = join(directory, 'clip.mp4');
    copyFileSync(whole, path);
    const { value: info } = await probeVideo(path);
    const frames = readFrames(info, { views: [], motionSize: 16, windowSeconds: 1 });
    expect((await frames.next()).done).toBe(false);
    if (what === 'deleted') rmSync(path);
    else if (what === 'replaced') {
      copyFileSync(whole, join(directory, 'other.mp4'));
      renameSync(join(directory, 'other.mp4'), path);
    } else writeFileSync(path, 'x', { flag: 'a' });
    const rest = async () => {
      while (!(await frames.next()).done);
    };
    await expect(rest()).rejects.toMatchObject({ code: 'file_replaced' });
  });

  it('replaced between the probe and the decode', async () => {
    const path = at('clip.mp4');
    copyFileSync(whole, path);
    const { value: info } = await probeVideo(path);
    writeFileSync(path, readFileSync(whole).subarray(0, 1000));
    await expect(
      readFrames(info, { views: [], motionSize: 16, windowSeconds: 1 }).next(),
    ).rejects.toMatchObject({
      code: 'file_replaced',
    });
  });
});
