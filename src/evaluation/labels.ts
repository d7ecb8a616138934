/** Label files as the field keeps them: a JSON list of clips with an opinion score each. */
import { OmniError, type Problem } from '../protocol/errors.ts';

export interface Label {
  /** As in the file, with `/` between folders. Untrusted text. */
  readonly path: string;
  /** In the unit of the file; higher is better. */
  readonly score: number;
  /** What the clip shows: clips of one content are not independent of each other. The path where the file is silent. */
  readonly content: string;
  /** What was done to it, null where the file is silent. */
  readonly distortion: string | null;
}

const names = {
  path: [
    ...['video', 'image', 'path', 'video_path', 'img_path', 'image_path', 'video_name', 'image_name', 'file'],
    ...['filename', 'name'],
  ],
  score: ['mos', 'MOS', 'gt_score', 'score', 'gt_mos', 'label'],
  content: ['content', 'source', 'reference', 'ref', 'ref_path'],
  distortion: ['distortion', 'distortion_type', 'type', 'recipe', 'kind'],
} as const;

/**
 * Reads `[{ "video" | "image" | "path" | "img_path" | …: "…", "mos" | "gt_score" | "score" | …: 61.2 }, …]` as Q-Align,
 * LLaVA-based scorers and their successors keep it; also a list under `annotations`, `labels`, `items` or `images`.
 * Entries without a path or a finite score are left out with a problem.
 *
 * @throws OmniError `bad_usage` where there is no list, or nothing usable in it
 */
export function parseLabels(value: unknown): { readonly value: Label[]; readonly problems: Problem[] } {
  const list = [
    value,
    ...['annotations', 'labels', 'items', 'images'].map((name) => field(value, name)),
  ].find((one) => Array.isArray(one)) as unknown[] | undefined;
  const labels: Label[] = [];
  const seen = new Set<string>();
  let [incomplete, twice] = [0, 0];
  for (const entry of list ?? []) {
    const path = names.path.map((name) => text(field(entry, name))).find((one) => one !== null);
    const score = names.score.map((name) => finite(field(entry, name))).find((one) => one !== null);
    if (path === undefined || path === null || score === undefined || score === null) incomplete += 1;
    else if (seen.has(path)) twice += 1;
    else {
      seen.add(path);
      const word = (among: readonly string[]) =>
        among.map((name) => text(field(entry, name))).find((one) => one !== null) ?? null;
      labels.push({
        path,
        score,
        content: word(names.content) ?? path,
        distortion: word(names.distortion),
      });
    }
  }
  if (labels.length === 0) {
    throw new OmniError(
      'bad_usage',
      'There is no label in the file.',
      'Give a JSON list such as [{ "video": "a.mp4", "mos": 3.2 }, …].',
    );
  }
  const problems: Problem[] = [];
  if (incomplete > 0) {
    problems.push({
      code: 'label_incomplete',
      message: `${incomplete} entries of the label file have no path or no score; they were left out.`,
    });
  }
  if (twice > 0) {
    problems.push({
      code: 'label_twice',
      message: `${twice} entries of the label file name a clip again; the first one counts.`,
    });
  }
  return { value: labels, problems };
}

export const labelScales = ['mos', 'score', 'unit'] as const;
/** `mos`: 1..5 of ITU-T P.800; `score`: 0..100; `unit`: 0..1. */
export type LabelScale = (typeof labelScales)[number];

/** The scale that all labels fit in, the narrowest first. */
export function guessScale(scores: readonly number[]): LabelScale {
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  if (low >= 0 && high <= 1) return 'unit';
  return low >= 1 && high <= 5 ? 'mos' : 'score';
}

/** A score of 0..100 on a label file's scale. */
export function onScale(score: number, scale: LabelScale): number {
  return scale === 'mos' ? 1 + score / 25 : scale === 'unit' ? score / 100 : score;
}

/** A label as a score of 0..100. */
export function fromScale(label: number, scale: LabelScale): number {
  return scale === 'mos' ? (label - 1) * 25 : scale === 'unit' ? label * 100 : label;
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : null);

/** A number, also where the file has it in quotes. */
function finite(value: unknown): number | null {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : null;
}
