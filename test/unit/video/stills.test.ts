import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { probeVideo } from '../../../src/video/probe.ts';
import { readFilmstrip, readStill } from '../../../src/video/stills.ts';
import {
  decodeRgb,
  ffmpeg,
  pixelDifference,
  resizeBicubic,
  temporaryDirectory,
  writeClip,
} from '../../support/media.ts';

/** Luma 16 + 2 n in frame n, so that a picture says which frame it is. */
const numbered = "geq=lum='16+2*N':cb=128:cr=128";

/** A JPEG's pixels, RGB, as a viewer shows them. */
function pixels(jpeg: Uint8Array): Uint8Array {
  const args = ['-nostdin', '-v', 'error', '-f', 'mjpeg', '-i', 'pipe:0', '-f', 'rawvideo'];
  return spawnSync('ffmpeg', [...args, '-pix_fmt', 'rgb24', 'pipe:1'], { input: jpeg, maxBuffer: 2 ** 28 })
    .stdout;
}

/** Width and height from the frame header (ISO/IEC 10918-1, B.2.2). */
function sizeOf(jpeg: Uint8Array): [number, number] {
  const bytes = Buffer.from(jpeg);
  const at = bytes.indexOf(Buffer.from([0xff, 0xc0]));
  return [bytes.readUInt16BE(at + 7), bytes.readUInt16BE(at + 5)];
}

function numberIn(jpeg: Uint8Array): number {
  const rgb = pixels(jpeg);
  let sum = 0;
  for (const value of rgb) sum += value;
  return Math.round(((sum / rgb.length) * 219) / 255 / 2);
}

async function opened(path: string) {
  return (await probeVideo(path)).value;
}

describe('a still is the frame that is shown', () => {
  const x264 = ['-c:v', 'libx264', '-preset', 'fast', '-crf', '10', '-bf', '3', '-g', '25'];
  it.each([
    ['H.264 with B-frames', 'clip.mp4', x264],
    ['H.264, one group of pictures', 'clip.mp4', [...x264, '-g', '1000']],
    ['H.264, open groups of pictures', 'clip.mkv', [...x264, '-x264-params', 'open-gop=1:bframes=3']],
    ['fragmented MP4', 'clip.mp4', [...x264, '-movflags', 'frag_keyframe+empty_moov+default_base_moof']],
    ['MPEG-TS, which starts at 1.4 s', 'clip.ts', x264],
    ['MPEG-TS, one group of pictures', 'clip.ts', [...x264, '-g', '1000']],
    ['AVI', 'clip.avi', [...x264, '-bf', '0']],
    ['FLV', 'clip.flv', x264],
    ['a raw stream, which can not be sought', 'clip.264', x264],
    [
      'HEVC, 10 bit',
      'clip.mkv',
      ['-c:v', 'libx265', '-pix_fmt', 'yuv420p10le', '-x265-params', 'log-level=none:keyint=25'],
    ],
    ['H.264, 4:2:2, 10 bit', 'clip.mov', [...x264, '-pix_fmt', 'yuv422p10le']],
    ['AV1', 'clip.mp4', ['-c:v', 'libsvtav1', '-preset', '10', '-g', '25', '-crf', '5']],
    ['VP9', 'clip.webm', ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '1M']],
    ['ProRes', 'clip.mov', ['-c:v', 'prores_ks', '-pix_fmt', 'yuv422p10le']],
    ['MPEG-2 in a program stream', 'clip.mpg', ['-c:v', 'mpeg2video', '-bf', '2', '-g', '12', '-q:v', '2']],
    [
      'MPEG-TS whose clock begins anew',
      'clip.ts',
      [...x264, '-output_ts_offset', '95440', '-mpegts_copyts', '1'],
    ],
  ])('%s', async (_, name, output) => {
    const path = join(temporaryDirectory(), name);
    writeClip(path, { rate: '25', seconds: 4, filter: numbered, output });
    const info = await opened(path);
    // An encoder's GOP structure must not matter, nor whether a time is exact, rounded or between two frames.
    const places = [0, 24, 25, 49.5, 73.99, 99, 130];
    const stills = await Promise.all(places.map((place) => readStill(info, place / 25, { width: 999 })));
    const shown = places.map((place) => Math.min(99, Math.floor(place + 0.02)));
    expect(stills.map(({ bytes }) => numberIn(bytes))).toEqual(shown);
    for (const [i, { time, mime }] of stills.entries()) {
      expect(mime).toBe('image/jpeg');
      expect(time).toBeCloseTo(shown[i]! / 25, 2);
    }
    expect(sizeOf(stills[0]!.bytes)).toEqual([160, 96]);
  });

  it('variable frame rate: a frame is shown until the next one comes', async () => {
    const path = join(temporaryDirectory(), 'clip.mkv');
    writeClip(path, {
      rate: '25',
      seconds: 4,
      filter: `${numbered},select='lt(n,10)+gte(n,80)'`,
      output: ['-fps_mode', 'passthrough'],
    });
    const info = await opened(path);
    const times = [0.2, 0.36, 2, 3.19, 3.2, 3.5];
    const stills = await Promise.all(times.map((time) => readStill(info, time, { width: 160 })));
    expect(stills.map(({ bytes }) => numberIn(bytes))).toEqual([5, 9, 9, 9, 80, 87]);
    expect(stills[2]!.time).toBeCloseTo(0.36, 2);
  });

  it('an edit list leaves out the beginning', async () => {
    const directory = temporaryDirectory();
    const whole = join(directory, 'whole.mp4');
    writeClip(whole, { rate: '25', seconds: 4, filter: numbered, output: [...x264, '-g', '50'] });
    const path = join(directory, 'cut.mp4');
    ffmpeg('-ss', '1.2', '-i', whole, '-c', 'copy', path);
    const info = await opened(path);
    const stills = await Promise.all([0, 0.4, 2].map((time) => readStill(info, time, { width: 160 })));
    expect(stills.map(({ bytes }) => numberIn(bytes))).toEqual([30, 40, 80]);
  });
});

describe('a still looks as it is displayed', () => {
  it.each([
    ['limited BT.709', ['-colorspace', 'bt709', '-color_range', 'tv'], 'bt709'],
    ['BT.601', ['-colorspace', 'smpte170m', '-color_range', 'tv'], 'bt601'],
    ['full range', ['-colorspace', 'bt709', '-color_range', 'pc'], 'bt709'],
    ['BT.2020, 10 bit', ['-colorspace', 'bt2020nc', '-pix_fmt', 'yuv420p10le'], 'bt2020'],
  ])('%s', async (_, output, matrix) => {
    const path = join(temporaryDirectory(), 'clip.mkv');
    const range = output.includes('pc') ? 'full' : 'limited';
    writeClip(path, {
      source: 'mandelbrot',
      size: '320x240',
      rate: '5',
      seconds: 1,
      filter: `gblur=sigma=2,scale=out_color_matrix=${matrix}:out_range=${range}`,
      output: ['-c:v', 'ffv1', ...output],
    });
    const info = await opened(path);
    const { bytes } = await readStill(info, 0, { width: 320 });
    const { mean } = pixelDifference(pixels(bytes), decodeRgb(path, 320, 240)[0]!);
    expect(mean).toBeLessThan(3);
  });

  it('untagged high definition is BT.709, as in players', async () => {
    const path = join(temporaryDirectory(), 'clip.mkv');
    writeClip(path, {
      source: 'color',
      size: '1280x720',
      seconds: 1,
      rate: '2',
      filter:
        'format=gbrp,lutrgb=r=255:g=0:b=0,scale=out_color_matrix=bt709:out_range=limited,format=yuv420p',
      output: ['-c:v', 'ffv1', '-colorspace', 'unknown'],
    });
    const info = await opened(path);
    expect(info.color.space).toBeNull();
    const [red, green, blue] = pixels((await readStill(info, 0, { width: 64 })).bytes);
    expect(Math.abs(red! - 255) + green! + blue!).toBeLessThan(12);
  });

  it('HDR is mapped to SDR', async () => {
    const path = join(temporaryDirectory(), 'clip.mkv');
    writeClip(path, {
      seconds: 1,
      // 58 % of PQ is about 200 cd/m², more than SDR white.
      filter: 'format=yuv420p10le,geq=lum=573:cb=512:cr=512',
      output: [
        ...['-c:v', 'ffv1', '-pix_fmt', 'yuv420p10le', '-color_trc', 'smpte2084'],
        ...['-color_primaries', 'bt2020', '-colorspace', 'bt2020nc', '-color_range', 'tv'],
      ],
    });
    const info = await opened(path);
    expect(info.hdr).toBe('pq');
    const rgb = pixels((await readStill(info, 0.5, { width: 160 })).bytes);
    expect(rgb[0]).toBeGreaterThan(180);
    expect(Math.max(...rgb.subarray(0, 3)) - Math.min(...rgb.subarray(0, 3))).toBeLessThan(8);
  });

  it('turned, with square pixels, no larger than asked for and never enlarged', async () => {
    const directory = temporaryDirectory();
    const flat = writeClip(join(directory, 'flat.mp4'), {
      source: 'mandelbrot',
      filter: 'gblur=sigma=2,setsar=2/1',
    });
    const path = join(directory, 'turned.mp4');
    ffmpeg('-i', flat, '-c', 'copy', '-metadata:s:v', 'rotate=90', path);
    const info = await opened(path);
    expect([info.width, info.height]).toEqual([96, 160]);
    // Pixels twice as wide as high, turned: the height would double, so the width is halved.
    const large = await readStill(info, 0, { width: 5_000 });
    expect(sizeOf(large.bytes)).toEqual([48, 160]);
    const small = await readStill(info, 0, { width: 24 });
    expect(sizeOf(small.bytes)).toEqual([24, 80]);
    const rgb = pixels(large.bytes);
    const upright = resizeBicubic(decodeRgb(path, 96, 160)[0]!, 96, 160, 48, 160);
    expect(pixelDifference(rgb, upright).mean).toBeLessThan(6);
    const [strip] = await readFilmstrip(info, [0.5], 40);
    expect(sizeOf(strip!.bytes)).toEqual([12, 40]);
  });

  it('interlaced fields become one picture', async () => {
    const path = join(temporaryDirectory(), 'clip.mkv');
    writeClip(path, {
      rate: '50',
      filter: 'interlace',
      output: ['-c:v', 'mpeg2video', '-flags', '+ilme+ildct', '-q:v', '2'],
    });
    const info = await opened(path);
    expect(info.interlaced).toBe(true);
    const still = await readStill(info, 1, { width: 160 });
    expect(still.time).toBeCloseTo(1, 2);
    expect(sizeOf(still.bytes)).toEqual([160, 96]);
  });

  it('the size changes in mid-stream', async () => {
    const directory = temporaryDirectory();
    const parts = ['160x96', '80x48'].map((size, i) => {
      const part = join(directory, `${i}.ts`);
      return writeClip(part, {
        size,
        output: ['-bsf:v', 'h264_mp4toannexb', '-output_ts_offset', String(2 * i)],
      });
    });
    const path = join(directory, 'clip.ts');
    ffmpeg('-i', `concat:${parts.join('|')}`, '-c', 'copy', path);
    const info = await opened(path);
    const stills = await Promise.all([0.5, 3].map((time) => readStill(info, time, { width: 999 })));
    expect(stills.map(({ bytes }) => sizeOf(bytes))).toEqual([
      [160, 96],
      [160, 96],
    ]);
  });
});

describe('a filmstrip', () => {
  const numbers = (strip: Awaited<ReturnType<typeof readFilmstrip>>) =>
    strip.map((still) => still && numberIn(still.bytes));

  it('keeps the order; nothing where there is nothing', async () => {
    const path = join(temporaryDirectory(), 'clip.mp4');
    writeClip(path, { rate: '10', seconds: 5, filter: numbered, output: ['-bf', '3'] });
    const info = await opened(path);
    const times = [4.95, 0, 2.21, 2.25, -1, 2.2, 90, Number.NaN, 1, 2.2];
    const strip = await readFilmstrip(info, times, 48);
    expect(numbers(strip)).toEqual([49, 0, 22, 22, null, 22, null, null, 10, 22]);
    expect(sizeOf(strip[0]!.bytes)).toEqual([80, 48]);
    expect(strip[2]!.time).toBeCloseTo(2.2, 3);
    expect(await readFilmstrip(info, [], 48)).toEqual([]);
  });

  it.each([
    ['indexed', 'clip.mp4', '50'],
    ['not indexed', 'clip.ts', '50'],
    ['without any time', 'clip.264', '50'],
    ['one group of pictures', 'clip.mkv', '1000'],
  ])('a long clip, %s', async (_, name, group) => {
    const path = join(temporaryDirectory(), name);
    // Two frames a second: 50 s in 100 frames.
    writeClip(path, { rate: '2', seconds: 50, filter: numbered, output: ['-bf', '2', '-g', group] });
    const info = await opened(path);
    const times = [0, 1, 7.3, 14.6, 29.2, 30, 36.5, 49.9];
    const strip = await readFilmstrip(info, times, 48);
    const rate = name.endsWith('264') ? info.fps : 2;
    for (const [i, still] of strip.entries()) {
      const frame = Math.min(99, Math.floor(times[i]! * rate));
      expect({ at: times[i], frame: numberIn(still!.bytes) }).toEqual({ at: times[i], frame });
    }
  });

  it('a variable frame rate', async () => {
    const path = join(temporaryDirectory(), 'clip.mkv');
    writeClip(path, {
      rate: '25',
      seconds: 4,
      filter: `${numbered},select='lt(n,10)+gte(n,80)'`,
      output: ['-fps_mode', 'passthrough'],
    });
    const strip = await readFilmstrip(await opened(path), [0.1, 1, 2, 3.3], 48);
    expect(numbers(strip)).toEqual([2, 9, 9, 82]);
  });

  it('sides of one pixel', async () => {
    const path = join(temporaryDirectory(), 'clip.mkv');
    writeClip(path, { size: '600x2', output: ['-c:v', 'ffv1'] });
    const [still] = await readFilmstrip(await opened(path), [0], 1);
    expect(sizeOf(still!.bytes)).toEqual([300, 1]);
  });
});
