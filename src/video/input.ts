import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { OmniError } from '../protocol/errors.ts';

/**
 * Demuxers that may open a file: containers and elementary streams of video. Everything that names other files or
 * devices (concat, HLS, DASH, image sequences, lavfi, capture devices) is left out on purpose: a text file called
 * clip.mp4 must not make ffmpeg read or fetch something else.
 */
// biome-ignore format: one name a line would hide the list's length
export const allowedFormats = [
  'mov', 'matroska', 'webm', 'avi', 'flv', 'mpegts', 'mpeg', 'mpegvideo', 'm4v', 'asf', 'ogg', 'mxf', 'mxf_opatom',
  'nut', 'ivf', 'obu', 'av1', 'h264', 'hevc', 'vvc', 'h263', 'vc1', 'dirac', 'yuv4mpegpipe', 'rm', 'dv', 'gxf', 'wtv',
  'vob', 'nsv', 'ea', 'bink', 'smk', 'roq', 'swf', 'gif', 'live_flv', 'lxf', 'r3d', 'viv', 'nuv', 'pmp', 'cavsvideo', 'avs2', 'avs3', 'evc',
];

/** Options before `-i`: what may be opened, and nothing read from a terminal. */
export const inputOptions = [
  '-protocol_whitelist',
  'file,pipe',
  '-format_whitelist',
  allowedFormats.join(','),
] as const;

/** The input as ffmpeg takes it: an absolute path with the protocol said, so that no name is taken for one. */
export const inputUrl = (path: string): string => `file:${resolve(path)}`;

/** What identifies a file's content cheaply: compared before and after a job. */
export interface FileIdentity {
  readonly inode: number;
  readonly size: number;
  readonly modified: number;
}

export function identify(path: string): FileIdentity {
  const { ino, size, mtimeMs } = statSync(path);
  return { inode: ino, size, modified: mtimeMs };
}

const readable = ['mp4', 'mkv', 'webm', 'mov', 'avi', 'ts'].join(', ');

/**
 * Looks at a file before ffmpeg does and refuses what only looks like a video.
 *
 * @throws OmniError `file_not_found`, `file_unreadable`, `file_empty`, `lfs_pointer`, `playlist_refused`.
 */
export function inspectFile(path: string): FileIdentity {
  const at = { path };
  let beginning: string;
  let identity: FileIdentity;
  try {
    const stats = statSync(path);
    if (!stats.isFile()) {
      throw new OmniError('file_unreadable', `${path} is not a file.`, 'Name a video file.', at);
    }
    identity = identify(path);
    const file = openSync(path, 'r');
    try {
      const buffer = Buffer.alloc(4096);
      beginning = buffer.toString('latin1', 0, readSync(file, buffer, 0, buffer.length, 0));
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (OmniError.is(error)) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') {
      throw new OmniError('file_not_found', `There is no file ${path}.`, 'Check the path.', at, {
        cause: error,
      });
    }
    throw new OmniError(
      'file_unreadable',
      `${path} can not be read (${code ?? (error as Error).message}).`,
      'Check its permissions and the disk.',
      at,
      { cause: error },
    );
  }
  if (identity.size === 0) {
    throw new OmniError('file_empty', `${path} is empty (0 bytes).`, 'Copy or download it again.', at);
  }
  if (beginning.startsWith('version https://git-lfs.github.com/spec/')) {
    throw new OmniError(
      'lfs_pointer',
      `${path} is a Git LFS pointer, not the video itself.`,
      'Fetch the content: git lfs pull.',
      at,
    );
  }
  const text = beginning.replace(/^\u00ef\u00bb\u00bf/, '').trimStart();
  if (/^(#EXTM3U|ffconcat version|<\?xml[^>]*>\s*<MPD|<MPD|\[playlist\])/i.test(text)) {
    throw new OmniError(
      'playlist_refused',
      `${path} is a playlist that names other files or addresses, not a video.`,
      `Name the video itself (${readable} …).`,
      at,
    );
  }
  return identity;
}
