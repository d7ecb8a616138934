import { OmniError, type Problem } from '../protocol/errors.ts';
import type { DecoderContext, OmniModel } from './runtime/model.ts';
import { type ClipTokens, embedPieces, type Piece, pieceTokens, ratingSequence } from './sequence.ts';

/** What the model says about the quality of a clip or a span of it. */
export interface Rating {
  /** Probabilities of the five quality levels, best first (high, good, fair, poor, low); they sum to 1. */
  readonly levels: readonly number[];
  /** Inner product of the levels with the family's weights; 0 (low) to 1 (high). */
  readonly score: number;
  readonly problems: readonly Problem[];
}

export interface RatingOptions {
  /** Ask for one branch (`technical`, `aesthetic`) instead of the overall quality. */
  readonly branch?: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Rates a clip: one prefill, a softmax over the logits of the five level tokens right after the answer prefix, and
 * its inner product with the level weights (Q-Align, arXiv 2312.17090, § 3; the released OmniVQA raters).
 *
 * @returns null for a branch that the model was not trained for.
 * @throws OmniError `context_too_long`, `out_of_memory`, `runtime_failed`, `cancelled`.
 */
export async function rateClip(
  model: OmniModel,
  clip: ClipTokens,
  options: RatingOptions = {},
): Promise<Rating | null> {
  const [rating] = await rateSpans(model, [clip], options);
  return rating!;
}

/**
 * Rates several spans of one clip (see `spanTokens`). The prompt's beginning is prefilled once and shared; each
 * span adds its own tokens to it and is forgotten again.
 *
 * @param spans Any number of spans; none may be empty.
 * @returns One rating per span; all null for a branch that the model was not trained for.
 */
export async function rateSpans(
  model: OmniModel,
  spans: readonly ClipTokens[],
  { branch, signal }: RatingOptions = {},
): Promise<readonly (Rating | null)[]> {
  if (branch !== undefined && !model.config.omnivqa.branches.includes(branch)) return spans.map(() => null);
  const sequences = spans.map((span) => ratingSequence(model, span, branch));
  const prefix: readonly Piece[] = sequences[0]?.prefix ?? [];
  const shared = pieceTokens(prefix);
  const longest = Math.max(0, ...sequences.map(({ rest }) => pieceTokens(rest)));
  const context = await model.newContext({ capacity: shared + longest });
  try {
    const ratings: Rating[] = [];
    if (sequences.length === 1) {
      const [{ rest, problems }] = sequences as [(typeof sequences)[number]];
      return [{ ...(await read(model, context, [...prefix, ...rest], signal)), problems }];
    }
    if (sequences.length > 0) await context.append(embedPieces(model, prefix), shared, { signal });
    for (const { rest, problems } of sequences) {
      ratings.push({ ...(await read(model, context, rest, signal)), problems });
      context.truncate(shared);
    }
    return ratings;
  } finally {
    context.dispose();
  }
}

async function read(
  model: OmniModel,
  context: DecoderContext,
  pieces: readonly Piece[],
  signal: AbortSignal | undefined,
): Promise<{ levels: readonly number[]; score: number }> {
  const { levelLogits } = await context.append(embedPieces(model, pieces), pieceTokens(pieces), { signal });
  return readLevels(model, levelLogits);
}

/**
 * The rating that the five level logits say: their softmax, and its inner product with the level weights.
 *
 * @throws OmniError `runtime_failed` where they are not numbers.
 */
export function readLevels(
  model: OmniModel,
  levelLogits: Float32Array,
): { levels: readonly number[]; score: number } {
  const weights = model.config.omnivqa.levelWeights;
  const logits = Array.from(levelLogits.subarray(0, weights.length));
  const peak = Math.max(...logits);
  const exponents = logits.map((logit) => Math.exp(logit - peak));
  const total = exponents.reduce((sum, value) => sum + value, 0);
  const levels = exponents.map((value) => value / total);
  const score = levels.reduce((sum, level, index) => sum + level * weights[index]!, 0);
  if (!Number.isFinite(score)) {
    throw new OmniError(
      'runtime_failed',
      'The model’s output is not a number.',
      'Verify the model (omnivqa model verify) or choose the CPU provider.',
    );
  }
  return { levels, score };
}
