import { relative, resolve } from 'node:path';
import { safeJson } from '../assessment/text.ts';
import { isLadderFile } from '../comparison/ladders.ts';
import {
  ladderText,
  type PerTitle,
  perTitleLadder,
  type TitlePoint,
  titleCrfs,
} from '../comparison/per_title.ts';
import { qualityScales } from '../comparison/search.ts';
import { OmniError } from '../protocol/errors.ts';
import { probeVideo } from '../video/probe.ts';
import { type Bench, type BenchFlags, type ComparedEncode, crfEncode, withBench } from './compare_bench.ts';
import {
  type Cuts,
  type ExcerptFacts,
  excerptLines,
  factsOf,
  sourceLine,
  sourceOf,
} from './compare_excerpt.ts';
import { tableText } from './compare_table.ts';
import { exit, type Io } from './io.ts';

export interface LadderFlags extends BenchFlags {
  readonly codec?: string;
  readonly preset?: string;
  readonly heights: readonly number[];
  readonly rungs: number;
}

/** An encode of the search for a ladder. */
interface TitleEncode extends TitlePoint {
  readonly encode: ComparedEncode;
}

/** `omnivqa/per-title@1`: what `omnivqa compare --per-title --format json` prints. */
interface PerTitleRecord {
  readonly schema: 'omnivqa/per-title@1';
  readonly source: { readonly path: string; readonly duration: number | null; readonly mos: number };
  readonly codec: string;
  readonly preset: string | null;
  /** All that was encoded, by size and rate. */
  readonly points: readonly (TitlePoint & { readonly vmaf: number | null; readonly onHull: boolean })[];
  readonly switches: PerTitle<TitlePoint>['switches'];
  readonly rungs: readonly TitlePoint[];
  /** Of what part of the source all this is; null: of the whole. */
  readonly excerpt: ExcerptFacts | null;
}

/** `omnivqa compare --per-title`: prints what was measured, and writes the ladder where one was named. */
export async function perTitleCommand(source: string, flags: LadderFlags, io: Io): Promise<number> {
  const { format, output: file } = flags;
  if (format !== 'text' && format !== 'json') {
    throw new OmniError('bad_usage', `A ladder can not be printed as ${format}.`, 'Use text or json.');
  }
  const ladder = file !== undefined && isLadderFile(file);
  if (file !== undefined && (ladder ? !/\.ya?ml$/i.test(file) : format === 'text')) {
    throw new OmniError(
      'bad_usage',
      `${file} is no name for a ladder.`,
      'Name a file that ends in .ladder.yaml, or --format json for what was measured.',
      { path: file },
    );
  }
  return withBench(source, flags, io, async ({ bench, cuts, clip, output, print }) => {
    const { encodes, ...record } = await perTitle(bench, cuts, clip.path, flags, io);
    const excerpt = factsOf(clip.excerpt, encodes);
    const named = { ...record, source: sourceOf(source, clip, record.source), excerpt };
    if (output && ladder) await output.write(perTitleFile(named, file!));
    const text = perTitleText(named, format);
    if (output && !ladder) await output.write(text);
    else print(text);
    return exit.done;
  });
}

/**
 * Encodes a clip in several sizes with a few CRFs each and picks a ladder's rungs. Sizes above the clip's are left out.
 *
 * @throws OmniError `bad_usage` for an encoder without a known scale, or where no size is left.
 */
async function perTitle(
  bench: Bench,
  cuts: Cuts,
  source: string,
  { codec = 'libx264', preset, heights, rungs }: LadderFlags,
  { signal }: Pick<Io, 'signal'>,
): Promise<Omit<PerTitleRecord, 'excerpt'> & { readonly encodes: readonly ComparedEncode[] }> {
  const crfs = titleCrfs(codec);
  if (!crfs) {
    throw new OmniError(
      'bad_usage',
      `The quality scale of ${codec} is not known.`,
      `Make a ladder with one of ${Object.keys(qualityScales).join(', ')}.`,
    );
  }
  const { value: info } = await probeVideo(source, { signal });
  const lines = info.height;
  const sizes = [...new Set(heights)].filter((height) => height <= lines).sort((a, b) => b - a);
  if (sizes.length === 0) {
    throw new OmniError(
      'bad_usage',
      `${source} has ${lines} lines: none of the sizes is that small.`,
      `Name some with --heights, such as ${Math.floor(lines / 2) * 2},${Math.floor(lines / 4) * 2}.`,
      { path: source },
    );
  }
  const whole = await bench.assess(source, 'the source', { closely: true });
  const wanted = sizes.flatMap((height) => crfs.map((crf) => ({ height, crf })));
  const measured = await bench.all(wanted, async ({ height, crf }, end): Promise<TitleEncode> => {
    const encode = await bench.measure(source, crfEncode(codec, preset, crf, height), end, cuts);
    return { height, crf, bitrate: encode.bitrate, mos: encode.mos, encode };
  });
  const found = perTitleLadder(measured, rungs);
  const onHull = new Set(found.hull);
  const plain = ({ height, crf, bitrate, mos }: TitlePoint): TitlePoint => ({ height, crf, bitrate, mos });
  return {
    schema: 'omnivqa/per-title@1',
    source: { path: source, duration: whole.video.duration, mos: whole.mos },
    codec,
    preset: preset ?? null,
    points: measured.map((one) => ({
      ...plain(one),
      vmaf: one.encode.metrics?.vmaf ?? null,
      onHull: onHull.has(one),
    })),
    switches: found.switches,
    rungs: found.rungs.map(plain),
    encodes: measured.map(({ encode }) => encode),
  };
}

/** What was measured and picked, as a table or as JSON. */
function perTitleText(record: PerTitleRecord, format: 'text' | 'json'): string {
  if (format === 'json') return `${safeJson(record, 2)}\n`;
  const { points, switches, rungs, source, codec } = record;
  const vmaf = points.some((point) => point.vmaf !== null);
  const kilobits = (rate: number) => (rate / 1000).toFixed(0);
  const picked = (point: TitlePoint) =>
    rungs.some(({ height, crf }) => height === point.height && crf === point.crf);
  const rows = points.map((point) => [
    `${point.height}p crf ${point.crf}`,
    kilobits(point.bitrate),
    point.mos.toFixed(2),
    ...(vmaf ? [point.vmaf?.toFixed(2) ?? ''] : []),
    picked(point) ? 'rung' : point.onHull ? 'hull' : '',
  ]);
  const head = ['encode', 'kb/s', 'MOS', ...(vmaf ? ['VMAF'] : []), ''];
  const lines = [
    tableText(head, rows),
    ...switches.map(
      ({ from, to, above, below }) =>
        `From ${from} to ${to} lines between ${kilobits(above)} and ${kilobits(below)} kb/s.`,
    ),
    `A ladder of ${codec}, from the best to the cheapest: ${rungs.map(({ height, crf }) => `${height}p crf ${crf}`).join(', ')}.`,
    'Every size is assessed at the size of the source, as a player would show it.',
    ...excerptLines(record.excerpt),
    sourceLine(source, record.excerpt),
  ];
  return `${lines.join('\n')}\n`;
}

/** The ladder as a file, with its source named from where the file lies. */
function perTitleFile({ source, codec, preset, rungs }: PerTitleRecord, file: string): string {
  const from = relative(resolve(file, '..'), resolve(source.path)).replaceAll('\\', '/');
  return ladderText(rungs, { source: from, codec, preset });
}
