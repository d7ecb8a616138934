/** How well a model's scores agree with people's: the table of `omnivqa evaluate rating`. */
import { type Calibration, levelCalibration } from './calibration.ts';
import { fromScale, type LabelScale, onScale } from './labels.ts';
import { fitLogistic, type Logistic, logistic } from './logistic.ts';
import { bootstrap, type Interval, kendall, pearson, rmse, spearman } from './statistics.ts';
import { cell, type Table } from './tables.ts';

export interface RatedClip {
  readonly path: string;
  readonly content: string;
  readonly distortion: string | null;
  /** The label, on its own scale. */
  readonly label: number;
  /** The model's, 0..100. */
  readonly score: number;
  /** Probabilities from high to low. */
  readonly levels: readonly number[];
}

export interface AgreementRow {
  readonly name: string;
  readonly clips: number;
  readonly contents: number;
  readonly srcc: Interval;
  /** After the logistic where one was asked for and could be fitted. */
  readonly plcc: Interval;
  readonly krcc: Interval;
  /** In the unit of the labels. */
  readonly rmse: Interval;
  /** Fitted to all clips of the row; null where it was not asked for or could not be fitted. */
  readonly logistic: Logistic | null;
}

export interface RatingReport {
  readonly scale: LabelScale;
  readonly rows: readonly AgreementRow[];
  /** SRCC within each content that has at least three clips with different labels; null where none has. */
  readonly withinContent: {
    readonly contents: number;
    readonly median: number;
    readonly lowest: number;
  } | null;
  readonly calibration: Calibration;
}

export interface RatingOptions {
  readonly scale: LabelScale;
  readonly logistic: boolean;
  /** Adds a row for each. */
  readonly group?: 'distortion' | 'content' | undefined;
  /** Bootstrap draws per figure; default 1000. */
  readonly draws?: number;
}

/**
 * Raw SRCC, PLCC, KRCC and RMSE with 95 % intervals of a bootstrap over contents. With the logistic, PLCC and RMSE are
 * those after the mapping, which is fitted once per row: the intervals do not hold its own uncertainty.
 */
export function rateAgreement(clips: readonly RatedClip[], options: RatingOptions): RatingReport {
  const { group } = options;
  const rows = [agreement('all', clips, options)];
  if (group) {
    const members = grouped(clips, (clip) => clip[group] ?? 'not said');
    for (const name of [...members.keys()].sort()) rows.push(agreement(name, members.get(name)!, options));
  }
  const within = [...grouped(clips, ({ content }) => content).values()]
    .filter((some) => some.length >= 3)
    .map((some) =>
      spearman(
        some.map(({ score }) => score),
        some.map(({ label }) => label),
      ),
    )
    .filter((value) => !Number.isNaN(value))
    .sort((a, b) => a - b);
  const middle = within.length / 2;
  return {
    scale: options.scale,
    rows,
    withinContent:
      within.length === 0
        ? null
        : {
            contents: within.length,
            median: (within[Math.ceil(middle) - 1]! + within[Math.floor(middle)]!) / 2,
            lowest: within[0]!,
          },
    calibration: levelCalibration(
      clips.map(({ levels }) => levels),
      clips.map(({ label }) => fromScale(label, options.scale)),
    ),
  };
}

function agreement(name: string, clips: readonly RatedClip[], options: RatingOptions): AgreementRow {
  const labels = clips.map(({ label }) => label);
  const raw = clips.map(({ score }) => onScale(score, options.scale));
  const fitted = options.logistic ? fitLogistic(raw, labels) : null;
  const mapped = fitted ? raw.map((value) => logistic(fitted, value)) : raw;
  const contents = clips.map(({ content }) => content);
  const interval = (figure: (x: number[], y: number[]) => number, predicted: readonly number[]) =>
    bootstrap(
      contents,
      (items) =>
        figure(
          items.map((i) => predicted[i]!),
          items.map((i) => labels[i]!),
        ),
      options.draws === undefined ? {} : { draws: options.draws },
    );
  return {
    name,
    clips: clips.length,
    contents: new Set(contents).size,
    srcc: interval(spearman, raw),
    plcc: interval(pearson, mapped),
    krcc: interval(kendall, raw),
    rmse: interval(rmse, mapped),
    logistic: fitted,
  };
}

/** The figures as tables. */
export function ratingTables({ rows, withinContent, calibration, scale }: RatingReport): Table[] {
  const unit = { mos: 'labels of 1 to 5', score: 'labels of 0 to 100', unit: 'labels of 0 to 1' }[scale];
  const mapped = rows.some((row) => row.logistic) ? ', PLCC and RMSE after the logistic' : '';
  const tables: Table[] = [
    {
      title: `Agreement with people (${unit}${mapped}; 95 % intervals over contents)`,
      head: ['clips', 'n', 'contents', 'SRCC', 'PLCC', 'KRCC', 'RMSE'],
      rows: rows.map((row) => [
        row.name,
        String(row.clips),
        String(row.contents),
        ...[row.srcc, row.plcc, row.krcc, row.rmse].map((figure) => cell(figure)),
      ]),
    },
  ];
  if (withinContent) {
    tables.push({
      title: 'SRCC within a content',
      head: ['contents', 'median', 'lowest'],
      rows: [[String(withinContent.contents), ...[withinContent.median, withinContent.lowest].map(cell)]],
    });
  }
  tables.push(reliabilityTable('Confidence in the likeliest level', calibration));
  return tables;
}

/** The bins of a reliability diagram that have answers. */
export function reliabilityTable(title: string, { ece, count, bins }: Calibration): Table {
  return {
    title: `${title}: expected calibration error ${cell(ece)} over ${count}`,
    head: ['confidence', 'n', 'mean confidence', 'right'],
    rows: bins
      .filter((bin) => bin.count > 0)
      .map((bin) => [
        `${bin.low.toFixed(1)} to ${bin.high.toFixed(1)}`,
        String(bin.count),
        cell(bin.confidence),
        cell(bin.accuracy),
      ]),
  };
}

export function grouped<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}
