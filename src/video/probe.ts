/** What a file says about its video, by ffprobe, with a problem per field that is missing or can't be so. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { OmniError, type Problem } from '../protocol/errors.ts';
import { readTrackEdits } from './edits.ts';
import { capture, inputUrl, locateFfmpeg, shown } from './ffmpeg.ts';
import { inputLimits, maxPixels, refuseKnownNonVideo } from './formats.ts';

export interface VideoInfo {
  /** Absolute. */
  readonly path: string;
  /** ffmpeg's name of the demuxer: `mov,mp4,m4a,3gp,3g2,mj2`. */
  readonly container: string;
  readonly codec: string;
  readonly profile: string | null;
  readonly pixelFormat: string;
  readonly bitDepth: number;
  /** As displayed, in stored pixels: the rotation is applied, the sample aspect ratio is not. */
  readonly width: number;
  readonly height: number;
  /** Width of a pixel over its height, of the displayed picture; 1 where the file does not say. */
  readonly sampleAspectRatio: number;
  /** Average frames per second. */
  readonly fps: number;
  /** The container's average and base frame rates differ; {@link readFrames} finds out from the time stamps. */
  readonly vfr: boolean;
  readonly frames: number | null;
  /** Seconds of the video stream, or of the file where the stream does not say. */
  readonly duration: number | null;
  /** Presentation time of the video's start, seconds, on the file's own clock. */
  readonly startTime: number;
  /** Bit/s of the video stream, or of the file where the stream does not say. */
  readonly bitrate: number | null;
  readonly color: {
    readonly space: string | null;
    readonly transfer: string | null;
    readonly primaries: string | null;
    readonly range: string | null;
  };
  /** ITU-R BT.2100 transfer: perceptual quantiser or hybrid log-gamma. */
  readonly hdr: 'pq' | 'hlg' | null;
  /** Degrees clockwise that a player turns the stored picture by. */
  readonly rotation: 0 | 90 | 180 | 270;
  readonly interlaced: boolean;
  readonly alpha: boolean;
  /** ffmpeg's index of the stream that is assessed. */
  readonly streamIndex: number;
  /** Bytes. */
  readonly size: number;
  /** Changes when the file is replaced or written to. */
  readonly fingerprint: string;
}

export interface Probed {
  readonly value: VideoInfo;
  readonly problems: Problem[];
}

export interface ProbeOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds; default 60 000. */
  readonly timeout?: number;
}

/** Device, inode, size and time of last change: equal as long as the file is the same one, unwritten. */
export async function fingerprint(path: string): Promise<string> {
  const { dev, ino, size, mtimeMs } = await stat(path);
  return [dev, ino, size, mtimeMs].join(':');
}

/**
 * Reads a video's facts. The first video stream that is not a cover picture is the one.
 *
 * @throws OmniError `file_*`, `lfs_pointer`, `playlist_refused`, `format_refused`, `not_a_video`, `no_video_stream`,
 *   `cover_art_only`, `frame_too_large`, `ffmpeg_*`, `cancelled`
 */
export async function probeVideo(path: string, options: ProbeOptions = {}): Promise<Probed> {
  const absolute = resolve(path);
  await refuseKnownNonVideo(absolute);
  const { ffprobe } = await locateFfmpeg();
  const before = await fingerprint(absolute);
  const args = ['-hide_banner', '-v', 'error', ...inputLimits.flat()];
  args.push('-of', 'json', '-show_format', '-show_streams', '-i', inputUrl(absolute));
  const { code, stdout, stderr } = await capture(ffprobe, args, {
    signal: options.signal,
    timeout: options.timeout ?? 60_000,
  });
  const detail = { path: absolute, command: shown(ffprobe, args), stderr };
  if (/not on whitelist/i.test(stderr)) {
    const format = /Format not on whitelist|Format (\S+) not on whitelist/.exec(stderr)?.[1];
    throw new OmniError(
      'format_refused',
      `${absolute} is${format ? ` ${format}, ` : ' '}not in one of the video formats that are opened.`,
      'Give a video in a file of its own (MP4, MOV, Matroska, WebM, MPEG-TS, AVI, MXF, …).',
      detail,
    );
  }
  let report: unknown;
  try {
    report = JSON.parse(stdout);
  } catch {
    report = {};
  }
  const streams = list(report, 'streams');
  const oversize = /Picture size (\d+x\d+) is invalid/.exec(stderr)?.[1];
  if (oversize && streams.length === 0) throw tooLarge(absolute, oversize);
  if (code !== 0 || streams.length === 0) {
    const cut = /moov atom not found/.test(stderr);
    throw new OmniError(
      'not_a_video',
      cut
        ? `${absolute} has no index (moov box): it is cut, or its recording was never finished.`
        : `${absolute} can't be read as a video${lastLine(stderr)}.`,
      cut ? 'Copy or record the file again.' : 'Check that the file is a video and complete.',
      detail,
    );
  }
  const [{ size }, edits] = await Promise.all([stat(absolute), readTrackEdits(absolute).catch(() => null)]);
  const parsed = parseProbe(report, { path: absolute, size, fingerprint: before });
  if (edits) {
    const shownFrom = edits.edits[0]?.mediaTime ?? 0;
    if (edits.edits.length > 1 || shownFrom < 0 || shownFrom > edits.firstOffset) {
      parsed.problems.push({
        code: 'edit_list',
        message: `An edit list of ${edits.edits.length} entries is applied: parts of the file are left out, delayed or shown again, as in a player.`,
      });
    }
  }
  return parsed;
}

/**
 * ffprobe's JSON to facts. Fields that are missing or can't be so become a default and a problem.
 *
 * @throws OmniError `no_video_stream`, `cover_art_only`, `frame_too_large`, `not_a_video` (a video stream without a
 *   size)
 */
export function parseProbe(
  report: unknown,
  file: { readonly path: string; readonly size: number; readonly fingerprint: string },
): Probed {
  const problems: Problem[] = [];
  const { path } = file;
  const all = list(report, 'streams').filter((stream) => text(stream, 'codec_type') === 'video');
  const videos = all.filter((stream) => number(field(stream, 'disposition'), 'attached_pic') !== 1);
  const stream = videos[0];
  if (!stream) {
    if (all.length > 0) {
      throw new OmniError(
        'cover_art_only',
        `${path} has a cover picture but no video.`,
        'Give a video file.',
        { path },
      );
    }
    throw new OmniError(
      'no_video_stream',
      `${path} has no video stream.`,
      'Give a file with a video stream.',
      { path },
    );
  }
  const streamIndex = number(stream, 'index') ?? 0;
  if (videos.length > 1) {
    problems.push({
      code: 'several_video_streams',
      message: `The file has ${videos.length} video streams; stream ${streamIndex}, the first, is assessed.`,
    });
  }
  const format = field(report, 'format');

  const codedWidth = number(stream, 'width') ?? 0;
  const codedHeight = number(stream, 'height') ?? 0;
  if (!(codedWidth >= 1 && codedHeight >= 1)) {
    throw new OmniError(
      'not_a_video',
      `The video stream of ${path} has no picture size: its header is missing or damaged.`,
      'Copy or export the file again.',
      { path },
    );
  }
  if (codedWidth * codedHeight > maxPixels) {
    throw tooLarge(path, `${codedWidth}x${codedHeight}`);
  }
  const rotation = rotationOf(stream);
  const turned = rotation === 90 || rotation === 270;
  const storedAspect = ratio(text(stream, 'sample_aspect_ratio')?.replace(':', '/')) ?? 1;
  const aspect = storedAspect > 0 && Number.isFinite(storedAspect) ? storedAspect : 1;

  const startTime = number(stream, 'start_time') ?? number(format, 'start_time') ?? 0;
  const tagged = clock(
    text(field(stream, 'tags'), 'DURATION') ?? text(field(stream, 'tags'), 'DURATION-eng'),
  );
  const formatDuration = number(format, 'duration');
  const duration = positive(number(stream, 'duration')) ?? positive(tagged) ?? positive(formatDuration);
  if (duration === null) {
    problems.push({ code: 'duration_unknown', message: 'The file does not say how long it is.' });
  }
  const frames = positive(number(stream, 'nb_frames'));

  const average = positive(ratio(text(stream, 'avg_frame_rate')));
  const base = positive(ratio(text(stream, 'r_frame_rate')));
  let fps = average ?? (frames && duration ? frames / duration : null) ?? base;
  if (fps !== null && fps > 1_000) fps = base !== null && base <= 1_000 ? base : null;
  if (fps === null) {
    fps = 25;
    problems.push({ code: 'fps_unknown', message: 'The file gives no credible frame rate; 25 is taken.' });
  }

  const transfer = known(text(stream, 'color_transfer'));
  const fieldOrder = known(text(stream, 'field_order'));
  const pixelFormat = text(stream, 'pix_fmt') ?? 'unknown';
  if (pixelFormat === 'unknown') {
    problems.push({ code: 'pixel_format_unknown', message: 'The file does not say its pixel format.' });
  }
  const alpha = /^(yuva|rgba|bgra|argb|abgr|gbrap|ya|ayuv|vuya|pal8)/.test(pixelFormat);
  const profile = known(text(stream, 'profile'));
  const bitrate = positive(number(stream, 'bit_rate')) ?? positive(number(format, 'bit_rate'));
  if (bitrate === null)
    problems.push({ code: 'bitrate_unknown', message: 'The file does not say its bit rate.' });

  return {
    value: {
      path,
      container: text(format, 'format_name') ?? 'unknown',
      codec: text(stream, 'codec_name') ?? 'unknown',
      profile,
      pixelFormat,
      bitDepth: positive(number(stream, 'bits_per_raw_sample')) ?? depthOf(pixelFormat),
      width: turned ? codedHeight : codedWidth,
      height: turned ? codedWidth : codedHeight,
      sampleAspectRatio: turned ? 1 / aspect : aspect,
      fps,
      vfr: average !== null && base !== null && base <= 1_000 && Math.abs(base / average - 1) > 0.005,
      frames,
      duration,
      startTime,
      bitrate,
      color: {
        space: known(text(stream, 'color_space')),
        transfer,
        primaries: known(text(stream, 'color_primaries')),
        range: known(text(stream, 'color_range')),
      },
      hdr: transfer === 'smpte2084' ? 'pq' : transfer === 'arib-std-b67' ? 'hlg' : null,
      rotation,
      interlaced: fieldOrder !== null && fieldOrder !== 'progressive',
      alpha,
      streamIndex,
      size: file.size,
      fingerprint: file.fingerprint,
    },
    problems,
  };
}

function tooLarge(path: string, size: string): OmniError {
  return new OmniError(
    'frame_too_large',
    `The frames of ${path} are ${size} px; more than ${maxPixels} px are not decoded.`,
    'Scale the video down first, if it really is that large.',
    { path },
  );
}

/** Clockwise quarter turns from the display matrix, or from the `rotate` tag of older files. */
function rotationOf(stream: unknown): VideoInfo['rotation'] {
  let degrees = number(field(stream, 'tags'), 'rotate') ?? 0;
  for (const data of list(stream, 'side_data_list')) {
    // The matrix turns counter-clockwise.
    const matrix = number(data, 'rotation');
    if (matrix !== null) degrees = -matrix;
  }
  const quarter = ((Math.round(degrees / 90) % 4) + 4) % 4;
  return ([0, 90, 180, 270] as const)[quarter] ?? 0;
}

/** Bits per component from ffmpeg's name of a pixel format: `yuv420p10le`, `p010le`, `gray12be`, `rgb48le`. */
function depthOf(pixelFormat: string): number {
  if (/^(rgb48|bgr48|rgba64|bgra64|ya16|gray16|gbrp16|gbrap16)/.test(pixelFormat)) return 16;
  const match = /^(?:p[0-4]|y2|xv3|xyz)(10|12|16)|(?:p|gray|gbrap?)(9|10|12|14|16)(?:le|be|msb)/.exec(
    pixelFormat,
  );
  return Number(match?.[1] ?? match?.[2] ?? 8);
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function list(value: unknown, name: string): unknown[] {
  const found = field(value, name);
  return Array.isArray(found) ? found : [];
}

function text(value: unknown, name: string): string | null {
  const found = field(value, name);
  return typeof found === 'string' && found !== '' ? found : null;
}

/** A finite number, also where ffprobe writes it as a string; `N/A` and the like are null. */
function number(value: unknown, name: string): number | null {
  const found = field(value, name);
  const converted = typeof found === 'string' && found.trim() !== '' ? Number(found) : found;
  return typeof converted === 'number' && Number.isFinite(converted) ? converted : null;
}

function positive(value: number | null): number | null {
  return value !== null && value > 0 ? value : null;
}

function known(value: string | null): string | null {
  return value === 'unknown' || value === 'unspecified' || value === 'reserved' ? null : value;
}

/** `30000/1001` */
function ratio(value: string | null | undefined): number | null {
  const match = /^(\d+)\/(\d+)$/.exec(value ?? '');
  const result = match ? Number(match[1]) / Number(match[2]) : Number.NaN;
  return Number.isFinite(result) ? result : null;
}

/** `00:00:10.040000000`, as Matroska's statistics tags write a duration. */
function clock(value: string | null): number | null {
  const match = /^(\d+):(\d+):(\d+(?:\.\d+)?)$/.exec(value ?? '');
  return match ? Number(match[1]) * 3_600 + Number(match[2]) * 60 + Number(match[3]) : null;
}

function lastLine(stderr: string): string {
  const line = stderr
    .trim()
    .split('\n')
    .at(-1)
    ?.replace(/^\[[^\]]*\]\s*/, '')
    .replace(/^file:.*?: /, '')
    .trim();
  return line ? `: ${line}` : '';
}
