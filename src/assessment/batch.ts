import type { Assessment } from './record.ts';

/** What stands in the place of a record when a clip could not be assessed. */
export interface FailedEntry {
  readonly path: string;
  readonly error: { readonly code: string; readonly message: string; readonly next: string };
}

/** One entry of `assess --format json`: a record, or the path and the error. */
export type BatchEntry = Assessment | FailedEntry;
