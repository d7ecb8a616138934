/** Full-reference metrics of an encode against its source, as far as this ffmpeg has their filters. */
import { OmniError } from '../protocol/errors.ts';
import {
  capture,
  composeArguments,
  type FfmpegLocation,
  inputUrl,
  keepAllFrames,
  locateFfmpeg,
  Supervised,
} from './ffmpeg.ts';
import { inputLimits, maxPixels } from './formats.ts';
import { assertUnchanged } from './frames.ts';
import type { VideoInfo } from './probe.ts';

/** Means over all frames; null where this ffmpeg has no such filter. */
export interface ReferenceMetrics {
  /** 0 to 100, the default model of the filter. */
  readonly vmaf: number | null;
  /** Of luma, 0 to 1. */
  readonly ssim: number | null;
  /** Of luma, dB; 100 where the pictures are equal. */
  readonly psnr: number | null;
}

/** Filters by the metric they measure. */
const filters = { vmaf: 'libvmaf', ssim: 'ssim', psnr: 'psnr' } as const;
type Metric = keyof typeof filters;

const known = new Map<string, Promise<ReadonlySet<string>>>();

/** The metrics whose filters an ffmpeg has. Looked up once per ffmpeg. */
async function availableMetrics({ ffmpeg }: FfmpegLocation): Promise<Metric[]> {
  let names = known.get(ffmpeg);
  if (!names) {
    names = capture(ffmpeg, ['-hide_banner', '-filters'], { timeout: 60_000 }).then(
      ({ stdout }) => new Set(Array.from(stdout.matchAll(/^ [.\w|]{2,3} (\w+) /gm), ([, name]) => name!)),
    );
    known.set(ffmpeg, names);
    names.catch(() => known.delete(ffmpeg));
  }
  const there = await names;
  return (Object.keys(filters) as Metric[]).filter((metric) => there.has(filters[metric]));
}

export interface MetricsOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without output after which ffmpeg counts as hung; default 300 000. */
  readonly stallTimeout?: number;
}

/**
 * Compares an encode with its source, the first frame with the first, and so on: the two must be aligned
 * (`alignmentFault`). The encode is brought to the source's size and depth with ffmpeg's bicubic.
 *
 * @throws OmniError `ffmpeg_*`, `file_replaced`, `cancelled`
 */
export async function referenceMetrics(
  source: VideoInfo,
  encode: VideoInfo,
  { signal, stallTimeout = 300_000 }: MetricsOptions = {},
): Promise<ReferenceMetrics> {
  const location = await locateFfmpeg();
  const metrics = await availableMetrics(location);
  if (metrics.length === 0) return { vmaf: null, ssim: null, psnr: null };
  const sourceSize = `${source.width}:${source.height}`;
  const format = source.bitDepth > 8 ? 'yuv420p10le' : 'yuv420p';
  // Counted frames, not times: containers round these differently.
  const same = `scale=${sourceSize}:flags=bicubic,format=${format},setsar=1,settb=1/1000,setpts=N`;
  const labels = (side: string) => metrics.map((_, at) => `[${side}${at}]`).join('');
  const graph = [
    `[0:${encode.streamIndex}]${same},split=${metrics.length}${labels('e')}`,
    `[1:${source.streamIndex}]${same},split=${metrics.length}${labels('s')}`,
    ...metrics.map((metric, at) => `[e${at}][s${at}]${filters[metric]}=shortest=1[m${at}]`),
  ].join(';');
  const limits = [...inputLimits, ['-max_pixels', String(maxPixels)]];
  const args = composeArguments({
    inputs: [
      {
        url: inputUrl(encode.path),
        options: [['-nostdin'], ['-hide_banner'], ['-nostats'], ['-v', 'info'], ...limits],
      },
      { url: inputUrl(source.path), options: limits },
    ],
    filter: graph,
    outputOptions: [
      ...metrics.map((_, at) => ['-map', `[m${at}]`]),
      keepAllFrames(location),
      ['-progress', 'pipe:1'],
      ['-f', 'null'],
    ],
    output: '-',
  });
  const found: Partial<Record<Metric, number>> = {};
  const child = new Supervised(location.ffmpeg, args, {
    signal,
    stallTimeout,
    onStderrLine(line) {
      const said = resultOf(line);
      if (said) found[said.metric] = said.value;
    },
  });
  // Signs of life for the watch over stalls.
  child.stdout.resume();
  const { code, signal: ended } = await child.ended;
  if (code !== 0) {
    throw new OmniError(
      'ffmpeg_failed',
      `ffmpeg ${ended ? `was ended by ${ended}` : `gave up with status ${code}`} while it compared ${encode.path} with its source.`,
      'Read what it said; the encode itself is not affected.',
      { path: encode.path, command: child.display, stderr: child.stderrTail },
    );
  }
  await Promise.all([assertUnchanged(source), assertUnchanged(encode)]);
  return { vmaf: found.vmaf ?? null, ssim: found.ssim ?? null, psnr: found.psnr ?? null };
}

/** What a filter says when it ends, such as `[Parsed_psnr_0 @ 0x…] PSNR y:38.21 u:… average:… min:… max:…`. */
export function resultOf(line: string): { readonly metric: Metric; readonly value: number } | null {
  const ssim = /\] SSIM Y:([\d.]+)/.exec(line)?.[1];
  if (ssim) return { metric: 'ssim', value: Number(ssim) };
  const psnr = /\] PSNR y:(inf|[\d.]+)/.exec(line)?.[1];
  if (psnr) return { metric: 'psnr', value: psnr === 'inf' ? 100 : Math.min(100, Number(psnr)) };
  const vmaf = /\] VMAF score: ([\d.]+)/.exec(line)?.[1];
  if (vmaf) return { metric: 'vmaf', value: Number(vmaf) };
  return null;
}
