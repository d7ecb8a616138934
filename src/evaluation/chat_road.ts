/**
 * Questions about rendered clips whose answers are known, and how many of them a conversation gets right: the tables of
 * `omnivqa evaluate fine-grained --road chat`.
 *
 * Multiple-choice questions offer their answers in an order of their own; of yes-or-no questions half are true. Each
 * kind is held against guessing: its chance is the mean of one part in so many answers.
 */
import { placeOf } from '../assessment/report_text.ts';
import { distortionTypes, severities } from '../assessment/vocabulary.ts';
import type { TrueDistortion } from './fine_grained.ts';
import { type Interval, mulberry32 } from './statistics.ts';
import type { Table } from './tables.ts';

export const questionKinds = ['type', 'when', 'where', 'severity', 'yes or no'] as const;
export type QuestionKind = (typeof questionKinds)[number];

export interface AskedClip {
  readonly file: string;
  /** Seconds. */
  readonly duration: number;
  readonly truth: readonly TrueDistortion[];
}

export interface KnownQuestion {
  readonly file: string;
  readonly kind: QuestionKind;
  readonly text: string;
  /** Answers that it offers. */
  readonly options: number;
  /** Index of the right one. */
  readonly right: number;
}

const spatialTypes = distortionTypes.filter((type) => type !== 'stutter');
const places = ['upper left', 'upper right', 'lower left', 'lower right', 'whole frame'];
const seconds = ({ start, end }: { readonly start: number; readonly end: number }) =>
  `${Number(start.toFixed(2))}-${Number(end.toFixed(2))} s`;

/** Questions about the clips, kind after kind, until there are so many or no more can be made. Seeded. */
export function knownQuestions(clips: readonly AskedClip[], count: number, seed: number): KnownQuestion[] {
  const random = mulberry32(seed);
  const shuffled = <T>(list: readonly T[]): T[] => {
    const all = [...list];
    for (let i = all.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [all[i], all[j]] = [all[j]!, all[i]!];
    }
    return all;
  };
  const offer = (file: string, kind: QuestionKind, stem: string, right: string, wrong: readonly string[]) => {
    const options = shuffled([right, ...wrong]);
    const letters = options.map((option, i) => `${String.fromCharCode(65 + i)}) ${option}`);
    return {
      file,
      kind,
      text: `${stem} ${letters.join(' ')}`,
      options: options.length,
      right: options.indexOf(right),
    };
  };
  const makers: Record<QuestionKind, (clip: AskedClip, truth: TrueDistortion) => KnownQuestion | null> = {
    type: ({ file }, { type, ...span }) =>
      offer(
        file,
        'type',
        `What is the distortion at ${seconds(span)}?`,
        type,
        shuffled(spatialTypes.filter((one) => one !== type)).slice(0, 3),
      ),
    when: ({ file, duration, truth: all }, truth) => {
      const whole = Array.from({ length: Math.floor(duration) }, (_, i) => ({ start: i, end: i + 1 }));
      const same = all.filter(({ type }) => type === truth.type);
      const inside = shuffled(whole.filter(({ start, end }) => start >= truth.start && end <= truth.end))[0];
      const outside = whole.filter((one) =>
        same.every(({ start, end }) => one.end <= start || one.start >= end),
      );
      if (!inside || outside.length === 0) return null;
      return offer(
        file,
        'when',
        `When is the ${truth.type}?`,
        seconds(inside),
        shuffled(outside).slice(0, 3).map(seconds),
      );
    },
    where: ({ file }, { type, region, ...span }) => {
      const place = placeOf(region);
      if (!places.includes(place)) return null;
      const stem = `Where is the ${type} at ${seconds(span)}?`;
      return offer(
        file,
        'where',
        stem,
        place,
        places.filter((one) => one !== place),
      );
    },
    severity: ({ file }, { type, severity, ...span }) =>
      severity &&
      offer(
        file,
        'severity',
        `How severe is the ${type} at ${seconds(span)}?`,
        severity,
        severities.filter((one) => one !== severity),
      ),
    'yes or no': ({ file, truth: all }, { type, ...span }) => {
      const yes = random() < 0.5;
      const absent = shuffled(spatialTypes.filter((one) => all.every((known) => known.type !== one)))[0];
      if (!absent) return null;
      return {
        file,
        kind: 'yes or no',
        text: `Is there ${yes ? type : absent} at ${seconds(span)}?`,
        options: 2,
        right: yes ? 0 : 1,
      };
    },
  };
  const pairs = shuffled(
    clips.flatMap((clip) =>
      clip.truth.filter(({ type }) => type !== 'stutter').map((truth) => ({ clip, truth })),
    ),
  );
  const made = questionKinds.map((kind) =>
    pairs.flatMap(({ clip, truth }) => makers[kind](clip, truth) ?? []),
  );
  const questions: KnownQuestion[] = [];
  for (let i = 0; questions.length < count && made.some((list) => i < list.length); i++) {
    for (const list of made) if (list[i] && questions.length < count) questions.push(list[i]!);
  }
  return questions;
}

/** Wilson's 95 % interval of a share (JASA 22, 1927). */
export function wilson(right: number, count: number): Interval {
  const z = 1.959964;
  const share = right / count;
  const centre = (share + z ** 2 / (2 * count)) / (1 + z ** 2 / count);
  const half =
    (z / (1 + z ** 2 / count)) * Math.sqrt((share * (1 - share)) / count + z ** 2 / (4 * count ** 2));
  return { value: share, low: centre - half, high: centre + half };
}

export interface ChatRoadRow {
  readonly kind: QuestionKind | 'all';
  readonly questions: number;
  readonly right: number;
  readonly accuracy: Interval;
  readonly chance: number;
}

/** @param answers Index of the chosen answer; null where the model could not tell, which counts as wrong. */
export function chatRoadRows(
  asked: readonly { readonly question: KnownQuestion; readonly answer: number | null }[],
): ChatRoadRow[] {
  return [...questionKinds, 'all' as const].flatMap((kind) => {
    const own = asked.filter(({ question }) => kind === 'all' || question.kind === kind);
    if (own.length === 0) return [];
    const right = own.filter(({ question, answer }) => answer === question.right).length;
    const chance = own.reduce((sum, { question }) => sum + 1 / question.options, 0) / own.length;
    return [{ kind, questions: own.length, right, accuracy: wilson(right, own.length), chance }];
  });
}

export function chatRoadTables(rows: readonly ChatRoadRow[]): Table[] {
  const share = (value: number) => value.toFixed(2);
  return [
    {
      title: 'Questions answered rightly in a conversation (95 % intervals by Wilson)',
      head: ['kind', 'n', 'right', 'chance'],
      rows: rows.map(({ kind, questions, accuracy, chance }) => [
        kind,
        String(questions),
        `${share(accuracy.value)} [${share(accuracy.low)}, ${share(accuracy.high)}]`,
        share(chance),
      ]),
    },
  ];
}
