/** Encodes as points of rate and quality: what is drawn of a comparison, on a page or in a file. */
import { type BdResult, bdQuality, bdRate, type RatePoint } from './bd_rate.ts';

/** An encode as far as it is drawn. Texts are untrusted. */
export interface PlottedEncode {
  readonly id: string;
  readonly label: string;
  /** Encodes of the same codec are one curve. */
  readonly codec: string;
  /** Bits per second. */
  readonly bitrate: number | null;
  /** Whether it is frame for frame its source; else it is in no curve. */
  readonly aligned: boolean;
  readonly mos: number | null;
  readonly vmaf: number | null;
  readonly ssim: number | null;
  /** dB. */
  readonly psnr: number | null;
}

/** What can be on the vertical axis. */
export type Metric = 'mos' | 'vmaf' | 'ssim' | 'psnr';

export const metrics: readonly { readonly id: Metric; readonly name: string; readonly digits: number }[] = [
  { id: 'mos', name: 'MOS', digits: 2 },
  { id: 'vmaf', name: 'VMAF', digits: 1 },
  { id: 'ssim', name: 'SSIM', digits: 4 },
  { id: 'psnr', name: 'PSNR', digits: 1 },
];

export interface PlotPoint extends RatePoint {
  readonly encode: PlottedEncode;
}

export interface Series {
  readonly codec: string;
  /** Place among all codecs of the comparison: its colour and its marker, whatever is measured of it. */
  readonly index: number;
  /** By rising rate. */
  readonly points: readonly PlotPoint[];
}

/** One curve per codec, of the encodes that have a rate and this quality and show the frames of the source. */
export function seriesOf(encodes: readonly PlottedEncode[], metric: Metric): Series[] {
  return [...new Set(encodes.map(({ codec }) => codec))].map((codec, index) => ({
    codec,
    index,
    points: encodes
      .flatMap((encode): PlotPoint[] => {
        const { bitrate: rate, [metric]: quality } = encode;
        return encode.aligned && encode.codec === codec && rate !== null && rate > 0 && quality !== null
          ? [{ encode, rate, quality }]
          : [];
      })
      .sort((a, b) => a.rate - b.rate),
  }));
}

/** Round numbers (1, 2 or 5 times a power of ten) within the range, about `count` of them. */
export function linearTicks(low: number, high: number, count: number): number[] {
  if (!(high > low) || !(count > 0)) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough)! * power;
  const ticks: number[] = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) {
    ticks.push(Number((at * step).toPrecision(12)));
  }
  return ticks;
}

/** 1, 2 and 5 times the powers of ten within a range above 0; linear ones where those are fewer than three. */
export function logTicks(low: number, high: number, count: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of [1, 2, 5]) {
      const tick = Number((factor * 10 ** power).toPrecision(12));
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks.length < 3 ? linearTicks(low, high, count) : ticks;
}

/** The range of values with some air around it; of one value, or none, a range all the same. */
export function paddedRange(values: readonly number[], share: number): readonly [number, number] {
  if (values.length === 0) return [0, 1];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const air = (high - low) * share || Math.abs(high) * share || 1;
  return [low - air, high + air];
}

export interface Delta {
  readonly anchor: string;
  readonly test: string;
  readonly rate: BdResult;
  readonly quality: BdResult;
}

/** Every codec against every other, over what is plotted. */
export function deltasOf(series: readonly Series[]): Delta[] {
  return series.flatMap((anchor) =>
    series
      .filter((test) => test !== anchor)
      .map((test) => ({
        anchor: anchor.codec,
        test: test.codec,
        rate: bdRate(anchor.points, test.points),
        quality: bdQuality(anchor.points, test.points),
      })),
  );
}

/** Markers of 12 by 12 around 0, told apart by their outline. */
export const markers = [
  'M0-5A5 5 0 1 1 0 5A5 5 0 1 1 0-5Z',
  'M-4.5-4.5H4.5V4.5H-4.5Z',
  'M0-5.8L5.4 4H-5.4Z',
  'M0-6L6 0L0 6L-6 0Z',
  'M0 5.8L-5.4-4H5.4Z',
  'M-2-5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5V-2H-2Z',
] as const;

export const markerOf = (index: number): string => markers[index % markers.length]!;
