import { OmniError, type Problem } from '../protocol/errors.ts';
import { capture, displayCommand, failedError, locateFfmpeg } from './ffmpeg.ts';
import { inputOptions, inputUrl, inspectFile } from './input.ts';

/** What is known of a clip before it is decoded. Text fields come from the file and are untrusted. */
export interface VideoInfo {
  readonly path: string;
  readonly container: string;
  readonly codec: string;
  readonly profile: string | null;
  readonly pixelFormat: string;
  /** Bits per component. */
  readonly bitDepth: number;
  /** Displayed size in samples, after rotation; samples need not be square, see {@link sampleAspectRatio}. */
  readonly width: number;
  readonly height: number;
  readonly sampleAspectRatio: number;
  /** Average frame rate. */
  readonly fps: number;
  readonly vfr: boolean;
  /** Frames that the container claims. */
  readonly frames: number | null;
  /** Seconds that the container claims. */
  readonly duration: number | null;
  readonly startTime: number;
  /** Bits per second, of the video stream where known. */
  readonly bitrate: number | null;
  readonly color: {
    readonly space: string | null;
    readonly transfer: string | null;
    readonly primaries: string | null;
    readonly range: string | null;
  };
  readonly hdr: 'pq' | 'hlg' | null;
  readonly rotation: 0 | 90 | 180 | 270;
  readonly interlaced: boolean;
  readonly streamIndex: number;
  /** Bytes of the file. */
  readonly size: number;
}

export interface ProbeOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds, default 30,000. */
  readonly timeout?: number;
}

/** Larger frames are refused: no camera makes them, and one takes gigabytes. */
const largestSide = 16384;

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads a file's headers. What a container does not say, or says wrongly, is a problem and not an error.
 *
 * @throws OmniError those of `inspectFile` and `locateFfmpeg`, `format_refused`, `not_a_video`, `no_video_stream`,
 *   `cover_art_only`, `frame_too_large`, `ffmpeg_hung`, `ffmpeg_failed`, `cancelled`.
 */
export async function probeVideo(
  path: string,
  { signal, timeout = 30_000 }: ProbeOptions = {},
): Promise<{ value: VideoInfo; problems: Problem[] }> {
  const { size } = inspectFile(path);
  const { ffprobe } = await locateFfmpeg();
  const args = [
    '-v',
    'error',
    '-hide_banner',
    ...inputOptions,
    '-of',
    'json',
    '-show_format',
    '-show_streams',
    '-i',
    inputUrl(path),
  ];
  const { status, stdout, stderr } = await capture(ffprobe, args, { signal, timeout });
  const json = parse(stdout);
  const streams = list(json?.streams).filter((stream) => stream.codec_type === 'video');
  if (status !== 0 || !json) {
    const detail = { path, command: displayCommand(ffprobe, args), stderr };
    if (/not on whitelist/i.test(stderr)) {
      throw new OmniError(
        'format_refused',
        `${path} is in a format that is not read: it could make ffmpeg open other files.`,
        'Convert it to MP4 or Matroska first, if you trust it.',
        detail,
      );
    }
    if (
      /Invalid data found|moov atom not found|could not find codec|Invalid argument|End of file/i.test(stderr)
    ) {
      throw new OmniError(
        'not_a_video',
        `${path} is not a video that ffmpeg understands, or its beginning or index is missing.`,
        'Play the file; if it was being recorded or copied, wait for it to be complete.',
        detail,
      );
    }
    throw failedError(`ffprobe ended with status ${status}.`, detail.command, stderr);
  }
  const pictures = streams.filter((stream) => object(stream.disposition).attached_pic !== 1);
  const stream = pictures[0];
  if (!stream) {
    throw streams.length > 0
      ? new OmniError(
          'cover_art_only',
          `${path} has a cover picture but no video.`,
          'Name a file with a video stream.',
          { path },
        )
      : new OmniError('no_video_stream', `${path} has no video stream.`, 'Name a file with a video stream.', {
          path,
        });
  }
  const { value, problems } = describe(path, size, object(json.format), stream);
  if (pictures.length > 1) {
    problems.push({
      code: 'several_video_streams',
      message: `The file has ${pictures.length} video streams; the first one is assessed.`,
    });
  }
  return { value, problems };
}

/**
 * Turns ffprobe's JSON into facts. Never fails on a missing or senseless field: it says so.
 *
 * @throws OmniError `frame_too_large`, `not_a_video` where there is no picture size at all.
 */
export function describe(
  path: string,
  size: number,
  format: Json,
  stream: Json,
): { value: VideoInfo; problems: Problem[] } {
  const problems: Problem[] = [];
  const unknown = (field: string) =>
    problems.push({
      code: `unknown_${field}`,
      message: `The container does not say its ${field.replaceAll('_', ' ')}.`,
    });
  const codedWidth = positive(stream.width);
  const codedHeight = positive(stream.height);
  if (codedWidth === null || codedHeight === null) {
    throw new OmniError(
      'not_a_video',
      `${path} does not say how large its pictures are.`,
      'Play the file; if it was being recorded or copied, wait for it to be complete.',
      { path },
    );
  }
  if (Math.max(codedWidth, codedHeight) > largestSide) {
    throw new OmniError(
      'frame_too_large',
      `${path} has pictures of ${codedWidth}×${codedHeight}; up to ${largestSide} px per side are read.`,
      'Scale it down first, if it is what it claims to be.',
      { path },
    );
  }
  const rotation = rotationOf(stream);
  const turned = rotation === 90 || rotation === 270;
  const average = ratio(stream.avg_frame_rate);
  const nominal = ratio(stream.r_frame_rate);
  const fps = [average, nominal].find((rate) => rate !== null && rate > 0.01 && rate <= 1000) ?? 25;
  if (average === null && nominal === null) unknown('frame_rate');
  const duration = positive(stream.duration) ?? tagDuration(stream) ?? positive(format.duration);
  if (duration === null) unknown('duration');
  const transfer = text(stream.color_transfer);
  const hdr = transfer === 'smpte2084' ? 'pq' : transfer === 'arib-std-b67' ? 'hlg' : null;
  const fieldOrder = text(stream.field_order);
  const interlaced = fieldOrder !== null && ['tt', 'bb', 'tb', 'bt'].includes(fieldOrder);
  if (interlaced) {
    problems.push({
      code: 'deinterlaced',
      message: 'The clip is interlaced; it was deinterlaced frame by frame (bwdif).',
    });
  }
  // A container's nominal rate is the finest that fits all frames: far from the average, frames come unevenly.
  const vfr = average !== null && nominal !== null && Math.abs(nominal / average - 1) > 0.02;
  if (vfr) {
    problems.push({
      code: 'vfr',
      message: `The frame rate varies around ${Number(fps.toFixed(2))} fps; times are those of the frames.`,
    });
  }
  return {
    value: {
      path,
      container: text(format.format_name) ?? 'unknown',
      codec: text(stream.codec_name) ?? 'unknown',
      profile: text(stream.profile),
      pixelFormat: text(stream.pix_fmt) ?? 'unknown',
      bitDepth: bitDepthOf(stream),
      width: turned ? codedHeight : codedWidth,
      height: turned ? codedWidth : codedHeight,
      sampleAspectRatio: sampleAspect(stream, turned),
      fps,
      vfr,
      frames: positive(stream.nb_frames),
      duration,
      startTime: number(stream.start_time) ?? number(format.start_time) ?? 0,
      bitrate: positive(stream.bit_rate) ?? positive(format.bit_rate),
      color: {
        space: text(stream.color_space),
        transfer,
        primaries: text(stream.color_primaries),
        range: text(stream.color_range),
      },
      hdr,
      rotation,
      interlaced,
      streamIndex: number(stream.index) ?? 0,
      size,
    },
    problems,
  };
}

function parse(stdout: string): Json | undefined {
  try {
    return object(JSON.parse(stdout));
  } catch {
    return undefined;
  }
}

const object = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
const list = (value: unknown): Json[] => (Array.isArray(value) ? value.map(object) : []);

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' && value !== 'unknown' && value !== 'N/A' ? value : null;
}

function number(value: unknown): number | null {
  const parsed =
    typeof value === 'number'
      ? value
      : typeof value === 'string' && value !== ''
        ? Number(value)
        : Number.NaN;
  return Number.isFinite(parsed) ? parsed : null;
}

function positive(value: unknown): number | null {
  const parsed = number(value);
  return parsed !== null && parsed > 0 ? parsed : null;
}

function ratio(value: unknown): number | null {
  const [top, bottom] = String(value ?? '')
    .split(/[/:]/)
    .map(Number);
  const quotient = top! / bottom!;
  return Number.isFinite(quotient) && quotient > 0 ? quotient : null;
}

/** Matroska says a stream's duration in a tag: 00:00:12.480000000. */
function tagDuration(stream: Json): number | null {
  const match = /^(\d+):(\d\d):(\d\d(?:\.\d+)?)$/.exec(text(object(stream.tags).DURATION) ?? '');
  return match ? positive(Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3])) : null;
}

/** Clockwise rotation for display; ffprobe's display matrix counts the other way round. */
function rotationOf(stream: Json): 0 | 90 | 180 | 270 {
  const matrix = list(stream.side_data_list)
    .map((data) => number(data.rotation))
    .find((angle) => angle !== null);
  const degrees =
    matrix !== undefined && matrix !== null ? -matrix : (number(object(stream.tags).rotate) ?? 0);
  return ((((Math.round(degrees / 90) * 90) % 360) + 360) % 360) as 0 | 90 | 180 | 270;
}

function sampleAspect(stream: Json, turned: boolean): number {
  const aspect = ratio(stream.sample_aspect_ratio) ?? 1;
  return turned ? 1 / aspect : aspect;
}

function bitDepthOf(stream: Json): number {
  const raw = positive(stream.bits_per_raw_sample);
  if (raw !== null) return raw;
  const depth = /(?:p|gray|gbrp|rgb|p0)(9|10|12|14|16)(?:le|be)?$/.exec(text(stream.pix_fmt) ?? '');
  return depth ? Number(depth[1]) : 8;
}
