import { randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import pc from 'picocolors';
import type { Style } from '../assessment/report_text.ts';
import { plain } from '../assessment/report_text.ts';
import { printable } from '../assessment/text.ts';
import { writeError } from '../model/compiler/weights.ts';
import { OmniError, type SerializedError } from '../protocol/errors.ts';

/** Where a command prints; the process's own streams, or a test's. */
export interface Io {
  readonly stdout: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number };
  readonly signal: AbortSignal;
}

/** Exit statuses; part of the command line's contract. */
export const exit = { done: 0, threshold: 1, usage: 2, failed: 3, interrupted: 130 } as const;

/** Colour on a terminal only, and not where NO_COLOR asks for none. */
export function styleFor(stream: Io['stdout']): Style {
  if (!stream.isTTY || process.env.NO_COLOR) return plain;
  const colours = pc.createColors(true);
  return {
    bold: colours.bold,
    dim: colours.dim,
    quality: (text, score) =>
      (score >= 60 ? colours.green : score >= 40 ? colours.yellow : colours.red)(text),
  };
}

/** An error as a person reads it: what, why, which command, what next. */
export function errorText(error: SerializedError, path?: string): string {
  const lines = [
    `${path === undefined ? '' : `${printable(path)}: `}${printable(error.message)} [${error.code}]`,
  ];
  const listed = (error.findings ?? []).filter((finding) => !error.message.includes(finding)).slice(0, 20);
  for (const finding of listed) lines.push(`  - ${printable(finding.split('\n')[0]!)}`);
  if (error.command) lines.push(`  command: ${printable(error.command)}`);
  const said = (error.stderr ?? '').trim().split('\n').slice(-3).filter(Boolean);
  for (const line of said) lines.push(`  | ${printable(line)}`);
  lines.push(`  next: ${printable(error.next)}`);
  return `${lines.join('\n')}\n`;
}

/** Any failure as data with a code; what is not ours becomes `runtime_failed` with its message. */
export function serialized(error: unknown): SerializedError {
  if (OmniError.is(error)) return error.serialize();
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    code: 'runtime_failed',
    message: `Something went wrong that should not: ${message}`,
    next: 'Please report it, with the command you ran.',
  };
}

/** Writes a result to a file the user named: beside it first, then renamed, so that it is whole or not there. */
export async function writeResult(path: string, text: string): Promise<void> {
  const partial = `${path}.${randomBytes(4).toString('hex')}.partial`;
  try {
    await writeFile(partial, text);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw writeError(error, path);
  }
}

/** One line that is rewritten on a terminal and not printed at all elsewhere. */
export class ProgressLine {
  readonly #io: Io;
  readonly #started = performance.now();
  #shown = 0;
  #last = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  /** @param done Of `total`, in `unit`; a total of null shows only what is done. */
  show(label: string, done: number, total: number | null, unit: string): void {
    const { stderr } = this.#io;
    const now = performance.now();
    if (!stderr.isTTY || (now - this.#last < 100 && done !== total)) return;
    this.#last = now;
    const seconds = (now - this.#started) / 1000;
    const rate = done / Math.max(seconds, 0.001);
    const share = total ? Math.min(1, done / total) : null;
    const bar =
      share === null
        ? ''
        : `${'█'.repeat(Math.round(share * 20)).padEnd(20, '·')} ${Math.round(share * 100)} % `;
    const left =
      share === null || share === 0 ? '' : `, ${Math.ceil((seconds * (1 - share)) / share)} s left`;
    const columns = stderr.columns ?? 80;
    const text = `${bar}${Math.round(rate)} ${unit}/s${left}`;
    const name = [...printable(label)].slice(-Math.max(8, columns - text.length - 3)).join('');
    stderr.write(`\r\u001b[K${name}  ${text}`);
    this.#shown = 1;
  }

  clear(): void {
    if (this.#shown) this.#io.stderr.write('\r\u001b[K');
    this.#shown = 0;
  }
}
