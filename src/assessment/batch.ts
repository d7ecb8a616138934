import type { Assessment } from './record.ts';

/** What stands in the place of a record when a clip could not be assessed. Texts are untrusted. */
export interface FailedEntry {
  readonly path: string;
  readonly error: EntryError;
}

/** Why: a stable code, the cause, the next step, and where a program was run, its command and last words. */
export interface EntryError {
  readonly code: string;
  readonly message: string;
  readonly next: string;
  readonly command?: string;
  readonly stderr?: string;
  readonly findings?: readonly string[];
}

/** One entry of `assess --format json`: a record, or the path and the error. */
export type BatchEntry = Assessment | FailedEntry;

export const isFailed = (entry: BatchEntry): entry is FailedEntry => 'error' in entry;
