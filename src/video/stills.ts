/**
 * Single pictures of a video for people to look at: the frame that a player shows at a time, upright, with square
 * pixels, in sRGB-like colours, as JPEG, or as PNG where every pixel counts. What the networks see is read by frames.ts.
 *
 * ffmpeg seeks to a key frame some way before the time and decodes up to it. Where it really landed is read from the
 * time stamps of the decoded frames: a picture counts only where a key frame was decoded between the landing and the
 * time, otherwise the seek is made from further back, at last from the start of the file.
 */
import { OmniError } from '../protocol/errors.ts';
import type { Still } from '../protocol/timeline.ts';
import {
  composeArguments,
  type FfmpegLocation,
  inputUrl,
  keepAllFrames,
  locateFfmpeg,
  Supervised,
} from './ffmpeg.ts';
import { inputLimits, maxPixels, seekMargin, seekStep } from './formats.ts';
import { assertUnchanged, exact, toneMapping } from './frames.ts';
import type { Size } from './geometry.ts';
import { NutReader } from './nut.ts';
import { firstFrameTime } from './origin.ts';
import type { VideoInfo } from './probe.ts';

export interface StillOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without output after which ffmpeg counts as hung; default 60 000. */
  readonly stallTimeout?: number | undefined;
  /** As PNG, with the pixels as they were decoded; default false. */
  readonly lossless?: boolean | undefined;
}

export interface JpegStill extends Still {
  readonly mime: 'image/jpeg';
}

/** Times closer than this, s, are found in one decode: seeking decodes half a group of pictures as well. */
const nearby = 4;
/** Clips no longer than this, s, are decoded as a whole for a filmstrip. */
const shortClip = 20;
/** Times in one selecting expression. */
const mostTimes = 100;
/** Places of the file that one process opens, and processes at once. */
const mostInputs = 6;
const mostProcesses = 2;
/** A filmstrip's picture may come from this long after its time, s. */
const stripTolerance = 0.5;
/** Sides of a JPEG, px; ISO/IEC 10918-1 has 16 bits, ffmpeg's encoder ends a little below. */
const largestSide = 16_384;

/** What has to be known of a clip before a place in it can be sought. */
interface Opened {
  readonly location: FfmpegLocation;
  /** Presentation time of the first frame on the file's own clock, s; null where frames have no time stamps. */
  readonly origin: number | null;
  readonly toneMap: string | null;
}

async function open(info: VideoInfo, stallTimeout: number | undefined): Promise<Opened> {
  const location = await locateFfmpeg();
  const toneMap = await toneMapping(info, location.ffmpeg, []);
  return { location, origin: await firstFrameTime(info, stallTimeout), toneMap };
}

/** One place of the file and what is wanted from there. */
interface Task {
  /** Seconds since the first frame of the clip; null: decode from the start of the file. */
  readonly from: number | null;
  readonly want: /** The last frame at or before this time, s since the first frame. */
    | { readonly shown: number }
    /** The first frame with this time stamp or a later one. */
    | { readonly stamp: number }
    /** The first frame after each of these times, s since the first frame, increasing. */
    | { readonly after: readonly number[] };
}

interface Outcome {
  /** The latest frame: its time, s since the first frame of the clip (-Infinity: none), and its time stamp. */
  readonly latest: number;
  readonly latestStamp: number;
  /** Pictures in order, with the times of their frames, s since the first frame of the clip. */
  readonly pictures: readonly Still[];
}

const framePattern =
  /^\[showinfo@(\w)(\d+) @ [^\]]+\] \[info\] n: *\d+ pts: *(-?\d+|NOPTS) .*? iskey:(\d) type:(\S)/;
const timeBasePattern = /^\[showinfo@(\w)(\d+) @ [^\]]+\] \[info\] config in time_base: (\d+)\/(\d+)/;

/** Times are often rounded to milliseconds on their way: a frame counts as shown this much before its time, s. */
function rounding(info: VideoInfo): number {
  return Math.min(0.0006, 0.25 / info.fps);
}

/**
 * Runs ffmpeg once over several places of a file.
 *
 * @param size of the pictures
 */
async function decode(
  info: VideoInfo,
  { location, origin, toneMap }: Opened,
  tasks: readonly Task[],
  size: Size,
  { signal, stallTimeout = 60_000, lossless = false }: StillOptions,
): Promise<Outcome[]> {
  const start = origin ?? 0;
  // Untagged video is converted as players do it: BT.709 for what is larger than standard definition (as in mpv).
  const large = info.width >= 1280 || info.height > 576;
  const assumed = info.color.space === null && large ? ':in_color_matrix=bt709' : '';
  const finish = [
    `scale=${size.width}:${size.height}:flags=bicubic+${exact}${assumed}`,
    toneMap ?? 'format=gbrp',
    ...(lossless
      ? // A viewer must not convert what is tagged differently: the pixels are to be held against each other.
        [
          `scale=flags=bicubic+${exact}`,
          'format=rgb24',
          'setparams=color_primaries=unknown:color_trc=unknown',
        ]
      : [`scale=flags=bicubic+${exact}:out_color_matrix=bt601:out_range=full`, 'format=yuvj420p']),
    'setsar=1',
  ];
  const filters = tasks.map(({ want }, i) => {
    const filter: string[] = [];
    if (origin === null) filter.push('settb=1/1000000', `setpts=N*${1e6 / info.fps}`);
    filter.push(`showinfo@a${i}=checksum=0`);
    if ('shown' in want) {
      // The last frame at or before the start is what this filter begins with. Its own rate is of no matter; it rounds
      // the start to the time base of its input.
      filter.push('settb=1/1000000');
      filter.push(`fps=1000:start_time=${(start + want.shown).toFixed(6)}:round=up`, 'trim=end_frame=1');
    } else if ('stamp' in want) filter.push(`select=gte(pts\\,${want.stamp})`, 'trim=end_frame=1');
    else {
      const passed = want.after.map((time) => `gt(t\\,${(start + time).toFixed(6)})`).join('+');
      filter.push(`select=st(1\\,${passed})\\;st(2\\,gt(ld(1)\\,ld(0)))\\;st(0\\,ld(1))\\;ld(2)`);
    }
    if (info.interlaced && !('after' in want)) {
      filter.push('bwdif=mode=send_frame:deint=interlaced');
    }
    filter.push(`showinfo@b${i}=checksum=0`, 'settb=1/1000', 'setpts=N', ...finish);
    return filter.join(',');
  });
  const args = composeArguments({
    inputs: tasks.map(({ from }, i) => ({
      url: inputUrl(info.path),
      options: [
        ...(i === 0
          ? [['-nostdin'], ['-hide_banner'], ['-nostats'], ['-v', 'repeat+level+info'], ['-copyts']]
          : []),
        ...inputLimits,
        ['-max_pixels', String(maxPixels)],
        ['-reinit_filter', '0'],
        ...(tasks.length > 1 ? [['-threads', '1']] : []),
        ...(from === null
          ? []
          : [['-noaccurate_seek'], ['-seek_timestamp', '1'], ['-ss', (start + from).toFixed(6)]]),
      ],
    })),
    outputOptions: [
      ...tasks.map((_, i) => ['-map', `${i}:${info.streamIndex}`]),
      ...filters.map((filter, i) => [`-filter:${i}`, filter]),
      ...(size
        ? [
            ...(lossless
              ? [
                  ['-c:v', 'png'],
                  ['-compression_level', '3'],
                ]
              : [
                  ['-c:v', 'mjpeg'],
                  ['-q:v', '3'],
                ]),
            ['-f', 'nut'],
          ]
        : [['-f', 'null']]),
      keepAllFrames(location),
      ['-max_error_rate', '1'],
    ],
    output: 'pipe:1',
  });

  const seen = tasks.map(() => ({
    latest: Number.NEGATIVE_INFINITY,
    latestStamp: 0,
    /** Time of the first key frame, s since the first frame of the clip. */
    key: Number.POSITIVE_INFINITY,
    shown: Number.NaN,
    chosen: [] as number[],
    bases: new Map<string, number>(),
    jpegs: [] as Uint8Array<ArrayBuffer>[],
  }));
  const child = new Supervised(location.ffmpeg, args, {
    signal,
    stallTimeout,
    onStderrLine(line) {
      const frame = framePattern.exec(line);
      if (!frame) {
        const base = timeBasePattern.exec(line);
        if (base) seen[Number(base[2])]?.bases.set(base[1]!, Number(base[3]) / Number(base[4]));
        return;
      }
      const [, where, place, stamp, key, type] = frame;
      const one = seen[Number(place)];
      const task = tasks[Number(place)];
      if (!one || !task) return;
      const clock = stamp === 'NOPTS' ? Number.NaN : Number(stamp) * (one.bases.get(where!) ?? Number.NaN);
      const time = clock - start;
      if (where === 'b') {
        one.chosen.push(time);
        return;
      }
      if (Number.isNaN(time)) return;
      if (time > one.latest) {
        one.latest = time;
        one.latestStamp = Number(stamp);
      }
      if (key === '1' && type === 'I') one.key = Math.min(one.key, time);
      if ('shown' in task.want && time <= task.want.shown) one.shown = time;
    },
  });
  const targets: Uint8Array<ArrayBuffer>[] = [];
  const reader = new NutReader({
    target(stream, length) {
      targets[stream] = new Uint8Array(length);
      return targets[stream];
    },
    filled(stream) {
      seen[stream]?.jpegs.push(targets[stream]!);
    },
  });
  let failure: unknown;
  child.stdout.on('data', (chunk: Buffer) => {
    try {
      reader.push(chunk);
    } catch (error) {
      failure ??= error;
      child.stop();
    }
  });
  try {
    const exit = await child.ended;
    if (failure) throw failure;
    if (exit.signal) {
      throw new OmniError(
        'ffmpeg_failed',
        `ffmpeg was ended by ${exit.signal} while it made a picture.`,
        'If it happens again, the file crashes this ffmpeg: install a newer one or re-encode the file.',
        { path: info.path, command: child.display, stderr: child.stderrTail },
      );
    }
  } finally {
    child.stop();
  }
  return seen.map(({ latest, latestStamp, key, shown, chosen, jpegs }, i) => {
    const { from, want } = tasks[i]!;
    const single = 'shown' in want;
    const pictures: Still[] = [];
    for (const [j, bytes] of jpegs.entries()) {
      // That filter gives the frame the time that was asked for.
      const time = single ? (Number.isNaN(shown) && from === null ? 0 : shown) : (chosen[j] ?? Number.NaN);
      // Before a key frame there is nothing to be seen but what a decoder makes up.
      if (from === null ? !Number.isNaN(time) : key <= time)
        pictures.push({ time, mime: lossless ? 'image/png' : 'image/jpeg', bytes });
    }
    return { latest, latestStamp, pictures };
  });
}

/** The picture's own pixels as they are displayed: a side is shrunk, none is enlarged, to make them square. */
function displaySize({ width, height, sampleAspectRatio }: VideoInfo): Size {
  return {
    width: width * Math.min(1, sampleAspectRatio),
    height: height / Math.max(1, sampleAspectRatio),
  };
}

/** Size of a clip's still whose lines may have any number of pixels. */
export const stillSize = (info: VideoInfo): Size => fitted(displaySize(info), 1);

function fitted(display: Size, scale: number): Size {
  const most = Math.min(1, scale, largestSide / Math.max(display.width, display.height));
  return {
    width: Math.max(1, Math.round(display.width * most)),
    height: Math.max(1, Math.round(display.height * most)),
  };
}

/** The frame shown at `time`, s since the first frame, and whether it is the last one of the file. */
async function shownAt(
  info: VideoInfo,
  clip: Opened,
  time: number,
  size: Size,
  options: StillOptions,
): Promise<{ readonly still: Still; readonly last: boolean } | null> {
  const margin = clip.origin === null ? null : seekMargin(info.container, info.fps);
  const places =
    margin === null ? [] : [time - margin, time - margin - seekStep].filter((place) => place > 0);
  for (const from of [...places, null]) {
    const [found] = await decode(info, clip, [{ from, want: { shown: time } }], size, options);
    if (found!.pictures[0]) return { still: found!.pictures[0], last: false };
    const { latest, latestStamp } = found!;
    // Landed behind it, or nowhere.
    if (latest > time || latest === Number.NEGATIVE_INFINITY) continue;
    // The file ends before that time: what it shows last.
    const want = { stamp: latestStamp };
    const [end] = await decode(info, clip, [{ from, want }], size, options);
    if (end!.pictures[0]) return { still: end!.pictures[0], last: true };
  }
  return null;
}

/**
 * The frame shown at a time: the last one whose presentation time is not later, with square pixels, upright, HDR mapped
 * to SDR where this ffmpeg can. After the end it is the last frame.
 *
 * @param time seconds since the clip's first frame
 * @param options.width most pixels a line may have; smaller pictures stay as they are
 * @throws OmniError `nothing_decoded`, `file_replaced`, `ffmpeg_*`, `cancelled`, `bad_usage`
 */
export async function readStill(
  info: VideoInfo,
  time: number,
  options: StillOptions & { readonly width: number },
): Promise<Still> {
  if (!Number.isFinite(time) || !(options.width >= 1)) {
    throw new OmniError('bad_usage', 'A still needs a time and a width of at least 1 px.', 'Correct it.');
  }
  await assertUnchanged(info);
  const clip = await open(info, options.stallTimeout);
  const display = displaySize(info);
  const size = fitted(display, Math.floor(options.width) / display.width);
  const found = await shownAt(info, clip, inside(info, time), size, options);
  await assertUnchanged(info);
  if (found) return found.still;
  throw nothingDecoded(info);
}

/**
 * Frames that follow each other closely, in one decode: for each time the first frame after it.
 *
 * @param after seconds since the clip's first frame, rising
 * @returns in order, each frame once; fewer than asked for at the file's end, or where the seek landed too late
 * @throws OmniError as {@link readStill}
 */
export async function readRun(
  info: VideoInfo,
  after: readonly number[],
  options: StillOptions & { readonly width: number },
): Promise<readonly Still[]> {
  await assertUnchanged(info);
  const clip = await open(info, options.stallTimeout);
  const display = displaySize(info);
  const size = fitted(display, Math.floor(options.width) / display.width);
  const margin = clip.origin === null ? null : seekMargin(info.container, info.fps);
  const from = margin === null ? 0 : after[0]! - margin;
  const task = { from: from > 0 ? from : null, want: { after } };
  const [found] = await decode(info, clip, [task], size, options);
  await assertUnchanged(info);
  return found!.pictures;
}

function nothingDecoded(info: VideoInfo): OmniError {
  return new OmniError(
    'nothing_decoded',
    `No frame of ${info.path} could be decoded.`,
    'Play the file to see whether it is damaged; the codec may be one that this ffmpeg lacks.',
    { path: info.path },
  );
}

function inside(info: VideoInfo, time: number): number {
  // A container may say a little less than there is.
  return Math.max(0, Math.min(time, (info.duration ?? time) + 1)) + rounding(info);
}

/**
 * Small pictures for many times, in the order of the times. A picture may be of a frame up to half a second after its
 * time; `time` says of which. Times that lie near each other are found in one decode.
 *
 * @param times seconds since the clip's first frame
 * @param height most pixels a column may have; smaller pictures stay as they are
 * @returns null where nothing could be decoded, and for times after the last frame's
 * @throws OmniError `file_replaced`, `ffmpeg_*`, `cancelled`, `bad_usage`
 */
export async function readFilmstrip(
  info: VideoInfo,
  times: readonly number[],
  height: number,
  options: StillOptions = {},
): Promise<(JpegStill | null)[]> {
  if (!(height >= 1)) {
    throw new OmniError('bad_usage', 'A filmstrip needs a height of at least 1 px.', 'Correct it.');
  }
  await assertUnchanged(info);
  const clip = await open(info, options.stallTimeout).catch((error: unknown) => {
    if (OmniError.is(error, 'nothing_decoded')) return null;
    throw error;
  });
  if (!clip) return times.map(() => null);
  const display = displaySize(info);
  const size = fitted(display, Math.floor(height) / display.height);
  const isInside = (time: number) => time >= 0 && time <= (info.duration ?? Number.MAX_VALUE) + 1;
  const asked = new Set(
    times
      .filter(isInside)
      .map((time) => inside(info, time))
      .sort((a, b) => a - b),
  );

  // Runs of neighbouring times, each decoded in one go.
  const margin = clip.origin === null ? null : seekMargin(info.container, info.fps);
  const wholly = margin === null || (info.duration ?? Infinity) <= shortClip;
  const runs: number[][] = [];
  for (const time of asked) {
    const run = runs.at(-1);
    if (run && run.length < mostTimes && (wholly || time - run.at(-1)! <= nearby)) run.push(time);
    else runs.push([time]);
  }
  const period = 1 / info.fps;
  const tasks: Task[] = runs.map((run) => {
    const from = run[0]! - (margin ?? 0);
    return {
      from: wholly || from <= 0 ? null : from,
      want: run.length === 1 ? { shown: run[0]! } : { after: run.map((time) => time - period) },
    };
  });
  const stills = new Map<number, Still>();
  const batches: number[][] = [];
  const perBatch = Math.max(1, Math.min(mostInputs, Math.ceil(tasks.length / mostProcesses)));
  for (let i = 0; i < tasks.length; i += perBatch) {
    batches.push(Array.from({ length: Math.min(perBatch, tasks.length - i) }, (_, j) => i + j));
  }
  const work = async () => {
    for (let batch = batches.shift(); batch; batch = batches.shift()) {
      const outcomes = await decode(
        info,
        clip,
        batch.map((i) => tasks[i]!),
        size,
        options,
      );
      for (const [j, { pictures }] of outcomes.entries()) {
        const run = runs[batch[j]!]!;
        for (const time of run) {
          const still = run.length === 1 ? pictures[0] : pictures.find((one) => one.time > time - period);
          if (still && still.time <= time + stripTolerance) stills.set(time, still);
        }
      }
    }
  };
  await Promise.all(Array.from({ length: mostProcesses }, work));

  // What was not found where it was looked for: one by one, until the file ends.
  let end = Number.POSITIVE_INFINITY;
  for (const time of asked) {
    if (stills.has(time) || time > end) continue;
    const found = await shownAt(info, clip, time, size, options);
    if (found?.last) end = found.still.time + Math.max(1, 2 * period);
    if (found && time <= end) stills.set(time, found.still);
  }
  await assertUnchanged(info);
  return times.map((time) => {
    const still = isInside(time) ? stills.get(inside(info, time)) : undefined;
    return still ? { ...still, mime: 'image/jpeg' } : null;
  });
}
