/** Clips that are not aligned with their source: each fault is said by its name, none is taken for an encode. */
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { alignmentFault } from '../../../src/video/alignment.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { ffmpeg, sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

const shared = sharedDirectory();
const source = join(shared, 'source.mp4');
const film = join(shared, 'film.mp4');
const size = '320x180';
beforeAll(() => {
  writeClip(source, { size, rate: '25', seconds: 3, output: ['-c:v', 'libx264', '-crf', '10'] });
  writeClip(film, { size, rate: '24000/1001', seconds: 3, output: ['-c:v', 'libx264', '-crf', '10'] });
});

const said = async (path: string, of = source) =>
  alignmentFault((await probeVideo(of)).value, (await probeVideo(path)).value);

/** Encodes the source, `input` before and `output` after it. */
function encoded(
  output: readonly string[],
  input: readonly string[] = [],
  name = 'encode.mkv',
  of = source,
): string {
  const path = join(temporaryDirectory(), name);
  ffmpeg(...input, '-i', of, '-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '35', ...output, path);
  return path;
}

test.each([
  ['Matroska with B-frames', ['-bf', '3', '-preset', 'medium'], 'a.mkv'],
  ['MP4 with B-frames', ['-bf', '3', '-preset', 'medium'], 'a.mp4'],
  ['MPEG-TS, which begins at 1.4 s', [], 'a.ts'],
  [
    'WebM',
    ['-c:v', 'libvpx-vp9', '-crf', '50', '-b:v', '0', '-cpu-used', '8', '-deadline', 'realtime'],
    'a.webm',
  ],
  ['a smaller picture', ['-vf', 'scale=-2:90'], 'a.mkv'],
  ['a very poor one', ['-crf', '51'], 'a.mkv'],
])('an encode is aligned: %s', async (_, options, name) => {
  expect(await said(encoded(options, [], name))).toBeNull();
});

test('a source that begins late is aligned with what ffmpeg makes of it, and so is film', async () => {
  const late = encoded([], [], 'late.ts');
  expect(await said(encoded([], [], 'b.mkv', late), late)).toBeNull();
  expect(await said(encoded([], [], 'c.mkv', film), film)).toBeNull();
});

test.each([
  ['20 ms late', ['-output_ts_offset', '0.02'], 'offset', /It is 20 ms late\./],
  ['a second late', ['-output_ts_offset', '1.01'], 'offset', /It is 1010 ms late\./],
  [
    'the first frame dropped, times kept',
    ['-vf', 'select=gt(n\\,0)', '-vsync', 'passthrough', '-avoid_negative_ts', 'disabled'],
    'frames_missing',
    /1 frame is of the source's 75 missing, from the beginning on/,
  ],
  [
    'the first frame dropped, times from 0',
    ['-vf', 'select=gt(n\\,0),setpts=PTS-STARTPTS'],
    'picture_shifted',
    /1 frame ahead of the source's: frames were dropped/,
  ],
  [
    'a frame dropped in the middle, times closed up',
    ['-vf', 'select=not(eq(n\\,40)),setpts=N/25/TB'],
    'picture_shifted',
    /1 frame ahead/,
  ],
  [
    'a frame dropped in the middle, times kept',
    ['-vf', 'select=not(eq(n\\,40))', '-vsync', 'passthrough'],
    'frames_missing',
    /the first at 1\.600 s/,
  ],
  ['the end cut off', ['-t', '2.5'], 'frames_missing', /12 frames are|13 frames are/],
  ['24 frames per second', ['-r', '24'], 'frame_rate', /24 frames per second, the source 25/],
  ['frames doubled', ['-r', '50', '-vsync', 'cfr'], 'frame_rate', /50 frames per second, the source 25/],
  [
    'a variable frame rate by dropping frames',
    ['-vf', 'select=not(mod(n\\,5))+gt(mod(n\\,7)\\,3)', '-vsync', 'passthrough'],
    'variable_rate',
    /Its frames come at a variable rate, the source's at a constant one; \d+ of 75/,
  ],
  [
    'a variable frame rate by moving frames',
    ['-vf', 'settb=1/1000,setpts=PTS+8*sin(N)', '-vsync', 'passthrough', '-enc_time_base', '1/1000'],
    'variable_rate',
    /variable rate/,
  ],
  ['another picture', ['-vf', 'negate'], 'other_picture', /does not show/],
])('a fault is said by its name: %s', async (_, options, code, message) => {
  const fault = await said(encoded(options));
  expect(fault).toMatchObject({ code, message: expect.stringMatching(message) });
});

test.each([3, 30])('23.976 against 24 frames per second in %i s', async (seconds) => {
  const folder = temporaryDirectory();
  const clip = (rate: string, name: string) =>
    writeClip(join(folder, name), {
      size: '64x64',
      rate,
      seconds,
      output: ['-c:v', 'libx264', '-preset', 'ultrafast'],
    });
  const [slow, fast] = [clip('24000/1001', 'slow.mp4'), clip('24', 'fast.mkv')];
  const expected = { code: 'frame_rate', message: 'It has 24 frames per second, the source 23.976.' };
  expect(await said(fast, slow)).toEqual(expected);
});

test('a variable source against a constant encode', async () => {
  const variable = encoded([
    '-vf',
    'settb=1/1000,setpts=PTS+8*sin(N)',
    '-vsync',
    'passthrough',
    '-enc_time_base',
    '1/1000',
  ]);
  const constant = encoded(['-r', '25'], [], 'constant.mkv', variable);
  expect(await said(constant, variable)).toMatchObject({
    code: 'variable_rate',
    message: expect.stringMatching(/^The source's frames come at a variable rate, its at a constant one/),
  });
});
