/** What the viewer reckons: which frame, where on the canvas, how the pixels differ. No DOM. */
import type { ComparedEncode } from '../../src/protocol/comparison_view.ts';
import { type WindowDifference, windowDifferences, worstOf } from './plot.ts';

export type Mode = 'side' | 'wipe' | 'difference';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A part of the canvas, in its pixels. */
export interface Pane extends Size {
  readonly x: number;
  readonly y: number;
}

/** How a picture lies in a pane: canvas pixels for each of its own, and which of its points is in the middle. */
export interface Placing {
  readonly zoom: number;
  readonly x: number;
  readonly y: number;
}

/** The frame that is nearest to a time. `times` rise and are not empty. */
export function frameAt(times: readonly number[], time: number): number {
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]! < time) low = middle + 1;
    else high = middle;
  }
  return low > 0 && time - times[low - 1]! < times[low]! - time ? low - 1 : low;
}

/** How long a frame is shown at least, s: up to the nearer of its neighbours. */
export function frameLength(times: readonly number[], frame: number): number {
  const [before, own, after] = [times[frame - 1], times[frame] ?? 0, times[frame + 1]];
  const lengths = [
    before === undefined ? Infinity : own - before,
    after === undefined ? Infinity : after - own,
  ];
  const least = Math.min(...lengths);
  return Number.isFinite(least) && least > 0 ? least : 0.04;
}

/** Pixels of the pictures of one clip that are asked for at once, and how many pictures that may be at most. */
const mostPixels = 17e6;
const mostAhead = 8;

/**
 * The frame to ask for, and those that are asked for with it: who steps from one frame to the next will go on, and to
 * decode one frame takes as long as to decode several.
 *
 * @param count of the source's frames
 * @param previous frame that was asked for
 */
export function aheadOf(
  frame: number,
  previous: number,
  count: number,
  { width, height }: Size,
): readonly [number, ...number[]] {
  const step = frame - previous;
  if (Math.abs(step) !== 1) return [frame];
  const few = Math.max(1, Math.min(mostAhead, Math.floor(mostPixels / (width * height))));
  const room = step > 0 ? count - frame : frame + 1;
  const others = Array.from({ length: Math.min(few, room) - 1 }, (_, at) => frame + step * (at + 1));
  return [frame, ...others];
}

/** Whether a picture is not of the source's frame: its time is more than half a frame away. */
export const isOther = (times: readonly number[], frame: number, shown: number): boolean =>
  Math.abs(shown - (times[frame] ?? 0)) > frameLength(times, frame) / 2;

/** Where two encodes differ most; null where they have no time in common. The first of equals. */
export function largestDifference(first: ComparedEncode, second: ComparedEncode): WindowDifference | null {
  return windowDifferences(first, second).reduce<WindowDifference | null>(
    (most, one) => (most === null || Math.abs(one.difference) > Math.abs(most.difference) ? one : most),
    null,
  );
}

/** The window to look at first: where two encodes differ most, or where one is worst beside its source (null). */
export function telling(
  first: ComparedEncode | null,
  second: ComparedEncode | null,
): { readonly start: number; readonly end: number } | null {
  if (first && second && first !== second) return largestDifference(first, second);
  const one = first ?? second;
  return one && worstOf(one);
}

/** Between the two pictures that lie side by side, or one above the other where there is no room. */
const gap = 2;
const narrow = 520;

/** Height of the stage, CSS pixels, for pictures of an aspect. */
export function stageHeight(mode: Mode, width: number, aspect: number, most: number): number {
  if (mode !== 'side') return Math.max(80, Math.min(most, width / aspect));
  const stacked = width < narrow;
  const each = Math.max(60, Math.min(stacked ? most / 2 : most, (stacked ? width : width / 2) / aspect));
  return stacked ? 2 * each + gap : each;
}

/** Where the pictures lie on a canvas of a size; `ratio` canvas pixels are one CSS pixel. */
export function panesOf(mode: Mode, { width, height }: Size, ratio: number): readonly Pane[] {
  if (mode !== 'side') return [{ x: 0, y: 0, width, height }];
  const between = Math.round(gap * ratio);
  if (width < narrow * ratio) {
    const each = Math.floor((height - between) / 2);
    return [
      { x: 0, y: 0, width, height: each },
      { x: 0, y: each + between, width, height: each },
    ];
  }
  const each = Math.floor((width - between) / 2);
  return [
    { x: 0, y: 0, width: each, height },
    { x: each + between, y: 0, width: each, height },
  ];
}

/** The zoom at which a picture is whole in a pane. */
export const fitting = (picture: Size, pane: Size): number =>
  Math.min(pane.width / picture.width, pane.height / picture.height);

/** Whole numbers from 1 on, so that all pixels of a picture are equally large. */
const zooms = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32] as const;

/** The next zoom in or out; out ends at `fit`, or at 1 where a small picture's is larger. */
export function nextZoom(zoom: number, direction: 1 | -1, fit: number): number {
  const least = Math.min(fit, 1);
  if (direction > 0) return zooms.find((one) => one > zoom * 1.001) ?? zooms.at(-1)!;
  return Math.max(least, zooms.findLast((one) => one < zoom * 0.999) ?? least);
}

/** The placing with no more empty room around the picture than must be. */
export function held({ zoom, x, y }: Placing, picture: Size, pane: Size): Placing {
  const along = (at: number, length: number, room: number) => {
    const half = room / zoom / 2;
    return 2 * half >= length ? length / 2 : Math.min(length - half, Math.max(half, at));
  };
  return { zoom, x: along(x, picture.width, pane.width), y: along(y, picture.height, pane.height) };
}

/** Another zoom, with the point of the picture that lies at `at` (from the middle of the pane) staying there. */
export function zoomedAt(
  placing: Placing,
  zoom: number,
  at: { readonly x: number; readonly y: number },
): Placing {
  const by = 1 / placing.zoom - 1 / zoom;
  return { zoom, x: placing.x + at.x * by, y: placing.y + at.y * by };
}

/** Left upper corner of a placed picture on the canvas, on whole pixels, so that none is torn. */
export const cornerOf = (
  { zoom, x, y }: Placing,
  pane: Pane,
): { readonly x: number; readonly y: number } => ({
  x: Math.round(pane.x + pane.width / 2 - x * zoom),
  y: Math.round(pane.y + pane.height / 2 - y * zoom),
});

export interface PixelDifference {
  /** Mean over all channels, 0 to 255. */
  readonly mean: number;
  /** Of one channel, 0 to 255, and the first pixel that has it. */
  readonly largest: number;
  readonly x: number;
  readonly y: number;
}

/**
 * The absolute difference of two pictures, channel by channel.
 *
 * @param a RGBA of `width` pixels a line; `b` likewise, as large
 * @param gain what the differences are multiplied by in `out`, RGBA too
 */
export function differenceOf(
  a: Uint8ClampedArray,
  b: Uint8ClampedArray,
  width: number,
  gain: number,
  out: Uint8ClampedArray,
): PixelDifference {
  let [sum, largest, place] = [0, 0, 0];
  for (let at = 0; at < a.length; at += 4) {
    for (let channel = at; channel < at + 3; channel += 1) {
      const difference = Math.abs(a[channel]! - b[channel]!);
      out[channel] = difference * gain;
      sum += difference;
      if (difference > largest) {
        largest = difference;
        place = at / 4;
      }
    }
    out[at + 3] = 255;
  }
  return {
    mean: a.length > 0 ? sum / ((a.length / 4) * 3) : 0,
    largest,
    x: place % width,
    y: Math.floor(place / width),
  };
}

/** "1.240 s" */
export const secondsText = (time: number): string => `${Math.max(0, time).toFixed(3)} s`;

/** "200 %" of a canvas's pixels. */
export const zoomText = (zoom: number): string => `${Math.round(zoom * 100)} %`;

/** What there is to say of a picture that is not of the source's frame. */
export function otherText(name: string, wanted: number, shown: number): string {
  const apart = Math.round(Math.abs(shown - wanted) * 1000);
  const which = shown > wanted ? 'later' : 'earlier';
  return `${name} has no frame at ${secondsText(wanted)}: it shows that of ${secondsText(shown)}, ${apart} ms ${which}.`;
}
