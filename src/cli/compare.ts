import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type BdResult, bdQuality, bdRate, convexHull } from '../assessment/bd_rate.ts';
import { printable, safeJson } from '../assessment/text.ts';
import { describeOutput } from '../comparison/encodes.ts';
import { parseLadders } from '../comparison/ladders.ts';
import { type SearchResult, searchCrf } from '../comparison/search.ts';
import type { EncodeOutput } from '../comparison/settings.ts';
import { assessCached } from '../engine/assess.ts';
import { Contents } from '../engine/content.ts';
import { Encodes, outputOf } from '../engine/encodes.ts';
import type { EngineModel } from '../engine/models.ts';
import { cacheDirectory } from '../engine/paths.ts';
import { ResultCache } from '../engine/results.ts';
import type { EncodeFacts } from '../protocol/engine.ts';
import { OmniError } from '../protocol/errors.ts';
import { probeVideo } from '../video/probe.ts';
import { exit, type Io, ProgressLine } from './io.ts';
import { loadForCommand, type RuntimeFlags } from './load.ts';
import { OutputFile } from './output.ts';

export const comparisonFormats = ['text', 'json', 'csv'] as const;

export interface CompareFlags extends RuntimeFlags {
  readonly model: string;
  readonly settings?: string;
  readonly targetMos?: number;
  readonly codec?: string;
  readonly preset?: string;
  readonly failWorseThan?: string;
  readonly maxDrop: number;
  readonly format: (typeof comparisonFormats)[number];
  readonly output?: string;
}

/** One encode as it was measured. */
interface ComparedEncode extends Omit<EncodeFacts, 'madeAt'> {
  readonly label: string;
  readonly codec: string;
  /** Bits per second of the picture. */
  readonly bitrate: number;
  readonly mos: number;
  readonly score: number;
  readonly worst: { readonly start: number; readonly end: number; readonly score: number };
  /** Why it may not be the same frames as the source's; null where they are as many at the same times. */
  readonly alignment: string | null;
}

/** `omnivqa/comparison@1`: what `omnivqa compare --format json` prints. */
interface ComparisonRecord {
  readonly schema: 'omnivqa/comparison@1';
  readonly source: { readonly path: string; readonly duration: number | null; readonly mos: number };
  readonly model: { readonly id: string; readonly revision: string; readonly precision: string };
  readonly encodes: readonly ComparedEncode[];
  /** Of every pair of encoders, the first named as the anchor. */
  readonly curves: readonly {
    readonly anchor: string;
    readonly test: string;
    /** A fraction of the anchor's rate: -0.1 needs 10 % fewer bits. */
    readonly bdRate: BdResult;
    readonly bdMos: BdResult;
  }[];
  readonly search: (SearchResult & { readonly codec: string; readonly target: number }) | null;
}

/** What is to be encoded. */
interface Wanted {
  readonly label: string;
  readonly output: EncodeOutput;
  readonly targetMos: number | null;
}

/**
 * `omnivqa compare`: encodes a source with several settings, assesses each, prints rate and quality.
 *
 * @param groups Options of ffmpeg, one list for each encode.
 */
export async function compareCommand(
  source: string,
  groups: readonly (readonly string[])[],
  flags: CompareFlags,
  io: Io,
): Promise<number> {
  const wanted = [...groups.map(given), ...(flags.settings ? await rungs(flags.settings) : [])];
  if (wanted.length === 0 && flags.targetMos === undefined) {
    throw new OmniError(
      'bad_usage',
      'There is nothing to compare.',
      'Name a ladder with --settings, options of ffmpeg after --, or a --target-mos to search for.',
    );
  }
  const baseline = flags.failWorseThan === undefined ? null : await readBaseline(flags.failWorseThan);
  const output = flags.output === undefined ? undefined : await OutputFile.open(flags.output);
  const progress = new ProgressLine(io);
  let model: EngineModel | undefined;
  try {
    model = await loadForCommand(flags.model, flags, io, progress);
    const bench = new Bench(source, model, io, progress);
    const encodes: ComparedEncode[] = [];
    for (const one of wanted) encodes.push(await bench.measure(one));
    const search = flags.targetMos === undefined ? null : await bench.search(flags, encodes);
    const record = await bench.record(encodes, search);
    const text = documentOf(record, flags.format);
    if (output) await output.write(text);
    else io.stdout.write(text);
    return verdict(record, wanted, baseline, flags, io);
  } finally {
    progress.clear();
    await model?.dispose();
    await output?.close();
  }
}

function given(options: readonly string[]): Wanted {
  const output = outputOf(options);
  return { label: describeOutput(output) || options.join(' '), output, targetMos: null };
}

async function rungs(file: string): Promise<Wanted[]> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new OmniError(
      'file_unreadable',
      `${file} can not be read (${error.code}).`,
      'Name a ladder file.',
      {
        path: file,
      },
    );
  });
  const { value, problems } = parseLadders(text, basename(file));
  const wrong = problems.filter(({ code }) => code !== 'assumed');
  const found = value.flatMap((ladder) =>
    ladder.rungs.map(({ name, output, targetMos }) => ({
      label: name,
      output,
      targetMos: targetMos ?? ladder.targetMos,
    })),
  );
  if (wrong.length > 0 || found.length === 0) {
    throw new OmniError(
      'bad_usage',
      `${file} can not be used as a ladder.`,
      'Correct it; media/schema/ladder.schema.json says what a ladder holds.',
      { path: file, findings: wrong.map(({ message }) => message) },
    );
  }
  return found;
}

/** Encodes one source with one model, everything kept in the cache. */
class Bench {
  readonly #source: string;
  readonly #model: EngineModel;
  readonly #io: Io;
  readonly #progress: ProgressLine;
  readonly #encodes: Encodes;
  readonly #results = new ResultCache(join(cacheDirectory(), 'results'));

  constructor(source: string, model: EngineModel, io: Io, progress: ProgressLine) {
    this.#source = source;
    this.#model = model;
    this.#io = io;
    this.#progress = progress;
    const contents = new Contents(join(cacheDirectory(), 'contents'));
    this.#encodes = new Encodes(join(cacheDirectory(), 'encodes'), contents);
  }

  async measure({ label, output }: Wanted): Promise<ComparedEncode> {
    const { signal } = this.#io;
    const {
      kept: _,
      madeAt: __,
      ...encode
    } = await this.#encodes.encode(this.#source, output, {
      signal,
      onProgress: (share) => this.#progress.show(`Encoding ${label}`, share * 100, 100, '%'),
    });
    const record = await this.#assess(encode.file, label);
    const { value: source } = await probeVideo(this.#source, { signal });
    const seconds = record.video.duration ?? source.duration ?? 0;
    return {
      ...encode,
      label,
      codec: output.video!.codec,
      bitrate: seconds > 0 ? (encode.bytes * 8) / seconds : 0,
      mos: record.mos,
      score: record.score,
      worst: record.pooling.worst,
      alignment: misaligned(source, record.video),
    };
  }

  /** Finds the cheapest CRF for `--target-mos`; what it measures is added to `encodes`. */
  async search(
    { codec = 'libx264', preset, targetMos }: CompareFlags,
    encodes: ComparedEncode[],
  ): Promise<ComparisonRecord['search']> {
    const found = await searchCrf(codec, targetMos!, async (crf) => {
      const options = ['-c:v', codec, ...(preset ? ['-preset', preset] : []), '-crf', String(crf)];
      const one = await this.measure(given(options));
      encodes.push(one);
      return one.mos;
    });
    return { ...found, codec, target: targetMos! };
  }

  async record(
    encodes: readonly ComparedEncode[],
    search: ComparisonRecord['search'],
  ): Promise<ComparisonRecord> {
    const { video, mos } = await this.#assess(this.#source, 'the source');
    const { id, revision, precision } = this.#model;
    const codecs = [...new Set(encodes.map(({ codec }) => codec))];
    const points = (codec: string) =>
      encodes
        .filter((one) => one.codec === codec && one.alignment === null)
        .map(({ bitrate, mos }) => ({ rate: bitrate, quality: mos }));
    return {
      schema: 'omnivqa/comparison@1',
      source: { path: this.#source, duration: video.duration, mos },
      model: { id, revision, precision },
      encodes,
      curves: codecs.flatMap((test, index) =>
        codecs.slice(0, index).map((anchor) => ({
          anchor,
          test,
          bdRate: bdRate(points(anchor), points(test)),
          bdMos: bdQuality(points(anchor), points(test)),
        })),
      ),
      search,
    };
  }

  async #assess(path: string, label: string) {
    const { record } = await assessCached(path, this.#model, this.#results, {
      signal: this.#io.signal,
      onProgress: ({ frames, total }) => this.#progress.show(`Assessing ${label}`, frames, total, 'frames'),
    });
    if (record.status === 'cancelled') {
      throw new OmniError(
        'cancelled',
        'The comparison was cancelled.',
        'Start it again: finished encodes are kept.',
      );
    }
    return record;
  }
}

/** A difference of a frame's length adds up to nothing that is seen; more is another clip. */
function misaligned(
  source: { readonly fps: number; readonly duration: number | null },
  encode: { readonly fps: number; readonly duration: number | null },
): string | null {
  if (Math.abs(source.fps / encode.fps - 1) > 5e-4) {
    return `It has ${encode.fps.toFixed(3)} frames per second, the source ${source.fps.toFixed(3)}.`;
  }
  if (source.duration === null || encode.duration === null) return null;
  const gap = encode.duration - source.duration;
  return Math.abs(gap) > 1.5 / source.fps ? `It is ${gap.toFixed(3)} s longer than the source.` : null;
}

function documentOf(record: ComparisonRecord, format: CompareFlags['format']): string {
  if (format === 'json') return `${safeJson(record, 2)}\n`;
  const rows = record.encodes.map((one) => [
    printable(one.label),
    one.mos.toFixed(2),
    (one.bitrate / 1000).toFixed(0),
    String(one.bytes),
    one.speed === null ? '' : one.speed.toFixed(2),
    `${one.worst.start.toFixed(1)}-${one.worst.end.toFixed(1)}`,
  ]);
  const head = ['encode', 'MOS', 'kb/s', 'bytes', 'speed', 'worst, s'];
  if (format === 'csv') {
    const cell = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    return [head, ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('');
  }
  const widths = head.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]!.length)));
  const hull = new Set(
    convexHull(record.encodes.map(({ label, bitrate, mos }) => ({ label, rate: bitrate, quality: mos }))).map(
      ({ label }) => label,
    ),
  );
  const line = (row: readonly string[]) =>
    row.map((text, at) => (at === 0 ? text.padEnd(widths[at]!) : text.padStart(widths[at]!))).join('  ');
  const lines = [
    line(head),
    ...rows.map((row, at) => line(row) + (hull.has(record.encodes[at]!.label) ? '  *' : '')),
    '* on the convex hull of rate and quality',
  ];
  for (const { label, alignment, problems } of record.encodes) {
    if (alignment) lines.push(`${printable(label)}: ${alignment} It is left out of the curves.`);
    for (const problem of problems) lines.push(`${printable(label)}: ${printable(problem)}`);
  }
  for (const { anchor, test, bdRate: rate, bdMos } of record.curves) {
    const said = (result: BdResult, value: (number: number) => string) =>
      'refusal' in result ? `none: ${result.message}` : value(result.value);
    lines.push(
      `${test} against ${anchor}: BD-rate ${said(rate, (v) => `${(100 * v).toFixed(1)} %`)}, BD-MOS ${said(bdMos, (v) => v.toFixed(2))}`,
    );
  }
  if (record.search) {
    const { codec, target, crf, steps } = record.search;
    lines.push(
      crf === null
        ? `No CRF of ${codec} reaches MOS ${target} (${steps.length} encodes).`
        : `The cheapest CRF of ${codec} that reaches MOS ${target} is ${crf} (${steps.length} encodes).`,
    );
  }
  lines.push(`The source itself: MOS ${record.source.mos.toFixed(2)}.`);
  return `${lines.join('\n')}\n`;
}

interface Baseline {
  readonly path: string;
  readonly mos: ReadonlyMap<string, number>;
}

const settingsKey = (options: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(options)).digest('hex');

/** An earlier comparison: what each of its settings reached. */
async function readBaseline(path: string): Promise<Baseline> {
  try {
    const { schema, encodes } = JSON.parse(await readFile(path, 'utf8')) as ComparisonRecord;
    if (schema !== 'omnivqa/comparison@1') throw new Error(`its schema is ${String(schema)}`);
    return { path, mos: new Map(encodes.map((one) => [settingsKey(one.arguments), one.mos])) };
  } catch (error) {
    throw new OmniError(
      'bad_usage',
      `${path} is no comparison: ${(error as Error).message}.`,
      'Name a file that omnivqa compare --format json -o wrote.',
      { path },
    );
  }
}

function verdict(
  record: ComparisonRecord,
  wanted: readonly Wanted[],
  baseline: Baseline | null,
  { maxDrop }: CompareFlags,
  io: Io,
): number {
  const missed: string[] = [];
  for (const [at, { targetMos, label }] of wanted.entries()) {
    const { mos } = record.encodes[at]!;
    if (targetMos !== null && mos < targetMos) {
      missed.push(`${printable(label)}: MOS ${mos.toFixed(2)} misses its target of ${targetMos}.`);
    }
  }
  for (const { label, arguments: options, mos } of record.encodes) {
    const before = baseline?.mos.get(settingsKey(options));
    if (before !== undefined && before - mos > maxDrop) {
      missed.push(
        `${printable(label)}: MOS ${mos.toFixed(2)} is ${(before - mos).toFixed(2)} below the ${before.toFixed(2)} of ${printable(baseline!.path)}.`,
      );
    }
  }
  if (record.search?.crf === null) missed.push(`MOS ${record.search.target} is out of reach.`);
  for (const line of missed) io.stderr.write(`${line}\n`);
  return missed.length > 0 ? exit.threshold : exit.done;
}
