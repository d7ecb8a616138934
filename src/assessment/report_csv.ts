import { type BatchEntry, isFailed } from './batch.ts';
import { mosOf } from './pooling.ts';
import type { Assessment } from './record.ts';
import { printable } from './text.ts';
import { distortionTypes, severities } from './vocabulary.ts';

const columns = [
  'path',
  'status',
  'mos',
  'score',
  'worst_start',
  'worst_end',
  'worst_score',
  'p5',
  'harmonic_mean',
  'width',
  'height',
  'fps',
  'codec',
  'bitrate',
  'model',
  'revision',
  'provider',
  'problems',
  'error',
] as const;

/** One line per clip, RFC 4180, with a header. A clip that could not be assessed has only its path and the error. */
export function csvReport(entries: readonly BatchEntry[]): string {
  const rows = entries.map((entry): readonly (string | number | null)[] => {
    if (isFailed(entry)) {
      return columns.map((name) =>
        name === 'path'
          ? entry.path
          : name === 'error'
            ? `${entry.error.code}: ${entry.error.message}`
            : null,
      );
    }
    const { video, model, pooling } = entry;
    return [
      video.path,
      entry.status,
      Number(entry.mos.toFixed(4)),
      Number(entry.score.toFixed(3)),
      pooling.worst.start,
      pooling.worst.end,
      Number(pooling.worst.score.toFixed(3)),
      Number(pooling.p5.toFixed(3)),
      Number(pooling.harmonicMean.toFixed(3)),
      video.width,
      video.height,
      Number(video.fps.toFixed(4)),
      video.codec,
      video.bitrate,
      model.id,
      model.revision,
      model.provider,
      entry.problems.map(({ code }) => code).join(' '),
      null,
    ];
  });
  return [columns, ...rows].map(csvLine).join('');
}

/**
 * One clip over time, RFC 4180, with a header: a line per span of the timeline, and for every type of distortion the
 * severest that touches the span; empty where there is none, or where the model looks for none.
 */
export function timelineCsv({ timeline, distortions }: Assessment): string {
  const rows = timeline.map(({ start, end, score }): readonly (string | number | null)[] => [
    Number(start.toFixed(6)),
    Number(end.toFixed(6)),
    Number(mosOf(score).toFixed(4)),
    Number(score.toFixed(3)),
    ...distortionTypes.map((type) => {
      const ranks = (distortions ?? [])
        .filter((one) => one.type === type && one.start < end && one.end > start)
        .map(({ severity }) => severities.indexOf(severity));
      return ranks.length > 0 ? severities[Math.max(...ranks)]! : null;
    }),
  ]);
  const header = ['start', 'end', 'mos', 'score', ...distortionTypes];
  return [header, ...rows].map(csvLine).join('');
}

/** A line of a table, RFC 4180. */
export const csvLine = (row: readonly (string | number | null)[]): string => `${row.map(cell).join(',')}\r\n`;

/**
 * Quoted where needed; text that a spreadsheet would run as a formula is made text by an apostrophe, and control
 * characters are shown as their code points, so that a name with a line break stays one line.
 */
function cell(value: string | number | null): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const shown = printable(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${shown}` : shown;
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
