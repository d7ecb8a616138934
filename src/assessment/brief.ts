/**
 * A record in the few lines that another model, or a chat, is given: every figure with its unit, every finding
 * numbered with its time and place, and at the end what it rests on, so that an answer can cite it.
 */
import { gradeOf, mosOf } from './pooling.ts';
import type { Assessment, Distortion, Span } from './record.ts';
import { placeOf } from './report_text.ts';
import { bitrateText, printable, weightsText } from './text.ts';

/** Distortions listed at most; the most severe come first. */
const mostDistortions = 20;
const ranks = ['severe', 'relatively severe', 'noticeable'];

const seconds = (time: number) => `${Number(time.toFixed(2))} s`;
const spanText = ({ start, end }: Span) => `${Number(start.toFixed(2))}–${seconds(end)}`;
const shared = (one: Span, other: Span) => one.start < other.end && one.end > other.start;

/** What the figures rest on: "[record of …]". */
function source(record: Assessment): string {
  const { model, video } = record;
  const parts = [
    `${printable(weightsText(model))}, ${model.precision} on ${model.provider}`,
    record.coverage.length === 0
      ? ''
      : `assessed ${record.coverage.map(([start, end]) => spanText({ start, end })).join(', ')}`,
    video.sha256 === null ? '' : `sha256 ${video.sha256.slice(0, 12)}`,
  ].filter(Boolean);
  return `[record of ${printable(video.path)}: ${parts.join('; ')}]`;
}

const line = ({ type, start, end, region, severity, score }: Distortion, index: number) =>
  `[${index + 1}] ${severity} ${type}, ${spanText({ start, end })}, ${placeOf(region)} ` +
  `(x ${region.x.toFixed(2)}, y ${region.y.toFixed(2)}, width ${region.width.toFixed(2)}, ` +
  `height ${region.height.toFixed(2)} of the frame), confidence ${Math.round(score * 100)} %`;

/** The distortions of a record, or of a span of it, as lines; what is left out is counted. */
function distortionLines({ distortions }: Assessment, span?: Span): string[] {
  if (distortions === null) return ['The model rates; it was not trained to find single distortions.'];
  const found = distortions
    .filter((one) => !span || shared(one, span))
    .toSorted(
      (a, b) =>
        ranks.indexOf(a.severity) - ranks.indexOf(b.severity) || a.start - b.start || b.score - a.score,
    );
  if (found.length === 0)
    return [`No distortion was found${span ? ' there' : ''}. The model is cautious: weak ones are missed.`];
  const lines = found.slice(0, mostDistortions).map(line);
  return found.length > lines.length ? [...lines, `… and ${found.length - lines.length} more.`] : lines;
}

/** What a second model says, which the figures of the first do not contain. */
function refinementLines({ refinements = [] }: Assessment, span?: Span): string[] {
  return refinements
    .filter((one) => !span || shared(one, span))
    .map(
      ({ model, mos, ...one }) =>
        `A second model, ${printable(model.id)}, says MOS ${mos.toFixed(2)} of ${spanText(one)}.`,
    );
}

/** How good the clip is, its worst span and how much is wrong with it. */
export function assessmentBrief(record: Assessment): string {
  const { worst } = record.pooling;
  return [
    `MOS ${record.mos.toFixed(2)} of 5 (${gradeOf(record.mos).toLowerCase()}), score ${record.score.toFixed(1)} of 100` +
      `${record.status === 'complete' ? '' : `; ${record.status}: not the whole clip was assessed`}.`,
    `Over time: mean ${mosOf(record.pooling.mean).toFixed(2)}, 5th percentile ${mosOf(record.pooling.p5).toFixed(2)}, ` +
      `worst ${spanText(worst)} at MOS ${mosOf(worst.score).toFixed(2)}.`,
    ...refinementLines(record),
    ...distortionLines(record).slice(0, 5),
    ...(record.distortions && record.distortions.length > 5
      ? [`(${record.distortions.length} distortions in all.)`]
      : []),
    source(record),
  ].join('\n');
}

/** What was found, where, when and how severe; with `span` and `type` only that. */
export function distortionBrief(record: Assessment, type?: string): string {
  const only =
    type === undefined || record.distortions === null
      ? record
      : { ...record, distortions: record.distortions.filter((one) => one.type === type) };
  return [...distortionLines(only), source(record)].join('\n');
}

/** What the record knows about a span: its scores, its distortions and what was measured there. */
export function momentBrief(record: Assessment, span: Span): string {
  const scores = record.timeline.filter((one) => shared(one, span)).map(({ score }) => mosOf(score));
  const { sceneCuts, freezes, black } = record.signals;
  const cuts = sceneCuts.filter((time) => time >= span.start && time < span.end);
  const spans = (name: string, list: readonly Span[]) => {
    const there = list.filter((one) => shared(one, span));
    return there.length > 0 ? [`${name} ${there.map(spanText).join(', ')}.`] : [];
  };
  return [
    scores.length === 0
      ? `${spanText(span)} was not assessed.`
      : `${spanText(span)}: MOS ${(scores.reduce((sum, one) => sum + one, 0) / scores.length).toFixed(2)} of 5, ` +
        `lowest ${Math.min(...scores).toFixed(2)}; the whole clip has ${record.mos.toFixed(2)}.`,
    ...refinementLines(record, span),
    ...(scores.length === 0 ? [] : distortionLines(record, span)),
    ...(cuts.length > 0 ? [`Scene cut at ${cuts.map(seconds).join(', ')}.`] : []),
    ...spans('The picture is frozen at', freezes),
    ...spans('The picture is black at', black),
    source(record),
  ].join('\n');
}

/** What an encode cost and how good it is, in a line; `facts` as the engine says them. */
export function encodeBrief(
  number: number,
  facts: {
    readonly arguments: readonly string[];
    readonly encoder: string;
    readonly bytes: number;
    readonly speed: number | null;
  },
  record: Assessment,
): string {
  const duration = record.video.duration ?? record.timeline.at(-1)?.end ?? 0;
  const { worst } = record.pooling;
  return [
    `[${number}] ${printable(facts.arguments.join(' '))}: MOS ${record.mos.toFixed(2)} of 5 (${gradeOf(record.mos).toLowerCase()})`,
    duration > 0 ? bitrateText((8 * facts.bytes) / duration) : '',
    `${facts.bytes} bytes`,
    `worst ${spanText(worst)} at MOS ${mosOf(worst.score).toFixed(2)}`,
    facts.speed === null ? '' : `encoded at ${facts.speed.toFixed(1)} times real time`,
    `ffmpeg ${printable(facts.encoder)}`,
  ]
    .filter(Boolean)
    .join(', ');
}
