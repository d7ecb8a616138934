import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { mosOf } from '../assessment/pooling.ts';
import type { Assessment } from '../assessment/record.ts';
import { clock, printable } from '../assessment/text.ts';
import {
  type ExcerptError,
  excerptError,
  representativeParts,
  type Stretch,
  standardDeviation,
} from '../comparison/excerpts.ts';
import { unwritable } from '../engine/files.ts';
import { cacheDirectory } from '../engine/paths.ts';
import { cutVideo, scaleVideo } from '../video/cut.ts';
import { probeVideo, type VideoInfo } from '../video/probe.ts';
import type { Bench } from './compare_bench.ts';
import type { Io, ProgressLine } from './io.ts';

/** The part of a source that was encoded in place of the whole. */
export interface Excerpt {
  /** On the source's clock, at the accuracy of frames. */
  readonly parts: readonly Stretch[];
  /** Seconds of all parts, and of the source. */
  readonly seconds: number;
  readonly duration: number;
  /** The source's own MOS. */
  readonly source: {
    readonly excerpt: { readonly mos: number; readonly windows: number };
    readonly whole: { readonly mos: number; readonly windows: number };
  };
}

/** What the results say of it. */
export interface ExcerptFacts extends Excerpt, ExcerptError {}

/** A clip to encode: the source itself, or what was cut out of it. */
export interface EncodedClip {
  readonly path: string;
  readonly excerpt: Excerpt | null;
}

/** Lossless pieces of sources, and encodes at their size; removed with {@link Cuts.dispose}. */
export class Cuts {
  readonly #io: Io;
  readonly #progress: ProgressLine;
  #folder: Promise<string> | null = null;
  #number = 0;
  #scaling: Promise<unknown> = Promise.resolve();

  constructor(io: Io, progress: ProgressLine) {
    this.#io = io;
    this.#progress = progress;
  }

  /** Cuts parts of a clip into a file. */
  async cut(
    path: string,
    parts: readonly Stretch[],
    label: string,
    signal: AbortSignal = this.#io.signal,
  ): Promise<{ readonly path: string; readonly parts: readonly Stretch[] }> {
    this.#folder ??= this.#make();
    const output = join(await this.#folder, `${this.#number++}.mkv`);
    const { value: info } = await probeVideo(path, { signal });
    const cut = await cutVideo(info, parts, output, {
      signal,
      onProgress: (share) => this.#progress.show(`Cutting ${label}`, share * 100, 100, '%'),
    });
    return { path: output, parts: cut };
  }

  /** An encode at the size of its source; itself where it has that size. One at a time: they are large. */
  asLargeAs(source: VideoInfo, encode: string, signal: AbortSignal): Promise<string> {
    const result = this.#scaling.then(async () => {
      const { value: info } = await probeVideo(encode, { signal });
      if (info.width === source.width && info.height === source.height) return encode;
      this.#folder ??= this.#make();
      const output = join(await this.#folder, `${this.#number++}.mkv`);
      await scaleVideo(info, source, output, { signal });
      return output;
    });
    this.#scaling = result.catch(() => undefined);
    return result;
  }

  /** Removes what was cut before all is over. */
  async remove(path: string): Promise<void> {
    await rm(path, { force: true }).catch(() => undefined);
  }

  async #make(): Promise<string> {
    const root = join(cacheDirectory(), 'cuts');
    try {
      await mkdir(root, { recursive: true });
      await forget(root);
      return await mkdtemp(join(root, `${process.pid}-`));
    } catch (error) {
      throw unwritable(error, root);
    }
  }

  async dispose(): Promise<void> {
    const folder = await this.#folder?.catch(() => null);
    if (folder) await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Removes what a process that was killed left there, a day later: nobody cuts for that long. */
async function forget(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const folder = join(root, name);
    const found = await stat(folder).catch(() => null);
    if (found && Date.now() - found.mtimeMs > 86_400_000) await rm(folder, { recursive: true, force: true });
  }
}

/**
 * The clip to encode for `--excerpt`: parts of the source of so many seconds, chosen by its scenes. The whole source is
 * assessed for its scenes, and to know by how much the excerpt differs.
 */
export async function excerptOf(
  bench: Bench,
  cuts: Cuts,
  path: string,
  seconds: number | undefined,
): Promise<EncodedClip> {
  if (seconds === undefined) return { path, excerpt: null };
  const whole = await bench.assess(path, 'the source');
  const duration = durationOf(whole);
  if (seconds >= duration) return { path, excerpt: null };
  const chosen = representativeParts(duration, whole.signals.sceneCuts, seconds);
  const cut = await cuts.cut(path, chosen, 'the excerpt');
  const part = await bench.assess(cut.path, 'the excerpt');
  const figures = ({ mos, timeline }: Assessment) => ({ mos, windows: timeline.length });
  return {
    path: cut.path,
    excerpt: {
      parts: cut.parts,
      seconds: cut.parts.reduce((sum, { start, end }) => sum + end - start, 0),
      duration,
      source: { excerpt: figures(part), whole: figures(whole) },
    },
  };
}

/** The facts of a source, of which all or an excerpt was encoded: the MOS is that of what was encoded. */
export const sourceOf = <D extends number | null>(
  path: string,
  { excerpt }: EncodedClip,
  own: { readonly duration: D; readonly mos: number },
): { readonly path: string; readonly duration: D | number; readonly mos: number } => ({
  path,
  duration: excerpt?.duration ?? own.duration,
  mos: own.mos,
});

/** The MOS that encodes are to be held against, in words. */
export const sourceLine = (
  { path, mos }: { readonly path: string; readonly mos: number },
  excerpt: ExcerptFacts | null,
): string =>
  `The source itself, ${printable(path)}${excerpt ? ', in the excerpt' : ''}: MOS ${mos.toFixed(2)}.`;

/** Where a record's clip ends, s. */
export const durationOf = ({ video, timeline }: Assessment): number =>
  video.duration ?? timeline.at(-1)?.end ?? 0;

/** By how much the MOS of the windows of a clip differ. */
export const deviationOf = ({ timeline }: Assessment): number =>
  standardDeviation(timeline.map(({ score }) => mosOf(score)));

/** An excerpt with the error of what was measured on it. */
export const factsOf = (
  excerpt: Excerpt | null,
  encodes: readonly { readonly deviation: number }[],
): ExcerptFacts | null =>
  excerpt && {
    ...excerpt,
    ...excerptError(
      excerpt.source,
      encodes.map(({ deviation }) => deviation),
    ),
  };

/** An excerpt in words; no lines for a whole source. */
export function excerptLines(facts: ExcerptFacts | null): string[] {
  if (!facts) return [];
  const { parts, seconds, duration, error, bias, standardError } = facts;
  const shown = parts.slice(0, 20).map(({ start, end }) => `${clock(start)}–${clock(end)}`);
  const more = parts.length > shown.length ? ` and ${parts.length - shown.length} more` : '';
  return [
    `Encoded: ${seconds.toFixed(1)} of ${duration.toFixed(1)} s, in ${parts.length} part${parts.length === 1 ? '' : 's'} (${shown.join(', ')}${more}).`,
    `Stated error of a MOS: ±${error.toFixed(2)}. ${bias.toFixed(2)} of it is what the source's own MOS differs by between the excerpt and the whole, ${standardError.toFixed(2)} one standard error of the mean over the excerpt's windows.`,
  ];
}
