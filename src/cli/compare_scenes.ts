import { availableParallelism } from 'node:os';
import { clock, safeJson } from '../assessment/text.ts';
import { type Stretch, scenesOf } from '../comparison/excerpts.ts';
import { type SearchStep, searchCrf } from '../comparison/search.ts';
import { OmniError } from '../protocol/errors.ts';
import { type Bench, type BenchFlags, type ComparedEncode, crfEncode, withBench } from './compare_bench.ts';
import {
  type Cuts,
  durationOf,
  type ExcerptFacts,
  excerptLines,
  factsOf,
  sourceLine,
  sourceOf,
} from './compare_excerpt.ts';
import { tableText } from './compare_table.ts';
import { exit, type Io } from './io.ts';

export interface SceneFlags extends BenchFlags {
  readonly targetMos?: number;
  readonly codec?: string;
  readonly preset?: string;
}

/** Scenes that are searched on their own at most: beyond, the shortest are joined with a neighbour. */
const mostScenes = 50;

/** What was found of a scene, or of the whole clip. */
interface Found {
  /** Null: not even the best quality reaches the target; the other figures are then of the best that was tried. */
  readonly crf: number | null;
  readonly mos: number;
  readonly bytes: number;
  readonly steps: readonly SearchStep[];
}

/** `omnivqa/per-scene@1`: what `omnivqa compare --per-scene --format json` prints. */
interface PerSceneRecord {
  readonly schema: 'omnivqa/per-scene@1';
  readonly source: { readonly path: string; readonly duration: number; readonly mos: number };
  readonly codec: string;
  readonly preset: string | null;
  readonly target: number;
  readonly scenes: readonly (Stretch & Found)[];
  /** All scenes together, the MOS by their lengths. */
  readonly total: { readonly bytes: number; readonly mos: number };
  /** One CRF for the whole clip, that reaches the target in the mean. */
  readonly whole: Found;
  /** One CRF for the whole clip, that of the scene which needs the lowest; null where a scene is out of reach. */
  readonly hardest: { readonly crf: number; readonly mos: number; readonly bytes: number } | null;
  /** Encodes of all searches. */
  readonly encodes: number;
  readonly excerpt: ExcerptFacts | null;
}

/** `omnivqa compare --target-mos x --per-scene`: the cheapest CRF of every scene, and what that saves. */
export async function perSceneCommand(source: string, flags: SceneFlags, io: Io): Promise<number> {
  const { format, targetMos } = flags;
  if (targetMos === undefined) {
    throw new OmniError('bad_usage', 'Scenes are searched for a MOS.', 'Name it with --target-mos.');
  }
  if (format !== 'text' && format !== 'json') {
    throw new OmniError('bad_usage', `Scenes can not be printed as ${format}.`, 'Use text or json.');
  }
  return withBench(source, flags, io, async ({ bench, cuts, clip, output, print }) => {
    const { measured, ...found } = await perScene(bench, cuts, clip.path, { ...flags, targetMos });
    const record: PerSceneRecord = {
      ...found,
      source: sourceOf(source, clip, found.source),
      excerpt: factsOf(clip.excerpt, measured),
    };
    const text = format === 'json' ? `${safeJson(record, 2)}\n` : textOf(record);
    if (output) await output.write(text);
    else print(text);
    return record.scenes.some(({ crf }) => crf === null) ? exit.threshold : exit.done;
  });
}

async function perScene(
  bench: Bench,
  cuts: Cuts,
  path: string,
  { codec = 'libx264', preset, targetMos }: SceneFlags & { readonly targetMos: number },
): Promise<Omit<PerSceneRecord, 'excerpt'> & { readonly measured: readonly ComparedEncode[] }> {
  const measured: ComparedEncode[] = [];
  const search = async (clip: string, name: string, begin?: number, signal?: AbortSignal): Promise<Found> => {
    const own = new Map<number, ComparedEncode>();
    const measure = async (crf: number) => {
      const wanted = crfEncode(codec, preset, crf);
      const encode = await bench.measure(clip, { ...wanted, label: `${name}, ${wanted.label}` }, signal);
      own.set(crf, encode);
      return encode.mos;
    };
    const { crf, steps } = await searchCrf(codec, targetMos, measure, begin);
    measured.push(...own.values());
    const { mos, bytes } = own.get(crf ?? Math.min(...own.keys()))!;
    return { crf, mos, bytes, steps };
  };
  const whole = await search(path, 'whole');
  const record = await bench.assess(path, 'the source', { closely: true });
  const duration = durationOf(record);
  const spans = scenesOf(duration, record.signals.sceneCuts, { most: mostScenes });
  const one = async (span: Stretch, signal: AbortSignal, at: number) => {
    const name = `scene ${at + 1}`;
    const cut = await cuts.cut(path, [span], name, signal);
    // The scenes of a clip are more like it than like the clips of others.
    const found = await search(cut.path, name, whole.crf ?? undefined, signal);
    await cuts.remove(cut.path);
    return { ...span, ...found };
  };
  const scenes = await bench.all(spans, one, availableParallelism());
  const crfs = scenes.map(({ crf }) => crf);
  const lowest = crfs.includes(null) ? null : Math.min(...crfs.map((crf) => crf!));
  const same = lowest === null ? null : await bench.measure(path, crfEncode(codec, preset, lowest));
  if (same) measured.push(same);
  const seconds = scenes.reduce((sum, { start, end }) => sum + end - start, 0);
  return {
    schema: 'omnivqa/per-scene@1',
    source: { path, duration, mos: record.mos },
    codec,
    preset: preset ?? null,
    target: targetMos,
    scenes,
    total: {
      bytes: scenes.reduce((sum, { bytes }) => sum + bytes, 0),
      mos: scenes.reduce((sum, { start, end, mos }) => sum + (mos * (end - start)) / seconds, 0),
    },
    whole,
    hardest: same && { crf: lowest!, mos: same.mos, bytes: same.bytes },
    encodes: [whole, ...scenes].reduce((sum, { steps }) => sum + steps.length, 0),
    measured,
  };
}

function textOf(record: PerSceneRecord): string {
  const { scenes, total, whole, hardest, target, codec, source } = record;
  const seconds = scenes.reduce((sum, { start, end }) => sum + end - start, 0);
  const rows = scenes.map(({ start, end, crf, mos, bytes, steps }, at) => [
    `${at + 1}`,
    `${clock(start)}–${clock(end)}`,
    crf === null ? 'none' : String(crf),
    mos.toFixed(2),
    ((bytes * 8) / (end - start) / 1000).toFixed(0),
    String(bytes),
    String(steps.length),
  ]);
  const one = ({ crf, mos, bytes }: { crf: number | null; mos: number; bytes: number }) => [
    '',
    crf === null ? 'none' : String(crf),
    mos.toFixed(2),
    ((bytes * 8) / seconds / 1000).toFixed(0),
    String(bytes),
  ];
  const head = ['scene', 'time', 'CRF', 'MOS', 'kb/s', 'bytes', 'encodes'];
  const lines = [
    tableText(head, [
      ...rows,
      ['all scenes', ...one({ crf: null, ...total }).with(1, ''), ''],
      ['one CRF', ...one(whole), String(whole.steps.length)],
    ]),
    ...(whole.crf === null
      ? [`No CRF of ${codec} reaches MOS ${target} over the whole clip.`]
      : [saved(total.bytes, whole.bytes, `CRF ${whole.crf}, which reaches MOS ${target} in the mean`)]),
    ...(hardest && hardest.crf !== whole.crf
      ? [saved(total.bytes, hardest.bytes, `CRF ${hardest.crf}, which the hardest scene needs`)]
      : []),
    ...scenes.flatMap(({ crf }, at) =>
      crf === null ? [`Scene ${at + 1}: no CRF of ${codec} reaches MOS ${target}.`] : [],
    ),
    ...excerptLines(record.excerpt),
    sourceLine(source, record.excerpt),
  ];
  return `${lines.join('\n')}\n`;
}

/** Each scene is a file of its own with its own key frame: what that costs is in the figures. */
function saved(bytes: number, other: number, what: string): string {
  const percent = 100 * (1 - bytes / other);
  const how = percent >= 0 ? `${percent.toFixed(1)} % fewer` : `${(-percent).toFixed(1)} % more`;
  return `The scenes together need ${how} bytes than one ${what} (${bytes} to ${other}).`;
}
