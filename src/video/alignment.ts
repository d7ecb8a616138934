/**
 * Whether an encode shows the frames of its source at the same times. Full-reference metrics and differences in time
 * compare frame with frame: where frames were lost, moved or timed anew, they would measure that instead of the coding.
 */
import { capture, composeArguments, inputUrl, keepAllFrames, locateFfmpeg, Supervised } from './ffmpeg.ts';
import { inputLimits, maxPixels } from './formats.ts';
import type { VideoInfo } from './probe.ts';
import { packetSizes } from './signals.ts';

/** How an encode is not aligned with its source. */
export interface AlignmentFault {
  readonly code:
    | 'frame_rate'
    | 'variable_rate'
    | 'offset'
    | 'frames_missing'
    | 'frames_added'
    | 'times_differ'
    | 'no_times'
    | 'picture_shifted'
    | 'other_picture';
  /** A sentence about the encode, with where and by how much. */
  readonly message: string;
  /** Up to where the shorter one ends, the times agree. */
  readonly atEnd?: true;
}

/** Matroska keeps whole milliseconds: two clocks that round may be this far apart, s. */
const rounding = 0.0016;
/** Frames whose picture is compared, and how far apart they may be found. */
const mostPictures = 600;
const farthest = 6;
/** Pictures are compared as luma of this size. */
const [width, height] = [32, 18];
/** Frames that are compared together to find by how many the picture is shifted. */
const stretch = 60;

/**
 * Compares the times of all frames, and the pictures of the first 600.
 *
 * @returns null where the frames are the same ones at the same times. Time that ffmpeg takes away because the file
 *   does not start at 0 is no fault.
 * @throws OmniError `ffmpeg_*`, `cancelled`
 */
export async function alignmentFault(
  source: VideoInfo,
  encode: VideoInfo,
  signal?: AbortSignal,
): Promise<AlignmentFault | null> {
  const [sourceTimes, encodeTimes, sourceStart, encodeStart] = await Promise.all([
    frameTimes(source, signal),
    frameTimes(encode, signal),
    fileStart(source, signal),
    /^mpeg(ts)?$/.test(encode.container) ? fileStart(encode, signal) : 0,
  ]);
  if (!sourceTimes || !encodeTimes) {
    const which = sourceTimes ? 'Its frames' : "The source's frames";
    return { code: 'no_times', message: `${which} have no time stamps to compare.` };
  }
  const own = encodeTimes.map((time) => time - encodeStart);
  // An encode begins where its source does, or where ffmpeg puts what begins later: at 0.
  const starts = [...new Set([0, sourceStart])];
  const faults = starts.map((start) =>
    timingFault(
      { times: sourceTimes.map((time) => time - start), fps: source.fps },
      { times: own, fps: encode.fps },
    ),
  );
  const timing = faults.includes(null) ? null : faults.at(-1)!;
  // A clip that only ends sooner or later may have lost frames before: the pictures tell.
  if (timing && !timing.atEnd) return timing;
  const [a, b] = await Promise.all([pictures(source, signal), pictures(encode, signal)]);
  return pictureFault(a, b, source.fps) ?? timing;
}

/** Presentation times in order, s, and what the container says. */
export interface Timing {
  readonly times: readonly number[];
  /** Average frames per second. */
  readonly fps: number;
}

/** What the times of two clips say about their alignment; null where they agree. */
export function timingFault(source: Timing, encode: Timing): AlignmentFault | null {
  const [a, b] = [source.times, encode.times];
  if (a.length === 0 || b.length === 0) {
    return { code: 'no_times', message: `${b.length === 0 ? 'It' : 'The source'} has no frames.` };
  }
  const interval = a.length > 1 ? (a.at(-1)! - a[0]!) / (a.length - 1) : 1 / source.fps;
  const tolerance = Math.min(rounding, interval / 4);
  const same = a.length === b.length && a.every((time, at) => Math.abs(time - b[at]!) <= tolerance);
  const [evenA, evenB] = [isEven(a), isEven(b)];
  const otherRate =
    evenA && evenB && Math.abs(source.fps / encode.fps - 1) > 5e-4 && Math.abs(rateRatio(a, b) - 1) > 2e-4;
  // The longer the clip, the further another rate has moved the frames: a short one must say it itself.
  if (same && !(otherRate && a.at(-1)! - a[0]! < 5)) return null;
  if (otherRate) {
    return {
      code: 'frame_rate',
      message: `It has ${rateText(encode.fps)} frames per second, the source ${rateText(source.fps)}.`,
    };
  }
  const missing = a.filter((time) => !holds(b, time, tolerance));
  const added = b.filter((time) => !holds(a, time, tolerance));
  if (evenA !== evenB) {
    const [which, other] = evenA ? ['Its', "the source's"] : ["The source's", 'its'];
    const lost = added.length === 0 && missing.length > 0;
    if (!lost || missing.length > Math.max(2, a.length / 50)) {
      const count = lost ? `; ${missing.length} of ${a.length} frames are missing` : '';
      return {
        code: 'variable_rate',
        message: `${which} frames come at a variable rate, ${other} at a constant one${count}.`,
      };
    }
  }
  const atEnd = Math.min(missing[0] ?? Infinity, added[0] ?? Infinity) > Math.min(a.at(-1)!, b.at(-1)!);
  const ending = atEnd ? { atEnd: true as const } : {};
  if (added.length === 0 && missing.length > 0) {
    const where = missing[0]! <= a[0]! ? 'from the beginning on' : `the first at ${missing[0]!.toFixed(3)} s`;
    return {
      code: 'frames_missing',
      message: `${counted(missing.length)} of the source's ${a.length} missing, ${where}.`,
      ...ending,
    };
  }
  if (missing.length === 0) {
    return {
      code: 'frames_added',
      message: `${counted(added.length)} more than the source's ${a.length}, the first at ${added[0]!.toFixed(3)} s.`,
      ...ending,
    };
  }
  const shift = b[0]! - a[0]!;
  const count = Math.min(a.length, b.length);
  const shifted = a.slice(0, count).every((time, at) => Math.abs(b[at]! - time - shift) <= 2 * tolerance);
  if (shifted && Math.abs(shift) > tolerance) {
    const more = a.length === b.length ? '' : `, with ${b.length} frames for the source's ${a.length}`;
    return {
      code: 'offset',
      message: `It is ${(1000 * Math.abs(shift)).toFixed(0)} ms ${shift > 0 ? 'late' : 'early'}${more}.`,
    };
  }
  return {
    code: 'times_differ',
    message: `${missing.length} of the source's ${a.length} frames have another time, the first at ${missing[0]!.toFixed(3)} s.`,
  };
}

const counted = (frames: number): string => (frames === 1 ? '1 frame is' : `${frames} frames are`);

const rateText = (fps: number): string => fps.toFixed(3).replace(/\.?0+$/, '');

/** Whether frames come at even distances, but for what rounding to milliseconds does. */
function isEven(times: readonly number[]): boolean {
  if (times.length < 3) return true;
  const mean = (times.at(-1)! - times[0]!) / (times.length - 1);
  return times.every((time, at) => Math.abs(time - times[0]! - at * mean) <= 2 * rounding);
}

function rateRatio(a: readonly number[], b: readonly number[]): number {
  if (a.length < 2 || b.length < 2) return Number.NaN;
  return (a.at(-1)! - a[0]!) / (a.length - 1) / ((b.at(-1)! - b[0]!) / (b.length - 1));
}

/** Whether a rising list has a time, by bisection. */
function holds(times: readonly number[], time: number, tolerance: number): boolean {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]! < time - tolerance) low = middle + 1;
    else high = middle;
  }
  return low < times.length && times[low]! <= time + tolerance;
}

/**
 * What the pictures of two clips say: each stretch of frames is laid over the other clip at every distance up to six
 * frames; where another one than none fits clearly better, the picture is shifted. Still pictures fit everywhere.
 *
 * @param source one small luma picture per frame; `encode` likewise
 */
export function pictureFault(
  source: readonly Uint8Array[],
  encode: readonly Uint8Array[],
  fps: number,
): AlignmentFault | null {
  const count = Math.min(source.length, encode.length);
  let [total, likeness, compared] = [0, 0, 0];
  for (let from = 0; from < count; from += stretch) {
    const end = Math.min(count, from + stretch);
    // A rest too short to move in says nothing of its own.
    if (end - from < 2 * farthest && from > 0) break;
    const differences = new Map<number, number>();
    for (let lag = -farthest; lag <= farthest; lag += 1) {
      let [sum, frames] = [0, 0];
      for (let at = from; at < end; at += 1) {
        const other = source[at + lag];
        if (!other) continue;
        sum += difference(other, encode[at]!);
        frames += 1;
      }
      if (frames >= (end - from) / 2) differences.set(lag, sum / frames);
    }
    const none = differences.get(0)!;
    const [lag, least] = [...differences].reduce((best, one) => (one[1] < best[1] ? one : best));
    if (lag !== 0 && least < 0.6 * none && none - least > 0.3) {
      const frames = `${Math.abs(lag)} ${Math.abs(lag) === 1 ? 'frame' : 'frames'}`;
      const since = from === 0 ? '' : ` from about ${(from / fps).toFixed(1)} s on`;
      return {
        code: 'picture_shifted',
        message: `Its picture is ${frames} ${lag > 0 ? 'ahead of' : 'behind'} the source's${since}: frames were ${lag > 0 ? 'dropped' : 'repeated'}.`,
      };
    }
    for (let at = from; at < end; at += 1) likeness += correlation(source[at]!, encode[at]!);
    total += none * (end - from);
    compared += end - from;
  }
  if (compared > 0 && total / compared > 20 && likeness / compared < 0.5) {
    return { code: 'other_picture', message: 'It does not show what the source shows.' };
  }
  return null;
}

/** Mean absolute difference of two pictures, 0 to 255. */
function difference(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += Math.abs(a[i]! - b[i]!);
  return sum / a.length;
}

/** Pearson's correlation of two pictures; 0 where one is flat. */
function correlation(a: Uint8Array, b: Uint8Array): number {
  let [sumA, sumB, squareA, squareB, product] = [0, 0, 0, 0, 0];
  for (let i = 0; i < a.length; i += 1) {
    const [x, y] = [a[i]!, b[i]!];
    sumA += x;
    sumB += y;
    squareA += x * x;
    squareB += y * y;
    product += x * y;
  }
  const n = a.length;
  const spread = (squareA - sumA ** 2 / n) * (squareB - sumB ** 2 / n);
  return spread > 0 ? (product - (sumA * sumB) / n) / Math.sqrt(spread) : 0;
}

/** Times of all frames in the order they are shown; null where the container has none. */
async function frameTimes(info: VideoInfo, signal?: AbortSignal): Promise<number[] | null> {
  const times: number[] = [];
  for (const { time } of await packetSizes(info, signal)) {
    if (time === null) return null;
    times.push(time);
  }
  return times.sort((a, b) => a - b);
}

/** Where the first of all streams of a file begins, s: what ffmpeg takes for 0. */
export async function fileStart(info: VideoInfo, signal?: AbortSignal): Promise<number> {
  const { ffprobe } = await locateFfmpeg();
  const args = ['-hide_banner', '-v', 'error', ...inputLimits.flat(), '-show_entries', 'format=start_time'];
  args.push('-of', 'csv=p=0', '-i', inputUrl(info.path));
  const { stdout } = await capture(ffprobe, args, { signal, timeout: 60_000 });
  const start = Number(stdout.trim());
  return Number.isFinite(start) ? start : 0;
}

/** The first frames as small luma pictures. */
async function pictures(info: VideoInfo, signal?: AbortSignal): Promise<Uint8Array[]> {
  const location = await locateFfmpeg();
  const args = composeArguments({
    inputs: [
      {
        url: inputUrl(info.path),
        options: [
          ['-nostdin'],
          ['-hide_banner'],
          ['-v', 'error'],
          ...inputLimits,
          ['-max_pixels', String(maxPixels)],
        ],
      },
    ],
    filter: `[0:${info.streamIndex}]scale=${width}:${height}:flags=area,format=gray[small]`,
    outputOptions: [
      ['-map', '[small]'],
      ['-frames:v', String(mostPictures)],
      keepAllFrames(location),
      ['-f', 'rawvideo'],
    ],
    output: 'pipe:1',
  });
  const child = new Supervised(location.ffmpeg, args, { signal, stallTimeout: 60_000 });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  await child.ended;
  const all = Buffer.concat(chunks);
  const bytes = width * height;
  return Array.from({ length: Math.floor(all.length / bytes) }, (_, at) =>
    all.subarray(at * bytes, (at + 1) * bytes),
  );
}
