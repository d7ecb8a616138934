import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type BatchEntry, isFailed } from '../assessment/batch.ts';
import { csvReport } from '../assessment/report_csv.ts';
import { htmlReport, reportStyle } from '../assessment/report_html.ts';
import { textReport } from '../assessment/report_text.ts';
import { safeJson } from '../assessment/text.ts';
import { OmniError } from '../protocol/errors.ts';
import { errorText } from './io.ts';
import { junitReport } from './junit.ts';

export const formats = ['text', 'json', 'ndjson', 'csv', 'html', 'junit'] as const;
export type Format = (typeof formats)[number];

/**
 * All results as one document.
 *
 * @param several Makes JSON a list even of one.
 * @param failBelow The MOS that JUnit's cases have to reach.
 */
export function documentOf(
  entries: readonly BatchEntry[],
  format: Format,
  several: boolean,
  failBelow?: number,
): string {
  switch (format) {
    case 'json':
      return `${safeJson(several ? entries : entries[0], 2)}\n`;
    case 'ndjson':
      return entries.map(jsonLine).join('');
    case 'csv':
      return csvReport(entries);
    case 'html':
      return htmlReport(entries, `sha256-${createHash('sha256').update(reportStyle).digest('base64')}`);
    case 'junit':
      return junitReport(
        'omnivqa assess',
        entries.map((entry) => {
          if (isFailed(entry)) {
            return { name: entry.path, seconds: null, failures: [], error: entry.error.message };
          }
          const { mos, video } = entry;
          const missed = failBelow !== undefined && mos < failBelow;
          const failures = missed ? [`MOS ${mos.toFixed(2)} is below ${failBelow}.`] : [];
          return { name: video.path, seconds: null, failures, error: null };
        }),
      );
    case 'text':
      return entries
        .map((entry) => (isFailed(entry) ? errorText(entry.error, entry.path) : textReport(entry)))
        .join('\n');
  }
}

export const jsonLine = (entry: BatchEntry): string => `${safeJson(entry)}\n`;

/**
 * A file that the user named for the result. It is opened before the work, so that a path that can not be written is
 * known at once; what is written appears under its name as a whole or not at all.
 */
export class OutputFile {
  readonly #path: string;
  readonly #partial: string;
  readonly #file: FileHandle | undefined;

  private constructor(path: string, partial: string, file: FileHandle | undefined) {
    this.#path = path;
    this.#partial = partial;
    this.#file = file;
  }

  /** @throws OmniError `not_writable`, `disk_full`. */
  static async open(named: string): Promise<OutputFile> {
    // A link stays one: what it points to is replaced.
    const path = await realpath(named).catch(() => named);
    const existing = await stat(path).catch(() => undefined);
    if (existing?.isDirectory()) {
      throw new OmniError('not_writable', `${named} is a folder.`, 'Name a file in it.', { path: named });
    }
    // A device or a pipe is written to; renaming something over it would put a file in its place.
    if (existing && !existing.isFile()) return new OutputFile(path, '', undefined);
    const partial = join(
      dirname(path),
      `.${basename(path).slice(0, 80)}.${randomBytes(4).toString('hex')}.partial`,
    );
    try {
      return new OutputFile(path, partial, await open(partial, 'wx'));
    } catch (error) {
      throw unwritable(error, named);
    }
  }

  /** @throws OmniError `not_writable`, `disk_full`; what the file held before is then still there. */
  async write(text: string): Promise<void> {
    try {
      if (!this.#file) return await writeFile(this.#path, text);
      await this.#file.writeFile(text);
      await this.#file.close();
      await rename(this.#partial, this.#path);
    } catch (error) {
      throw unwritable(error, this.#path);
    }
  }

  /** Leaves nothing behind of a file that was not written. */
  async close(): Promise<void> {
    if (!this.#file) return;
    await this.#file.close().catch(() => undefined);
    await rm(this.#partial, { force: true }).catch(() => undefined);
  }
}

function unwritable(error: unknown, path: string): OmniError {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const full = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code);
  return new OmniError(
    full ? 'disk_full' : 'not_writable',
    full
      ? `There is no room left to write ${path} (${code}).`
      : `${path} can not be written (${code || message}).`,
    full
      ? 'Free some space, or name a file on another disk with -o.'
      : 'Name a file in a folder you may write to.',
    { path },
    { cause: error },
  );
}
