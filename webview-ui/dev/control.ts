/** What a test can do with the harness page. Free of the browser's types, so that both sides can read it. */

import type { Assessment } from '../../src/assessment/record.ts';
import type { SerializedError } from '../../src/protocol/errors.ts';
import type { Reveal, Span, TimelineSnapshot } from '../../src/protocol/timeline.ts';
import type { RecordOptions } from './records.ts';

export type ThemeName = 'dark' | 'light' | 'hc-dark' | 'hc-light';

export interface OpenOptions {
  readonly record?: Partial<RecordOptions>;
  /** What the host knows when the view opens. */
  readonly state?:
    | 'complete'
    | 'empty'
    | 'running'
    | 'partial'
    | 'cancelled'
    | 'failed'
    | 'silent'
    | 'outdated';
  readonly theme?: ThemeName;
  /** Width of the panel in CSS pixels; without it the page's. */
  readonly width?: number;
  /** Address of a clip to play; without it stills are drawn. */
  readonly media?: string;
  readonly stills?: boolean;
  readonly threshold?: number | null;
  /** Applied to the record at last: for texts that fight back. */
  readonly patch?: Partial<Assessment>;
  readonly name?: string;
}

/** What a test can do with the page, as `window.harness`. */
export interface Harness {
  open(options?: OpenOptions): Promise<void>;
  /** The next window of a running job is done: the one at the playhead first. Returns its span, null at the end. */
  finishWindow(): Span | null;
  theme(name: ThemeName): void;
  send(changes: Partial<TimelineSnapshot<Assessment>>): void;
  reveal(time: number, span: Span | null, mark?: Reveal['mark']): void;
  /** Takes the view away, as closing a panel does. */
  close(): void;
  /** Hides the view's frame or shows it again. */
  hide(hidden: boolean): void;
  /** The host ends its side; the view stays. */
  disconnect(): void;
  /** Reloads the view at the same place, as VS Code does when a panel is moved. */
  reload(): Promise<void>;
  /** Requests and notifications that the view has sent. */
  readonly log: { readonly name: string; readonly params: unknown }[];
  /** How many requests wait for an answer, while `hold` is set. */
  readonly held: number;
  hold: boolean;
  /** Answers what was held. */
  release(): void;
  /** The next request with this name fails with this error. */
  failNext: { readonly name: string; readonly error: SerializedError } | null;
}

declare global {
  var harness: Harness;
}
