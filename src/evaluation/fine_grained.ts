/**
 * How well a model finds what is wrong, where and when: the tables of `omnivqa evaluate fine-grained`.
 *
 * **Matching.** Distortions that have a place (all but stutter) are matched within a clip one to one: the pair of a true
 * and a said one with the best temporal IoU first, of equal ones that of the same type, then that with the better
 * spatial IoU, then the surer; pairs that do not overlap in time are none. A true one that nothing is left for was
 * missed, a said one that is left over is a false alarm.
 *
 * **Figures** are over the true distortions, those that were missed counting as wrong (type) or 0 (IoU), so that a
 * model gains nothing by silence. Stutter is found where the said stutter covers at least half of an event. Intervals
 * are those of a bootstrap over contents.
 */
import type { Distortion } from '../assessment/record.ts';
import { distortionTypes, type Severity, severities } from '../assessment/vocabulary.ts';
import { type Calibration, calibrationOf } from './calibration.ts';
import { grouped, reliabilityTable } from './rating.ts';
import { bootstrap, type Interval } from './statistics.ts';
import { cell, type Table } from './tables.ts';

export interface TrueDistortion {
  readonly type: Distortion['type'];
  readonly start: number;
  readonly end: number;
  readonly region: Distortion['region'];
  /** null where the recipe has rungs in the place of severities. */
  readonly severity: Severity | null;
}

export interface LocalisedClip {
  readonly path: string;
  /** Clips of one source are not independent of each other. */
  readonly content: string;
  /** What was done to the clip; null where it was rendered without. */
  readonly recipe: string;
  /** Seconds. */
  readonly duration: number;
  readonly truth: readonly TrueDistortion[];
  readonly said: readonly Distortion[];
}

export interface Match {
  readonly clip: LocalisedClip;
  readonly truth: TrueDistortion;
  /** null: missed. */
  readonly said: Distortion | null;
  /** 0 where it was missed. */
  readonly temporal: number;
  readonly spatial: number;
}

export interface FineGrainedRow {
  readonly name: string;
  readonly distortions: number;
  /** Share that something was said about at that time. */
  readonly found: Interval;
  readonly typeAccuracy: Interval;
  readonly placeIou: Interval;
  readonly timeIou: Interval;
  /** Over those that were found and have a severity. */
  readonly severityExact: Interval;
  readonly severityWithinOne: Interval;
}

export interface FineGrainedReport {
  readonly clips: number;
  readonly contents: number;
  /** `local`, `whole clip`, then one per recipe; only those that there are. */
  readonly rows: readonly FineGrainedRow[];
  readonly stutter: {
    readonly events: number;
    readonly recall: Interval;
    /** Share of the said stutter, in seconds, that is in an event; null where none was said. */
    readonly precision: number | null;
  } | null;
  /** On clips without any distortion; null without such clips. The interval is Garwood's for a Poisson rate. */
  readonly falseAlarms: {
    readonly alarms: number;
    readonly minutes: number;
    readonly perMinute: Interval;
    readonly byType: Readonly<Record<string, number>>;
  } | null;
  /** Rows: what is true; columns: what was said. `none` is nothing. Stutter is counted by its events and segments. */
  readonly confusion: {
    readonly names: readonly string[];
    readonly counts: readonly (readonly number[])[];
  };
  /** Of the scores of what was said: right where it was matched and has the true type. */
  readonly calibration: Calibration;
}

interface Timed {
  readonly start: number;
  readonly end: number;
}

/** Intersection of two spans, seconds. Where one begins as the other ends, rounding is no overlap. */
const overlap = (a: Timed, b: Timed) => {
  const common = Math.min(a.end, b.end) - Math.max(a.start, b.start);
  return common > 1e-6 ? common : 0;
};

/** Intersection over union of two spans. */
export function timeIou(a: Timed, b: Timed): number {
  const common = overlap(a, b);
  const union = a.end - a.start + (b.end - b.start) - common;
  return union > 0 ? common / union : 0;
}

/** Intersection over union of two rectangles. */
export function placeIou(a: Distortion['region'], b: Distortion['region']): number {
  const across = Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x));
  const down = Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y));
  const common = across * down;
  const union = a.width * a.height + b.width * b.height - common;
  return union > 0 ? common / union : 0;
}

const spatial = ({ type }: { readonly type: Distortion['type'] }) => type !== 'stutter';

/** Matches the distortions of one clip that have a place; see the rule above. */
export function matchClip(clip: LocalisedClip): { readonly matches: Match[]; readonly alarms: Distortion[] } {
  const truths = clip.truth.filter(spatial);
  const said = clip.said.filter(spatial);
  const pairs = truths
    .flatMap((truth) =>
      said.map((one) => ({
        truth,
        said: one,
        temporal: timeIou(truth, one),
        spatial: placeIou(truth.region, one.region),
      })),
    )
    .filter(({ temporal }) => temporal > 0)
    .sort(
      (a, b) =>
        b.temporal - a.temporal ||
        Number(b.truth.type === b.said.type) - Number(a.truth.type === a.said.type) ||
        b.spatial - a.spatial ||
        b.said.score - a.said.score,
    );
  const chosen = new Map<TrueDistortion, Match>();
  const taken = new Set<Distortion>();
  for (const pair of pairs) {
    if (chosen.has(pair.truth) || taken.has(pair.said)) continue;
    chosen.set(pair.truth, { clip, ...pair });
    taken.add(pair.said);
  }
  return {
    matches: truths.map((truth) => chosen.get(truth) ?? { clip, truth, said: null, temporal: 0, spatial: 0 }),
    alarms: said.filter((one) => !taken.has(one)),
  };
}

/**
 * Every run of steps that could be a distortion, with what it is judged by and whether it is one: there is a true one of
 * its type, at half of its time (intersection over union) or more and at 0.3 of its place. `near`: something is wrong at
 * that time. What a model's judgement is fitted to (`python -m omnivqa.nano segments`).
 */
export function judgedCandidates<Features>(
  { path, content, truth, duration }: Pick<LocalisedClip, 'path' | 'content' | 'truth' | 'duration'>,
  candidates: readonly {
    readonly distortion: Distortion;
    readonly features: Features;
    readonly from: number;
    readonly to: number;
  }[],
) {
  const found = candidates.map(({ distortion, features, from, to }) => {
    const there = truth.filter((one) => spatial(one) && timeIou(one, distortion) > 0);
    const right = there.some(
      (one) =>
        one.type === distortion.type &&
        timeIou(one, distortion) >= 0.5 &&
        placeIou(one.region, distortion.region) >= 0.3,
    );
    return { from, to, features, right, near: there.length > 0 };
  });
  return { clip: path, content, minutes: duration / 60, candidates: found };
}

/** All figures over a set of clips. */
export function localisationReport(clips: readonly LocalisedClip[], draws = 1000): FineGrainedReport {
  const matched = clips.map((clip) => ({ clip, ...matchClip(clip) }));
  const matches = matched.flatMap((one) => one.matches);
  const rows: FineGrainedRow[] = [];
  const sets: [string, Match[]][] = [
    ['local', matches.filter(({ truth }) => truth.severity !== null)],
    ['whole clip', matches.filter(({ truth }) => truth.severity === null)],
    ...[...grouped(matches, ({ clip }) => clip.recipe)].sort(([a], [b]) => (a < b ? -1 : 1)),
  ];
  for (const [name, some] of sets) if (some.length > 0) rows.push(rowOf(name, some, draws));

  const names = [...distortionTypes, 'none'];
  const counts = names.map(() => names.map(() => 0));
  const count = (truth: string, said: string) => {
    const row = counts[names.indexOf(truth)]!;
    const column = names.indexOf(said);
    row[column] = row[column]! + 1;
  };
  for (const { truth, said } of matches) count(truth.type, said?.type ?? 'none');
  for (const { alarms } of matched) for (const { type } of alarms) count('none', type);

  const confidences: number[] = [];
  const right: boolean[] = [];
  for (const { clip, matches: own } of matched) {
    const correct = new Set(
      own.filter(({ truth, said }) => said?.type === truth.type).map(({ said }) => said),
    );
    for (const one of clip.said) {
      confidences.push(one.score);
      right.push(spatial(one) ? correct.has(one) : inEvents(one, eventsOf(clip)) * 2 >= one.end - one.start);
    }
  }

  const events = clips.flatMap((clip) => eventsOf(clip).map((event) => ({ clip, event })));
  const stutters = clips.flatMap((clip) =>
    clip.said.filter((one) => !spatial(one)).map((one) => ({ clip, one })),
  );
  const found = events.map(
    ({ clip, event }) =>
      inEvents(
        event,
        clip.said.filter((one) => !spatial(one)),
      ) *
        2 >=
      event.end - event.start,
  );
  for (const one of found) count('stutter', one ? 'stutter' : 'none');
  for (const { clip, one } of stutters) if (inEvents(one, eventsOf(clip)) === 0) count('none', 'stutter');
  const saidSeconds = stutters.reduce((sum, { one }) => sum + (one.end - one.start), 0);
  const rightSeconds = stutters.reduce((sum, { clip, one }) => sum + inEvents(one, eventsOf(clip)), 0);

  const clean = clips.filter(({ truth }) => truth.length === 0);
  const alarms = clean.flatMap(({ said }) => said);
  const minutes = clean.reduce((sum, { duration }) => sum + duration, 0) / 60;
  const byType = Object.fromEntries(
    [...grouped(alarms, ({ type }) => type)].map(([type, some]) => [type, some.length]),
  );
  return {
    clips: clips.length,
    contents: new Set(clips.map(({ content }) => content)).size,
    rows,
    stutter:
      events.length === 0
        ? null
        : {
            events: events.length,
            recall: bootstrap(
              events.map(({ clip }) => clip.content),
              (items) => mean(items.map((i) => Number(found[i]))),
              { draws },
            ),
            precision: saidSeconds > 0 ? rightSeconds / saidSeconds : null,
          },
    falseAlarms:
      minutes === 0
        ? null
        : { alarms: alarms.length, minutes, perMinute: poissonRate(alarms.length, minutes), byType },
    confusion: { names, counts },
    calibration: calibrationOf(confidences, right),
  };
}

const eventsOf = ({ truth }: LocalisedClip) => truth.filter((one) => !spatial(one));

/** Seconds of a span that lie in spans which do not overlap each other. */
function inEvents(span: Timed, events: readonly Timed[]): number {
  return events.reduce((sum, event) => sum + overlap(span, event), 0);
}

function rowOf(name: string, matches: readonly Match[], draws: number): FineGrainedRow {
  const over = (some: readonly Match[], figure: (match: Match) => number) => {
    const values = some.map(figure);
    return bootstrap(
      some.map(({ clip }) => clip.content),
      (items) => mean(items.map((i) => values[i]!)),
      { draws },
    );
  };
  const graded = matches.filter(({ truth, said }) => truth.severity !== null && said !== null);
  const apart = ({ truth, said }: Match) =>
    Math.abs(severities.indexOf(truth.severity!) - severities.indexOf(said!.severity));
  return {
    name,
    distortions: matches.length,
    found: over(matches, ({ said }) => Number(said !== null)),
    typeAccuracy: over(matches, ({ truth, said }) => Number(said?.type === truth.type)),
    placeIou: over(matches, (match) => match.spatial),
    timeIou: over(matches, (match) => match.temporal),
    severityExact: over(graded, (match) => Number(apart(match) === 0)),
    severityWithinOne: over(graded, (match) => Number(apart(match) <= 1)),
  };
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** A rate with the exact 95 % interval of its Poisson count (Garwood, Biometrika 28, 1936). */
export function poissonRate(count: number, exposure: number): Interval {
  /** The mean at which the count is at most, or at least, this in 2.5 % of cases. */
  const root = (probability: (mean: number) => number) => {
    let [low, high] = [0, count + 10 * Math.sqrt(count + 1) + 20];
    for (let i = 0; i < 200; i += 1) {
      const middle = (low + high) / 2;
      if (probability(middle) > 0.025) low = middle;
      else high = middle;
    }
    return low;
  };
  const atMost = (k: number, mean: number) => {
    let [logarithm, sum] = [-mean, Math.exp(-mean)];
    for (let i = 1; i <= k; i += 1) {
      logarithm += Math.log(mean / i);
      sum += Math.exp(logarithm);
    }
    return sum;
  };
  const high = root((m) => atMost(count, m));
  // Rises with the mean, where the search wants one that falls.
  const low = count === 0 ? 0 : root((m) => (1 - atMost(count - 1, m) < 0.025 ? 1 : 0));
  return { value: count / exposure, low: low / exposure, high: high / exposure };
}

/** The figures as tables. */
export function fineGrainedTables(report: FineGrainedReport): Table[] {
  const tables: Table[] = [];
  if (report.rows.length > 0) {
    tables.push({
      title: `Distortions with a place, ${report.clips} clips of ${report.contents} contents (95 % intervals over contents)`,
      head: ['distortions', 'n', 'found', 'type', 'place IoU', 'time IoU', 'severity', 'within one'],
      rows: report.rows.map((row) => [
        row.name,
        String(row.distortions),
        ...[row.found, row.typeAccuracy, row.placeIou, row.timeIou].map((figure) => cell(figure, 2)),
        ...[row.severityExact, row.severityWithinOne].map((figure) => cell(figure, 2)),
      ]),
    });
  }
  if (report.stutter) {
    const { events, recall, precision } = report.stutter;
    tables.push({
      title: 'Stutter',
      head: ['events', 'n', 'found', 'said in an event'],
      rows: [['all', String(events), cell(recall, 2), cell(precision, 2)]],
    });
  }
  if (report.falseAlarms) {
    const { alarms, minutes, perMinute, byType } = report.falseAlarms;
    const types = Object.entries(byType).map(([type, count]) => `${count} ${type}`);
    tables.push({
      title: 'False alarms on pristine clips',
      head: ['alarms', 'n', 'minutes', 'a minute'],
      rows: [[types.join(', ') || 'none', String(alarms), minutes.toFixed(1), cell(perMinute, 2)]],
    });
  }
  const { names, counts } = report.confusion;
  tables.push({
    title: 'What is true (rows) and what was said (columns)',
    head: ['', ...names],
    rows: names.map((name, i) => [
      name,
      ...counts[i]!.map((value, j) => (name === 'none' && j === names.length - 1 ? '–' : String(value))),
    ]),
  });
  tables.push(reliabilityTable('Confidence in what was said', report.calibration));
  return tables;
}
