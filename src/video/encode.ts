/**
 * Encodes the picture of a clip with settings that were read and checked before (src/comparison): one process per pass,
 * without a shell, from one local file to another, in Matroska. The user's own command line is never run.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OmniError } from '../protocol/errors.ts';
import {
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

/** Options of one pass, given the prefix of the file in which a first pass leaves its statistics. */
export type PassArguments = (log: string) => readonly string[];

export interface EncodeOptions extends Pick<SuperviseOptions, 'signal'> {
  /** Told how much of the clip was encoded, 0..1, all passes together. */
  readonly onProgress?: (share: number) => void;
}

export interface Encoded {
  readonly bytes: number;
  /** Wall time of all passes, s. */
  readonly seconds: number;
}

/** Options of ours that take no value. */
const flags = new Set(['-an', '-sn', '-dn']);
/** Milliseconds without a word of progress after which an encoder counts as hung: slow presets think for long. */
const stallTimeout = 300_000;

/**
 * Encodes a clip to `output`, which must not exist.
 *
 * @param passes One or two.
 * @param folder Where the statistics of a first pass may lie.
 * @throws OmniError `ffmpeg_missing`, `ffmpeg_failed` (an encoder or option that this ffmpeg lacks), `ffmpeg_hung`,
 *   `disk_full`, `file_replaced`, `cancelled`.
 */
export async function encodeVideo(
  info: VideoInfo,
  passes: readonly PassArguments[],
  output: string,
  folder: string,
  { signal, onProgress }: EncodeOptions = {},
): Promise<Encoded> {
  const location = await locateFfmpeg();
  const work = await mkdtemp(join(folder, 'passes-'));
  const started = performance.now();
  try {
    for (const [number, pass] of passes.entries()) {
      const last = number === passes.length - 1;
      const words = pass(join(work, 'pass')).map((word) =>
        word === '0:v:0' ? `0:${info.streamIndex}` : word,
      );
      const frameRate = words.some((word) => word === '-r:v' || word === '-r')
        ? []
        : [keepAllFrames(location)];
      const args = composeArguments({
        inputs: [{ url: inputUrl(info.path), options: inputLimits }],
        outputOptions: [...paired(words), ...frameRate, ['-f', last ? 'matroska' : 'null']],
        output: last ? inputUrl(output) : '-',
      });
      const command = [
        '-nostdin',
        '-hide_banner',
        '-nostats',
        '-v',
        'warning',
        '-progress',
        'pipe:1',
        ...args,
      ];
      const child = new Supervised(location.ffmpeg, command, { signal, stallTimeout });
      let rest = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const done = Number(/^out_time_us=(\d+)/.exec(line)?.[1]) / 1e6;
          if (done >= 0 && info.duration) {
            onProgress?.((number + Math.min(1, done / info.duration)) / passes.length);
          }
        }
      });
      const { code, signal: ended } = await child.ended;
      if (code !== 0)
        throw encodeFailure(info, child, ended ? `was ended by ${ended}` : `gave up with status ${code}`);
    }
    await assertUnchanged(info);
    return { bytes: (await stat(output)).size, seconds: (performance.now() - started) / 1000 };
  } finally {
    await rm(work, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** An argv of names and values as pairs; of what it may hold only {@link flags} stand alone. */
function paired(words: readonly string[]): (readonly string[])[] {
  const pairs: (readonly string[])[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const name = words[at]!;
    if (flags.has(name)) pairs.push([name]);
    else pairs.push([name, words[++at] ?? '']);
  }
  return pairs;
}

/** Why an encoder gave up. */
export function encodeFailure({ path }: VideoInfo, child: Supervised, how: string): OmniError {
  const detail = { path, command: child.display, stderr: child.stderrTail };
  if (/No space left on device|Disk quota exceeded|File too large/.test(child.stderrTail)) {
    return new OmniError(
      'disk_full',
      'There is no room left for the encode.',
      'Free some space on that disk and start again: finished encodes are kept.',
      detail,
    );
  }
  return new OmniError(
    'ffmpeg_failed',
    `ffmpeg ${how} while it encoded ${path}.`,
    'Read what it said: the encoder or one of its options may be missing in this ffmpeg.',
    detail,
  );
}
