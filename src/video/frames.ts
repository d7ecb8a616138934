/** One decode of a video: the pixels the networks see, window by window, with the time and type of every frame. */
import { OmniError, type Problem } from '../protocol/errors.ts';
import { capture, composeArguments, inputUrl, keepAllFrames, locateFfmpeg, Supervised } from './ffmpeg.ts';
import { inputLimits, maxPixels } from './formats.ts';
import { cutFragments, type Size, sentSize, shrinkBeforeRgb, targetSize } from './geometry.ts';
import { NutReader } from './nut.ts';
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
  };
  /** u8 [N, M, M, 3], RGB. */
  readonly motion: Uint8Array;
}

/** What was decoded: seconds since the first frame, and frames. */
export interface Coverage {
  readonly start: number;
  readonly end: number;
  readonly frames: number;
}

export interface FramesRead {
  readonly coverage: Coverage;
  /** By the time stamps: the longest and the shortest time between frames differ by more than a quarter. */
  readonly vfr: boolean;
  readonly problems: Problem[];
}

export interface ReadFramesOptions {
  readonly signal?: AbortSignal;
  /** Told the number of frames read so far, at each of them. */
  readonly onProgress?: (frames: number) => void;
  /** Milliseconds without output after which ffmpeg counts as hung; default 60 000. */
  readonly stallTimeout?: number;
}

/** Round half up, as the reference does: key frames are frames 0, r, 2r, … */
export function keyInterval(fps: number): number {
  return Math.max(1, Math.floor(fps + 0.5));
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

/** Frames that ffmpeg may hold back to interleave the streams, in its microseconds of a time base of 1/1000. */
const interleave = 16_000;

interface FrameLine {
  /** Seconds on ffmpeg's clock, NaN where the frame has no time stamp. */
  readonly time: number;
  /** Seconds, 0 where this ffmpeg does not say. */
  readonly duration: number;
  readonly type: string;
  readonly size: string;
}

const framePattern =
  /^\[Parsed_showinfo_\d+ @ [^\]]+\] \[info\] n: *\d+ pts: *(-?\d+|NOPTS) .*? s:(\d+x\d+) .*? type:(\S)/;
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
}

/**
 * Reads all frames of a video in one decode. Windows come as they are filled; at most one waits while the next is
 * being filled, beyond that ffmpeg is held back. No frame is left out or repeated, whatever its time stamp.
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
  await assertUnchanged(info);
  const problems: Problem[] = [];
  const source: Size = { width: info.width, height: info.height };
  const interval = keyInterval(info.fps);
  const framesPerWindow = plan.windowSeconds * interval;
  const viewCount = plan.views.length;
  const viewBytes = viewSize * viewSize * 3;

  const motionTarget: Size = { width: plan.motionSize, height: plan.motionSize };
  const motionSent = sentSize(source, motionTarget);
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
  // These two are set up for one frame size; the others follow a stream that changes its size.
  if (info.interlaced || toneMap) entry.push(`scale=${source.width}:${source.height}:flags=bicubic+${exact}`);
  if (info.interlaced) entry.push('bwdif=mode=send_frame:deint=interlaced');
  entry.push('settb=1/1000', 'setpts=N', `split=${1 + (viewCount > 0 ? 1 : 0)}`);
  const factor = shrinkBeforeRgb(source, motionSent);
  const early: Size = {
    width: Math.max(1, Math.round(source.width / factor)),
    height: Math.max(1, Math.round(source.height / factor)),
  };
  const toRgb = toneMap ?? `scale=flags=bicubic+${exact},format=gbrp`;
  const resize = ({ width, height }: Size) => `scale=${width}:${height}:${shrink},format=gbrp`;
  const graph = [
    `[0:${info.streamIndex}]${entry.join(',')}[all]${viewCount > 0 ? '[some]' : ''}`,
    factor === 1
      ? `[all]${toRgb},${resize(motionSent)}[motion]`
      : `[all]scale=${early.width}:${early.height}:flags=area+${exact},${toneMap ?? 'format=gbrp'},${resize(motionSent)}[motion]`,
  ];
  if (viewCount > 0) {
    graph.push(
      `[some]select=not(mod(n\\,${interval})),${toRgb},split=${viewCount}${views.map((_, i) => `[full${i}]`).join('')}`,
      ...views.map(({ sent }, i) => `[full${i}]${resize(sent)}[view${i}]`),
    );
  }
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
          // A frame of another size is scaled by the same graph; a new graph would count frames from 0 again.
          ['-reinit_filter', '0'],
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
      ['-f', 'nut'],
    ],
    output: 'pipe:1',
  });

  const lines: FrameLine[] = [];
  let linesBefore = 0;
  let timeBase = Number.NaN;
  let errors = 0;
  let errorStart = 0;
  let firstSize = '';
  let sizeChange: { readonly size: string; readonly at: number } | null = null;
  let origin = Number.NaN;
  const clock = { last: Number.NEGATIVE_INFINITY, missing: 0, backwards: 0, shortest: Infinity, longest: 0 };

  const open = new Map<number, Filling>();
  const full: Filling[] = [];
  let motionFrames = 0;
  const keyFrames = new Array<number>(viewCount).fill(0);
  let wake = () => {};
  let over = false;

  const child = new Supervised(location.ffmpeg, args, {
    signal: options.signal,
    stallTimeout: options.stallTimeout ?? 60_000,
    onStderrLine(line) {
      const frame = framePattern.exec(line);
      if (frame) {
        const [, pts, size, type] = frame;
        const duration = durationPattern.exec(line)?.[1];
        lines.push({
          time: pts === 'NOPTS' ? Number.NaN : Number(pts) * timeBase,
          duration: duration === undefined ? 0 : Number(duration) * timeBase,
          type: type ?? '?',
          size: size ?? '',
        });
        release();
        return;
      }
      const base = timeBasePattern.exec(line);
      if (base) timeBase = Number(base[1]) / Number(base[2]);
      else if (errorPattern.test(line) || corruptPattern.test(line)) {
        if (errors === 0) errorStart = (linesBefore + lines.length) / info.fps;
        errors++;
      }
    },
  });

  const fillingAt = (index: number): Filling => {
    let filling = open.get(index);
    if (!filling) {
      filling = {
        index,
        motion: 0,
        keys: new Array<number>(viewCount).fill(0),
        motionPixels: new Uint8Array(framesPerWindow * motionBytes),
        keyPixels: new Uint8Array(plan.windowSeconds * viewCount * viewBytes),
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
        filling.keys.every((count) => count === plan.windowSeconds) &&
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
      const { view, target, resampler, sentBytes, canvas } = views[at]!;
      const filling = fillingAt(Math.floor(keyFrames[at]! / plan.windowSeconds));
      const offset = (filling.keys[at]! * viewCount + at) * viewBytes;
      if (view.kind === 'squash') resampler.fromGbr(sentBytes, filling.keyPixels, offset);
      else {
        resampler.fromGbr(sentBytes, canvas, 0);
        cutFragments(canvas, target, view, filling.keyPixels, offset);
      }
      filling.keys[at]!++;
      keyFrames[at]!++;
      release();
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
  child.ended
    .catch((error: unknown) => {
      failure ??= error;
    })
    .finally(() => {
      over = true;
      wake();
    });

  /** Makes the window that the caller sees; takes its lines off the queue. */
  const finish = (filling: Filling): FrameWindow => {
    const count = filling.motion;
    const own = lines.splice(0, count);
    linesBefore += own.length;
    const times = new Float64Array(count);
    let types = '';
    for (let i = 0; i < count; i++) {
      const line = own[i];
      let time = line ? line.time : Number.NaN;
      if (Number.isNaN(origin)) origin = Number.isNaN(time) ? 0 : time;
      time -= origin;
      const previous = clock.last;
      if (Number.isNaN(time)) {
        clock.missing++;
        time = previous === Number.NEGATIVE_INFINITY ? 0 : previous + 1 / info.fps;
      } else if (time <= previous) {
        clock.backwards++;
        time = previous + Math.min(0.001, 0.5 / info.fps);
      }
      if (previous !== Number.NEGATIVE_INFINITY) {
        clock.shortest = Math.min(clock.shortest, time - previous);
        clock.longest = Math.max(clock.longest, time - previous);
      }
      clock.last = time;
      times[i] = time;
      types += line && /[IPB]/.test(line.type) ? line.type : '?';
      if (line) {
        firstSize ||= line.size;
        if (!sizeChange && line.size !== firstSize) sizeChange = { size: line.size, at: time };
      }
    }
    const following = (lines[0]?.time ?? Number.NaN) - origin;
    const lastDuration = own.at(-1)?.duration || 0;
    const end =
      following > clock.last
        ? following
        : clock.last + (lastDuration > 0 ? lastDuration : Math.min(clock.longest || Infinity, 1 / info.fps));
    const keyCount = viewCount > 0 ? Math.min(...filling.keys) : Math.ceil(count / interval);
    return {
      index: filling.index,
      firstFrame: filling.index * framesPerWindow,
      times,
      end,
      types,
      key: {
        frames: Int32Array.from({ length: keyCount }, (_, i) => i * interval),
        pixels: filling.keyPixels.subarray(0, keyCount * viewCount * viewBytes),
      },
      motion: filling.motionPixels.subarray(0, count * motionBytes),
    };
  };

  let end = 0;
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
      const window = finish(filling);
      end = window.end;
      if (full.length === 0) {
        child.heldBack = false;
        child.stdout.resume();
      }
      yield window;
    }
    if (failure) throw failure;
    const exit = await child.ended;
    if (exit.signal) {
      throw new OmniError(
        'ffmpeg_failed',
        `ffmpeg was ended by ${exit.signal} after ${motionFrames} frames.`,
        'If it happens again, the file crashes this ffmpeg: install a newer one or re-encode the file.',
        { path: info.path, command: child.display, stderr: child.stderrTail },
      );
    }
    for (const index of [...open.keys()].sort((a, b) => a - b)) {
      const filling = open.get(index)!;
      if (filling.motion === 0) continue;
      const window = finish(filling);
      end = window.end;
      yield window;
    }
    await assertUnchanged(info);
    if (motionFrames === 0) {
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
  } finally {
    // Whoever gets control back may delete the file: ffmpeg has let go of it.
    child.stop();
    await child.ended.catch(() => {});
  }

  if (errors > 0) {
    problems.push({
      code: 'decode_errors',
      message: `The decoder reported ${errors} error${errors > 1 ? 's' : ''}; the frames it made up or patched are assessed as they look.`,
      start: Math.min(errorStart, end),
      end,
    });
  }
  const claimed = claimedEnd(info);
  if (claimed !== null && claimed - end > Math.max(0.5, 2 / info.fps, 0.005 * claimed)) {
    problems.push({
      code: 'truncated',
      message: `The file claims ${claimed.toFixed(2)} s; ${end.toFixed(2)} s (${motionFrames} frames) could be decoded.`,
      start: end,
      end: claimed,
    });
  }
  if (sizeChange) {
    const { size, at } = sizeChange as { readonly size: string; readonly at: number };
    problems.push({
      code: 'size_changed',
      message: `The frame size changes from ${firstSize} to ${size}; all frames were scaled as one picture.`,
      start: at,
      end,
    });
  }
  if (clock.missing > 0) {
    problems.push({
      code: 'pts_missing',
      message: `${clock.missing} frames have no time stamp; they were placed by the frame rate.`,
    });
  }
  if (clock.backwards > 0) {
    problems.push({
      code: 'pts_not_monotonic',
      message: `The time stamps of ${clock.backwards} frames do not increase; they were moved behind their predecessors.`,
    });
  }
  const vfr = clock.longest - clock.shortest > Math.max(0.002, 0.25 * clock.shortest);
  if (vfr) {
    problems.push({
      code: 'vfr',
      message: `The frame rate varies: ${(1 / clock.longest).toFixed(2)} to ${(1 / clock.shortest).toFixed(2)} fps. Times are those of the frames.`,
    });
  }
  return { coverage: { start: 0, end, frames: motionFrames }, vfr, problems };
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
