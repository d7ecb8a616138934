/**
 * What the chat view and its host say to each other. As for the timeline the host sends whole snapshots; only the
 * turn that is being answered is sent by itself, so that a long conversation is not sent again with every word.
 *
 * Everything in an answer is untrusted: the view shows it as text and nothing else, and what can be pressed in it
 * leads to the clip's timeline alone.
 */
import type { AnswerClaim, AnswerOption, AnswerTarget } from './chat.ts';
import type { SerializedError } from './errors.ts';
import type { Focus, Still } from './timeline.ts';

/** Raised whenever a message of this file changes its meaning. */
export const chatViewProtocol = 1;

/** A clip of the conversation. */
export interface ChatClip {
  /** Names it in messages: its path. Untrusted text. */
  readonly path: string;
  readonly name: string;
  /** Mean opinion score, 1..5; null: not assessed. */
  readonly mos: number | null;
  /** Distortions found; null: not assessed, or the model looks for none. */
  readonly distortions: number | null;
  /** Length, s; null where it is not known yet. */
  readonly duration: number | null;
  /** Moment whose still stands for the clip, s. */
  readonly poster: number;
  /** Changes when the file was replaced: cached pictures are dropped. */
  readonly revision: string;
}

/** What a question is about, where it is not the whole of the clips. */
export interface ChatSubject extends Focus {
  readonly path: string;
}

/** Part of an answer's text, in UTF-16 units: `from` is included, `to` is not. */
export interface TextRange {
  readonly from: number;
  readonly to: number;
}

/** A time or a place that the answer names. */
export interface AnswerLink extends TextRange {
  readonly place: AnswerTarget;
}

export interface ChatTurn {
  readonly id: string;
  /** Raised with every change, so that the newer of two copies is known. */
  readonly revision: number;
  readonly question: string;
  readonly subject: ChatSubject | null;
  /** Paths of the clips that were asked about. */
  readonly clips: readonly string[];
  /** `waiting`: nothing of the answer is there yet. */
  readonly state: 'waiting' | 'streaming' | 'complete' | 'stopped' | 'failed';
  /** Untrusted text. */
  readonly text: string;
  /** Whether the answer was cut, at the model's limit or ours. */
  readonly cut: boolean;
  readonly links: readonly AnswerLink[];
  readonly claims: readonly AnswerClaim[];
  /** Empty where the model did not choose among answers. */
  readonly options: readonly AnswerOption[];
  /** What the answer rests on, a line each: the model, the span and its frames, the record. */
  readonly basis: readonly string[];
  /** Whether the prompt can be opened. */
  readonly prompt: boolean;
  readonly error: SerializedError | null;
}

export interface ChatSnapshot {
  /** Empty: a clip has to be chosen first. */
  readonly clips: readonly ChatClip[];
  readonly subject: ChatSubject | null;
  /** Oldest first. */
  readonly turns: readonly ChatTurn[];
  /** Questions worth asking, from what was found. */
  readonly suggestions: readonly string[];
  /** What the model can be asked; null while that is not known. */
  readonly ability: string | null;
  /** Whether a question may be asked now. */
  readonly canAsk: boolean;
  /** Why nothing can be asked, in words for the user; null where it can. */
  readonly closed: SerializedError | null;
}

/** What the host offers to the view. */
export interface ChatHost {
  readonly requests: {
    /** The frame of a clip shown at `time`, s, scaled to `width` pixels. */
    still(params: { readonly path: string; readonly time: number; readonly width: number }): Still;
    /** Asks about the clips and the subject of the snapshot. Returns when the question was taken. */
    ask(params: { readonly question: string }): void;
    /** Ends the answer that is being written; what there is of it stays. */
    stop(params: Record<never, never>): void;
    /** Asks a turn's question again, in its place, where it is the last one. */
    retry(params: { readonly turn: string }): void;
    /** Sets, or with null removes, what the next question is about. */
    subject(params: { readonly subject: ChatSubject | null }): void;
    /** Lets the user choose a clip to add, or to begin with. */
    addClip(params: Record<never, never>): void;
    removeClip(params: { readonly path: string }): void;
    /** Shows a place in the clip's timeline. */
    goTo(params: AnswerTarget): void;
    /** Forgets the conversation about these clips. */
    clear(params: Record<never, never>): void;
    /** Asks where to and writes the conversation as Markdown; null when the user chose nowhere. */
    export(params: Record<never, never>): { readonly path: string } | null;
    /** Opens what the model was given for a turn, as text. */
    prompt(params: { readonly turn: string }): void;
  };
  readonly notifications: Record<never, never>;
}

/** What the view offers to the host. */
export interface ChatView {
  readonly requests: Record<never, never>;
  readonly notifications: {
    readonly snapshot: ChatSnapshot;
    /** Sent as updates, keyed by the turn's id. */
    readonly turn: ChatTurn;
    /** The user wants to write: put the cursor there, with this text where there is one. */
    readonly compose: { readonly text: string | null };
  };
}

export interface ChatPage {
  /** Addresses of dist/webview/chat.js and chat.css, as the page may load them. */
  readonly script: string;
  readonly style: string;
  /** Origins that stylesheets come from: `webview.cspSource` in VS Code. */
  readonly source: string;
  /** Fresh random text for every page. */
  readonly nonce: string;
  /** BCP 47 language of the host's interface. */
  readonly language: string;
}

const attribute = (text: string) => text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);

/** The document of the view. No image, frame, font or connection can be named in it: stills are drawn. */
export function chatPage({ script, style, source, nonce, language }: ChatPage): string {
  const policy = [
    `default-src 'none'`,
    `script-src 'nonce-${nonce}'`,
    `style-src ${source}`,
    `base-uri 'none'`,
    `form-action 'none'`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="${attribute(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${attribute(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>OmniVQA chat</title>
<link rel="stylesheet" href="${attribute(style)}">
</head>
<body>
<div id="chat"></div>
<script nonce="${attribute(nonce)}" src="${attribute(script)}"></script>
</body>
</html>
`;
}
