/**
 * Parts of a clip, joined without loss: the very frames of the clip, chosen by their presentation times, as a Matroska
 * file of FFV1 with the picture alone. The same clip and parts give the same bytes with the same ffmpeg.
 */
import { OmniError } from '../protocol/errors.ts';
import { fileStart } from './alignment.ts';
import { encodeFailure } from './encode.ts';
import {
  composeArguments,
  inputUrl,
  keepAllFrames,
  locateFfmpeg,
  Supervised,
  type SuperviseOptions,
} from './ffmpeg.ts';
import { inputLimits, maxPixels } from './formats.ts';
import { assertUnchanged } from './frames.ts';
import { firstFrameTime } from './origin.ts';
import { sourceFrames } from './pairs.ts';
import { probeVideo, type VideoInfo } from './probe.ts';
import { packetSizes } from './signals.ts';

/** Seconds from the first frame; the frame that begins at `end` is not in it. */
export interface CutSpan {
  readonly start: number;
  readonly end: number;
}

export interface CutOptions extends Pick<SuperviseOptions, 'signal'> {
  /** Told how much was written, 0..1. */
  readonly onProgress?: (share: number) => void;
}

/** Milliseconds without a word after which ffmpeg counts as hung: it may have much to decode before the first part. */
const stallTimeout = 300_000;
/** Seeking is worth it from here on; it begins this much earlier, s. */
const seekFrom = 20;
const seekMargin = 5;

/** Frames `first` to before `after`, in order of presentation. */
interface Run {
  readonly first: number;
  readonly after: number;
}

/**
 * Cuts parts out of a clip and joins them, every frame for as long as it is shown in the clip.
 *
 * @param spans in order, not overlapping; each is moved to the frames that begin in it.
 * @param output must not exist.
 * @returns what the parts are at the accuracy of frames; those without a frame are left out.
 * @throws OmniError `nothing_decoded` (no times, or no frame in any part), `ffmpeg_*`, `disk_full`, `file_replaced`,
 *   `cancelled`
 */
export async function cutVideo(
  info: VideoInfo,
  spans: readonly CutSpan[],
  output: string,
  { signal, onProgress }: CutOptions = {},
): Promise<CutSpan[]> {
  const [{ times }, origin] = await Promise.all([sourceFrames(info, signal), firstFrameTime(info)]);
  const runs = runsOf(times, spans);
  if (origin === null || runs.length === 0) {
    throw new OmniError(
      'nothing_decoded',
      `${info.path} has no frames with times in the parts that were to be cut.`,
      'Use the whole clip, or put it into a container with time stamps first (ffmpeg -i it -c copy it.mkv).',
      { path: info.path },
    );
  }
  const frames = runs.reduce((sum, { first, after }) => sum + after - first, 0);
  const begin = times[runs[0]!.first]!;
  // ffmpeg seeks from where the file begins, which may be before its first frame.
  const seek = begin > seekFrom ? origin + begin - seekMargin - (await fileStart(info, signal)) : null;
  await write(info, filterOf(times, runs, origin), output, { seek, frames, signal, onProgress });
  const { value: made } = await probeVideo(output, signal ? { signal } : {});
  const written = (await packetSizes(made, signal)).length;
  if (written !== frames) {
    throw new OmniError(
      'nothing_decoded',
      `${written} of ${frames} frames of ${info.path} could be cut.`,
      'Play the file to see whether it is damaged, or use the whole clip.',
      { path: info.path },
    );
  }
  await assertUnchanged(info);
  return runs.map(({ first, after }) => ({ start: times[first]!, end: endOf(times, after) }));
}

/**
 * A clip at another size, without further loss: as a player would show it, with ffmpeg's bicubic.
 *
 * @param output must not exist.
 * @throws OmniError `ffmpeg_*`, `disk_full`, `cancelled`
 */
export async function scaleVideo(
  info: VideoInfo,
  { width, height }: { readonly width: number; readonly height: number },
  output: string,
  { signal, onProgress }: CutOptions = {},
): Promise<void> {
  const filter = `scale=${width}:${height}:flags=bicubic`;
  await write(info, filter, output, { seek: null, frames: null, signal, onProgress });
}

interface WriteOptions {
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((share: number) => void) | undefined;
  /** Where to begin to decode, s from where the file begins; null: at its beginning. */
  readonly seek: number | null;
  /** How many frames are written; null: all. */
  readonly frames: number | null;
}

/** Writes what a filter makes of a clip as FFV1. */
async function write(
  info: VideoInfo,
  filter: string,
  output: string,
  { seek, frames, signal, onProgress }: WriteOptions,
): Promise<void> {
  const { path, streamIndex } = info;
  const location = await locateFfmpeg();
  const args = composeArguments({
    inputs: [
      {
        url: inputUrl(path),
        options: [
          ...inputLimits,
          ['-max_pixels', String(maxPixels)],
          ...(seek === null ? [] : [['-ss', seek.toFixed(6)] as const]),
        ],
      },
    ],
    filter: `[0:${streamIndex}]${filter}[cut]`,
    outputOptions: [
      ['-map', '[cut]'],
      ['-c:v', 'ffv1'],
      ['-level', '3'],
      // By default it depends on the machine.
      ['-slices', '4'],
      ['-flags:v', '+bitexact'],
      ['-fflags', '+bitexact'],
      ['-map_metadata', '-1'],
      ['-enc_time_base', '-1'],
      ...(frames === null ? [] : [['-frames:v', String(frames)] as const]),
      keepAllFrames(location),
      ['-f', 'matroska'],
    ],
    output: inputUrl(output),
  });
  const quiet = ['-nostdin', '-hide_banner', '-nostats', '-v', 'warning', '-progress', 'pipe:1'];
  // The clock of the file: seeking and what lies before the first frame do not move it.
  const child = new Supervised(location.ffmpeg, [...quiet, '-copyts', ...args], { signal, stallTimeout });
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const done = Number(/^frame=\s*(\d+)/.exec(line)?.[1]);
      if (done >= 0 && frames) onProgress?.(Math.min(1, done / frames));
    }
  });
  const { code, signal: ended } = await child.ended;
  if (code !== 0) {
    throw encodeFailure(info, child, ended ? `was ended by ${ended}` : `gave up with status ${code}`);
  }
}

/** When the frame before `after` ends, s. */
const endOf = (times: readonly number[], after: number): number => {
  if (after < times.length) return times[after]!;
  const last = times.at(-1)!;
  return last + (times.length > 1 ? (last - times[0]!) / (times.length - 1) : 0);
};

function runsOf(times: readonly number[], spans: readonly CutSpan[]): Run[] {
  // Times of cuts are those of frames, found by other sums: a hundredth of a millisecond is the same.
  const from = (time: number) => {
    const at = times.findIndex((one) => one >= time - 1e-5);
    return at < 0 ? times.length : at;
  };
  return spans
    .map(({ start, end }) => ({ first: from(start), after: from(end) }))
    .filter(({ first, after }) => after > first);
}

/** Keeps the frames of the runs, on a clock of their own that begins at 0. */
function filterOf(times: readonly number[], runs: readonly Run[], origin: number): string {
  const number = (value: number) => value.toFixed(6);
  // Halfway between frames: however a clock rounds, a frame is on its side.
  const before = (at: number) =>
    origin +
    (at === 0 ? times[0]! - 1 : at < times.length ? (times[at - 1]! + times[at]!) / 2 : times.at(-1)! + 1);
  const chosen = runs.map(
    ({ first, after }) => `gte(t,${number(before(first))})*lt(t,${number(before(after))})`,
  );
  let placed = 0;
  let shift = 0;
  const shifts = runs.map(({ first, after }, at) => {
    const own = origin + times[first]! - placed;
    placed += endOf(times, after) - times[first]!;
    const step = own - shift;
    shift = own;
    return at === 0 ? number(step) : `gte(T,${number(before(first))})*${number(step)}`;
  });
  return `select='${chosen.join('+')}',setpts='round((T-(${shifts.join('+')}))/TB)'`;
}
