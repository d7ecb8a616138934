/**
 * What is measured on a clip, not learned: picture types, coded sizes, scene cuts, freezes, black. Types come from the
 * decode, sizes from one pass over the packets, the rest from the motion frames, window by window in constant memory
 * but for the lists themselves.
 */
import type { Span } from '../assessment/record.ts';
import { inputUrl, locateFfmpeg, Supervised } from './ffmpeg.ts';
import { inputLimits } from './formats.ts';
import type { FrameWindow } from './frames.ts';
import type { VideoInfo } from './probe.ts';

export interface Signals {
  /** `I`, `P`, `B` or `?` per frame. */
  readonly frameTypes: string;
  /** Coded size of each frame, bytes; empty where the packets could not be read. */
  readonly frameBytes: number[];
  /** Seconds: the first frame of each new scene. */
  readonly sceneCuts: number[];
  readonly freezes: Span[];
  readonly black: Span[];
}

/** A new scene: luma changes by this much on average (of 255) … */
const cutLeast = 18;
/** … and by this many times more than its median over the frames before. */
const cutRatio = 4;
const cutMemory = 8;
/** A change back to the old scene within this many seconds is a flash, not two cuts. */
const flashLongest = 0.3;
/** No change: luma's mean as in ffmpeg's freezedetect (0.001 of full scale), and no spot of the picture moves. */
const frozenMean = 0.255;
const frozenMost = 2.5;
/** Seconds without change from which on it is a freeze. */
const freezeShortest = 0.5;
/** As ffmpeg's blackdetect: 98 % of the pixels at 10 % of full scale or less; reported from 0.1 s on. */
const blackLuma = 25.5;
const blackShare = 0.98;
const blackShortest = 0.1;

/** Luma of u8 [side, side, 3] RGB, 0 to 255 (ITU-R BT.709 weights). */
function lumaOf(rgb: Uint8Array, out: Float32Array): void {
  for (let i = 0, at = 0; i < out.length; i++, at += 3) {
    out[i] = 0.2126 * rgb[at]! + 0.7152 * rgb[at + 1]! + 0.0722 * rgb[at + 2]!;
  }
}

function meanChange(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i]! - b[i]!);
  return sum / a.length;
}

function largestChange(a: Float32Array, b: Float32Array): number {
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!));
  return most;
}

/** Spans during which something lasted, kept where they are long enough. */
class Lasting {
  readonly spans: Span[] = [];
  #since: number | null = null;

  constructor(readonly shortest: number) {}

  /** It holds from `since` on, if it did not hold before. */
  holds(since: number): void {
    this.#since ??= since;
  }

  ends(at: number): void {
    if (this.#since !== null && at - this.#since >= this.shortest - 1e-6) {
      this.spans.push({ start: this.#since, end: at });
    }
    this.#since = null;
  }
}

/** Collects the signals of a clip from its windows, in order. */
export class SignalCollector {
  /** Frames so far. */
  frames = 0;
  readonly #types: string[] = [];
  readonly #times: number[] = [];
  readonly #cuts: number[] = [];
  readonly #freezes = new Lasting(freezeShortest);
  readonly #black = new Lasting(blackShortest);
  readonly #recent: number[] = [];
  #previous: Float32Array | null = null;
  /** Where the last cut may have been a flash: the picture before it. */
  #beforeCut: { readonly luma: Float32Array; readonly at: number } | null = null;
  #end = 0;

  /** @param side Side of the window's motion frames. */
  add(window: Pick<FrameWindow, 'times' | 'end' | 'types' | 'motion'>, side: number): void {
    const bytes = side * side * 3;
    for (let i = 0; i < window.times.length; i++) {
      const time = window.times[i]!;
      const current = new Float32Array(side * side);
      lumaOf(window.motion.subarray(i * bytes, (i + 1) * bytes), current);
      const previous = this.#previous;
      if (previous) {
        const mean = meanChange(previous, current);
        this.#cut(mean, time, previous, current);
        const frozen = mean <= frozenMean && largestChange(previous, current) <= frozenMost;
        if (frozen) this.#freezes.holds(this.#times.at(-1)!);
        else this.#freezes.ends(time);
      }
      let dark = 0;
      for (const luma of current) if (luma <= blackLuma) dark++;
      if (dark >= blackShare * current.length) this.#black.holds(time);
      else this.#black.ends(time);
      this.#previous = current;
      this.#times.push(time);
    }
    this.#types.push(window.types);
    this.frames += window.times.length;
    this.#end = window.end;
  }

  /** @param packets From {@link packetSizes}; empty where they could not be read. */
  finish(packets: readonly Packet[]): Signals {
    this.#freezes.ends(this.#end);
    this.#black.ends(this.#end);
    return {
      frameTypes: this.#types.join(''),
      frameBytes: frameBytes(this.#times, packets),
      sceneCuts: this.#cuts,
      freezes: this.#freezes.spans,
      black: this.#black.spans,
    };
  }

  #cut(change: number, time: number, previous: Float32Array, current: Float32Array): void {
    const usual = [...this.#recent].sort((a, b) => a - b)[Math.floor(this.#recent.length / 2)];
    const before = this.#beforeCut;
    if (usual === undefined || change < cutLeast || change < cutRatio * usual) this.#remember(change);
    else if (before && time - before.at <= flashLongest && meanChange(before.luma, current) < cutLeast / 2) {
      this.#cuts.pop();
      this.#beforeCut = null;
      this.#remember(change);
    } else {
      this.#cuts.push(time);
      this.#beforeCut = { luma: previous, at: time };
    }
  }

  #remember(change: number): void {
    this.#recent.push(change);
    if (this.#recent.length > cutMemory) this.#recent.shift();
  }
}

/** A packet of the video stream that is shown. */
export interface Packet {
  /** Presentation time on the file's clock, seconds; null where the container does not say. */
  readonly time: number | null;
  readonly bytes: number;
}

/**
 * The packets of a video in decoding order, from one pass over the file without decoding. Packets that an edit list
 * takes out of the presentation are left out.
 *
 * @throws OmniError `ffmpeg_hung`, `ffmpeg_missing`, `cancelled`
 */
export async function packetSizes(info: VideoInfo, signal?: AbortSignal): Promise<Packet[]> {
  const { ffprobe } = await locateFfmpeg();
  const args = [
    '-hide_banner',
    '-v',
    'error',
    ...inputLimits.flat(),
    '-select_streams',
    String(info.streamIndex),
  ];
  args.push('-show_entries', 'packet=pts_time,size,flags', '-of', 'compact=p=0', '-i', inputUrl(info.path));
  const child = new Supervised(ffprobe, args, { signal, stallTimeout: 60_000 });
  const packets: Packet[] = [];
  let rest = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const size = /(?:^|\|)size=(\d+)/.exec(line)?.[1];
      // The second place of the flags is D for a packet that is decoded and then thrown away.
      if (size === undefined || /(?:^|\|)flags=.D/.test(line)) continue;
      const time = /(?:^|\|)pts_time=(-?[\d.]+)/.exec(line)?.[1];
      packets.push({ time: time === undefined ? null : Number(time), bytes: Number(size) });
    }
  });
  await child.ended;
  return packets;
}

/**
 * Gives each frame the bytes of its packets. With as many packets as frames they pair up in order of presentation;
 * otherwise (fields in packets of their own, frames that could not be decoded) a packet belongs to the frame that is
 * nearest in time, both clocks starting at 0. Without time stamps packets pair up in the order they come.
 *
 * @param times of the frames, seconds, increasing
 */
export function frameBytes(times: readonly number[], packets: readonly Packet[]): number[] {
  if (packets.length === 0 || times.length === 0) return [];
  const timed = packets.every(({ time }) => time !== null);
  const ordered = timed ? [...packets].sort((a, b) => a.time! - b.time!) : packets;
  if (!timed || ordered.length === times.length) {
    return times.map((_, i) => ordered[i]?.bytes ?? 0);
  }
  const bytes = new Array<number>(times.length).fill(0);
  const start = ordered[0]!.time!;
  let frame = 0;
  for (const packet of ordered) {
    const time = packet.time! - start;
    while (frame + 1 < times.length && Math.abs(times[frame + 1]! - time) <= Math.abs(times[frame]! - time))
      frame++;
    bytes[frame]! += packet.bytes;
  }
  return bytes;
}
