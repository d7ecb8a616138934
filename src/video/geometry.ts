/**
 * Who shrinks a frame, and how far. The networks are trained on what Pillow's bicubic makes of a whole RGB frame;
 * sending whole frames through a pipe would cost more than decoding them. So ffmpeg shrinks to a size from which
 * {@link Resampler}, which is Pillow's bicubic exactly, goes the last step. Measured against Pillow on whole frames:
 * test/unit/video/frames.test.ts.
 */
import type { FragmentsView, FrameView } from './frames.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Sides below this are finished by us even where ffmpeg shrinks most of the way. */
const smallSide = 128;

/** What ffmpeg sends, as a multiple of a small target; of boxes fewer lines, which are the cheapest to do without. */
const smallMargin = 4;
const boxMargin = 3;

/**
 * The size ffmpeg sends for a target. Growing is left to us, and so is the last step to a small target: there the
 * pixels next to the border, which swscale weights unlike Pillow, are too large a share. Elsewhere ffmpeg does it all.
 */
export function sentSize(source: Size, target: Size): Size {
  const margin = Math.min(target.width, target.height) < smallSide ? smallMargin : 1;
  return {
    width: Math.min(source.width, margin * target.width),
    height: Math.min(source.height, margin * target.height),
  };
}

/**
 * By how much a motion frame is shrunk before it becomes RGB, a whole number. RGB clips what the camera's Y'CbCr can
 * hold beyond it, so that converting after all the shrinking would change saturated areas; converting whole frames of
 * every frame would cost too much.
 */
export function shrinkBeforeRgb(source: Size, sent: Size): number {
  const shrink = Math.sqrt((source.width * source.height) / (sent.width * sent.height));
  return Math.max(1, Math.floor(shrink / 2.5));
}

/**
 * The size to which ffmpeg averages whole boxes of pixels for a small target, before they become RGB; null where the
 * target is not small or the frame not large. The rest is {@link Resampler}'s. Held against Pillow on whole frames, box
 * averages four times as fine as the target across and three times down are 0.15 to 0.25 of 255 off on average, shrinking
 * in two steps 0.1 to 0.15 (the test allows 0.5, and 0.1 % of the values more than 2), for a fifth of the work.
 */
export function boxSize(source: Size, target: Size): Size | null {
  if (Math.min(target.width, target.height) >= smallSide) return null;
  const times = (side: number, margin: number, small: number) => Math.floor(side / (margin * small));
  const across = times(source.width, smallMargin, target.width);
  // Subsampled chroma is not to be enlarged by boxes.
  if (Math.min(across, times(source.height, smallMargin, target.height)) < 2) return null;
  const down = times(source.height, boxMargin, target.height);
  return { width: Math.round(source.width / across), height: Math.round(source.height / down) };
}

/** The canvas that the patches of a fragments view are cut from: at most `area` px, but large enough for them. */
export function canvasSize(source: Size, view: FragmentsView): Size {
  const scale = Math.min(1, Math.sqrt(view.area / (source.width * source.height)));
  const least = Math.floor(view.size / view.cell) * view.cell;
  return {
    width: Math.max(least, Math.floor(source.width * scale + 0.5)),
    height: Math.max(least, Math.floor(source.height * scale + 0.5)),
  };
}

export function targetSize(source: Size, view: FrameView): Size {
  return view.kind === 'squash' ? { width: view.size, height: view.size } : canvasSize(source, view);
}

/**
 * Cuts the centred patch of each cell of a grid over the canvas and lays them out as a square. After Wu et al.,
 * "FAST-VQA" (ECCV 2022), with fixed places.
 *
 * @param canvas u8 [height, width, 3]
 * @param out receives u8 [size, size, 3] from `offset` on
 */
export function cutFragments(
  canvas: Uint8Array,
  size: Size,
  view: FragmentsView,
  out: Uint8Array,
  offset: number,
): void {
  const { from, to } = patchLines(size, view);
  for (const [n, start] of from.entries()) {
    out.set(canvas.subarray(start * 3, (start + view.cell) * 3), offset + to[n]! * 3);
  }
}

/**
 * The same of a canvas in planes, of which only what is cut becomes RGB.
 *
 * @param planes three planes u8 [height, width] one after the other, in the order G, B, R
 */
export function cutFragmentsGbr(
  planes: Uint8Array,
  size: Size,
  view: FragmentsView,
  out: Uint8Array,
  offset: number,
): void {
  const area = size.width * size.height;
  const { from, to } = patchLines(size, view);
  for (let n = 0; n < from.length; n++) {
    const end = from[n]! + view.cell;
    for (let i = from[n]!, at = offset + to[n]! * 3; i < end; i++, at += 3) {
      out[at] = planes[2 * area + i]!;
      out[at + 1] = planes[i]!;
      out[at + 2] = planes[area + i]!;
    }
  }
}

/** At which pixel of the canvas, and of the square, each line of each patch begins. */
function patchLines(
  { width, height }: Size,
  { size, cell }: FragmentsView,
): { from: Int32Array; to: Int32Array } {
  const grid = Math.floor(size / cell);
  const firsts = (side: number) =>
    Array.from({ length: grid }, (_, i) => {
      const start = Math.floor((i * side) / grid);
      return start + Math.floor((Math.floor(((i + 1) * side) / grid) - start - cell) / 2);
    });
  const [lefts, tops] = [firsts(width), firsts(height)];
  const from = new Int32Array(grid * cell * grid);
  const to = new Int32Array(from.length);
  let n = 0;
  for (const [row, top] of tops.entries()) {
    for (let line = 0; line < cell; line++) {
      for (const [column, left] of lefts.entries()) {
        from[n] = (top + line) * width + left;
        to[n++] = (row * cell + line) * size + column * cell;
      }
    }
  }
  return { from, to };
}
