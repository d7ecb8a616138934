/**
 * A source and its encodes, frame for frame: which frames the source has, and the one that an encode shows at the same
 * presentation time. Both clocks are those that ffmpeg makes of the files (see alignment.ts), so that an encode that
 * begins late or lost its first frame is held against the frames that it has.
 */
import type { Still } from '../protocol/timeline.ts';
import { fileStart } from './alignment.ts';
import { assertUnchanged } from './frames.ts';
import { firstFrameTime } from './origin.ts';
import type { VideoInfo } from './probe.ts';
import { packetSizes } from './signals.ts';
import { readStill, type StillOptions, stillSize } from './stills.ts';

export interface SourceFrames {
  /** Presentation times in order, s since the first frame. */
  readonly times: readonly number[];
  /** Of its pictures, upright and with square pixels, px. */
  readonly width: number;
  readonly height: number;
}

/**
 * The frames of a clip that can be shown.
 *
 * @throws OmniError `nothing_decoded`, `ffmpeg_*`, `cancelled`
 */
export async function sourceFrames(info: VideoInfo, signal?: AbortSignal): Promise<SourceFrames> {
  const [origin, packets] = await Promise.all([firstFrameTime(info), packetSizes(info, signal)]);
  // What an edit list leaves out has times before the first frame.
  const stamps = packets.flatMap(({ time }) => (time === null || origin === null ? [] : [time - origin]));
  const times =
    stamps.length < packets.length || packets.length === 0
      ? Array.from({ length: Math.max(1, packets.length) }, (_, at) => at / info.fps)
      : stamps
          .filter((time) => time > -0.5 / info.fps)
          .map((time) => Math.max(0, time))
          .sort((one, other) => one - other);
  return { times, ...stillSize(info) };
}

const starts = new WeakMap<VideoInfo, Promise<number>>();

function startOf(info: VideoInfo): Promise<number> {
  let start = starts.get(info);
  if (!start) {
    start = fileStart(info);
    starts.set(info, start);
    start.catch(() => starts.delete(info));
  }
  return start;
}

/** How much later the first frame of an encode is than its source's, s. */
async function lateness(source: VideoInfo, encode: VideoInfo): Promise<number> {
  const [first, own, sourceStart, encodeStart] = await Promise.all([
    firstFrameTime(source),
    firstFrameTime(encode),
    startOf(source),
    /^mpeg(ts)?$/.test(encode.container) ? startOf(encode) : 0,
  ]);
  if (first === null || own === null) return 0;
  // An encode begins where its source does, or where ffmpeg puts what begins later: at 0.
  const [late, put] = [own - encodeStart - first, own - encodeStart - (first - sourceStart)];
  return Math.abs(put) <= Math.abs(late) ? put : late;
}

/**
 * The frame of an encode that is nearest to a presentation time of its source, as PNG in the encode's own size.
 *
 * @param time of a frame of the source, s since its first
 * @returns with `time` on the source's clock too: another than the given one where the encode has no frame there
 * @throws OmniError as {@link readStill}
 */
export async function pairedStill(
  source: VideoInfo,
  encode: VideoInfo,
  time: number,
  options: Omit<StillOptions, 'lossless'> = {},
): Promise<Still> {
  await assertUnchanged(encode);
  const late = await lateness(source, encode);
  // Less than half a frame on: the last frame before that is the nearest one, also where times were rounded.
  const half = 0.49 / Math.max(source.fps, encode.fps);
  const still = await readStill(encode, time - late + half, { ...options, ...exactly(encode) });
  return { ...still, time: still.time + late };
}

/** The frame of a source at its presentation time, s since its first, as PNG. @throws OmniError as {@link readStill} */
export const sourceStill = (
  source: VideoInfo,
  time: number,
  options: Omit<StillOptions, 'lossless'> = {},
): Promise<Still> => readStill(source, time, { ...options, ...exactly(source) });

const exactly = (info: VideoInfo) => ({ lossless: true, width: stillSize(info).width });
