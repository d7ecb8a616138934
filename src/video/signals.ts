import type { Span } from '../assessment/record.ts';
import { capture, locateFfmpeg } from './ffmpeg.ts';
import { inputOptions, inputUrl } from './input.ts';
import type { VideoInfo } from './probe.ts';

/** What is measured on a clip, not learned; see the record. */
export interface Signals {
  readonly frameTypes: string;
  readonly frameBytes: number[];
  readonly sceneCuts: number[];
  readonly freezes: Span[];
  readonly black: Span[];
}

/** A scene changes where luma moves by this much on average (of 255) … */
const cutLeast = 18;
/** … and by this many times more than it did over the frames before. */
const cutRatio = 4;
const cutMemory = 8;
/** Mean change that still counts as none: ffmpeg's freezedetect has the same default (-60 dB of full scale). */
const frozenChange = 0.255;
/** Seconds without change from which on it is a freeze. */
const shortestFreeze = 0.5;
/** As ffmpeg's blackdetect: 98 % of the pixels below 10 % of the range. */
const blackLuma = 0.1 * 255;
const blackShare = 0.98;
const shortestBlack = 0.1;

/** Luma (ITU-R BT.709) of RGB pixels, 0..255. */
export function luma(rgb: Uint8Array): Float32Array {
  const result = new Float32Array(rgb.length / 3);
  for (let i = 0, at = 0; i < result.length; i += 1, at += 3) {
    result[i] = 0.2126 * rgb[at]! + 0.7152 * rgb[at + 1]! + 0.0722 * rgb[at + 2]!;
  }
  return result;
}

/** Collects the signals of a clip window by window; holds two small frames and the findings, whatever its length. */
export class SignalCollector {
  frames = 0;
  readonly #sceneCuts: number[] = [];
  readonly #freezes: Span[] = [];
  readonly #black: Span[] = [];
  readonly #types: string[] = [];
  #previous: Float32Array | undefined;
  #recent: number[] = [];
  #frozenSince: number | undefined;
  #blackSince: number | undefined;
  #end = 0;

  /** @param side Side of the window's motion frames, px. */
  add(
    window: {
      readonly times: Float64Array;
      readonly end: number;
      readonly types: string;
      readonly motion: Uint8Array;
    },
    side: number,
  ): void {
    const bytes = side * side * 3;
    for (const [i, time] of window.times.entries()) {
      const current = luma(window.motion.subarray(i * bytes, (i + 1) * bytes));
      if (this.#previous)
        this.#change(meanChange(this.#previous, current), time, window.times[i - 1] ?? this.#end);
      this.#darkness(current, time);
      this.#previous = current;
    }
    this.#types.push(window.types);
    this.frames += window.times.length;
    this.#end = window.end;
  }

  /** @param frameBytes Coded sizes, from {@link packetSizes}. */
  finish(frameBytes: number[]): Signals {
    this.#close();
    return {
      frameTypes: this.#types.join(''),
      frameBytes,
      sceneCuts: this.#sceneCuts,
      freezes: this.#freezes,
      black: this.#black,
    };
  }

  #change(change: number, time: number, before: number): void {
    const usual = median(this.#recent);
    if (change > cutLeast && change > cutRatio * usual) {
      this.#sceneCuts.push(time);
      this.#recent = [];
    } else {
      this.#recent.push(change);
      if (this.#recent.length > cutMemory) this.#recent.shift();
    }
    if (change <= frozenChange) this.#frozenSince ??= before;
    else if (this.#frozenSince !== undefined) {
      if (time - this.#frozenSince >= shortestFreeze)
        this.#freezes.push({ start: this.#frozenSince, end: time });
      this.#frozenSince = undefined;
    }
  }

  #darkness(frame: Float32Array, time: number): void {
    let dark = 0;
    for (const value of frame) if (value < blackLuma) dark += 1;
    if (dark >= blackShare * frame.length) this.#blackSince ??= time;
    else if (this.#blackSince !== undefined) {
      if (time - this.#blackSince >= shortestBlack) this.#black.push({ start: this.#blackSince, end: time });
      this.#blackSince = undefined;
    }
  }

  #close(): void {
    const end = this.#end;
    if (this.#frozenSince !== undefined && end - this.#frozenSince >= shortestFreeze) {
      this.#freezes.push({ start: this.#frozenSince, end });
    }
    if (this.#blackSince !== undefined && end - this.#blackSince >= shortestBlack) {
      this.#black.push({ start: this.#blackSince, end });
    }
    this.#frozenSince = undefined;
    this.#blackSince = undefined;
  }
}

function meanChange(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += Math.abs(a[i]! - b[i]!);
  return sum / a.length;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/**
 * Coded size of each frame in presentation order, bytes, from one pass over the packets (nothing is decoded). Empty
 * where the container does not let that be read.
 *
 * @throws OmniError `ffmpeg_hung`, `cancelled`.
 */
export async function packetSizes(info: VideoInfo, signal?: AbortSignal): Promise<number[]> {
  const { ffprobe } = await locateFfmpeg();
  const { stdout } = await capture(
    ffprobe,
    [
      ...['-v', 'quiet', ...inputOptions, '-select_streams', String(info.streamIndex)],
      ...['-show_entries', 'packet=pts,dts,size', '-of', 'csv=p=0', '-i', inputUrl(info.path)],
    ],
    { signal, timeout: 600_000 },
  );
  const packets = stdout
    .split('\n')
    .map((line) => line.split(',').map(Number))
    .filter(([, , size]) => Number.isFinite(size));
  // A packet without a presentation time keeps its place in decoding order.
  const timed = packets.every(([pts]) => Number.isFinite(pts));
  if (timed) packets.sort((a, b) => a[0]! - b[0]!);
  return packets.map(([, , size]) => size!);
}
