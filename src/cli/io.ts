import pc from 'picocolors';
import type { EntryError } from '../assessment/batch.ts';
import { plain, type Style } from '../assessment/report_text.ts';
import { clock, printable } from '../assessment/text.ts';
import { OmniError, type SerializedError } from '../protocol/errors.ts';

export type Output = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

/** What a command reads from and prints to: the process's own streams, or a test's. */
export interface Io {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: NodeJS.ProcessEnv;
  /** Aborted by Ctrl+C, and with the reason {@link unread} when nobody reads stdout any more. */
  readonly signal: AbortSignal;
}

/** Why a command ends without having failed: `omnivqa … | head`. */
export const unread = 'nobody reads the output any more';

/** Exit statuses; part of the command line's contract. */
export const exit = { done: 0, threshold: 1, usage: 2, failed: 3, interrupted: 130 } as const;

/** Colour on a terminal only, and not where NO_COLOR (no-color.org) asks for none. */
export function styleFor(stream: Output, env: NodeJS.ProcessEnv): Style {
  if (!stream.isTTY || env.NO_COLOR || env.TERM === 'dumb') return plain;
  const colours = pc.createColors(true);
  return {
    bold: colours.bold,
    dim: colours.dim,
    quality: (text, score) =>
      (score >= 60 ? colours.green : score >= 40 ? colours.yellow : colours.red)(text),
  };
}

/** An error as a person reads it: which file, what, why, which command and what it said, what to do next. */
export function errorText(error: EntryError, path?: string): string {
  const cause = printable(error.message);
  const named = path === undefined || cause.includes(printable(path)) ? '' : `${printable(path)}: `;
  const lines = [`${named}${cause} [${error.code}]`];
  const listed = (error.findings ?? []).filter((finding) => !error.message.includes(finding));
  for (const finding of listed.slice(0, 20)) lines.push(`  - ${printable(finding.split('\n')[0]!)}`);
  if (listed.length > 20) lines.push(`  - … and ${listed.length - 20} more`);
  if (error.command) lines.push(`  command: ${printable(error.command)}`);
  const said = (error.stderr ?? '').split('\n').filter((line) => line.trim() !== '');
  for (const line of said.slice(-3)) lines.push(`  | ${printable(line)}`);
  lines.push(`  next: ${printable(error.next)}`);
  return `${lines.join('\n')}\n`;
}

/** Any failure as data with a code; one that is not ours is a fault of this program. */
export function serialized(error: unknown): SerializedError {
  if (OmniError.is(error)) return error.serialize();
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error ? (error.stack ?? '').split('\n').slice(1, 6) : [];
  return {
    code: 'internal_error',
    message: `Something went wrong that should not: ${message}`,
    next: 'Report it, with the command you ran and these lines.',
    findings: stack.map((line) => line.trim()),
  };
}

/** One line that is rewritten on a terminal; nothing is printed elsewhere. */
export class ProgressLine {
  readonly #io: Io;
  #label = '';
  #started = 0;
  #last = 0;
  #shown = false;

  constructor(io: Io) {
    this.#io = io;
  }

  /**
   * @param label What is worked on; a new one starts the clock again.
   * @param total null where it is not known: only what is done is shown.
   * @param left Seconds left where they are known otherwise than from the pace since the label came; null: not yet.
   */
  show(label: string, done: number, total: number | null, unit: string, left?: number | null): void {
    const { stderr } = this.#io;
    const now = performance.now();
    if (label !== this.#label) [this.#label, this.#started, this.#last] = [label, now, 0];
    if (!stderr.isTTY || now - this.#last < 100) return;
    this.#last = now;
    const seconds = (now - this.#started) / 1000;
    const figures: string[] = [];
    const share = total ? Math.min(1, done / total) : null;
    if (share !== null) {
      const bar = '█'.repeat(Math.round(share * 20)).padEnd(20, '·');
      figures.push(`${bar} ${String(Math.round(share * 100)).padStart(3)} %`);
    } else figures.push(`${Math.round(done)} ${unit}`);
    // The first moments say little about the rate.
    if (left !== undefined) {
      if (left !== null) figures.push(`${clock(Math.ceil(left))} left`);
    } else if (seconds > 0.5) {
      figures.push(`${Math.round(done / seconds)} ${unit}/s`);
      if (share) figures.push(`${clock(Math.ceil((seconds * (1 - share)) / share))} left`);
    }
    const text = figures.join(', ');
    const room = Math.max(8, (stderr.columns || 80) - text.length - 4);
    const name = [...printable(label)];
    const shown = name.length > room ? `…${name.slice(1 - room).join('')}` : name.join('');
    stderr.write(`\r\u001b[K${shown}  ${text}`);
    this.#shown = true;
  }

  clear(): void {
    if (this.#shown) this.#io.stderr.write('\r\u001b[K');
    this.#shown = false;
  }
}
