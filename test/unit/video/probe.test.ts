import { describe, expect, it } from 'vitest';
import { OmniError } from '../../../src/protocol/errors.ts';
import { parseProbe } from '../../../src/video/probe.ts';

const file = { path: '/clip.mp4', size: 1000, fingerprint: '' };
const stream = {
  index: 1,
  codec_type: 'video',
  codec_name: 'h264',
  profile: 'High',
  width: 1920,
  height: 1080,
  pix_fmt: 'yuv420p',
  sample_aspect_ratio: '1:1',
  field_order: 'progressive',
  r_frame_rate: '30000/1001',
  avg_frame_rate: '30000/1001',
  start_time: '0.033000',
  duration: '10.010000',
  nb_frames: '300',
  bit_rate: '4000000',
  bits_per_raw_sample: '8',
  color_space: 'bt709',
  color_transfer: 'bt709',
  color_primaries: 'bt709',
  color_range: 'tv',
  disposition: { attached_pic: 0 },
  tags: {},
};
const format = { format_name: 'mov,mp4', duration: '10.05', bit_rate: '4100000', start_time: '0' };
const report = (changes: object = {}, formatChanges: object = {}) => ({
  streams: [
    { index: 0, codec_type: 'audio' },
    { ...stream, ...changes },
  ],
  format: { ...format, ...formatChanges },
});

/** Expects some facts, and exactly these problems. */
function check(probed: unknown, value: object, codes: string[] = []): void {
  const result = parseProbe(probed, file);
  expect(result.value).toMatchObject(value);
  expect(result.problems.map(({ code }) => code)).toEqual(codes);
}

describe('what ffprobe says', () => {
  it('all of it', () => {
    check(report(), {
      path: '/clip.mp4',
      container: 'mov,mp4',
      codec: 'h264',
      profile: 'High',
      pixelFormat: 'yuv420p',
      bitDepth: 8,
      width: 1920,
      height: 1080,
      sampleAspectRatio: 1,
      fps: 30000 / 1001,
      vfr: false,
      frames: 300,
      duration: 10.01,
      startTime: 0.033,
      bitrate: 4_000_000,
      color: { space: 'bt709', transfer: 'bt709', primaries: 'bt709', range: 'tv' },
      hdr: null,
      rotation: 0,
      interlaced: false,
      alpha: false,
      streamIndex: 1,
      size: 1000,
    });
  });

  it.each<[string, object, object, object, string[]?]>([
    ['duration of the file', { duration: undefined }, {}, { duration: 10.05 }],
    [
      'duration in a tag',
      { duration: 'N/A', tags: { DURATION: '00:01:02.500000000' } },
      {},
      { duration: 62.5 },
    ],
    ['no duration', { duration: undefined }, { duration: 'N/A' }, { duration: null }, ['duration_unknown']],
    [
      'a duration below nothing',
      { duration: '-1' },
      { duration: '-2' },
      { duration: null },
      ['duration_unknown'],
    ],
    ['no frame count', { nb_frames: 'N/A' }, {}, { frames: null }],
    ['rate from frames and duration', { avg_frame_rate: '0/0' }, {}, { fps: 300 / 10.01 }],
    [
      'no rate',
      { avg_frame_rate: '0/0', r_frame_rate: '0/0', nb_frames: undefined },
      {},
      { fps: 25 },
      ['fps_unknown'],
    ],
    ['a rate that is a time base', { avg_frame_rate: '90000/1', r_frame_rate: '25/1' }, {}, { fps: 25 }],
    ['a variable rate', { avg_frame_rate: '20/1', r_frame_rate: '30/1' }, {}, { fps: 20, vfr: true }],
    ['a base rate that is a time base is no variable rate', { r_frame_rate: '90000/1' }, {}, { vfr: false }],
    ['bit rate of the file', { bit_rate: undefined }, {}, { bitrate: 4_100_000 }],
    ['no bit rate', { bit_rate: undefined }, { bit_rate: undefined }, { bitrate: null }, ['bitrate_unknown']],
    ['no pixel format', { pix_fmt: undefined }, {}, { pixelFormat: 'unknown' }, ['pixel_format_unknown']],
    ['colours not said', { color_space: 'unknown', color_transfer: undefined }, {}, { hdr: null }],
    ['HDR10', { color_transfer: 'smpte2084' }, {}, { hdr: 'pq' }],
    ['HLG', { color_transfer: 'arib-std-b67' }, {}, { hdr: 'hlg' }],
    ['pixels that are not square', { sample_aspect_ratio: '4:3' }, {}, { sampleAspectRatio: 4 / 3 }],
    ['an aspect ratio of nothing', { sample_aspect_ratio: '0:1' }, {}, { sampleAspectRatio: 1 }],
    ['interlaced', { field_order: 'tt' }, {}, { interlaced: true }],
    ['field order not known', { field_order: 'unknown' }, {}, { interlaced: false }],
    ['depth by the pixel format', { bits_per_raw_sample: 'N/A', pix_fmt: 'p010le' }, {}, { bitDepth: 10 }],
    ['depth of gray', { bits_per_raw_sample: undefined, pix_fmt: 'gray12be' }, {}, { bitDepth: 12 }],
    ['depth of RGB', { bits_per_raw_sample: undefined, pix_fmt: 'rgb48le' }, {}, { bitDepth: 16 }],
    ['alpha', { pix_fmt: 'yuva444p10le' }, {}, { alpha: true }],
    ['no start', { start_time: 'N/A' }, { start_time: '1.5' }, { startTime: 1.5 }],
  ])('%s', (_, changes, formatChanges, value, codes = []) =>
    check(report(changes, formatChanges), value, codes),
  );

  it.each([
    [{ side_data_list: [{ rotation: -90 }] }, 90, 1080, 1920],
    [{ side_data_list: [{ rotation: 90 }] }, 270, 1080, 1920],
    [{ side_data_list: [{ rotation: 180 }] }, 180, 1920, 1080],
    [{ side_data_list: [{ rotation: -180 }] }, 180, 1920, 1080],
    [{ tags: { rotate: '90' } }, 90, 1080, 1920],
    [{ side_data_list: [{ side_data_type: 'CPB properties' }] }, 0, 1920, 1080],
    [{ side_data_list: [{ rotation: 'nan' }] }, 0, 1920, 1080],
  ])('rotation %j', (changes, rotation, width, height) =>
    check(report(changes), { rotation, width, height }),
  );

  it('pixels that are not square, turned', () => {
    check(report({ sample_aspect_ratio: '4:3', tags: { rotate: '270' } }), {
      sampleAspectRatio: 3 / 4,
      rotation: 270,
    });
  });
});

describe('which stream', () => {
  const cover = { ...stream, index: 0, disposition: { attached_pic: 1 } };

  it('the first that is not a cover', () => {
    check({ streams: [cover, stream], format }, { streamIndex: 1 });
    check({ streams: [stream, { ...stream, index: 5 }], format }, { streamIndex: 1 }, [
      'several_video_streams',
    ]);
  });

  it('none', () => {
    expect(() => parseProbe({ streams: [cover], format }, file)).toThrow(
      expect.objectContaining({ code: 'cover_art_only' }),
    );
    for (const none of [{ streams: [] }, {}, null, [], 'text', { streams: 7 }, { streams: [null, 1, 'x'] }]) {
      expect(() => parseProbe(none, file)).toThrow(expect.objectContaining({ code: 'no_video_stream' }));
    }
  });
});

describe('values that can not be', () => {
  const nonsense = [
    undefined,
    null,
    '',
    'N/A',
    'nan',
    '-5',
    -5,
    0,
    '0/0',
    '1/0',
    {},
    [],
    [{}],
    true,
    1e308,
    '9'.repeat(400),
  ];
  const fields = [...Object.keys(stream), 'side_data_list'].filter((name) => name !== 'codec_type');

  it.each(fields)('%s: a default, a problem or a coded error, never anything else', (name) => {
    for (const value of nonsense) {
      try {
        const { value: info } = parseProbe(report({ [name]: value }), file);
        expect(Number.isFinite(info.fps) && info.fps > 0 && info.fps <= 1_000).toBe(true);
        expect(info.width >= 1 && info.height >= 1).toBe(true);
        expect(Number.isFinite(info.sampleAspectRatio) && info.sampleAspectRatio > 0).toBe(true);
        expect([0, 90, 180, 270]).toContain(info.rotation);
        for (const number of [info.frames, info.duration, info.bitrate]) {
          expect(number === null || (Number.isFinite(number) && number > 0)).toBe(true);
        }
      } catch (error) {
        if (!OmniError.is(error)) throw error;
        expect(['not_a_video', 'frame_too_large']).toContain(error.code);
      }
    }
  });
});
