import { type BatchEntry, isFailed } from './batch.ts';
import { printable } from './text.ts';

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
  return [columns, ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}

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
