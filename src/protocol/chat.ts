/**
 * What a conversation about clips is made of, as the engine says it. Everything in an answer is untrusted text: it went
 * through {@link sanitise}, and what it links to is a place in a clip and nothing else.
 */
import type { ModelChoice, ResultPlace } from './engine.ts';
import type { Region, Span } from './timeline.ts';

/** Characters of an answer that are kept. */
export const longestAnswer = 20_000;
/** Characters of a question that are taken. */
export const longestQuestion = 2_000;
/** Clips that one question may be about. */
export const mostClips = 4;

/** What a part of an answer leads to. */
export interface AnswerTarget {
  /** The clip, as it was named when it was asked about. */
  readonly path: string;
  /** A moment is a span without length. */
  readonly span: Span;
  readonly region: Region | null;
  /** The distortion's type, where it is about one. */
  readonly type: string | null;
}

/** A piece of an answer's text; the pieces one after the other are the text. */
export interface AnswerPart {
  readonly text: string;
  /** Times and places lead somewhere; other text does not. */
  readonly target: AnswerTarget | null;
}

/** Something that the answer says, held against the clip's record. */
export interface AnswerClaim {
  /** Where in the answer's text it stands, in UTF-16 units; `to` is not included. */
  readonly from: number;
  readonly to: number;
  readonly text: string;
  readonly verdict: 'agrees' | 'contradicts' | 'unknown';
  /** What the record says, in words. */
  readonly because: string;
}

/** One of the answers that the model chose among. */
export interface AnswerOption {
  readonly text: string;
  /** 0..1; those of one answer sum to 1. */
  readonly probability: number;
  readonly chosen: boolean;
}

/** What was read of one clip for an answer. */
export interface AnswerBasis {
  readonly path: string;
  /** What the frames are of, s. */
  readonly span: Span;
  readonly keyFrames: number;
  /** Key frames of each second: more than one where the span is short. */
  readonly keyFramesPerSecond: number;
  /** Positions that the model read for this question: the clip's, too, where they were not in its context already. */
  readonly tokensPrefilled: number;
  /** Whether the clip's tokens were still in the context. */
  readonly prefixReused: boolean;
  /** The model's choice for this clip among the options, 0..1; null where it did not choose. */
  readonly probability: number | null;
}

export interface ChatAnswer {
  /**
   * `probed`: the model chose among the options of a question that it was trained to be asked, and the sentence is ours;
   * `written`: the model wrote the text; `unable`: it can not tell, and the text says what it can.
   */
  readonly kind: 'probed' | 'written' | 'unable';
  readonly parts: readonly AnswerPart[];
  readonly claims: readonly AnswerClaim[];
  /** Whether the text was cut, at the model's limit or ours. */
  readonly cut: boolean;
  readonly model: { readonly id: string; readonly revision: string };
  /** What was asked about; null where nothing had to be looked at. */
  readonly span: Span | null;
  /** Of what was chosen; null where the model wrote freely, could not tell, or several clips were asked about. */
  readonly probability: number | null;
  /** null as above. */
  readonly options: readonly AnswerOption[] | null;
  /** One for each clip that was looked at, in the order of the question's. */
  readonly basis: readonly AnswerBasis[];
  /** Sums over the clips; see {@link AnswerBasis}. */
  readonly tokensPrefilled: number;
  readonly prefixReused: boolean;
  /** What the model was given, as text; clips stand as `<image>`. */
  readonly rawPrompt: string;
}

export interface ChatOpened {
  /** Names the conversation, and how it was opened: an engine that was started anew goes on with it. */
  readonly chat: string;
  /** Whether the model writes answers of its own; otherwise it chooses among those to its fixed questions. */
  readonly converses: boolean;
  /** What it can be asked, in a sentence. */
  readonly ability: string;
}

export interface ChatOpenRequest extends ModelChoice, ResultPlace {
  readonly path: string;
  /** The model whose result of the clip answers are held against; by default the one that is asked. */
  readonly assessedBy?: string;
  /** What questions are about that name no other; null: the whole clip. */
  readonly span: Span | null;
}

export interface AskRequest {
  readonly chat: string;
  /** Named by the client: its pieces carry it. */
  readonly turn: string;
  readonly question: string;
  /** null: the conversation's own. */
  readonly span: Span | null;
  /** Other clips that the question is about, too. */
  readonly attachments: readonly string[];
}

/** The requests of the engine that conversations use. */
export type ChatRequests = {
  /** Opens a conversation about a clip. Nothing is read or loaded before the first question. */
  chatOpen(params: ChatOpenRequest): ChatOpened;
  /**
   * Asks, and waits for the whole answer; while it is written its pieces are sent as `chatText`. Cancelling the request
   * or {@link ChatRequests.chatStop} ends it (`cancelled`). Answers come before clips that wait to be assessed: the one
   * at work stops after its window and goes on afterwards.
   *
   * @throws OmniError `bad_usage` (an empty question, two at a time in one conversation), those
   *   of reading the clip and of the model.
   */
  ask(params: AskRequest): ChatAnswer;
  /** Ends an answer. Unknown turns are over already. */
  chatStop(params: { readonly turn: string }): void;
  chatClose(params: { readonly chat: string }): void;
  /** Questions worth asking, from what was found; some that suit every clip where nothing was. */
  suggestions(params: ModelChoice & ResultPlace & { readonly path: string }): readonly string[];
};

/** More of an answer that is being written. */
export interface ChatText {
  readonly chat: string;
  readonly turn: string;
  readonly text: string;
}

/**
 * Text of a model made fit to show: control characters and the marks that turn, hide or break text are left out (line
 * breaks, tabs and the joiners of emoji stay), so are halves of characters, and what is longer than the limit is cut
 * between characters. Markup is not touched: it is text to whoever shows it as text.
 */
export function sanitise(
  text: string,
  limit = longestAnswer,
): { readonly text: string; readonly cut: boolean } {
  const clean = text
    .slice(0, 4 * limit)
    .replace(/\r\n?/g, '\n')
    .replace(/(?![\n\t\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/gu, '');
  if (clean.length <= limit) return { text: clean, cut: text.length > 4 * limit };
  const half = clean.charCodeAt(limit - 1) >= 0xd800 && clean.charCodeAt(limit - 1) <= 0xdbff;
  return { text: clean.slice(0, half ? limit - 1 : limit), cut: true };
}
