/**
 * What is measured on a clip, not learned: picture types, coded sizes, scene cuts, freezes, black. Types come from the
 * decode, sizes from one pass over the packets, the rest from the motion frames, each window by itself.
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
/** … and over this share of the picture, by at least this much: a fault in a quarter of it is no new scene. */
const cutShare = 0.4;
const cutSpot = 8;
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

/** Luma of u8 [side, side, 3] RGB, 0 to 255 (ITU-R BT.709 weights), in whole steps as freezedetect sees it. */
function lumaOf(rgb: Uint8Array): Uint8Array {
  const luma = new Uint8Array(rgb.length / 3);
  for (let i = 0, at = 0; i < luma.length; i++, at += 3) {
    // A byte cuts off what is behind the point: with the half this rounds.
    luma[i] = 0.2126 * rgb[at]! + 0.7152 * rgb[at + 1]! + 0.0722 * rgb[at + 2]! + 0.5;
  }
  return luma;
}

/** How a picture differs from another: on average, at the spot where it differs most, and over how much of it. */
interface Change {
  readonly mean: number;
  readonly most: number;
  readonly share: number;
}

function changeBetween(a: Uint8Array, b: Uint8Array): Change {
  let [sum, most, spots] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const one = Math.abs(a[i]! - b[i]!);
    sum += one;
    if (one > most) most = one;
    if (one >= cutSpot) spots++;
  }
  return { mean: sum / a.length, most, share: spots / a.length };
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

/**
 * What the signals need of one window. Windows are measured one by one, in any order; plain JSON of some tens of
 * bytes a frame, so that it can be kept in a journal.
 */
export interface WindowSignals {
  readonly frames: number;
  readonly end: number;
  readonly types: string;
  /** Times of the frames: float64, little-endian, base64. */
  readonly times: string;
  /** Mean change of luma to the frame before, 0 for the first: float32, little-endian, base64. */
  readonly changes: string;
  /** Per frame: {@link still}, {@link dark} and {@link local}, base64. */
  readonly flags: string;
  /** Luma of the first and the last frame, base64: what the neighbours' frames are compared with. */
  readonly first: string;
  readonly last: string;
  /** Pairs of frames with a strong change, of which the second brings back the picture before the first. */
  readonly returns: readonly (readonly [number, number])[];
}

/** No spot of the picture differs from the frame before. */
const still = 1;
/** The frame is black. */
const dark = 2;
/** Only a part of the picture differs from the frame before. */
const local = 4;

const toBase64 = ({ buffer, byteOffset, byteLength }: Uint8Array | Float32Array | Float64Array) =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');

/** The bytes in a buffer of their own, which starts where every type of number may start. */
const fromBase64 = (text: string) => Uint8Array.from(Buffer.from(text, 'base64'));

const isStill = ({ mean, most }: Change) => mean <= frozenMean && most <= frozenMost;

/** @param side Side of the window's motion frames. */
export function measureWindow(
  window: Pick<FrameWindow, 'times' | 'end' | 'types' | 'motion'>,
  side: number,
): WindowSignals {
  const count = window.times.length;
  const bytes = side * side * 3;
  const lumas = Array.from({ length: count }, (_, i) =>
    lumaOf(window.motion.subarray(i * bytes, (i + 1) * bytes)),
  );
  const changes = new Float32Array(count);
  const flags = new Uint8Array(count);
  const strong: number[] = [];
  const returns: [number, number][] = [];
  for (const [i, luma] of lumas.entries()) {
    let black = 0;
    for (let at = 0; at < luma.length; at++) if (luma[at]! <= blackLuma) black++;
    if (black >= blackShare * luma.length) flags[i]! |= dark;
    if (i === 0) continue;
    const change = changeBetween(lumas[i - 1]!, luma);
    changes[i] = change.mean;
    if (isStill(change)) flags[i]! |= still;
    if (change.share < cutShare) flags[i]! |= local;
    if (change.mean < cutLeast) continue;
    for (const cut of strong) {
      if (window.times[i]! - window.times[cut]! > flashLongest) continue;
      if (changeBetween(lumas[cut - 1]!, luma).mean < cutLeast / 2) returns.push([cut, i]);
    }
    strong.push(i);
  }
  return {
    frames: count,
    end: window.end,
    types: window.types,
    times: toBase64(window.times),
    changes: toBase64(changes),
    flags: toBase64(flags),
    first: toBase64(lumas[0] ?? new Uint8Array()),
    last: toBase64(lumas.at(-1) ?? new Uint8Array()),
    returns,
  };
}

/** A measured window and where it lies in the clip. */
export interface MeasuredWindow {
  readonly signals: WindowSignals;
  /** Index of its first frame. */
  readonly firstFrame: number;
}

/**
 * The signals of those windows of a clip that are there, in order; nothing is said about what lies between two that
 * are not neighbours. Where a window begins makes no difference, but that a flash over its edge counts as two cuts.
 *
 * @param packets From {@link packetSizes}; empty where they could not be read, or are not known yet.
 */
export function signalsOf(windows: readonly MeasuredWindow[], packets: readonly Packet[]): Signals {
  const cuts: number[] = [];
  const freezes = new Lasting(freezeShortest);
  const black = new Lasting(blackShortest);
  const times: number[] = [];
  const recent: number[] = [];
  let before: { readonly next: number; readonly end: number; readonly last: Uint8Array } | null = null;
  for (const { signals: window, firstFrame } of windows) {
    const own = new Float64Array(fromBase64(window.times).buffer);
    const changes = new Float32Array(fromBase64(window.changes).buffer);
    const flags = fromBase64(window.flags);
    const returns = new Map<number, number[]>();
    for (const [cut, back] of window.returns) returns.set(back, [...(returns.get(back) ?? []), cut]);
    if (before && before.next !== firstFrame) {
      freezes.ends(before.end);
      black.ends(before.end);
      recent.length = 0;
      before = null;
    }
    /** The frame of this window where the last cut is, if it may still prove to be a flash. */
    let lastCut: number | null = null;
    for (const [i, time] of own.entries()) {
      let mean: number | null = changes[i]!;
      let unmoved = (flags[i]! & still) !== 0;
      let partly = (flags[i]! & local) !== 0;
      if (i === 0) {
        const change = before ? changeBetween(before.last, fromBase64(window.first)) : null;
        mean = change?.mean ?? null;
        unmoved = change !== null && isStill(change);
        partly = change !== null && change.share < cutShare;
      }
      if (mean !== null) {
        let remember = true;
        const strong = mean >= cutLeast && !partly && recent.length > 0;
        if (strong && mean >= cutRatio * median(recent)) {
          if (lastCut !== null && returns.get(i)?.includes(lastCut)) {
            cuts.pop();
            lastCut = null;
          } else {
            cuts.push(time);
            // What was there before the first frame belongs to another window: not compared with.
            lastCut = i === 0 ? null : i;
            remember = false;
          }
        }
        if (remember) {
          recent.push(mean);
          if (recent.length > cutMemory) recent.shift();
        }
        if (unmoved) freezes.holds(times.at(-1)!);
        else freezes.ends(time);
      }
      if ((flags[i]! & dark) !== 0) black.holds(time);
      else black.ends(time);
      times.push(time);
    }
    before = { next: firstFrame + window.frames, end: window.end, last: fromBase64(window.last) };
  }
  if (before) {
    freezes.ends(before.end);
    black.ends(before.end);
  }
  return {
    frameTypes: windows.map(({ signals }) => signals.types).join(''),
    frameBytes:
      packets.length === times.length ? frameBytes(times, packets) : bytesByRun(windows, times, packets),
    sceneCuts: cuts,
    freezes: freezes.spans,
    black: black.spans,
  };
}

const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** The bytes of the frames of each run of neighbouring windows, from the packets that are shown during it. */
function bytesByRun(
  windows: readonly MeasuredWindow[],
  times: readonly number[],
  packets: readonly Packet[],
): number[] {
  if (packets.length === 0) return [];
  const runs: { firstFrame: number; frames: number; end: number }[] = [];
  for (const { firstFrame, signals } of windows) {
    const run = runs.at(-1);
    if (run && run.firstFrame + run.frames === firstFrame) {
      run.frames += signals.frames;
      run.end = signals.end;
    } else runs.push({ firstFrame, frames: signals.frames, end: signals.end });
  }
  const timed = packets.every(({ time }) => time !== null);
  const ordered = timed ? [...packets].sort((a, b) => a.time! - b.time!) : packets;
  const origin = ordered[0]!.time ?? 0;
  let at = 0;
  let next = 0;
  return runs.flatMap(({ firstFrame, frames, end }) => {
    const own = times.slice(at, at + frames);
    at += frames;
    const start = own[0]!;
    const slack = (0.5 * (end - start)) / frames;
    if (timed) while (next < ordered.length && ordered[next]!.time! - origin < start - slack) next++;
    const from = timed ? next : firstFrame;
    if (timed) while (next < ordered.length && ordered[next]!.time! - origin < end - slack) next++;
    const shown = ordered.slice(from, timed ? next : firstFrame + frames);
    if (shown.length === 0) return own.map(() => 0);
    return frameBytes(
      own.map((time) => time - start),
      shown,
    );
  });
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
