import type { ComparisonHost, ComparisonSnapshot } from '../../src/protocol/comparison_view.ts';
import type { OmniError } from '../../src/protocol/errors.ts';
import type { Connection } from '../../src/protocol/rpc.ts';

/** What the view knows: the host's last snapshot, and what went wrong. */
export class Comparison {
  readonly connection: Connection<ComparisonHost>;
  snapshot = $state.raw<ComparisonSnapshot | null>(null);
  lost = $state.raw<OmniError | null>(null);
  failure = $state.raw<{ readonly message: string; readonly next: string } | null>(null);

  constructor(connection: Connection<ComparisonHost>) {
    this.connection = connection;
  }

  /** Shows why a request failed. */
  async run(request: Promise<unknown>): Promise<void> {
    this.failure = null;
    try {
      await request;
    } catch (error) {
      const { message, next = '' } = error as OmniError;
      this.failure = { message, next };
    }
  }
}
