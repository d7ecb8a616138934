/** A conversation as a Markdown document in which nothing that the model wrote is markup. */
import { printableLines } from './text.ts';

/** A turn as far as it is written down. */
export interface WrittenTurn {
  readonly question: string;
  /** What was asked about, in words; empty for the whole clip. */
  readonly about: string;
  readonly text: string;
  readonly options: readonly { readonly text: string; readonly probability: number }[];
  /** What the record says against it. */
  readonly contradictions: readonly string[];
  /** The model, the span, the record; or why there is no answer. */
  readonly basis: readonly string[];
}

/** Text that shows as itself: what Markdown, GitHub's dialect of it or HTML would read is escaped. */
export function markdownText(text: string): string {
  return (
    printableLines(text)
      .replace(/[\\`*_[\]|~@]/g, '\\$&')
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      // Addresses become links by themselves.
      .replaceAll('://', '\\://')
      .replace(/\bwww\./gi, (start) => `${start.slice(0, 3)}\\.`)
      // At the start of a line: spaces begin a block of code, marks a heading, a list, a quotation or a rule.
      .replace(/^[ \t]+/gm, '')
      .replace(/^[#+=>-]/gm, '\\$&')
      .replace(/^(\d+)([.)])/gm, '$1\\$2')
      // A line break alone is a space.
      .replace(/\n+/g, '\n\n')
  );
}

export function conversationMarkdown(clips: readonly string[], turns: readonly WrittenTurn[]): string {
  const lines = [`# ${clips.map((clip) => markdownText(clip)).join(', ')}`];
  for (const { question, about, text, options, contradictions, basis } of turns) {
    lines.push(
      `## ${markdownText(about ? `${question} (${about})` : question).replace(/\n+/g, ' ')}`,
      ...(text ? [markdownText(text)] : []),
      ...(options.length > 0
        ? [
            options
              .map((option) => `- ${markdownText(option.text)}: ${Math.round(option.probability * 100)} %`)
              .join('\n'),
          ]
        : []),
      ...contradictions.map((because) => `> The record says otherwise: ${markdownText(because)}`),
      ...(basis.length > 0 ? [basis.map((one) => `*${markdownText(one)}*`).join('  \n')] : []),
    );
  }
  return `${lines.join('\n\n')}\n`;
}
