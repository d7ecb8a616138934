import { ratingQuestion } from './checkpoint/families.ts';
import { type Rating, readLevels } from './rater.ts';
import type { DecoderContext, OmniModel } from './runtime/model.ts';
import {
  type ClipTokens,
  embedPieces,
  type Piece,
  pieceTokens,
  ratingSequence,
  samePieces,
  splitAfterClip,
} from './sequence.ts';

/** How a rating is asked for: the user's turn, and the beginning of the answer. */
export interface RatingPrompt {
  readonly user: string;
  readonly assistant: string;
}

/** Questions beside the released one: shorter, without the word "rate", about the whole, and none at all. */
const questions = [
  ratingQuestion,
  'Rate the quality of this video.',
  'How good is the quality of this video?',
  'What is the overall quality of this video?',
  '',
];

/** Beginnings that a level word goes on, the released one first. */
const beginnings = [
  'The quality of the video is',
  'The quality of this video is',
  'The overall quality of the video is',
  'The video quality is',
  'Quality:',
];

/**
 * Prompts worth trying for a model: its own first, then every question with every beginning. A further question stands
 * behind the clip, so that what the clip costs is shared.
 *
 * @param own The model's prompt. One with a question of its own is varied in its beginning alone.
 */
export function ratingPrompts(own: RatingPrompt): readonly RatingPrompt[] {
  const prompts = [own];
  const add = (prompt: RatingPrompt) => {
    const known = prompts.some(
      ({ user, assistant }) => user === prompt.user && assistant === prompt.assistant,
    );
    if (!known) prompts.push(prompt);
  };
  for (const assistant of beginnings) add({ user: own.user, assistant });
  if (!own.user.includes(ratingQuestion)) return prompts;
  const clip = own.user.replace(ratingQuestion, '').trim();
  for (const question of questions) {
    const user = own.user.endsWith(ratingQuestion)
      ? own.user.replace(ratingQuestion, question).trimEnd()
      : `${clip}\n${question}`.trimEnd();
    for (const assistant of beginnings) add({ user, assistant });
  }
  return prompts;
}

/** What a model says of a clip in one prompt. */
export interface PromptAnswer extends Pick<Rating, 'levels' | 'score'> {
  /** Probability that the next word is one of the five level words at all. */
  readonly mass: number;
}

export interface PromptAnswers {
  /** In the order of the prompts. */
  readonly answers: readonly PromptAnswer[];
  /** Tokens that were read for the clip, and for everything behind it. */
  readonly clipTokens: number;
  readonly promptTokens: number;
}

/**
 * Rates a clip in several prompts. Those that say the same up to the end of the clip share its prefill.
 *
 * @throws OmniError `context_too_long`, `out_of_memory`, `runtime_failed`, `cancelled`.
 */
export async function answerPrompts(
  model: OmniModel,
  clip: ClipTokens,
  prompts: readonly RatingPrompt[],
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<PromptAnswers> {
  const { config, tokenizer, imageNewline } = model;
  const sequences = prompts.map((rating) => {
    const asked = { ...config, omnivqa: { ...config.omnivqa, rating } };
    const { prefix, rest } = ratingSequence({ config: asked, tokenizer, imageNewline }, clip);
    return splitAfterClip([...prefix, ...rest]);
  });
  const capacity = Math.max(...sequences.map(({ head, tail }) => pieceTokens(head) + pieceTokens(tail)));
  const context = await model.newContext({ capacity });
  const answers: PromptAnswer[] = new Array(prompts.length);
  let [clipTokens, promptTokens] = [0, 0];
  try {
    const left = new Set(sequences.keys());
    for (const first of sequences.keys()) {
      if (!left.has(first)) continue;
      const { head } = sequences[first]!;
      const length = pieceTokens(head);
      context.truncate(0);
      await context.append(embedPieces(model, head), length, { signal });
      clipTokens += length;
      for (const index of left) {
        const { head: other, tail } = sequences[index]!;
        if (!samePieces(head, other)) continue;
        left.delete(index);
        answers[index] = await answer(model, context, tail, signal);
        promptTokens += pieceTokens(tail);
        context.truncate(length);
      }
    }
    return { answers, clipTokens, promptTokens };
  } finally {
    context.dispose();
  }
}

async function answer(
  model: OmniModel,
  context: DecoderContext,
  tail: readonly Piece[],
  signal: AbortSignal | undefined,
): Promise<PromptAnswer> {
  const { logits, levelLogits } = await context.append(embedPieces(model, tail), pieceTokens(tail), {
    signal,
  });
  const peak = logits.reduce((most, one) => Math.max(most, one), Number.NEGATIVE_INFINITY);
  const total = logits.reduce((sum, one) => sum + Math.exp(one - peak), 0);
  const { levelIds } = model.compiled.manifest;
  const named = levelIds.reduce((sum, id) => sum + Math.exp(logits[id]! - peak), 0);
  return { ...readLevels(model, levelLogits), mass: named / total };
}
