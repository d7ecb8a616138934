import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { type BdResult, bdQuality, bdRate, convexHull } from '../assessment/bd_rate.ts';
import {
  comparisonCsv,
  comparisonHtml,
  comparisonStyle,
  comparisonSvg,
  type ExportedComparison,
} from '../assessment/comparison_export.ts';
import { mosOf } from '../assessment/pooling.ts';
import { printable, safeJson } from '../assessment/text.ts';
import { parseLadders } from '../comparison/ladders.ts';
import { type SearchResult, searchCrf } from '../comparison/search.ts';
import type { EngineModel } from '../engine/models.ts';
import { OmniError } from '../protocol/errors.ts';
import {
  type Bench,
  type ComparedEncode,
  crfEncode,
  given,
  type Wanted,
  withBench,
} from './compare_bench.ts';
import { type ExcerptFacts, excerptLines, factsOf, sourceLine, sourceOf } from './compare_excerpt.ts';
import { type LadderFlags, perTitleCommand } from './compare_ladder.ts';
import { perSceneCommand } from './compare_scenes.ts';
import { exit, type Io } from './io.ts';
import { junitReport, type TestCase } from './junit.ts';

export const comparisonFormats = ['text', 'json', 'csv', 'junit', 'svg', 'html'] as const;

export interface CompareFlags extends LadderFlags {
  readonly perTitle?: boolean;
  readonly perScene?: boolean;
  readonly settings?: string;
  readonly targetMos?: number;
  readonly failWorseThan?: string;
  readonly maxDrop: number;
  readonly format: (typeof comparisonFormats)[number];
}

/** `omnivqa/comparison@1`: what `omnivqa compare --format json` prints. */
interface ComparisonRecord {
  readonly schema: 'omnivqa/comparison@1';
  readonly source: { readonly path: string; readonly duration: number | null; readonly mos: number };
  readonly model: {
    readonly id: string;
    readonly revision: string;
    readonly precision: string;
    /** The weights that rated, where they are not the model's own. */
    readonly comparison?: string;
  };
  readonly encodes: readonly ComparedEncode[];
  /** Of every pair of encoders, the first named as the anchor. */
  readonly curves: readonly {
    readonly anchor: string;
    readonly test: string;
    /** A fraction of the anchor's rate: -0.1 needs 10 % fewer bits. */
    readonly bdRate: BdResult;
    readonly bdMos: BdResult;
  }[];
  /** Of what part of the source the encodes are; null: of the whole. */
  readonly excerpt: ExcerptFacts | null;
  readonly search: (SearchResult & { readonly codec: string; readonly target: number }) | null;
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
  if (flags.perTitle || flags.perScene) {
    const { perTitle, perScene, settings, failWorseThan, targetMos } = flags;
    if ((perTitle && (perScene || targetMos)) || settings || failWorseThan || groups.length > 0) {
      throw new OmniError(
        'bad_usage',
        'A ladder for the title, or a search by scenes, is a comparison of its own.',
        'Name --per-title, or --per-scene with --target-mos, without --settings, --fail-worse-than and options after --.',
      );
    }
    return perTitle ? perTitleCommand(source, flags, io) : perSceneCommand(source, flags, io);
  }
  const wanted = [...groups.map(given), ...(flags.settings ? await rungs(flags.settings) : [])];
  if (wanted.length === 0 && flags.targetMos === undefined) {
    throw new OmniError(
      'bad_usage',
      'There is nothing to compare.',
      'Name a ladder with --settings, options of ffmpeg after --, or a --target-mos to search for.',
    );
  }
  const baseline = flags.failWorseThan === undefined ? null : await readBaseline(flags.failWorseThan);
  return withBench(source, flags, io, async ({ bench, model, clip, output, print }) => {
    const encodes = await bench.all(wanted, (one, signal) => bench.measure(clip.path, one, signal));
    const search = flags.targetMos === undefined ? null : await searchIn(bench, clip.path, flags, encodes);
    const own = await bench.assess(clip.path, 'the source', { closely: true });
    const excerpt = factsOf(clip.excerpt, encodes);
    const record = recordOf(
      sourceOf(source, clip, { duration: own.video.duration, mos: own.mos }),
      excerpt,
      model.model,
      encodes,
      search,
    );
    const cases = casesOf(record, wanted, baseline, flags);
    const text = documentOf(record, cases, flags.format);
    await output?.write(text);
    print(output ? '' : text);
    const missed = cases.flatMap(({ failures }) => failures);
    for (const line of missed) io.stderr.write(`${printable(line)}\n`);
    return missed.length > 0 ? exit.threshold : exit.done;
  });
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

/** Finds the cheapest CRF for `--target-mos`; what it measures is added to `encodes`. */
async function searchIn(
  bench: Bench,
  source: string,
  { codec = 'libx264', preset, targetMos }: CompareFlags,
  encodes: ComparedEncode[],
): Promise<ComparisonRecord['search']> {
  const found = await searchCrf(codec, targetMos!, async (crf) => {
    const one = await bench.measure(source, crfEncode(codec, preset, crf));
    encodes.push(one);
    return one.mos;
  });
  return { ...found, codec, target: targetMos! };
}

function recordOf(
  source: ComparisonRecord['source'],
  excerpt: ExcerptFacts | null,
  { id, revision, precision, comparison }: EngineModel,
  encodes: readonly ComparedEncode[],
  search: ComparisonRecord['search'],
): ComparisonRecord {
  const codecs = [...new Set(encodes.map(({ codec }) => codec))];
  const points = (codec: string) =>
    encodes
      .filter((one) => one.codec === codec && one.alignment === null)
      .map(({ bitrate, mos }) => ({ rate: bitrate, quality: mos }));
  return {
    schema: 'omnivqa/comparison@1',
    source,
    model: { id, revision, precision, ...(comparison ? { comparison: comparison.revision } : {}) },
    excerpt,
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

function documentOf(
  record: ComparisonRecord,
  cases: readonly TestCase[],
  format: CompareFlags['format'],
): string {
  if (format === 'json') return `${safeJson(record, 2)}\n`;
  if (format === 'junit') return junitReport(`omnivqa compare ${record.source.path}`, cases);
  if (format === 'csv') return comparisonCsv(exportedOf(record));
  if (format === 'svg' || format === 'html') return drawingOf(exportedOf(record), format);
  const metrics = (['vmaf', 'ssim', 'psnr'] as const).filter((name) =>
    record.encodes.some((one) => one.metrics && one.metrics[name] !== null),
  );
  const rows = record.encodes.map((one) => [
    printable(one.label),
    one.mos.toFixed(2),
    (one.bitrate / 1000).toFixed(0),
    String(one.bytes),
    one.speed === null ? '' : one.speed.toFixed(2),
    `${one.worst.start.toFixed(1)}-${one.worst.end.toFixed(1)}`,
    ...metrics.map((name) => one.metrics?.[name]?.toFixed(name === 'ssim' ? 4 : 2) ?? ''),
  ]);
  const titles = metrics.map((name) => (name === 'psnr' ? 'PSNR, dB' : name.toUpperCase()));
  const head = ['encode', 'MOS', 'kb/s', 'bytes', 'speed', 'worst, s', ...titles];
  const widths = head.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]!.length)));
  const aligned = record.encodes.filter(({ alignment }) => alignment === null);
  const hull = new Set(
    convexHull(aligned.map((one) => ({ one, rate: one.bitrate, quality: one.mos }))).map(({ one }) => one),
  );
  const line = (row: readonly string[]) =>
    row.map((text, at) => (at === 0 ? text.padEnd(widths[at]!) : text.padStart(widths[at]!))).join('  ');
  const lines = [
    line(head),
    ...rows.map((row, at) => line(row) + (hull.has(record.encodes[at]!) ? '  *' : '')),
    '* on the convex hull of rate and quality',
  ];
  for (const { label, alignment, problems } of record.encodes) {
    if (alignment) {
      lines.push(
        `${printable(label)}: ${alignment.message} It is left out of the curves and not compared frame by frame.`,
      );
    }
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
  lines.push(...excerptLines(record.excerpt));
  lines.push(sourceLine(record.source, record.excerpt));
  return `${lines.join('\n')}\n`;
}

/** The comparison as the editor exports it. */
function exportedOf({ source, encodes }: ComparisonRecord): ExportedComparison {
  return {
    source: basename(source.path),
    encodes: encodes.map((one) => ({
      id: JSON.stringify(one.arguments),
      label: one.label,
      codec: one.codec,
      bitrate: one.bitrate,
      bytes: one.bytes,
      speed: one.speed,
      mos: one.mos,
      vmaf: one.metrics?.vmaf ?? null,
      ssim: one.metrics?.ssim ?? null,
      psnr: one.metrics?.psnr ?? null,
      aligned: one.alignment === null,
      windows: [{ start: one.worst.start, end: one.worst.end, mos: mosOf(one.worst.score) }],
      problems: one.alignment ? [...one.problems, one.alignment.message] : one.problems,
    })),
  };
}

/** The MOS over the rate as a picture, or with everything else as a page. */
function drawingOf(comparison: ExportedComparison, format: 'svg' | 'html'): string {
  const drawing = { metric: 'mos', logarithmic: true } as const;
  if (format === 'svg') return comparisonSvg(comparison, drawing);
  const hash = createHash('sha256').update(comparisonStyle).digest('base64');
  return comparisonHtml(comparison, drawing, `sha256-${hash}`);
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

/** What was asked of each encode, and what of it was missed. */
function casesOf(
  record: ComparisonRecord,
  wanted: readonly Wanted[],
  baseline: Baseline | null,
  { maxDrop }: CompareFlags,
): TestCase[] {
  const cases = record.encodes.map(({ label, arguments: options, alignment, mos, seconds }, at): TestCase => {
    const failures: string[] = [];
    const target = wanted[at]?.targetMos ?? null;
    const before = baseline?.mos.get(settingsKey(options));
    // What was scored is not the source as it was asked for: neither a pass nor a drop can be told from it.
    if (alignment && (target !== null || before !== undefined)) {
      failures.push(
        `${label}: ${alignment.message} Its MOS of ${mos.toFixed(2)} is not held against anything.`,
      );
      return { name: label, seconds, failures, error: null };
    }
    if (target !== null && mos < target) {
      failures.push(`${label}: MOS ${mos.toFixed(2)} misses its target of ${target}.`);
    }
    if (before !== undefined && before - mos > maxDrop) {
      failures.push(
        `${label}: MOS ${mos.toFixed(2)} is ${(before - mos).toFixed(2)} below the ${before.toFixed(2)} of ${baseline!.path}.`,
      );
    }
    return { name: label, seconds, failures, error: null };
  });
  if (record.search) {
    const { codec, target, crf } = record.search;
    const failures = crf === null ? [`MOS ${target} is out of reach.`] : [];
    cases.push({ name: `${codec} reaches MOS ${target}`, seconds: null, failures, error: null });
  }
  return cases;
}
