import { PassThrough } from 'node:stream';
import ffmpegCommand from 'fluent-ffmpeg';
import { OmniError, type Problem } from '../protocol/errors.ts';
import {
  cancelledError,
  capture,
  displayCommand,
  failedError,
  hungError,
  locateFfmpeg,
  tail,
} from './ffmpeg.ts';
import { identify, inputOptions, inputUrl } from './input.ts';
import { ByteReader, nextFrame } from './matroska.ts';
import type { VideoInfo } from './probe.ts';

/** One square picture of a key frame; `size` is its side, px. */
export type FrameView =
  | { readonly kind: 'squash'; readonly size: number }
  | { readonly kind: 'fragments'; readonly size: number; readonly cell: number; readonly area: number };

/** What a reader is to deliver. */
export interface FramePlan {
  readonly views: readonly FrameView[];
  /** Side of the motion frames, px. */
  readonly motionSize: number;
  readonly windowSeconds: number;
}

/** A whole number of key-frame periods of consecutive frames; only the last window may be shorter. */
export interface FrameWindow {
  readonly index: number;
  /** Number of the window's first frame in the clip. */
  readonly firstFrame: number;
  /** Presentation time of each frame, s; the clip's first frame is 0. */
  readonly times: Float64Array;
  /** When the last frame ends, s. */
  readonly end: number;
  /** `I`, `P`, `B` or `?` per frame. */
  readonly types: string;
  readonly key: {
    /** Window-relative frame numbers: 0, r, 2r … */
    readonly frames: Int32Array;
    /** RGB [K,V,S,S,3]. */
    readonly pixels: Uint8Array;
  };
  /** RGB [N,M,M,3]. */
  readonly motion: Uint8Array;
}

/** What was decoded in all. */
export interface Coverage {
  readonly start: number;
  readonly end: number;
  readonly frames: number;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (frames: number) => void;
  /** Milliseconds without any output after which ffmpeg counts as hanging; default 60,000. */
  readonly stallTimeout?: number;
}

/**
 * swscale's bicubic with Pillow's kernel (Keys, a = -0.5: `param0` is B, `param1` is C of Mitchell and Netravali),
 * whose support widens when it shrinks, and with chroma interpolated instead of repeated.
 */
const bicubic = 'flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp:param0=0:param1=0.5';

/** Key frames are one per second: every r-th frame, r the average frame rate, rounded, at least 1. */
export const keyFramePeriod = (fps: number): number => Math.max(1, Math.floor(fps + 0.5));

/**
 * Size of the picture that fragments are cut from: the frame shrunk to at most `area` px (never enlarged), but no
 * side shorter than the cells in a row.
 */
export function canvasSize(
  width: number,
  height: number,
  { size, area }: { readonly size: number; readonly area: number },
): { width: number; height: number } {
  const scale = Math.min(1, Math.sqrt(area / (width * height)));
  const side = (length: number) => Math.max(size, Math.floor(length * scale + 0.5));
  return { width: side(width), height: side(height) };
}

/**
 * Decodes a clip once and yields its windows. The next window is only read when it is asked for: ffmpeg waits at the
 * pipe, so at most about one window is held beside the one that was given out.
 *
 * Pixels are what is displayed: rotated, deinterlaced where the clip is interlaced, HDR tone-mapped to BT.709 SDR;
 * the matrix and range that the file is tagged with are used, BT.601 where it has no tag, as ffmpeg does.
 *
 * @returns Coverage and problems: `truncated`, `decode_errors`, `missing_pts`, `hdr_tonemapped` …
 * @throws OmniError `nothing_decoded`, `file_replaced`, `ffmpeg_hung`, `ffmpeg_failed`, `cancelled`.
 */
export async function* readFrames(
  info: VideoInfo,
  plan: FramePlan,
  { signal, onProgress, stallTimeout = 60_000 }: ReadOptions = {},
): AsyncGenerator<FrameWindow, { coverage: Coverage; problems: Problem[] }> {
  if (signal?.aborted) throw cancelledError();
  const { ffmpeg, passthrough } = await locateFfmpeg();
  const before = identify(info.path);
  const problems: Problem[] = [];
  const preparation = await preparationFilters(info, ffmpeg, problems);
  const period = keyFramePeriod(info.fps);
  const { motionSize, views } = plan;
  const motionBytes = motionSize ** 2 * 3;
  const pictures = views.map((view) =>
    view.kind === 'squash'
      ? { view, width: view.size, height: view.size }
      : { view, ...canvasSize(info.width, info.height, view) },
  );

  // Frame n gets the time n ms: the muxer then interleaves the branches frame by frame, whatever the clip's own
  // times are. Those, and the picture types, are printed by showinfo.
  const shared = [...preparation, 'showinfo=checksum=0', 'settb=1/1000', 'setpts=N'].join(',');
  const scaled = (width: number, height: number) => `scale=${width}:${height}:${bicubic},format=rgb24`;
  const graph = [
    `[0:${info.streamIndex}]${shared},split=2[frames][candidates]`,
    `[frames]${scaled(motionSize, motionSize)}[motion]`,
    `[candidates]select='not(mod(n\\,${period}))',split=${pictures.length}${pictures.map((_, i) => `[k${i}]`).join('')}`,
    ...pictures.map(({ width, height }, i) => `[k${i}]${scaled(width, height)}[view${i}]`),
  ];
  const command = ffmpegCommand()
    .setFfmpegPath(ffmpeg)
    .input(inputUrl(info.path))
    .inputOptions(['-hide_banner', '-nostdin', ...inputOptions, '-reinit_filter', '0'])
    .complexFilter(graph)
    .outputOptions([
      '-map',
      '[motion]',
      ...pictures.flatMap((_, i) => ['-map', `[view${i}]`]),
      ...['-c:v', 'rawvideo', ...passthrough, '-max_interleave_delta', '0', '-allow_raw_vfw', '1'],
    ])
    .format('matroska');

  const log = new DecodeLog(info.fps);
  let commandLine = displayCommand(ffmpeg, ['-i', inputUrl(info.path)]);
  let failure: OmniError | undefined;
  let waiting = false;
  let lastSign = Date.now();
  const alive = () => {
    lastSign = Date.now();
  };
  const stop = (error: OmniError) => {
    failure ??= error;
    command.kill('SIGKILL');
    output.destroy();
  };
  const ended = new Promise<void>((resolve) => {
    command
      .on('start', (line: string) => {
        commandLine = line;
      })
      .on('stderr', (line: string) => {
        alive();
        log.line(line);
      })
      .on('error', (error: Error) => {
        log.failed(error.message);
        resolve();
      })
      .on('end', () => resolve());
  });
  const output = new PassThrough({ highWaterMark: 4 * 2 ** 20 });
  output.on('error', () => undefined);
  const abort = () => stop(cancelledError());
  signal?.addEventListener('abort', abort, { once: true });
  const watchdog = setInterval(
    () => {
      // Only while we wait for ffmpeg: it is not its fault when nobody takes its output.
      if (waiting && Date.now() - lastSign > stallTimeout)
        stop(hungError(commandLine, stallTimeout, log.tail));
    },
    Math.min(1000, stallTimeout),
  );
  command.pipe(output, { end: true });

  let frames = 0;
  let end = 0;
  try {
    const reader = new ByteReader(watched(output, alive));
    const perWindow = Math.max(1, Math.round(plan.windowSeconds)) * period;
    const side = Math.max(0, ...views.map(({ size }) => size));
    const viewBytes = side ** 2 * 3;
    const canvases = pictures.map(({ view, width, height }) =>
      view.kind === 'fragments' ? new Uint8Array(width * height * 3) : undefined,
    );
    let window = new OpenWindow(perWindow, period, motionBytes, views.length * viewBytes);
    for (let index = 0, done = false; !done; ) {
      waiting = true;
      const next = await nextFrame(reader);
      if (next === undefined) done = true;
      else if (next.track === 1) {
        if (window.full) {
          waiting = false;
          const finished = await window.finish(index, frames - window.count, log);
          end = finished.end;
          yield finished;
          index += 1;
          window = new OpenWindow(perWindow, period, motionBytes, views.length * viewBytes);
          lastSign = Date.now();
        }
        if (!(await reader.fill(window.nextMotion()))) done = true;
        else {
          window.count += 1;
          frames += 1;
          onProgress?.(frames);
        }
      } else {
        const which = next.track - 2;
        const { view, width, height } = pictures[which]!;
        // A key frame of the next window may be muxed before that window's first motion frame.
        if (window.full && window.complete(views.length)) {
          waiting = false;
          const finished = await window.finish(index, frames - window.count, log);
          end = finished.end;
          yield finished;
          index += 1;
          window = new OpenWindow(perWindow, period, motionBytes, views.length * viewBytes);
          lastSign = Date.now();
        }
        const target = window.nextView(which, viewBytes);
        const canvas = canvases[which];
        if (!(await reader.fill(canvas ?? target))) done = true;
        else {
          if (canvas && view.kind === 'fragments') cutFragments(canvas, width, height, view, target);
          window.views[which]! += 1;
        }
      }
    }
    waiting = false;
    await ended;
    if (failure) throw failure;
    if (frames === 0) {
      throw new OmniError(
        'nothing_decoded',
        `No frame of ${info.path} could be decoded.`,
        'Play the file to see whether it is damaged; if it plays, update ffmpeg.',
        { path: info.path, command: commandLine, stderr: log.tail },
      );
    }
    if (window.count > 0) {
      const index = Math.ceil(frames / perWindow) - 1;
      const finished = await window.finish(index, frames - window.count, log);
      end = finished.end;
      yield finished;
    }
  } catch (error) {
    if (failure) throw failure;
    if (OmniError.is(error)) throw error;
    throw failedError(`Its output ended unexpectedly: ${(error as Error).message}.`, commandLine, log.tail);
  } finally {
    clearInterval(watchdog);
    signal?.removeEventListener('abort', abort);
    command.kill('SIGKILL');
    output.destroy();
  }

  const after = await Promise.resolve()
    .then(() => identify(info.path))
    .catch(() => undefined);
  if (
    !after ||
    after.inode !== before.inode ||
    after.size !== before.size ||
    after.modified !== before.modified
  ) {
    throw new OmniError(
      'file_replaced',
      `${info.path} was ${after ? 'changed' : 'removed'} while it was read.`,
      'Assess it again when it is no longer being written.',
      { path: info.path },
    );
  }
  problems.push(...log.problems(), ...coverageProblems(info, end, frames));
  return { coverage: { start: 0, end, frames }, problems };
}

/** Filters before the frames are shared: what turns decoded frames into displayed ones. */
async function preparationFilters(info: VideoInfo, ffmpeg: string, problems: Problem[]): Promise<string[]> {
  const filters: string[] = [];
  if (info.interlaced) filters.push('bwdif=mode=send_frame:deint=interlaced');
  if (info.hdr) {
    const { stdout } = await capture(ffmpeg, ['-hide_banner', '-filters'], { timeout: 20_000 });
    const name = info.hdr === 'pq' ? 'HDR10 (PQ)' : 'HLG';
    if (/ zscale /.test(stdout) && / tonemap /.test(stdout)) {
      filters.push(
        'zscale=t=linear:npl=100',
        'format=gbrpf32le',
        'zscale=p=bt709',
        'tonemap=hable:desat=0',
        'zscale=t=bt709:m=bt709:r=tv',
        'format=yuv420p',
      );
      problems.push({
        code: 'hdr_tonemapped',
        message: `The clip is ${name}; it was tone-mapped to SDR (BT.709, Hable) and is judged as such.`,
      });
    } else {
      problems.push({
        code: 'hdr_not_tonemapped',
        message: `The clip is ${name}, and this ffmpeg can not tone-map (no zscale): its score means little.`,
      });
    }
  }
  return filters;
}

/** A window that is being filled. */
class OpenWindow {
  count = 0;
  /** Pictures received per view. */
  readonly views: number[];
  readonly #frames: number;
  readonly #period: number;
  readonly #motion: Uint8Array;
  readonly #motionBytes: number;
  readonly #key: Uint8Array;
  readonly #keyBytes: number;

  constructor(frames: number, period: number, motionBytes: number, keyBytes: number) {
    this.#frames = frames;
    this.#period = period;
    this.#motion = new Uint8Array(frames * motionBytes);
    this.#motionBytes = motionBytes;
    this.#key = new Uint8Array((frames / period) * keyBytes);
    this.#keyBytes = keyBytes;
    this.views = Array.from({ length: 16 }, () => 0);
  }

  get full(): boolean {
    return this.count === this.#frames;
  }

  /** Whether all key frames of a full window are there. */
  complete(views: number): boolean {
    return this.views.slice(0, views).every((count) => count === this.#frames / this.#period);
  }

  nextMotion(): Uint8Array {
    return this.#motion.subarray(this.count * this.#motionBytes, (this.count + 1) * this.#motionBytes);
  }

  nextView(which: number, viewBytes: number): Uint8Array {
    const start = this.views[which]! * this.#keyBytes + which * viewBytes;
    return this.#key.subarray(start, start + viewBytes);
  }

  async finish(index: number, firstFrame: number, log: DecodeLog): Promise<FrameWindow> {
    const { times, end, types } = await log.frames(firstFrame, this.count);
    const keyFrames = Math.ceil(this.count / this.#period);
    return {
      index,
      firstFrame,
      times,
      end,
      types,
      key: {
        frames: Int32Array.from({ length: keyFrames }, (_, i) => i * this.#period),
        pixels: this.#key.subarray(0, keyFrames * this.#keyBytes),
      },
      motion: this.#motion.subarray(0, this.count * this.#motionBytes),
    };
  }
}

/**
 * Cuts the centred cell×cell patch out of each of g×g equal rectangles of the canvas and lays them out as one square
 * picture of g·cell px.
 */
export function cutFragments(
  canvas: Uint8Array,
  width: number,
  height: number,
  { size, cell }: { readonly size: number; readonly cell: number },
  target: Uint8Array,
): void {
  const grid = size / cell;
  for (let i = 0; i < grid; i += 1) {
    const [top, bottom] = [Math.floor((i * height) / grid), Math.floor(((i + 1) * height) / grid)];
    const y = top + Math.floor((bottom - top - cell) / 2);
    for (let j = 0; j < grid; j += 1) {
      const [left, right] = [Math.floor((j * width) / grid), Math.floor(((j + 1) * width) / grid)];
      const x = left + Math.floor((right - left - cell) / 2);
      for (let row = 0; row < cell; row += 1) {
        const from = ((y + row) * width + x) * 3;
        target.set(canvas.subarray(from, from + cell * 3), ((i * cell + row) * size + j * cell) * 3);
      }
    }
  }
}

/** What ffmpeg prints while it decodes: the times and types of frames (showinfo), and errors. */
class DecodeLog {
  readonly #step: number;
  readonly #times: number[] = [];
  #types = '';
  /** Frames whose entries were handed out and forgotten. */
  #dropped = 0;
  #timeBase = 0;
  #first: number | undefined;
  #missing = 0;
  #backwards = 0;
  #errors = 0;
  #tail = '';
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(fps: number) {
    this.#step = 1 / fps;
  }

  get tail(): string {
    return this.#tail;
  }

  line(line: string): void {
    if (line.includes('showinfo')) {
      const base = /config in time_base: (\d+)\/(\d+)/.exec(line);
      if (base) this.#timeBase = Number(base[1]) / Number(base[2]);
      const frame = /\] n: *\d+ pts: *(\S+) .*?\btype:(.)/.exec(line);
      if (frame) this.#frame(frame[1]!, frame[2]!);
      return;
    }
    this.#tail = tail(`${this.#tail}${line}\n`);
    if (
      /error while decoding|Invalid NAL|corrupt|Error submitting|concealing|Invalid data found|error decoding|decode_slice|bytestream|non-existing (PPS|SPS)/i.test(
        line,
      )
    ) {
      this.#errors += 1;
    }
  }

  #frame(pts: string, type: string): void {
    const previous = this.#times.at(-1);
    let time = Number(pts) * this.#timeBase;
    if (!Number.isFinite(time)) {
      this.#missing += 1;
      time = (previous ?? -this.#step) + this.#step + (this.#first ?? 0);
    }
    this.#first ??= time;
    time -= this.#first;
    if (previous !== undefined && time <= previous) {
      this.#backwards += 1;
      time = previous + this.#step;
    }
    this.#times.push(time);
    this.#types += 'IPB'.includes(type) ? type : '?';
    this.#wake?.();
  }

  failed(message: string): void {
    this.#tail = tail(`${this.#tail}${message}\n`);
    this.#ended = true;
    this.#wake?.();
  }

  /** Times and types of `count` frames from `first` on, in order, each handed out once. */
  async frames(first: number, count: number): Promise<{ times: Float64Array; end: number; types: string }> {
    const from = first - this.#dropped;
    // stderr may arrive a little after the pixels; when the program is gone, what is missing is made up.
    while (this.#times.length < from + count && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setImmediate(resolve);
      });
    }
    while (this.#times.length < from + count) this.#frame('NOPTS', '?');
    const times = Float64Array.from(this.#times.slice(from, from + count));
    const types = this.#types.slice(from, from + count);
    const last = times[count - 1]!;
    const mean = count > 1 ? (last - times[0]!) / (count - 1) : this.#step;
    const end = this.#times[from + count] ?? last + mean;
    // The last one stays: the next frame's time is compared with it.
    const used = from + count - 1;
    this.#times.splice(0, used);
    this.#types = this.#types.slice(used);
    this.#dropped += used;
    return { times, end, types };
  }

  problems(): Problem[] {
    const problems: Problem[] = [];
    if (this.#missing > 0) {
      problems.push({
        code: 'missing_pts',
        message: `${this.#missing} frames have no presentation time; it was derived from the frame rate.`,
      });
    }
    if (this.#backwards > 0) {
      problems.push({
        code: 'unordered_pts',
        message: `${this.#backwards} frames have a presentation time not after the one before; it was moved.`,
      });
    }
    if (this.#errors > 0) {
      problems.push({
        code: 'decode_errors',
        message: `ffmpeg reported ${this.#errors} decoding errors: parts of the picture may be concealed or missing.`,
      });
    }
    return problems;
  }
}

/** Compares what was decoded with what the container claims: ffmpeg ends well on a file that was cut off. */
function coverageProblems(info: VideoInfo, end: number, frames: number): Problem[] {
  const claimed = info.duration ?? (info.frames === null ? null : info.frames / info.fps);
  if (claimed === null) return [];
  const byFrames = info.frames === null ? 0 : (info.frames - frames) / info.fps;
  const missing = Math.max(info.duration === null ? 0 : claimed - end, byFrames);
  // A container's duration includes audio and rounding: half a second or 2 % is not a cut.
  if (missing <= Math.max(0.5, 0.02 * claimed)) return [];
  return [
    {
      code: 'truncated',
      message: `The container claims ${claimed.toFixed(2)} s, ${end.toFixed(2)} s could be decoded: the file is cut off or damaged.`,
      start: end,
      end: Math.max(end, claimed),
    },
  ];
}

async function* watched(stream: PassThrough, onData: () => void): AsyncGenerator<Buffer> {
  for await (const chunk of stream) {
    onData();
    yield chunk as Buffer;
  }
}
