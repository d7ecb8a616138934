/**
 * What may be opened as a video: an allow-list of demuxers and protocols, and a look at the first bytes that names what
 * a refused file really is. Playlists and scripts are refused because they make ffmpeg open other files.
 */
import { open } from 'node:fs/promises';
import { OmniError } from '../protocol/errors.ts';

/** ffmpeg's names of the demuxers of single-file video. None of them opens a second file. */
const demuxers = [
  ...['mov', 'mp4', 'm4a', '3gp', '3g2', 'mj2', 'matroska', 'webm', 'avi', 'flv', 'live_flv', 'asf', 'asf_o'],
  ...[
    'mpegts',
    'mpeg',
    'mpegvideo',
    'm4v',
    'h261',
    'h263',
    'h264',
    'hevc',
    'vvc',
    'evc',
    'av1',
    'obu',
    'ivf',
    'vc1',
  ],
  ...[
    'vc1test',
    'dirac',
    'cavsvideo',
    'avs2',
    'avs3',
    'mjpeg',
    'mjpeg_2000',
    'smjpeg',
    'ogg',
    'nut',
    'mxf',
    'gxf',
  ],
  ...[
    'dv',
    'dnxhd',
    'yuv4mpegpipe',
    'gif',
    'rm',
    'wtv',
    'swf',
    'nsv',
    'roq',
    'bink',
    'pva',
    'ty',
    'mtv',
    'apv',
  ],
];

/** Input options that keep ffmpeg and ffprobe to one local file in a format of the list. */
export const inputLimits: readonly (readonly string[])[] = [
  ['-protocol_whitelist', 'file'],
  ['-format_whitelist', demuxers.join(',')],
];

/** Pixels a frame may have, 16384 x 16384: above every video level there is, below what exhausts memory. */
export const maxPixels = 16_384 * 16_384;

/** ffmpeg's names of the containers whose frames carry times, so that a place in them can be found by its time. */
const timed =
  /(^|,)(mov|mp4|matroska|webm|mpegts|mpeg|avi|flv|live_flv|asf|asf_o|ogg|nut|mxf|gxf|wtv|ivf)(,|$)/;

/**
 * How long before a time, s, to seek so that a key frame that is shown by then is decoded; null where a file of this
 * format can't be sought by time. Where ffmpeg really lands is for the caller to find out.
 *
 * @param container ffmpeg's name of the demuxer
 */
export function seekMargin(container: string, fps: number): number | null {
  if (!timed.test(container)) return null;
  // Frames are stored in the order of decoding, at most 16 (H.264, HEVC) away from that of presentation. Without an
  // index ffmpeg lands anywhere, not at a key frame.
  return Math.max(0.3, 16 / fps) + (/^mpeg(ts)?$/.test(container) ? 2 : 0);
}

/** By how much, s, to go back further where the first landing was too late. */
export const seekStep = 12;

/** Bytes read to tell what a file is. */
const headLength = 4_096;

const playlistNext = 'Give the video files that it lists instead.';

/**
 * Looks at the first bytes of a file and throws where they belong to something that is clearly not a video file; names
 * it. What it lets through is for ffprobe to judge, under {@link inputLimits}.
 *
 * @throws OmniError `file_not_found`, `file_unreadable`, `file_empty`, `lfs_pointer`, `playlist_refused`,
 *   `format_refused`
 */
export async function refuseKnownNonVideo(path: string): Promise<void> {
  let bytes: Buffer;
  try {
    const file = await open(path, 'r');
    try {
      const stat = await file.stat();
      if (stat.isDirectory()) {
        throw new OmniError('file_unreadable', `${path} is a folder.`, 'Give a video file.', { path });
      }
      if (!stat.isFile()) {
        throw new OmniError(
          'file_unreadable',
          `${path} is not a regular file.`,
          'Copy the video to a file first.',
          {
            path,
          },
        );
      }
      if (stat.size === 0) {
        throw new OmniError('file_empty', `${path} has 0 bytes.`, 'Copy or export the file again.', { path });
      }
      const buffer = Buffer.alloc(headLength);
      const { bytesRead } = await file.read(buffer, 0, headLength, 0);
      bytes = buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (OmniError.is(error)) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') {
      throw new OmniError(
        'file_not_found',
        `${path} does not exist.`,
        'Check the path.',
        { path },
        { cause: error },
      );
    }
    throw new OmniError(
      'file_unreadable',
      `${path} can't be read: ${(error as Error).message}.`,
      'Check the permissions of the file and of its folder.',
      { path },
      { cause: error },
    );
  }
  const text = bytes
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .trimStart();
  if (text.startsWith('version https://git-lfs.github.com/spec/')) {
    throw new OmniError(
      'lfs_pointer',
      `${path} is a Git LFS pointer, not the video it stands for.`,
      'Run "git lfs pull" in its repository.',
      { path },
    );
  }
  const playlist = text.startsWith('#EXTM3U')
    ? 'an HLS playlist'
    : /^ffconcat\s+version/i.test(text) || /^file\s+\S/.test(text)
      ? 'an ffconcat script'
      : /^<(\?xml[^>]*>\s*(<!--[\s\S]*?-->\s*)?<)?MPD[\s>]/.test(text)
        ? 'a DASH manifest'
        : /^<(\?xml[^>]*>\s*<)?SmoothStreamingMedia[\s>]/.test(text)
          ? 'a Smooth Streaming manifest'
          : /^\[(playlist|Reference)\]/i.test(text)
            ? 'a playlist'
            : text.startsWith('v=0') && /^[a-z]=/m.test(text.slice(4))
              ? 'an SDP session description'
              : undefined;
  if (playlist) {
    throw new OmniError(
      'playlist_refused',
      `${path} is ${playlist}, which points to other files or addresses; nothing it names is opened.`,
      playlistNext,
      { path },
    );
  }
  const other = /^<(!doctype html|html|head|\?xml|svg)/i.test(text)
    ? 'an HTML, XML or SVG page'
    : bytes.subarray(0, 8).equals(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]))
      ? 'a PNG image'
      : bytes.toString('latin1', 0, 4) === 'RIFF' && bytes.toString('latin1', 8, 12) === 'WEBP'
        ? 'a WebP image'
        : bytes.toString('latin1', 0, 4) === '%PDF'
          ? 'a PDF document'
          : bytes.toString('latin1', 0, 4) === 'PK\u0003\u0004'
            ? 'a ZIP archive'
            : undefined;
  if (other) {
    throw new OmniError('format_refused', `${path} is ${other}, not a video.`, 'Give a video file.', {
      path,
    });
  }
}
