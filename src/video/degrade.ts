/**
 * Degrades a clip with ffmpeg: filters and real encoders, on the whole frame, on a rectangle for some frames, or by
 * showing frames again. The same source, degradation and ffmpeg give the same bytes: every encoder and filter graph
 * runs on one thread, the muxer writes nothing of its own (`bitexact`), and frames are counted, not timed.
 *
 * What it writes is Matroska. Where an encoder is the last thing done to the whole clip, its own stream is the result,
 * as a pipeline would deliver it. Otherwise the pixels are carried losslessly (x264 at QP 0, or FFV1 where this ffmpeg
 * has no x264), so that nothing is added to the degradation.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OmniError, type Problem } from '../protocol/errors.ts';
import {
  capture,
  composeArguments,
  inputUrl,
  keepAllFrames,
  locateFfmpeg,
  Supervised,
  type SuperviseOptions,
} from './ffmpeg.ts';
import { inputLimits } from './formats.ts';
import { assertUnchanged } from './frames.ts';
import type { VideoInfo } from './probe.ts';

/** Part of a source, brought to what degradations work on: 8-bit 4:2:0, limited range, even sides, constant rate. */
export interface SourceClip {
  readonly info: VideoInfo;
  /** Seconds after the source's first frame. */
  readonly start: number;
  readonly frames: number;
}

export type DegradeStep =
  | { readonly filter: string }
  | { readonly encoder: string; readonly options: readonly string[] };

export interface Degradation {
  /** In order; none leaves the clip as it is. */
  readonly steps: readonly DegradeStep[];
  /** Only this rectangle, px with even numbers, of the frames from `first` up to `end` is degraded. */
  readonly local?: {
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
    readonly first: number;
    readonly end: number;
  };
  /** In the place of each span of frames those before it are shown again, as many. In order, apart from each other. */
  readonly repeats?: readonly { readonly first: number; readonly end: number }[];
}

/** What a clip of a source will be. */
export interface ClipFormat {
  /** Even. */
  readonly width: number;
  readonly height: number;
  /** Frames per second, numerator and denominator. */
  readonly rate: readonly [number, number];
}

/** Smallest side of a source, px: a quarter of the frame must be something that an encoder takes. */
export const smallestSide = 64;

/** Frames per second as the fraction that the field means by it: 29.97 is 30000/1001. */
export function frameRate(fps: number): readonly [number, number] {
  const whole = Math.round(fps);
  if (Math.abs(fps - whole) < 0.002) return [whole, 1];
  const ntsc = Math.round(fps * 1.001);
  if (Math.abs(fps - (ntsc * 1000) / 1001) < 0.002) return [ntsc * 1000, 1001];
  return [Math.round(fps * 1000), 1000];
}

/**
 * What becomes of a source before it is degraded.
 *
 * @returns the clip's format, with a problem for each conversion
 * @throws OmniError `format_refused` for HDR, whose mapping to SDR would be a degradation of its own, for interlaced
 *   video, and for pictures below {@link smallestSide}
 */
export function clipFormat(info: VideoInfo): { readonly value: ClipFormat; readonly problems: Problem[] } {
  const refused = (why: string, next: string) =>
    new OmniError('format_refused', `${info.path} ${why}.`, next, { path: info.path });
  if (info.hdr) {
    throw refused(
      'is HDR; mapping it to SDR would change the picture before any recipe does',
      'Map it to SDR (BT.709) by the grade you trust, and give that file.',
    );
  }
  if (info.interlaced)
    throw refused('is interlaced', 'Give progressive sources, or deinterlace this one first.');
  if (Math.min(info.width, info.height) < smallestSide) {
    throw refused(
      `is ${info.width}×${info.height}, below ${smallestSide} px`,
      'Give sources with larger pictures.',
    );
  }
  const problems: Problem[] = [];
  if (info.pixelFormat !== 'yuv420p' || info.color.range === 'pc') {
    problems.push({
      code: 'source_converted',
      message: `The source is ${info.pixelFormat}${info.color.range === 'pc' ? ', full range' : ''}; it was brought to 8-bit 4:2:0 in limited range first.`,
    });
  }
  if (info.vfr) {
    problems.push({
      code: 'source_vfr',
      message: 'The frame rate of the source varies; frames were repeated or left out to make it constant.',
    });
  }
  return {
    value: {
      width: info.width - (info.width % 2),
      height: info.height - (info.height % 2),
      rate: frameRate(info.fps),
    },
    problems,
  };
}

/** Names of the encoders that this ffmpeg has. @throws OmniError `ffmpeg_*`, `cancelled` */
export async function availableEncoders(signal?: AbortSignal): Promise<ReadonlySet<string>> {
  const { ffmpeg } = await locateFfmpeg();
  const { stdout } = await capture(ffmpeg, ['-hide_banner', '-encoders'], { signal, timeout: 20_000 });
  return new Set([...stdout.matchAll(/^ V\S{5} (\S+)/gm)].map((match) => match[1]!));
}

export interface DegradeOptions {
  /** Of this ffmpeg; see {@link availableEncoders}. */
  readonly encoders: ReadonlySet<string>;
  /** An existing directory for the files in between, on the disk of `output`. */
  readonly scratch: string;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without a sign of life after which ffmpeg counts as hung; default 120 000. */
  readonly stallTimeout?: number;
}

/**
 * Writes the degraded clip to `output`, which is replaced; a failure may leave part of one there.
 *
 * @throws OmniError `ffmpeg_*`, `disk_full`, `file_replaced`, `cancelled`, and `nothing_decoded` where the source has
 *   fewer frames than the clip was to have
 */
export async function degradeClip(
  clip: SourceClip,
  { steps, local, repeats = [] }: Degradation,
  output: string,
  { encoders, scratch, signal, stallTimeout = 120_000 }: DegradeOptions,
): Promise<void> {
  const location = await locateFfmpeg();
  const { info, frames } = clip;
  const { rate } = clipFormat(info).value;
  const supervised: SuperviseOptions = { signal, stallTimeout };
  const folder = await mkdtemp(join(scratch, 'passes-'));

  const source = {
    url: inputUrl(info.path),
    options: [...inputLimits, ['-threads', '1'], ...(clip.start > 0 ? [['-ss', clip.start.toFixed(6)]] : [])],
  };
  const prepare = preparation(clip);
  const numbered = `settb=${rate[1]}/${rate[0]},setpts=N,fps=${rate.join('/')}`;
  /** One run of ffmpeg from a coded intermediate, or the source, to a file. */
  const pass = async (
    inputs: readonly (typeof source)[],
    filter: string,
    encode: readonly string[],
    to: string,
  ) => {
    const args = composeArguments({
      inputs,
      filter,
      outputOptions: [
        ...[['-hide_banner'], ['-nostdin'], ['-y'], ['-nostats'], ['-v', 'error'], ['-progress', 'pipe:1']],
        ...[
          ['-filter_threads', '1'],
          ['-filter_complex_threads', '1'],
        ],
        ...[['-map', '[out]'], keepAllFrames(location), ['-threads', '1'], encode],
        ...[
          ['-map_metadata', '-1'],
          ['-flags:v', '+bitexact'],
          ['-fflags', '+bitexact'],
          ['-f', 'matroska'],
        ],
      ],
      output: inputUrl(to),
    });
    const written = await runToEnd(location.ffmpeg, args, info, supervised);
    if (written < frames) {
      throw new OmniError(
        'nothing_decoded',
        `${info.path} has ${written} frames from ${clip.start} s on; the clip was to have ${frames}.`,
        'Play the source to see whether it is cut or damaged, and give another.',
        { path: info.path },
      );
    }
  };

  try {
    let inputs = [source];
    let chain = [`[0:${info.streamIndex}]${prepare}`];
    let coded = 0;
    for (const [i, step] of steps.entries()) {
      if ('filter' in step) chain.push(step.filter);
      else {
        const last = i === steps.length - 1 && !local && repeats.length === 0;
        const to = last ? output : join(folder, `${coded}.mkv`);
        coded += 1;
        await pass(
          inputs,
          `${chain.join(',')},format=yuv420p[out]`,
          ['-c:v', step.encoder, ...step.options],
          to,
        );
        if (last) return await assertUnchanged(info);
        inputs = [{ url: inputUrl(to), options: [['-threads', '1']] }];
        chain = [`[0:v]${numbered}`];
      }
    }
    const carrier = encoders.has('libx264')
      ? ['-c:v', 'libx264', '-preset', 'superfast', '-qp', '0', '-g', '30']
      : ['-c:v', 'ffv1', '-level', '3', '-g', '1', '-slices', '4'];
    const done = `setsar=${aspect(info)},format=yuv420p[out]`;
    if (local) {
      const { x, y, width, height, first, end } = local;
      // The degraded frame is made whole and then cut: what is beside the rectangle shapes what is in it.
      const degraded =
        coded > 0
          ? `[1:${info.streamIndex}]${prepare}[whole];${chain.join(',')}[worse]`
          : `${chain[0]},split[whole][base];[base]${chain.slice(1).join(',') || 'null'}[worse]`;
      const cut = `[worse]format=yuv420p,crop=${width}:${height}:${x}:${y}[part]`;
      const laid = `[whole][part]overlay=${x}:${y}:format=yuv420:enable='between(n,${first},${end - 1})'`;
      await pass(
        coded > 0 ? [...inputs, source] : inputs,
        `${degraded};${cut};${laid},${done}`,
        carrier,
        output,
      );
    } else if (repeats.length > 0) {
      const spans: (readonly [number, number])[] = [];
      let at = 0;
      for (const { first, end } of repeats) {
        spans.push([at, first], [2 * first - end, first]);
        at = end;
      }
      if (at < frames) spans.push([at, frames]);
      const labels = spans.map((_, i) => `[s${i}]`).join('');
      const cuts = spans.map(
        ([from, to], i) => `[s${i}]trim=start_frame=${from}:end_frame=${to},setpts=PTS-STARTPTS[c${i}]`,
      );
      const joined = `${spans.map((_, i) => `[c${i}]`).join('')}concat=n=${spans.length}:v=1,${numbered},${done}`;
      await pass(
        inputs,
        `${chain.join(',')},split=${spans.length}${labels};${cuts.join(';')};${joined}`,
        carrier,
        output,
      );
    } else await pass(inputs, `${chain.join(',')},${done}`, carrier, output);
    await assertUnchanged(info);
  } finally {
    await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** The filters that bring a source to a clip of even size, constant rate and 8-bit 4:2:0 in limited range. */
function preparation({ info, frames }: SourceClip): string {
  const { width, height, rate } = clipFormat(info).value;
  const fraction = rate.join('/');
  const rgb = /^(rgb|bgr|gbr|argb|abgr|0rgb|0bgr|pal8|x2rgb|x2bgr)/.test(info.pixelFormat);
  return [
    `setpts=PTS-STARTPTS`,
    ...(info.vfr ? [`fps=${fraction}:start_time=0`] : []),
    `trim=end_frame=${frames}`,
    `settb=${rate[1]}/${rate[0]}`,
    'setpts=N',
    `fps=${fraction}`,
    ...(width === info.width && height === info.height ? [] : [`crop=${width}:${height}:0:0`]),
    `scale=${rgb ? 'out_color_matrix=bt709:' : ''}out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int`,
    'format=yuv420p',
  ].join(',');
}

const aspect = ({ sampleAspectRatio }: VideoInfo) =>
  sampleAspectRatio === 1 ? '1' : `${sampleAspectRatio.toFixed(6)}:max=1000`;

/** Runs ffmpeg; returns how many frames it wrote. */
async function runToEnd(
  ffmpeg: string,
  args: readonly string[],
  info: VideoInfo,
  options: SuperviseOptions,
): Promise<number> {
  const child = new Supervised(ffmpeg, args, options);
  let rest = '';
  let frames = 0;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const count = /^frame=\s*(\d+)/.exec(line)?.[1];
      if (count !== undefined) frames = Number(count);
    }
  });
  const { code, signal } = await child.ended;
  if (code === 0) return frames;
  const full = /No space left on device|Disk quota exceeded|File too large/.test(child.stderrTail);
  const detail = { path: info.path, command: child.display, stderr: child.stderrTail };
  if (full) {
    throw new OmniError(
      'disk_full',
      'There is no room left for the degraded clip.',
      'Free some space on that disk and call again: what is finished is kept.',
      detail,
    );
  }
  throw new OmniError(
    'ffmpeg_failed',
    `ffmpeg ${signal ? `was ended by ${signal}` : `gave up with status ${code}`} while it degraded ${info.path}.`,
    'Read what it said: a filter or an option of the encoder may be one that this version lacks.',
    detail,
  );
}
