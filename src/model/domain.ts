/**
 * Whether pictures are unlike the footage that a model was trained on, as far as that can be known without learning it:
 * drawn ones (screens, text, test cards) and noise alone. Limits and what they take for what:
 * `training/omnivqa/nano/domain.py`, which measures the same, and training/REPORT.md.
 */
import type { Span } from '../assessment/record.ts';
import type { Problem } from '../protocol/errors.ts';
import type { ModelConfig, View } from './checkpoint/config.ts';

/** Of one key frame. */
export interface Look {
  /** Share of neighbouring pixels that are at most 1 of 255 apart in every channel. */
  readonly even: number;
  /** Share of equal ones among neighbours that are not clipped both; 0 where too few are not. */
  readonly equal: number;
  /** Of the steps of luma between neighbours that can be seen, the share that is as steep as those of letters. */
  readonly letters: number;
  /** Correlation of luma with luma a 96th of the picture away, -1 to 1: the larger of across and down. */
  readonly related: number;
  /** Standard deviation of luma, of 255. */
  readonly contrast: number;
}

export type Unlike = 'drawn' | 'noise';

const luma = [0.2126, 0.7152, 0.0722] as const;
/** Steps of luma that can be seen, and those that are as steep as the edge of a letter. */
const [seenStep, steepStep] = [3, 40];
/** Beyond these every channel counts as clipped: a white sky and a black bar are equal pixels of every camera. */
const [black, white] = [16, 245];
const unclippedLeast = 0.3;
const limits = { even: 0.5, letters: 0.36, equal: 0.88, related: 0.1, contrast: 8, colourful: 24 } as const;

/**
 * Measures a key frame.
 *
 * @param whole u8 [size, size, 3] RGB: the squashed frame
 * @param fragments u8 [size, size, 3] RGB: patches of `cell` px a side that keep the frame's pixels
 */
export function lookAt(whole: Uint8Array, fragments: Uint8Array, size: number, cell: number): Look {
  const { even, equal, letters } = neighbours(fragments, size, cell);
  const values = new Float64Array(size * size);
  let [sum, squares] = [0, 0];
  for (let i = 0, at = 0; i < values.length; i++, at += 3) {
    const light = lumaAt(whole, at);
    values[i] = light;
    sum += light;
    squares += light * light;
  }
  const mean = sum / values.length;
  const lag = Math.max(1, Math.floor(size / 96));
  return {
    even,
    equal,
    letters,
    related: Math.max(correlation(values, size, lag, 0), correlation(values, size, 0, lag)),
    contrast: Math.sqrt(Math.max(0, squares / values.length - mean * mean)),
  };
}

/** What a key frame is taken for that is no footage; null for footage, and where there is hardly anything to see. */
export function unlikeFootage({ even, equal, letters, related, contrast }: Look): Unlike | null {
  if (contrast < limits.contrast) return null;
  if (even >= limits.even && letters >= limits.letters) return 'drawn';
  // A dark picture that was coded badly is as even as colour bars, but not as colourful.
  if (equal >= limits.equal && contrast >= limits.colourful) return 'drawn';
  return related <= limits.related && even < limits.even ? 'noise' : null;
}

/** Key frames of a window that are looked at, evenly spread: each costs some milliseconds. */
const looks = 4;

/**
 * What at least half of a window's key frames are taken for that is no footage.
 *
 * @param pixels u8 [frames, views, size, size, 3] RGB
 * @returns null for footage, and where the model does not see both the whole frame and fragments of it.
 */
export function unlikeTraining(pixels: Uint8Array, views: readonly View[], size: number): Unlike | null {
  const whole = views.findIndex(({ kind }) => kind === 'squash');
  const parts = views.findIndex(({ kind }) => kind === 'fragments');
  const fragments = views[parts];
  if (whole < 0 || fragments?.kind !== 'fragments') return null;
  const bytes = size * size * 3;
  const frames = pixels.length / (views.length * bytes);
  const view = (frame: number, index: number) => {
    const from = (frame * views.length + index) * bytes;
    return pixels.subarray(from, from + bytes);
  };
  const counts = { drawn: 0, noise: 0 };
  const looked = Math.min(looks, frames);
  for (let i = 0; i < looked; i++) {
    if (2 * (Math.max(counts.drawn, counts.noise) + looked - i) < looked) return null;
    const frame = Math.floor((i * frames) / looked);
    const unlike = unlikeFootage(lookAt(view(frame, whole), view(frame, parts), size, fragments.cell));
    if (unlike) counts[unlike]++;
  }
  const likelier = counts.drawn >= counts.noise ? 'drawn' : 'noise';
  return counts[likelier] > 0 && 2 * counts[likelier] >= looked ? likelier : null;
}

const footageOnly =
  'The model was trained almost only on camera footage: its score and findings may be wrong here.';

/** What is said of a window whose pictures are unlike those that the model was trained on. */
export function unlikeProblems(
  pixels: Uint8Array,
  { views, imageSize }: Pick<ModelConfig['vision'], 'views' | 'imageSize'>,
  { start, end }: Span,
): Problem[] {
  const unlike = unlikeTraining(pixels, views, imageSize);
  if (!unlike) return [];
  const seen =
    unlike === 'drawn'
      ? 'Most pictures are drawn, not filmed: a screen, text or a test card.'
      : 'Most pictures show nothing but noise.';
  return [{ code: `out_of_domain_${unlike}`, message: `${seen} ${footageOnly}`, start, end }];
}

/** What is said of a clip whose range of light the model was not trained on. */
export function hdrProblems(hdr: string | null, { views }: Pick<ModelConfig['vision'], 'views'>): Problem[] {
  if (!hdr || !views.some(({ kind }) => kind === 'fragments')) return [];
  const message =
    'The model was trained on SDR video: what it says of HDR, above all of light and noise, may be wrong.';
  return [{ code: 'out_of_domain_hdr', message }];
}

/** Pairs of pixels side by side within a cell. */
function neighbours(rgb: Uint8Array, size: number, cell: number): Pick<Look, 'even' | 'equal' | 'letters'> {
  let [pairs, even, kept, equal, seen, steep] = [0, 0, 0, 0, 0, 0];
  // Plain comparisons instead of Math.max and the like: every pixel of some frames comes by here.
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column += cell) {
      let at = (row * size + column) * 3;
      const end = (row * size + Math.min(size, column + cell)) * 3;
      let r = rgb[at]!;
      let g = rgb[at + 1]!;
      let b = rgb[at + 2]!;
      let light = wholeLuma(r, g, b);
      let clipped = isClipped(r, g, b);
      for (at += 3; at < end; at += 3) {
        const apartR = rgb[at]! - r;
        const apartG = rgb[at + 1]! - g;
        const apartB = rgb[at + 2]! - b;
        r += apartR;
        g += apartG;
        b += apartB;
        const next = wholeLuma(r, g, b);
        const nextClipped = isClipped(r, g, b);
        const step = next > light ? next - light : light - next;
        pairs++;
        if (apartR >= -1 && apartR <= 1 && apartG >= -1 && apartG <= 1 && apartB >= -1 && apartB <= 1) even++;
        if (!(clipped && nextClipped)) {
          kept++;
          if (apartR === 0 && apartG === 0 && apartB === 0) equal++;
        }
        if (step >= seenStep) seen++;
        if (step >= steepStep) steep++;
        light = next;
        clipped = nextClipped;
      }
    }
  }
  return {
    even: even / pairs,
    equal: kept >= unclippedLeast * pairs ? equal / kept : 0,
    letters: steep / Math.max(1, seen),
  };
}

const isClipped = (r: number, g: number, b: number) =>
  (r <= black && g <= black && b <= black) || (r >= white && g >= white && b >= white);

/** In whole steps. */
const wholeLuma = (r: number, g: number, b: number) => (luma[0] * r + luma[1] * g + luma[2] * b + 0.5) | 0;

const lumaAt = (rgb: Uint8Array, at: number) =>
  luma[0] * rgb[at]! + luma[1] * rgb[at + 1]! + luma[2] * rgb[at + 2]!;

/** Correlation of a square with itself moved by some pixels; 1 where either part is uniform. */
function correlation(values: Float64Array, size: number, across: number, down: number): number {
  const pairs = (size - across) * (size - down);
  const moved = down * size + across;
  let [sumA, sumB, squaresA, squaresB, products] = [0, 0, 0, 0, 0];
  for (let row = 0; row < size - down; row++) {
    const end = row * size + size - across;
    for (let at = row * size; at < end; at++) {
      const a = values[at]!;
      const b = values[at + moved]!;
      sumA += a;
      sumB += b;
      squaresA += a * a;
      squaresB += b * b;
      products += a * b;
    }
  }
  const spread = Math.sqrt(
    Math.max(0, squaresA / pairs - (sumA / pairs) ** 2) * Math.max(0, squaresB / pairs - (sumB / pairs) ** 2),
  );
  return spread > 1e-6 ? (products / pairs - (sumA / pairs) * (sumB / pairs)) / spread : 1;
}
