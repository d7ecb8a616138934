import type { ChatHost, ChatSnapshot, ChatTurn } from '../../src/protocol/chat_view.ts';
import type { OmniError } from '../../src/protocol/errors.ts';
import type { Connection } from '../../src/protocol/rpc.ts';

/** What the view knows of the conversation, and what the user is writing: one per view. */
export class Conversation {
  readonly connection: Connection<ChatHost>;
  snapshot = $state.raw<ChatSnapshot | null>(null);
  /** Why the host can not be reached, null while it can. */
  lost = $state.raw<OmniError | null>(null);
  /** A request of the user's that failed. */
  failure = $state.raw<OmniError | null>(null);
  /** What screen readers are told. */
  announcement = $state('');
  /** The question that is being written. */
  draft = $state('');
  /** Counts the wishes of the host that the user may write at once. */
  compositions = $state(0);
  /** Turns that came by themselves, by id. */
  #live = $state.raw<ReadonlyMap<string, ChatTurn>>(new Map());

  readonly turns: readonly ChatTurn[] = $derived(
    (this.snapshot?.turns ?? []).map((turn) => {
      const live = this.#live.get(turn.id);
      return live && live.revision > turn.revision ? live : turn;
    }),
  );
  readonly busy: boolean = $derived(
    this.turns.some(({ state }) => state === 'waiting' || state === 'streaming'),
  );
  readonly canAsk: boolean = $derived(this.lost === null && !this.busy && (this.snapshot?.canAsk ?? false));

  constructor(connection: Connection<ChatHost>, saved: unknown) {
    this.connection = connection;
    if (typeof saved === 'object' && saved !== null && 'draft' in saved && typeof saved.draft === 'string') {
      this.draft = saved.draft;
    }
  }

  /** What is kept for the next time this view is shown; the host finds the conversation again by `path`. */
  saved(): { readonly draft: string; readonly path: string | null } {
    return { draft: this.draft, path: this.snapshot?.clips[0]?.path ?? null };
  }

  take(snapshot: ChatSnapshot): void {
    this.snapshot = snapshot;
    this.lost = null;
    const known = new Set(snapshot.turns.map(({ id }) => id));
    // What is no longer part of the conversation is forgotten with it.
    if ([...this.#live.keys()].some((id) => !known.has(id))) {
      this.#live = new Map([...this.#live].filter(([id]) => known.has(id)));
    }
  }

  takeTurn(turn: ChatTurn): void {
    this.#live = new Map(this.#live).set(turn.id, turn);
  }

  compose(text: string | null): void {
    if (text !== null) this.draft = text;
    this.compositions += 1;
  }

  async ask(question: string): Promise<void> {
    const text = question.trim();
    if (!text || !this.canAsk) return;
    const before = this.draft;
    this.draft = '';
    await this.run(this.connection.request('ask', { question: text }), () => {
      if (!this.draft) this.draft = before || text;
    });
  }

  /** Runs a request of the user's; a failure is shown until it is dismissed. */
  async run(work: Promise<unknown>, failed?: () => void): Promise<void> {
    this.failure = null;
    try {
      await work;
    } catch (error) {
      failed?.();
      if ((error as OmniError).code !== 'cancelled') this.failure = error as OmniError;
    }
  }
}
