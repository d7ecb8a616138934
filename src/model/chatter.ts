import { OmniError, type Problem } from '../protocol/errors.ts';
import { likelihoods } from './grammar.ts';
import { generate } from './runtime/generate.ts';
import type { DecoderContext, OmniModel } from './runtime/model.ts';
import type { Sampling } from './runtime/sampling.ts';
import {
  type ChatPromptOptions,
  type ClipTokens,
  chatOpening,
  embedPieces,
  nextTurn,
  type Piece,
  pieceTokens,
} from './sequence.ts';

export interface AskOptions {
  readonly sampling?: Sampling;
  /** Default 1,024, as in the released scripts. */
  readonly maxNewTokens?: number;
  /** Called with each piece of text as it is complete. */
  readonly onText?: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly text: string;
  /** Generated tokens, without the one that ended the answer. */
  readonly tokens: number;
  /** `stop`: the model ended its answer; `length`: it was cut at the token limit. */
  readonly ended: 'stop' | 'length';
}

/**
 * A conversation about one clip. The system turn and the clip are prefilled once, when the session opens; each
 * question appends its own tokens to that context and no others.
 */
export class ChatSession {
  /** What had to be left out of the clip, if anything. */
  readonly problems: readonly Problem[];
  /** Tokens given to the model so far, other than those it generated: the clip once, then each question. */
  prefilledTokens: number;
  readonly #model: OmniModel;
  readonly #clip: ClipTokens;
  readonly #prompt: ChatPromptOptions;
  readonly #context: DecoderContext;
  readonly #history: { readonly question: string; readonly answer: string }[] = [];
  #busy = false;

  private constructor(
    model: OmniModel,
    clip: ClipTokens,
    prompt: ChatPromptOptions,
    context: DecoderContext,
    problems: readonly Problem[],
  ) {
    this.#model = model;
    this.#clip = clip;
    this.#prompt = prompt;
    this.#context = context;
    this.problems = problems;
    this.prefilledTokens = context.length;
  }

  /**
   * Prefills the clip.
   *
   * @throws OmniError `bad_usage` where the model was not trained to chat, `context_too_long`, `out_of_memory`,
   *   `runtime_failed`, `cancelled`.
   */
  static async open(
    model: OmniModel,
    clip: ClipTokens,
    { signal, ...prompt }: ChatPromptOptions & { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<ChatSession> {
    const { prefix, problems } = chatOpening(model, clip, '', prompt);
    const tokens = pieceTokens(prefix);
    const context = await model.newContext({ capacity: tokens });
    try {
      await context.append(embedPieces(model, prefix), tokens, { signal });
    } catch (error) {
      context.dispose();
      throw error;
    }
    return new ChatSession(model, clip, prompt, context, problems);
  }

  /** The turns so far, oldest first. */
  get history(): readonly { readonly question: string; readonly answer: string }[] {
    return this.#history;
  }

  /**
   * Asks a question and waits for the whole answer. When it fails or is cancelled, the question and what there was
   * of its answer are forgotten and the session goes on from where it was.
   *
   * @throws OmniError `cancelled`, `context_too_long`, `bad_usage` while another question is being answered,
   *   `out_of_memory`, `runtime_failed`.
   */
  async ask(
    question: string,
    { sampling, maxNewTokens = 1024, onText, signal }: AskOptions = {},
  ): Promise<Answer> {
    if (this.#busy) {
      throw new OmniError(
        'bad_usage',
        'The answer before this one is still being written.',
        'Wait for it or cancel it.',
      );
    }
    this.#busy = true;
    const context = this.#context;
    const before = { length: context.length, prefilled: this.prefilledTokens };
    try {
      const pieces = this.#pieces(question);
      const tokens = pieceTokens(pieces);
      const { logits } = await context.append(embedPieces(this.#model, pieces), tokens, { signal });
      this.prefilledTokens += tokens;
      const { ids, text, ended } = await generate(this.#model, context, logits, {
        maxNewTokens,
        ...(sampling ? { sampling } : {}),
        ...(onText ? { onText } : {}),
        signal,
      });
      this.#history.push({ question, answer: text });
      return { text, tokens: ids.length, ended };
    } catch (error) {
      context.truncate(before.length);
      this.prefilledTokens = before.prefilled;
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  /**
   * Asks a question that some answers are offered for, and gives the probability of each. Question and answer are not
   * part of the conversation afterwards.
   *
   * @param options What the model may say, word for word.
   * @throws OmniError as {@link ask}.
   */
  async choose(
    question: string,
    options: readonly string[],
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<readonly number[]> {
    const context = this.#context;
    const before = context.length;
    try {
      const pieces = this.#pieces(question);
      const tokens = pieceTokens(pieces);
      const { logits } = await context.append(embedPieces(this.#model, pieces), tokens, { signal });
      const said = await likelihoods(this.#model, context, logits, options, { signal });
      this.prefilledTokens += tokens + said.tokens;
      return said.probabilities;
    } finally {
      context.truncate(before);
    }
  }

  #pieces(question: string): readonly Piece[] {
    return this.#history.length === 0
      ? chatOpening(this.#model, this.#clip, question, this.#prompt).question
      : nextTurn(this.#model, question);
  }

  /** Frees the context. The session can not be used afterwards. */
  dispose(): void {
    this.#context.dispose();
  }
}
