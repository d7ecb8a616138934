/**
 * The edit list of a track of an MP4 or QuickTime file (ISO/IEC 14496-12, § 8.6.6). ffmpeg and players apply it: what
 * lies outside the edits is in the file but is never shown. ffprobe does not report it, so the boxes are read here.
 */
import { type FileHandle, open } from 'node:fs/promises';

export interface Edit {
  /** In units of the movie's time scale. */
  readonly duration: number;
  /** In units of the track's time scale; -1 is an empty edit: nothing is shown for its duration. */
  readonly mediaTime: number;
}

export interface TrackEdits {
  readonly edits: readonly Edit[];
  /** Composition offset of the first sample, in the track's time scale; encoders skip just that with one edit. */
  readonly firstOffset: number;
}

interface Box {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

/** Boxes in a span; no more than this many, so that a damaged file can't hold the reader. */
const mostBoxes = 4_096;

async function* boxes(file: FileHandle, start: number, end: number): AsyncGenerator<Box> {
  const head = Buffer.alloc(16);
  let at = start;
  for (let count = 0; count < mostBoxes && at + 8 <= end; count++) {
    const { bytesRead } = await file.read(head, 0, 16, at);
    if (bytesRead < 8) return;
    let size = head.readUInt32BE(0);
    let header = 8;
    if (size === 1) {
      if (bytesRead < 16) return;
      size = Number(head.readBigUInt64BE(8));
      header = 16;
    } else if (size === 0) size = end - at;
    if (size < header) return;
    yield { type: head.toString('latin1', 4, 8), start: at + header, end: Math.min(end, at + size) };
    at += size;
  }
}

async function find(file: FileHandle, within: Box, path: readonly string[]): Promise<Box | undefined> {
  let box: Box | undefined = within;
  for (const type of path) {
    const parent: Box = box;
    box = undefined;
    for await (const child of boxes(file, parent.start, parent.end)) {
      if (child.type === type) {
        box = child;
        break;
      }
    }
    if (!box) return undefined;
  }
  return box;
}

async function content(file: FileHandle, box: Box, most: number): Promise<Buffer> {
  const bytes = Buffer.alloc(Math.min(most, box.end - box.start));
  const { bytesRead } = await file.read(bytes, 0, bytes.length, box.start);
  return bytes.subarray(0, bytesRead);
}

/** The edits of the first video track; null where there is none, or where the file is not of this family. */
export async function readTrackEdits(path: string): Promise<TrackEdits | null> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const movie = await find(file, { type: '', start: 0, end: size }, ['moov']);
    if (!movie) return null;
    for await (const track of boxes(file, movie.start, movie.end)) {
      if (track.type !== 'trak') continue;
      const handler = await find(file, track, ['mdia', 'hdlr']);
      if (!handler || (await content(file, handler, 12)).toString('latin1', 8, 12) !== 'vide') continue;
      const list = await find(file, track, ['edts', 'elst']);
      if (!list) return null;
      const bytes = await content(file, list, 8 + 20 * mostBoxes);
      if (bytes.length < 8) return null;
      const wide = bytes[0] === 1;
      const length = wide ? 20 : 12;
      const edits: Edit[] = [];
      for (let i = 0, at = 8; i < bytes.readUInt32BE(4) && at + length <= bytes.length; i++, at += length) {
        edits.push(
          wide
            ? { duration: Number(bytes.readBigUInt64BE(at)), mediaTime: Number(bytes.readBigInt64BE(at + 8)) }
            : { duration: bytes.readUInt32BE(at), mediaTime: bytes.readInt32BE(at + 4) },
        );
      }
      const offsets = await find(file, track, ['mdia', 'minf', 'stbl', 'ctts']);
      const first = offsets ? await content(file, offsets, 16) : Buffer.alloc(0);
      return { edits, firstOffset: first.length === 16 ? first.readInt32BE(12) : 0 };
    }
    return null;
  } finally {
    await file.close();
  }
}
