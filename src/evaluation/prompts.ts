/** Which of several rating prompts follows people's scores best: the table of `omnivqa model probe`. */
import { bootstrap, type Interval, pearson, spearman } from './statistics.ts';
import { cell, type Table } from './tables.ts';

/** What a model said of all clips in one prompt, in the order of the labels. */
export interface PromptScores {
  readonly user: string;
  readonly assistant: string;
  /** 0..1 */
  readonly scores: readonly number[];
  /** Probability of any level word, mean over the clips. */
  readonly mass: number;
}

export interface PromptRow extends Omit<PromptScores, 'scores'> {
  readonly srcc: Interval;
  readonly plcc: Interval;
  /** SRCC less that of the model's own prompt, on the same clips; the own prompt's is 0. */
  readonly gain: Interval;
}

export interface PromptReport {
  /** The best first. */
  readonly rows: readonly PromptRow[];
  /** The model's own prompt. */
  readonly own: PromptRow;
  /** Clips of so many contents were looked at. */
  readonly contents: number;
  /**
   * Whether the best one's gain lies above 0, in an interval that is wide enough for as many prompts as were tried
   * (Bonferroni): otherwise the own one is as good as any.
   */
  readonly better: boolean;
}

/** With fewer contents an interval of a correlation says nothing. */
export const fewestContents = 8;
/** Enough for the ends of the wider interval. */
const manyDraws = 4000;

/**
 * SRCC and PLCC of every prompt with 95 % intervals of a bootstrap over contents. A gain is drawn on the same clips as
 * what it is a gain over. The best of many is a little better on the clips that it was chosen on than on others.
 *
 * @param prompts The model's own first.
 * @param labels Opinion scores, higher is better.
 * @param contents What each clip shows.
 */
export function comparePrompts(
  prompts: readonly PromptScores[],
  labels: readonly number[],
  contents: readonly string[],
): PromptReport {
  const among = (items: readonly number[], values: readonly number[]) => items.map((item) => values[item]!);
  const agreement = (figure: typeof spearman, scores: readonly number[]) =>
    bootstrap(contents, (items) => figure(among(items, scores), among(items, labels)));
  const base = prompts[0]!.scores;
  // One that says the same of every clip follows nothing.
  const srcc = (items: readonly number[], said: readonly number[]) => {
    const value = spearman(among(items, said), among(items, labels));
    return Number.isNaN(value) ? 0 : value;
  };
  const gainOf = (scores: readonly number[]) => (items: readonly number[]) =>
    srcc(items, scores) - srcc(items, base);
  const rows = prompts.map(({ scores, ...prompt }): PromptRow => {
    return {
      ...prompt,
      srcc: agreement(spearman, scores),
      plcc: agreement(pearson, scores),
      gain: bootstrap(contents, gainOf(scores)),
    };
  });
  const own = rows[0]!;
  const order = rows.map((_, i) => i).sort((a, b) => rows[b]!.gain.value - rows[a]!.gain.value);
  const best = order[0]!;
  const shown = new Set(contents).size;
  const coverage = 1 - 0.05 / Math.max(1, prompts.length - 1);
  const better =
    shown >= fewestContents &&
    rows[best]!.gain.low > 0 &&
    bootstrap(contents, gainOf(prompts[best]!.scores), { draws: manyDraws, coverage }).low > 0;
  return { rows: order.map((i) => rows[i]!), own, contents: shown, better };
}

export function promptTable({ rows, own }: PromptReport): Table {
  const clip = own.user.slice(0, own.user.lastIndexOf('<image>') + '<image>'.length);
  const words = (user: string) =>
    (user.startsWith(clip) ? user.slice(clip.length).replace(/^[.\s]+/, '') : user).replaceAll('\n', ' ⏎ ');
  return {
    title: 'Rating prompts, behind the clip',
    head: ['question … beginning of the answer', 'SRCC', 'PLCC', 'gain', 'level words'],
    rows: rows.map((row) => [
      `${row === own ? '(own) ' : ''}${words(row.user)} … ${row.assistant}`,
      cell(row.srcc),
      cell(row.plcc),
      row === own ? '–' : cell(row.gain),
      cell(row.mass),
    ]),
  };
}
