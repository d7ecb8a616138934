/**
 * A source and its encodes, frame for frame: which frames the source has, and what an encode shows at the same
 * presentation time. Both clocks are those that ffmpeg makes of the files (see alignment.ts), so that an encode that
 * begins late or lost its first frame is held against the frames that it has.
 */
import type { Still } from '../protocol/timeline.ts';
import { fileStart } from './alignment.ts';
import { assertUnchanged } from './frames.ts';
import { firstFrameTime } from './origin.ts';
import type { VideoInfo } from './probe.ts';
import { packetSizes } from './signals.ts';
import { readRun, readStill, type StillOptions, stillSize } from './stills.ts';

/** Frames of two clips that are less than this apart, s, are taken for the same. */
const rounding = 0.008;

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
 * What a source or an encode of it shows at presentation times of the source, as PNG in its own size: the frame of that
 * time, otherwise the last one before, or the first one of all.
 *
 * @param encode null: the source itself
 * @param times of frames of the source, s since its first
 * @returns with `time` on the source's clock too, another than the given one where the encode has no frame there. The
 *   first is always there; the others are where they came along with it in one decode, otherwise null.
 * @throws OmniError as {@link readStill}
 */
export async function pairedStills(
  source: VideoInfo,
  encode: VideoInfo | null,
  times: readonly [number, ...number[]],
  options: Omit<StillOptions, 'lossless'> = {},
): Promise<(Still | null)[]> {
  const clip = encode ?? source;
  await assertUnchanged(clip);
  const late = encode ? await lateness(source, encode) : 0;
  const sorted = [...times].sort((one, other) => one - other);
  const apart = sorted.slice(1).map((time, at) => time - sorted[at]!);
  // Clocks round. Where frames come at a variable rate they may be much closer than the rate says.
  const near = Math.min(rounding, 0.49 / source.fps, 0.49 / clip.fps, 0.49 * Math.min(...apart));
  const exactly = { ...options, lossless: true, width: stillSize(clip).width };
  // Deinterlacing takes a frame's neighbours: one at a time.
  const run =
    times.length > 1 && !clip.interlaced
      ? await readRun(
          clip,
          sorted.map((time) => time - late - near),
          exactly,
        )
      : [];
  const stills = run.map((still) => ({ ...still, time: still.time + late }));
  const found = times.map((time) => stills.find((one) => Math.abs(one.time - time) <= near) ?? null);
  if (!found[0]) {
    const still = await readStill(clip, times[0] - late + (encode ? near : 0), exactly);
    found[0] = { ...still, time: still.time + late };
  }
  return found;
}
