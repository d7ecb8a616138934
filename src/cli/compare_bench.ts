import { setMaxListeners } from 'node:events';
import { join } from 'node:path';
import type { Assessment } from '../assessment/record.ts';
import { describeOutput } from '../comparison/encodes.ts';
import type { EncodeOutput } from '../comparison/settings.ts';
import type { AssessProgress } from '../engine/assess.ts';
import { Contents } from '../engine/content.ts';
import { Encodes, outputOf } from '../engine/encodes.ts';
import { cacheDirectory } from '../engine/paths.ts';
import { ResultCache } from '../engine/results.ts';
import type { EncodeFacts, EncodeState } from '../protocol/engine.ts';
import { OmniError } from '../protocol/errors.ts';
import { probeVideo } from '../video/probe.ts';
import { Cuts, deviationOf, type EncodedClip, excerptOf } from './compare_excerpt.ts';
import { type Io, ProgressLine } from './io.ts';
import { AssessingModel, type RuntimeFlags } from './load.ts';
import { OutputFile } from './output.ts';

/** What is to be encoded. */
export interface Wanted {
  readonly label: string;
  readonly output: EncodeOutput;
  readonly targetMos: number | null;
}

/** One encode as it was measured. */
export interface ComparedEncode extends Omit<EncodeFacts, 'madeAt'> {
  readonly label: string;
  readonly codec: string;
  /** Bits per second of the picture. */
  readonly bitrate: number;
  readonly mos: number;
  readonly score: number;
  readonly worst: { readonly start: number; readonly end: number; readonly score: number };
  /** Standard deviation of the MOS between its windows. */
  readonly deviation: number;
}

export interface BenchFlags extends RuntimeFlags {
  readonly model: string;
  readonly format: string;
  readonly output?: string;
  /** Seconds of the source that stand for the whole. */
  readonly excerpt?: number;
}

/** An encode with the output options of ffmpeg that were given. */
export function given(options: readonly string[]): Wanted {
  const output = outputOf(options);
  return { label: describeOutput(output) || options.join(' '), output, targetMos: null };
}

/** An encode of constant quality, at the source's size or with another height. */
export function crfEncode(codec: string, preset: string | undefined, crf: number, height?: number): Wanted {
  const size = height === undefined ? [] : ['-vf', `scale=-2:${height}`];
  const speed = preset ? ['-preset', preset] : [];
  return given(['-c:v', codec, ...speed, '-crf', String(crf), ...size]);
}

/** Encodes clips and assesses them with one model, everything kept in the cache. Encodes run beside each other. */
export class Bench {
  readonly #model: AssessingModel;
  readonly #io: Io;
  readonly #progress: ProgressLine;
  readonly #encodes: Encodes;
  readonly #results = new ResultCache(join(cacheDirectory(), 'results'));
  readonly #states = new Map<string, EncodeState>();
  /** The model takes one clip at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  /** What is assessed now: its words stand in the progress line, not those of encodes beside it. */
  #assessing = false;

  constructor(model: AssessingModel, io: Io, progress: ProgressLine) {
    this.#model = model;
    this.#io = io;
    this.#progress = progress;
    const contents = new Contents(join(cacheDirectory(), 'contents'));
    this.#encodes = new Encodes(join(cacheDirectory(), 'encodes'), contents);
  }

  /**
   * Does something with all items, as many at once as are allowed, in a way that nothing runs any more when this ends:
   * what fails first ends the others, and is thrown.
   */
  async all<T, R>(
    items: readonly T[],
    work: (item: T, signal: AbortSignal, index: number) => Promise<R>,
    atOnce = items.length,
  ): Promise<R[]> {
    const stop = new AbortController();
    const signal = AbortSignal.any([this.#io.signal, stop.signal]);
    // Each item listens.
    setMaxListeners(0, signal);
    const results: R[] = [];
    const errors: unknown[] = [];
    let next = 0;
    const worker = async () => {
      while (next < items.length && !signal.aborted) {
        const index = next++;
        try {
          results[index] = await work(items[index]!, signal, index);
        } catch (error) {
          errors.push(error);
          stop.abort();
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
    if (errors.length > 0) throw errors[0];
    if (signal.aborted) throw cancelled();
    return results;
  }

  /**
   * Encodes a clip, as soon as there are cores for it, and assesses the encode.
   *
   * @param scaled Where to put it at the size of the source, to assess that in its place; null: at its own size.
   */
  async measure(
    source: string,
    { label, output }: Wanted,
    signal: AbortSignal = this.#io.signal,
    scaled: Cuts | null = null,
  ): Promise<ComparedEncode> {
    const name = `${source}\0${label}`;
    try {
      const {
        kept: _,
        madeAt: __,
        ...encode
      } = await this.#encodes.encode(source, output, {
        signal,
        onState: (state) => {
          this.#states.set(name, state);
          if (!this.#assessing) this.#show();
        },
      });
      this.#states.delete(name);
      const { value: info } = await probeVideo(source, { signal });
      const shown = scaled ? await scaled.asLargeAs(info, encode.file, signal) : encode.file;
      const record = await this.assess(shown, label, { closely: true, signal });
      if (shown !== encode.file) await scaled?.remove(shown);
      const seconds = record.video.duration ?? info.duration ?? 0;
      return {
        ...encode,
        label,
        codec: output.video!.codec,
        bitrate: seconds > 0 ? (encode.bytes * 8) / seconds : 0,
        mos: record.mos,
        score: record.score,
        worst: record.pooling.worst,
        deviation: deviationOf(record),
      };
    } finally {
      this.#states.delete(name);
    }
  }

  /** The record of a clip, after those that were asked for before. */
  assess(
    path: string,
    label: string,
    {
      closely = false,
      signal = this.#io.signal,
    }: { readonly closely?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<Assessment> {
    const result = this.#turn.then(async () => {
      if (signal.aborted) throw cancelled();
      this.#assessing = true;
      const onProgress = ({ frames, total }: AssessProgress) =>
        this.#progress.show(`Assessing ${label}`, frames, total, 'frames');
      const { record } = await this.#model
        .assess(path, this.#results, { signal, closely, onProgress })
        .finally(() => {
          this.#assessing = false;
        });
      if (record.status === 'cancelled') throw cancelled();
      return record;
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** "Encoding libx264 crf 23 and 1 more, 2 waiting": the mean of those that run, and when the last of them ends. */
  #show(): void {
    const all = [...this.#states].map(([name, state]) => ({
      name: name.slice(name.indexOf('\0') + 1),
      state,
    }));
    const running = all.filter(({ state }) => state.phase !== 'waiting');
    if (running.length === 0) return;
    const waiting = all.length - running.length;
    const label = [
      `Encoding ${running[0]!.name}${running.length > 1 ? ` and ${running.length - 1} more` : ''}`,
      ...(waiting > 0 ? [`${waiting} waiting`] : []),
    ].join(', ');
    // Of a clip without a duration no share is known; one that is measured is encoded.
    const shares = running.map(({ state }) => (state.phase === 'measuring' ? 1 : (state.progress ?? 0)));
    const share = shares.reduce((sum, one) => sum + one, 0) / shares.length;
    const left = running.flatMap(({ state }) => (state.eta === null ? [] : [state.eta]));
    this.#progress.show(label, share * 100, 100, '%', left.length > 0 ? Math.max(...left) : null);
  }
}

/**
 * Does something with a model, the output file that was named, and the source or the excerpt of it that was asked for;
 * leaves nothing behind of what was not finished.
 */
export async function withBench(
  source: string,
  flags: BenchFlags,
  io: Io,
  work: (tools: {
    readonly bench: Bench;
    readonly cuts: Cuts;
    readonly model: AssessingModel;
    readonly clip: EncodedClip;
    /** Null: none was named. */
    readonly output: OutputFile | null;
    /** Takes the progress away and prints. */
    print(text: string): void;
  }) => Promise<number>,
): Promise<number> {
  const output = flags.output === undefined ? null : await OutputFile.open(flags.output);
  const progress = new ProgressLine(io);
  const cuts = new Cuts(io, progress);
  let model: AssessingModel | undefined;
  try {
    model = await AssessingModel.load(flags.model, flags, io, progress);
    const bench = new Bench(model, io, progress);
    const clip = await excerptOf(bench, cuts, source, flags.excerpt);
    const print = (text: string) => {
      progress.clear();
      io.stdout.write(text);
    };
    return await work({ bench, cuts, model, clip, output, print });
  } finally {
    progress.clear();
    await cuts.dispose();
    await model?.dispose();
    await output?.close();
  }
}

const cancelled = () =>
  new OmniError('cancelled', 'The comparison was cancelled.', 'Start it again: finished encodes are kept.');
