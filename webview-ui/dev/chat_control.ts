/** What a test can do with the chat's harness page. Free of the browser's types, so that both sides can read it. */
import type { ChatSnapshot, ChatTurn } from '../../src/protocol/chat_view.ts';
import type { SerializedError } from '../../src/protocol/errors.ts';
import type { ThemeName } from './control.ts';

export interface ChatOptions {
  readonly theme?: ThemeName;
  /** Width of the panel in CSS pixels; without it the page's. */
  readonly width?: number;
  /** Takes the place of what the conversation would be: one clip, no turns. */
  readonly snapshot?: Partial<ChatSnapshot>;
}

/** What a test can do with the page, as `window.chat`. */
export interface ChatHarness {
  open(options?: ChatOptions): Promise<void>;
  theme(name: ThemeName): void;
  send(changes: Partial<ChatSnapshot>): void;
  /** More of the answer that is being given. */
  stream(text: string): void;
  /** The end of the answer that is being given. */
  finish(changes?: Partial<ChatTurn>): void;
  compose(text: string | null): void;
  /** Reloads the view at the same place, as VS Code does when it is moved. */
  reload(): Promise<void>;
  disconnect(): void;
  /** Requests that the view has sent, other than those for stills. */
  readonly log: { readonly name: string; readonly params: unknown }[];
  /** The next request with this name fails with this error. */
  failNext: { readonly name: string; readonly error: SerializedError } | null;
}

declare global {
  var chat: ChatHarness;
}
