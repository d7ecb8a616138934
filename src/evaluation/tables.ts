/** Figures as tables, for a terminal and for a model card. */
import { printable } from '../assessment/text.ts';
import type { Interval } from './statistics.ts';

export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  /** Names in them may be untrusted text. */
  readonly rows: readonly (readonly string[])[];
}

/** A figure, with its interval where it has one; a dash where it is not defined. */
export function cell(figure: number | Interval | null, digits = 3): string {
  if (figure === null) return '–';
  if (typeof figure === 'number') return Number.isNaN(figure) ? '–' : figure.toFixed(digits);
  const { value, low, high } = figure;
  if (Number.isNaN(value)) return '–';
  return `${value.toFixed(digits)} [${cell(low, digits)}, ${cell(high, digits)}]`;
}

/** Columns padded with spaces, the first to the left and the others to the right. */
export function textTables(tables: readonly Table[]): string {
  return tables
    .map(({ title, head, rows }) => {
      const lines = [head, ...rows].map((row) => row.map(printable));
      const widths = head.map((_, i) => Math.max(...lines.map((line) => [...line[i]!].length)));
      const padded = lines.map((line) =>
        line
          .map((word, i) => {
            const space = ' '.repeat(widths[i]! - [...word].length);
            return i === 0 ? word + space : space + word;
          })
          .join('  ')
          .trimEnd(),
      );
      return `${printable(title)}\n${padded.map((line) => `  ${line}\n`).join('')}`;
    })
    .join('\n');
}

/** Tables of GitHub's Markdown; what a name holds of its syntax stays text. */
export function markdownTables(tables: readonly Table[]): string {
  const safe = (word: string) =>
    printable(word).replace(/[\\|`*_<>[\]&]/g, (mark) => `&#${mark.charCodeAt(0)};`);
  const figures = (word: string) => (/^[\d.\s,[\]–-]+$/.test(word) ? word : safe(word));
  return tables
    .map(({ title, head, rows }) => {
      const line = (words: readonly string[]) => `| ${words.map(figures).join(' | ')} |\n`;
      const rule = `|${head.map((_, i) => (i === 0 ? '---|' : '---:|')).join('')}\n`;
      return `**${safe(title)}**\n\n${line(head)}${rule}${rows.map(line).join('')}`;
    })
    .join('\n');
}
