/** What a test can do with the comparison's harness page. Free of the browser's types, so that both sides can read it. */
import type { ComparisonSnapshot } from '../../src/protocol/comparison_view.ts';
import type { ThemeName } from './control.ts';

export interface ComparisonHarness {
  open(snapshot: ComparisonSnapshot, theme: ThemeName): Promise<void>;
  send(snapshot: ComparisonSnapshot): void;
  /** How the pictures of encodes fail: which is gone, which is late by how many seconds. */
  faults: { gone?: string; late?: readonly [string, number]; noFrames?: boolean };
  /** How many pictures each request was for. */
  readonly asked: readonly number[];
  /** Requests that the view has sent, but those for pictures. */
  readonly log: { readonly name: string; readonly params: unknown }[];
}

declare global {
  var comparison: ComparisonHarness;
}
