/** One decode of a video: the pixels the networks see, window by window, with the time and type of every frame. */
import { availableParallelism } from 'node:os';
import { OmniError, type Problem } from '../protocol/errors.ts';
import { capture, composeArguments, inputUrl, keepAllFrames, locateFfmpeg, Supervised } from './ffmpeg.ts';
import { inputLimits, maxPixels, seekMargin, seekStep } from './formats.ts';
import {
  boxSize,
  cutFragments,
  cutFragmentsGbr,
  type Size,
  sentSize,
  shrinkBeforeRgb,
  targetSize,
} from './geometry.ts';
import { NutReader } from './nut.ts';
import { firstFrameTime } from './origin.ts';
import { fingerprint, type VideoInfo } from './probe.ts';
import { Resampler } from './resample.ts';

/** The whole frame as a square, its aspect not kept. */
export interface SquashView {
  readonly kind: 'squash';
  readonly size: number;
}

/** A square of patches, each `cell` px a side, cut at the frame's own scale where its area allows. */
export interface FragmentsView {
  readonly kind: 'fragments';
  readonly size: number;
  readonly cell: number;
  /** Most pixels of the canvas that the patches are cut from. */
  readonly area: number;
}

export type FrameView = SquashView | FragmentsView;

export interface FramePlan {
  /** Per key frame, in the order of the pixels; all of one size. */
  readonly views: readonly FrameView[];
  /** Side of the motion frames. */
  readonly motionSize: number;
  /** Whole seconds; a window has `windowSeconds * round(fps)` frames. */
  readonly windowSeconds: number;
  /** Key frames of each second, where it is to be more than one; `round(fps)` must be a multiple of it. */
  readonly keysPerSecond?: number;
}

export interface FrameWindow {
  readonly index: number;
  /** Index of its first frame in the clip. */
  readonly firstFrame: number;
  /** Presentation times of its N frames, seconds since the clip's first frame, strictly increasing. */
  readonly times: Float64Array;
  /** When its last frame stops being shown. */
  readonly end: number;
  /** Coded picture type of each frame: `I`, `P`, `B`, or `?` where the decoder does not say. */
  readonly types: string;
  readonly key: {
    /** Indices of its K key frames within the window. */
    readonly frames: Int32Array;
    /** u8 [K, V, S, S, 3], RGB. */
    readonly pixels: Uint8Array;
    /** Of as many of them, from the first, as it was asked for: what {@link ReadFramesOptions.eachKey} makes of them. */
    readonly made?: readonly Promise<Float32Array>[];
  };
  /** u8 [N, M, M, 3], RGB. */
  readonly motion: Uint8Array;
  readonly findings: WindowFindings;
}

/** What was met among a window's frames: plain JSON. {@link clipFindings} says what it comes to for the clip. */
export interface WindowFindings {
  /** Errors that the decoder reported, and the time of the first, s. */
  readonly errors: number;
  readonly errorAt: number;
  /** Frames without a time stamp, and such whose time stamp is not later than the one before. */
  readonly missing: number;
  readonly backwards: number;
  /** When the first and the last frame are shown, s. */
  readonly first: number;
  readonly last: number;
  /** The shortest and the longest time between two of its frames, s; null where it has but one. */
  readonly steps: readonly [number, number] | null;
  /** The coded sizes of its frames, `640x360`, and from when on they have it, s. */
  readonly sizes: readonly { readonly size: string; readonly at: number }[];
}

/** What was decoded: seconds since the first frame, and frames. */
export interface Coverage {
  readonly start: number;
  readonly end: number;
  readonly frames: number;
}

export interface FramesRead {
  /** Of the windows that were read. */
  readonly coverage: Coverage;
  /** Whether the end of the clip was reached; only then can it be found `truncated`. */
  readonly ended: boolean;
  /** By the time stamps: the longest and the shortest time between frames differ by more than a quarter. */
  readonly vfr: boolean;
  /** Of those, what is true of all frames: how they had to be converted. */
  readonly conversions: readonly Problem[];
  readonly problems: Problem[];
}

export interface ReadFramesOptions {
  readonly signal?: AbortSignal;
  /** Told the number of frames read so far, at each of them; those before `startWindow` do not count. */
  readonly onProgress?: (frames: number) => void;
  /**
   * Makes something of a key frame, u8 [V, S, S, 3], as soon as it is read, while the rest of its window is. Called in order;
   * reading does not end before all is made.
   */
  readonly eachKey?: ((pixels: Uint8Array) => Promise<Float32Array>) | undefined;
  /** Index of the first window to read; default 0. */
  readonly startWindow?: number;
  /** Index of the window to stop before; default: read to the end of the clip. */
  readonly stopWindow?: number;
  /**
   * What packetSizes() found in this file. With it ffmpeg seeks to `startWindow` where that can be shown to give the
   * same frames; without it, all frames before are decoded and left out.
   */
  readonly packets?: readonly { readonly time: number | null }[];
  /** Milliseconds without output after which ffmpeg counts as hung; default 60 000. */
  readonly stallTimeout?: number;
}

const toEven = (side: number) => Math.max(2, 2 * Math.round(side / 2));

/** Round half up, as the reference does: key frames are frames 0, r, 2r, … */
export function keyInterval(fps: number): number {
  return Math.max(1, Math.floor(fps + 0.5));
}

/** Frames from one key frame to the next. */
export function keyStep(fps: number, { keysPerSecond = 1 }: Pick<FramePlan, 'keysPerSecond'>): number {
  return keyInterval(fps) / keysPerSecond;
}

/**
 * swscale's flags: exact rounding and no shortcuts for chroma. Colour matrix and range are those the frame is tagged
 * with; where it is not, swscale takes BT.601 and limited range.
 */
export const exact = 'accurate_rnd+full_chroma_int+full_chroma_inp';
/**
 * Lanczos with two lobes, the nearest to a = -0.5 bicubic that every release computes right: up to ffmpeg 5 swscale's
 * bicubic takes its parameters as whole numbers.
 */
const shrink = `flags=lanczos+${exact}:param0=2`;

/** Bytes of frames, and frames, that ffmpeg may decode ahead of what is read here. */
const aheadBytes = 64 * 2 ** 20;
const aheadFrames = 256;

/** Frames that ffmpeg may hold back to interleave the streams, in its microseconds of a time base of 1/1000. */
const interleave = 16_000;

/**
 * Left to itself ffmpeg decodes as many frames at once as there are cores, and one: with few cores some of them wait
 * for each other, and a second in twelve is lost.
 */
const fewestThreads = 12;

const decodingThreads = (): readonly string[][] =>
  availableParallelism() + 1 < fewestThreads ? [['-threads', String(fewestThreads)]] : [];

interface FrameLine {
  /** Time stamp in units of the stream's time base, NaN where the frame has none. */
  readonly stamp: number;
  /** Seconds, 0 where this ffmpeg does not say. */
  readonly duration: number;
  readonly type: string;
  /** Whether decoding can start here. */
  readonly key: boolean;
  readonly size: string;
}

const framePattern =
  /^\[Parsed_showinfo_\d+ @ [^\]]+\] \[info\] n: *\d+ pts: *(-?\d+|NOPTS) .*? s:(\d+x\d+) .*? iskey:(\d) type:(\S)/;
const durationPattern = / duration: *(\d+) /;
const timeBasePattern = /^\[Parsed_showinfo_\d+ @ [^\]]+\] \[info\] config in time_base: (\d+)\/(\d+)/;
const errorPattern = /^(?:\[[^\]]+\] )*\[(?:error|fatal|panic)\] /;
const corruptPattern = /\[warning\] .*corrupt decoded frame/;

/** A window while it is filled. */
interface Filling {
  readonly index: number;
  motion: number;
  readonly keys: number[];
  readonly motionPixels: Uint8Array;
  readonly keyPixels: Uint8Array;
  readonly made: Promise<Float32Array>[];
}

/** A place to begin at that is not the start of the file. */
interface Landing {
  /** Where ffmpeg is told to seek, s on the file's own clock. */
  readonly seek: number;
  /** Presentation times of all frames on that clock, s, increasing. */
  readonly times: Float64Array;
}

/** Thrown inside where a landing can't be shown to give the frames that a decode from the start gives. */
const unproven = Symbol('unproven landing');

/** Codecs that make one frame of each packet, all decoders being of one mind about it. */
const framePerPacket = /^(h264|hevc|vvc|av1|vp9|prores|dnxhd|mjpeg|ffv1|mpeg2video|mpeg1video)$/;

/** Within this, s, ffmpeg takes a jump of the time stamps for one; beyond it sets its clock anew in some formats. */
const longestGap = 9;

/**
 * Where to seek for a frame, the most hopeful place first. Nothing where the packets do not tell at what time it is:
 * a packet without a time or two at one time, jumps of the clock, fields, frames that no packet stands for.
 */
async function landings(
  info: VideoInfo,
  firstFrame: number,
  packets: readonly { readonly time: number | null }[],
  stallTimeout: number | undefined,
): Promise<Landing[]> {
  const margin = seekMargin(info.container, info.fps);
  if (margin === null || info.interlaced || !framePerPacket.test(info.codec)) return [];
  if (firstFrame === 0 || firstFrame >= packets.length) return [];
  const times = Float64Array.from(packets, ({ time }) => time ?? Number.NaN);
  if (times.some((time, i) => !(Math.abs(time - (times[i - 1] ?? time)) < longestGap))) return [];
  times.sort();
  if (times.some((time, i) => time === times[i - 1])) return [];
  // Frames that lead the first key frame can't be decoded: then frames and packets do not pair up.
  const first = await firstFrameTime(info, stallTimeout);
  if (first === null || Math.abs(first - times[0]!) > 0.25 * (times[1]! - times[0]!)) return [];
  const seek = times[firstFrame]! - margin;
  return [seek, seek - seekStep].filter((place) => place > first).map((place) => ({ seek: place, times }));
}

/**
 * Reads the frames of a video in one decode: all of them, or those of some windows. Windows come as they are filled;
 * at most one waits while the next is being filled, beyond that ffmpeg is held back. No frame is left out or repeated,
 * whatever its time stamp.
 *
 * A window is the same whether the read began at it or before it, with one exception: where frames before
 * `startWindow` are so damaged that the decoder leaves some out, seeking does not notice and counts them.
 *
 * ffmpeg is ended when the generator is left early.
 *
 * @throws OmniError `nothing_decoded`, `file_replaced` (also `file_not_found` before the first frame), `ffmpeg_*`,
 *   `cancelled`, `bad_usage`
 */
export async function* readFrames(
  info: VideoInfo,
  plan: FramePlan,
  options: ReadFramesOptions = {},
): AsyncGenerator<FrameWindow, FramesRead> {
  const viewSize = plan.views[0]?.size ?? 0;
  if (!Number.isInteger(plan.windowSeconds) || plan.windowSeconds < 1 || !(plan.motionSize >= 1)) {
    throw new OmniError(
      'bad_usage',
      'A frame plan needs whole seconds per window and a motion size.',
      'Correct it.',
    );
  }
  if (plan.views.some((view) => view.size !== viewSize)) {
    throw new OmniError('bad_usage', 'The views of a frame plan must be of one size.', 'Correct it.');
  }
  const { startWindow = 0, stopWindow = Number.POSITIVE_INFINITY } = options;
  if (!Number.isInteger(startWindow) || startWindow < 0 || !(stopWindow > startWindow)) {
    throw new OmniError(
      'bad_usage',
      'A read needs a first window and one after it to stop at.',
      'Correct it.',
    );
  }
  await assertUnchanged(info);
  const firstFrame = startWindow * plan.windowSeconds * keyInterval(info.fps);
  for (const landing of await landings(info, firstFrame, options.packets ?? [], options.stallTimeout)) {
    try {
      return yield* decodeWindows(info, plan, options, landing);
    } catch (error) {
      // It is found out before the first window is handed over.
      if (error !== unproven) throw error;
    }
  }
  return yield* decodeWindows(info, plan, options, null);
}

/** @param landing null: decode from the start of the file and leave out what comes before the first window. */
async function* decodeWindows(
  info: VideoInfo,
  plan: FramePlan,
  options: ReadFramesOptions,
  landing: Landing | null,
): AsyncGenerator<FrameWindow, FramesRead> {
  const { startWindow = 0, stopWindow = Number.POSITIVE_INFINITY } = options;
  const viewSize = plan.views[0]?.size ?? 0;
  const problems: Problem[] = [];
  const source: Size = { width: info.width, height: info.height };
  const interval = keyStep(info.fps, plan);
  const framesPerWindow = plan.windowSeconds * keyInterval(info.fps);
  const keysPerWindow = framesPerWindow / interval;
  const firstFrame = startWindow * framesPerWindow;
  const viewCount = plan.views.length;
  const viewBytes = viewSize * viewSize * 3;

  const motionTarget: Size = { width: plan.motionSize, height: plan.motionSize };
  // zscale, which maps HDR, takes no odd sizes of subsampled chroma.
  const mappable = ({ width, height }: Size): Size =>
    info.hdr ? { width: toEven(width), height: toEven(height) } : { width, height };
  const box = boxSize(source, motionTarget);
  const boxes = box && mappable(box);
  const motionSent = boxes ?? sentSize(source, motionTarget);
  const motionResampler = resampler(motionSent, motionTarget);
  const motionBytes = motionTarget.width * motionTarget.height * 3;
  const views = plan.views.map((view) => {
    const target = targetSize(source, view);
    const sent = sentSize(source, target);
    return {
      view,
      target,
      sent,
      resampler: resampler(sent, target),
      sentBytes: new Uint8Array(sent.width * sent.height * 3),
      canvas: new Uint8Array(view.kind === 'fragments' ? target.width * target.height * 3 : 0),
    };
  });

  const location = await locateFfmpeg();
  const toneMap = await toneMapping(info, location.ffmpeg, problems);
  if (info.interlaced) {
    problems.push({
      code: 'deinterlaced',
      message: 'The video is interlaced; each frame was deinterlaced (bwdif).',
    });
  }
  if (info.alpha) {
    problems.push({
      code: 'alpha_ignored',
      message: 'The video has an alpha channel; its colours were taken alone.',
    });
  }

  const entry = ['showinfo=checksum=0'];
  if (landing) {
    const [before, at] = [landing.times[firstFrame - 1]!, landing.times[firstFrame]!];
    entry.push(`select=gt(t\\,${((before + at) / 2).toFixed(6)})`);
  } else if (firstFrame > 0 && !info.interlaced) entry.push(`select=gte(n\\,${firstFrame})`);
  // These two are set up for one frame size; the others follow a stream that changes its size.
  if (info.interlaced || toneMap) entry.push(`scale=${source.width}:${source.height}:flags=bicubic+${exact}`);
  if (info.interlaced) entry.push('bwdif=mode=send_frame:deint=interlaced');
  // Only here, because a frame is deinterlaced by its neighbours.
  if (firstFrame > 0 && info.interlaced) entry.push(`select=gte(n\\,${firstFrame})`);
  entry.push('settb=1/1000', 'setpts=N', `split=${1 + (viewCount > 0 ? 1 : 0)}`);
  const factor = shrinkBeforeRgb(source, motionSent);
  const early = mappable({
    width: Math.max(1, Math.round(source.width / factor)),
    height: Math.max(1, Math.round(source.height / factor)),
  });
  const toRgb = toneMap ?? `scale=flags=bicubic+${exact},format=gbrp`;
  const resize = ({ width, height }: Size) => `scale=${width}:${height}:${shrink},format=gbrp`;
  const graph = [
    `[0:${info.streamIndex}]${entry.join(',')}[all]${viewCount > 0 ? '[some]' : ''}`,
    boxes
      ? `[all]scale=${boxes.width}:${boxes.height}:flags=area+${exact},${toneMap ?? 'format=gbrp'}[motion]`
      : factor === 1
        ? `[all]${toRgb},${resize(motionSent)}[motion]`
        : `[all]scale=${early.width}:${early.height}:flags=area+${exact},${toneMap ?? 'format=gbrp'},${resize(motionSent)}[motion]`,
  ];
  if (viewCount > 0) {
    graph.push(
      `[some]select=not(mod(n\\,${interval})),${toRgb},split=${viewCount}${views.map((_, i) => `[full${i}]`).join('')}`,
      ...views.map(({ sent }, i) => `[full${i}]${resize(sent)}[view${i}]`),
    );
  }
  const bytesOf = (size: Size) => size.width * size.height * 3;
  const perSecond = interval * bytesOf(motionSent) + views.reduce((sum, { sent }) => sum + bytesOf(sent), 0);
  const queued = Math.min(aheadFrames, Math.ceil((aheadBytes * (interval + viewCount)) / perSecond));
  const args = composeArguments({
    inputs: [
      {
        url: inputUrl(info.path),
        options: [
          ['-nostdin'],
          ['-hide_banner'],
          ['-nostats'],
          ['-v', 'repeat+level+info'],
          ...inputLimits,
          ['-max_pixels', String(maxPixels)],
          ...decodingThreads(),
          // A frame of another size is scaled by the same graph; a new graph would count frames from 0 again.
          ['-reinit_filter', '0'],
          ...(landing
            ? [['-copyts'], ['-noaccurate_seek'], ['-seek_timestamp', '1'], ['-ss', landing.seek.toFixed(6)]]
            : []),
        ],
      },
    ],
    filter: graph.join(';'),
    outputOptions: [
      ...['motion', ...views.map((_, i) => `view${i}`)].map((label) => ['-map', `[${label}]`]),
      ['-c:v', 'rawvideo'],
      keepAllFrames(location),
      ['-enc_time_base', '1:1000'],
      ['-max_interleave_delta', String(interleave)],
      // Broken frames are counted here; ffmpeg must not give up at a share of them.
      ['-max_error_rate', '1'],
      // A thread of ffmpeg's writes to the pipe: decoding goes on while the model keeps this process busy.
      ['-f', 'fifo'],
      ['-fifo_format', 'nut'],
      ['-queue_size', String(queued)],
    ],
    output: 'pipe:1',
  });

  const lines: FrameLine[] = [];
  let linesBefore = 0;
  let timeBase = Number.NaN;
  /** Frames that are still to be decoded and left out, where the decode began at the start. */
  let leftOut = landing ? 0 : firstFrame;
  /** Where it began elsewhere: index of the frame that must come next; -1: a key frame must come first. */
  let due = -1;
  let begun = firstFrame === 0;
  let ended = true;
  /** Errors of the decoder by the window that they were met in, and the frame at the first. */
  const errors = new Map<number, { count: number; readonly frame: number }>();
  let origin = Number.NaN;
  const clock = { last: Number.NEGATIVE_INFINITY, missing: 0, backwards: 0 };

  const open = new Map<number, Filling>();
  const full: Filling[] = [];
  const making = new Set<Promise<Float32Array>>();
  let motionFrames = 0;
  const keyFrames = new Array<number>(viewCount).fill(0);
  let wake = () => {};
  let over = false;

  let failure: unknown;
  const child = new Supervised(location.ffmpeg, args, {
    signal: options.signal,
    stallTimeout: options.stallTimeout ?? 60_000,
    onStderrLine(line) {
      const frame = framePattern.exec(line);
      if (frame) {
        const [, pts, size, key, type] = frame;
        const duration = durationPattern.exec(line)?.[1];
        const one: FrameLine = {
          stamp: pts === 'NOPTS' ? Number.NaN : Number(pts),
          duration: duration === undefined ? 0 : Number(duration) * timeBase,
          type: type ?? '?',
          key: key === '1' && type === 'I',
          size: size ?? '',
        };
        if (begun || begins(one)) {
          lines.push(one);
          release();
        }
        return;
      }
      const base = timeBasePattern.exec(line);
      if (base) timeBase = Number(base[1]) / Number(base[2]);
      // What is wrong with frames that are not read is not reported, nor that ffmpeg is ended before them.
      else if (!begun || !ended) return;
      else if (errorPattern.test(line) || corruptPattern.test(line)) {
        const frame = linesBefore + lines.length;
        const index = Math.floor(frame / framesPerWindow);
        const known = errors.get(index);
        if (known) known.count++;
        else errors.set(index, { count: 1, frame: firstFrame + frame });
      }
    },
  });

  /** Looks at a frame before the first that is read, or at that one: then true. */
  const begins = (line: FrameLine): boolean => {
    if (!landing) {
      if (leftOut > 0) {
        leftOut--;
        timeOf(line);
        return false;
      }
      begun = true;
      return true;
    }
    // ffprobe writes times to the microsecond: with finer time stamps they do not tell frames for sure.
    const stampAt = (i: number) => (timeBase >= 4e-6 ? Math.round(landing.times[i]! / timeBase) : Number.NaN);
    if (due < 0 && line.key) due = landing.times.findIndex((_, i) => stampAt(i) === line.stamp);
    if (due < 0 ? line.stamp < stampAt(firstFrame) : due < firstFrame && line.stamp === stampAt(due)) {
      if (due >= 0) due++;
      return false;
    }
    if (due !== firstFrame || line.stamp !== stampAt(firstFrame)) {
      failure ??= unproven;
      child.stop();
      return false;
    }
    origin = stampAt(0);
    begun = true;
    return true;
  };

  const fillingAt = (index: number): Filling => {
    let filling = open.get(index);
    if (!filling) {
      filling = {
        index,
        motion: 0,
        keys: new Array<number>(viewCount).fill(0),
        motionPixels: new Uint8Array(framesPerWindow * motionBytes),
        keyPixels: new Uint8Array(keysPerWindow * viewCount * viewBytes),
        made: [],
      };
      open.set(index, filling);
    }
    return filling;
  };

  /** Moves windows that have all their frames, and the time of the frame after them, to the queue. */
  const release = () => {
    for (;;) {
      const index = full.length > 0 ? full.at(-1)!.index + 1 : nextIndex;
      const filling = open.get(index);
      if (!filling) break;
      const enough =
        filling.motion === framesPerWindow &&
        filling.keys.every((count) => count === keysPerWindow) &&
        linesBefore + lines.length > (index + 1) * framesPerWindow;
      if (!enough) break;
      open.delete(index);
      full.push(filling);
    }
    if (full.length > 0) {
      child.stdout.pause();
      child.heldBack = true;
      wake();
    }
  };

  let nextIndex = 0;
  const motionSource = new Uint8Array(motionSent.width * motionSent.height * 3);
  const reader = new NutReader({
    target(stream, size) {
      const bytes = stream === 0 ? motionSource : views[stream - 1]?.sentBytes;
      if (bytes?.length !== size) {
        throw new OmniError(
          'ffmpeg_failed',
          `ffmpeg sent a frame of ${size} bytes for stream ${stream} where ${bytes?.length ?? 0} were asked for.`,
          'Install a release build of ffmpeg and try again.',
          { command: child.display, stderr: child.stderrTail },
        );
      }
      return bytes;
    },
    filled(stream) {
      if (stream === 0) {
        const filling = fillingAt(Math.floor(motionFrames / framesPerWindow));
        motionResampler.fromGbr(motionSource, filling.motionPixels, filling.motion * motionBytes);
        filling.motion++;
        motionFrames++;
        options.onProgress?.(motionFrames);
        release();
        return;
      }
      const at = stream - 1;
      const { view, target, sent, resampler, sentBytes, canvas } = views[at]!;
      const filling = fillingAt(Math.floor(keyFrames[at]! / keysPerWindow));
      const offset = (filling.keys[at]! * viewCount + at) * viewBytes;
      if (view.kind === 'squash') resampler.fromGbr(sentBytes, filling.keyPixels, offset);
      else if (sent.width === target.width && sent.height === target.height) {
        cutFragmentsGbr(sentBytes, target, view, filling.keyPixels, offset);
      } else {
        resampler.fromGbr(sentBytes, canvas, 0);
        cutFragments(canvas, target, view, filling.keyPixels, offset);
      }
      filling.keys[at]!++;
      keyFrames[at]!++;
      if (options.eachKey && Math.min(...filling.keys) > filling.made.length) {
        const from = filling.made.length * viewCount * viewBytes;
        const one = options.eachKey(filling.keyPixels.subarray(from, from + viewCount * viewBytes));
        filling.made.push(one);
        making.add(one);
        // Whoever takes the window meets the failure.
        one.catch(() => undefined).finally(() => making.delete(one));
      }
      release();
    },
  });

  child.stdout.on('data', (chunk: Buffer) => {
    try {
      reader.push(chunk);
    } catch (error) {
      failure ??= error;
      child.stop();
    }
  });
  child.ended
    .catch((error: unknown) => {
      failure ??= error;
    })
    .finally(() => {
      over = true;
      wake();
    });

  /** When a frame is shown, s since the first frame of the clip; frames must come in order. */
  const timeOf = (line: FrameLine | undefined): number => {
    const stamp = line?.stamp ?? Number.NaN;
    if (Number.isNaN(origin)) origin = Number.isNaN(stamp) ? 0 : stamp;
    // Whole numbers are subtracted, so that the result does not depend on where ffmpeg's clock began.
    let time = (stamp - origin) * timeBase;
    const previous = clock.last;
    if (Number.isNaN(time)) {
      clock.missing++;
      time = previous === Number.NEGATIVE_INFINITY ? 0 : previous + 1 / info.fps;
    } else if (time <= previous) {
      clock.backwards++;
      time = previous + Math.min(0.001, 0.5 / info.fps);
    }
    clock.last = time;
    return time;
  };

  /**
   * Makes the window that the caller sees; takes its lines off the queue.
   *
   * @param last Whether it is the clip's last one: errors after its frames are its own.
   */
  const finish = (filling: Filling, last = false): FrameWindow => {
    const count = filling.motion;
    const own = lines.splice(0, count);
    linesBefore += own.length;
    const times = new Float64Array(count);
    const sizes: { readonly size: string; readonly at: number }[] = [];
    const { missing, backwards } = clock;
    let types = '';
    let [shortest, longest] = [Number.POSITIVE_INFINITY, 0];
    for (let i = 0; i < count; i++) {
      const line = own[i];
      const time = timeOf(line);
      times[i] = time;
      if (i > 0) {
        shortest = Math.min(shortest, time - times[i - 1]!);
        longest = Math.max(longest, time - times[i - 1]!);
      }
      types += line && /[IPB]/.test(line.type) ? line.type : '?';
      if (line && line.size !== sizes.at(-1)?.size) sizes.push({ size: line.size, at: time });
    }
    const met = [...errors].filter(([index]) => index === filling.index || (last && index > filling.index));
    const findings: WindowFindings = {
      errors: met.reduce((sum, [, error]) => sum + error.count, 0),
      errorAt: (met[0]?.[1].frame ?? 0) / info.fps,
      missing: clock.missing - missing,
      backwards: clock.backwards - backwards,
      first: times[0]!,
      last: times[count - 1]!,
      steps: count > 1 ? [shortest, longest] : null,
      sizes,
    };
    const following = ((lines[0]?.stamp ?? Number.NaN) - origin) * timeBase;
    const lastDuration = own.at(-1)?.duration || 0;
    const end =
      following > clock.last
        ? following
        : clock.last + (lastDuration > 0 ? lastDuration : Math.min(longest || Infinity, 1 / info.fps));
    const keyCount = viewCount > 0 ? Math.min(...filling.keys) : Math.ceil(count / interval);
    return {
      index: startWindow + filling.index,
      firstFrame: firstFrame + filling.index * framesPerWindow,
      times,
      end,
      types,
      key: {
        frames: Int32Array.from({ length: keyCount }, (_, i) => i * interval),
        pixels: filling.keyPixels.subarray(0, keyCount * viewCount * viewBytes),
        made: filling.made.slice(0, keyCount),
      },
      motion: filling.motionPixels.subarray(0, count * motionBytes),
      findings,
    };
  };

  let start = Number.NaN;
  let end = 0;
  let frames = 0;
  const read: FoundWindow[] = [];
  const handOver = (window: FrameWindow): FrameWindow => {
    if (Number.isNaN(start)) start = window.times[0]!;
    end = window.end;
    frames += window.times.length;
    const { index, firstFrame: first, findings } = window;
    read.push({ index, firstFrame: first, frames: window.times.length, end, findings });
    return window;
  };
  try {
    for (;;) {
      while (full.length === 0 && !over) {
        await new Promise<void>((done) => {
          wake = done;
        });
      }
      const filling = full.shift();
      if (!filling) break;
      nextIndex = filling.index + 1;
      const window = handOver(finish(filling));
      if (full.length === 0) {
        child.heldBack = false;
        child.stdout.resume();
      }
      yield window;
      if (window.index + 1 >= stopWindow) {
        ended = false;
        break;
      }
    }
    if (ended) {
      if (failure) throw failure;
      const exit = await child.ended;
      if (landing && !begun) throw unproven;
      if (exit.signal) {
        throw new OmniError(
          'ffmpeg_failed',
          `ffmpeg was ended by ${exit.signal} after ${motionFrames} frames.`,
          'If it happens again, the file crashes this ffmpeg: install a newer one or re-encode the file.',
          { path: info.path, command: child.display, stderr: child.stderrTail },
        );
      }
      const rest = [...open.values()].filter(({ motion }) => motion > 0);
      rest.sort((a, b) => a.index - b.index);
      for (const filling of rest) yield handOver(finish(filling, filling === rest.at(-1)));
      await assertUnchanged(info);
      if (clock.last === Number.NEGATIVE_INFINITY) {
        throw new OmniError(
          'nothing_decoded',
          `No frame of ${info.path} could be decoded.`,
          'Play the file to see whether it is damaged; a codec that this ffmpeg lacks is named in its message.',
          { path: info.path, command: child.display, stderr: child.stderrTail },
        );
      }
      const expected = Math.ceil(motionFrames / interval);
      if (!reader.complete || keyFrames.some((count) => count !== expected)) {
        throw new OmniError(
          'ffmpeg_failed',
          `ffmpeg stopped in the middle: ${motionFrames} frames, ${keyFrames.join(' and ')} key frames of ${expected}.`,
          'Try again with more free memory; if it happens again, install a release build of ffmpeg.',
          { path: info.path, command: child.display, stderr: child.stderrTail },
        );
      }
      // The clip ends before the first window.
      if (frames === 0) end = clock.last + 1 / info.fps;
    }
  } finally {
    // Whoever gets control back may delete the file: ffmpeg has let go of it.
    child.stop();
    await child.ended.catch(() => {});
    await Promise.allSettled(making);
  }

  const found = clipFindings(info, read, ended ? { end, frames: firstFrame + frames } : null);
  return {
    coverage: { start: Number.isNaN(start) ? end : start, end, frames },
    ended,
    vfr: found.vfr,
    conversions: problems,
    problems: [...problems, ...found.problems],
  };
}

/** What is kept of a window to find out about the clip. */
export interface FoundWindow extends Pick<FrameWindow, 'index' | 'firstFrame' | 'end' | 'findings'> {
  readonly frames: number;
}

/**
 * What the findings in some windows of a clip come to; the same whether they were read at once or one by one.
 *
 * @param windows in order, none twice
 * @param reached where the clip ends, s, and after how many frames; null where its end was not reached: then it is not
 *   found `truncated`
 */
export function clipFindings(
  info: VideoInfo,
  windows: readonly FoundWindow[],
  reached: { readonly end: number; readonly frames: number } | null,
): Pick<FramesRead, 'vfr' | 'problems'> {
  const problems: Problem[] = [];
  const end = windows.at(-1)?.end ?? 0;
  const sum = (of: (findings: WindowFindings) => number) =>
    windows.reduce((total, { findings }) => total + of(findings), 0);
  const errors = sum((findings) => findings.errors);
  if (errors > 0) {
    const { errorAt } = windows.find(({ findings }) => findings.errors > 0)!.findings;
    problems.push({
      code: 'decode_errors',
      message: `The decoder reported ${errors} error${errors > 1 ? 's' : ''}; the frames it made up or patched are assessed as they look.`,
      start: Math.min(errorAt, end),
      end,
    });
  }
  const claimed = claimedEnd(info);
  const short = claimed !== null && reached ? claimed - reached.end : 0;
  if (claimed !== null && reached && short > Math.max(0.5, 2 / info.fps, 0.005 * claimed)) {
    problems.push({
      code: 'truncated',
      message: `The file claims ${claimed.toFixed(2)} s; ${reached.end.toFixed(2)} s (${reached.frames} frames) could be decoded.`,
      start: reached.end,
      end: claimed,
    });
  }
  const sizes = windows.flatMap(({ findings }) => findings.sizes);
  const changed = sizes.find(({ size }) => size !== sizes[0]!.size);
  if (changed) {
    problems.push({
      code: 'size_changed',
      message: `The frame size changes from ${sizes[0]!.size} to ${changed.size}; all frames were scaled as one picture.`,
      start: changed.at,
      end,
    });
  }
  const missing = sum((findings) => findings.missing);
  if (missing > 0) {
    problems.push({
      code: 'pts_missing',
      message: `${missing} frames have no time stamp; they were placed by the frame rate.`,
    });
  }
  const backwards = sum((findings) => findings.backwards);
  if (backwards > 0) {
    problems.push({
      code: 'pts_not_monotonic',
      message: `The time stamps of ${backwards} frames do not increase; they were moved behind their predecessors.`,
    });
  }
  let [shortest, longest] = [Number.POSITIVE_INFINITY, 0];
  for (const [i, { index, findings }] of windows.entries()) {
    const before = windows[i - 1];
    const between = before?.index === index - 1 ? findings.first - before.findings.last : null;
    shortest = Math.min(shortest, findings.steps?.[0] ?? Infinity, between ?? Infinity);
    longest = Math.max(longest, findings.steps?.[1] ?? 0, between ?? 0);
  }
  const vfr = longest - shortest > Math.max(0.002, 0.25 * shortest);
  if (vfr) {
    problems.push({
      code: 'vfr',
      message: `The frame rate varies: ${(1 / longest).toFixed(2)} to ${(1 / shortest).toFixed(2)} fps. Times are those of the frames.`,
    });
  }
  return { vfr, problems };
}

function resampler(from: Size, to: Size): Resampler {
  return new Resampler(from.width, from.height, to.width, to.height);
}

/** Seconds from the first to the end of the last frame that the container promises; null where it does not. */
function claimedEnd(info: VideoInfo): number | null {
  const byFrames = info.frames === null ? null : info.frames / info.fps;
  // ffprobe measures an AVI's duration on what is there; its header's frame count is the claim.
  if (info.duration === null || (info.container === 'avi' && byFrames !== null)) return byFrames;
  return byFrames === null ? info.duration : Math.min(info.duration, byFrames);
}

/** @throws OmniError `file_replaced` where the file is not the one that was probed */
export async function assertUnchanged(info: VideoInfo): Promise<void> {
  const now = await fingerprint(info.path).catch(() => null);
  if (now === info.fingerprint) return;
  throw new OmniError(
    'file_replaced',
    `${info.path} was ${now === null ? 'deleted' : 'replaced or written to'} while it was being read.`,
    'Assess it again once it is finished.',
    { path: info.path },
  );
}

/** The filters that turn HDR to SDR RGB, null for SDR; says in `problems` what was done. */
export async function toneMapping(
  info: VideoInfo,
  ffmpeg: string,
  problems: Problem[],
): Promise<string | null> {
  if (!info.hdr) return null;
  const { stdout } = await capture(ffmpeg, ['-hide_banner', '-filters'], { timeout: 20_000 });
  const name = info.hdr === 'pq' ? 'PQ' : 'HLG';
  if (!/ zscale /.test(stdout) || !/ tonemap /.test(stdout)) {
    problems.push({
      code: 'hdr_not_tonemapped',
      message: `The video is HDR (${name}) and this ffmpeg lacks zscale or tonemap: its pixels were taken as if SDR, which looks pale.`,
    });
    return null;
  }
  problems.push({
    code: 'hdr_tonemapped',
    message: `The video is HDR (${name}); it was mapped to SDR (BT.709, Hable's curve) before it was assessed.`,
  });
  const assumed = [
    ...(info.color.primaries ? [] : ['pin=bt2020']),
    ...(info.color.space ? [] : ['min=bt2020nc']),
    ...(info.color.range ? [] : ['rin=limited']),
    't=linear',
    'npl=100',
  ];
  return [
    `zscale=${assumed.join(':')}`,
    'format=gbrpf32le',
    'zscale=p=bt709',
    'tonemap=tonemap=hable:desat=0',
    'zscale=t=bt709:r=full',
    'format=gbrp',
  ].join(',');
}
