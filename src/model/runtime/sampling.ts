import { OmniError } from '../../protocol/errors.ts';

/** How the next token is chosen. The default is greedy, as in the released evaluation scripts. */
export interface Sampling {
  /** 0 (default) takes the likeliest token; above, logits are divided by it before the softmax. */
  readonly temperature?: number;
  /** Only the k likeliest tokens are drawn from. */
  readonly topK?: number;
  /** Only the smallest set of tokens whose probability reaches p is drawn from (Holtzman et al., 2020). */
  readonly topP?: number;
  /** Two runs with the same seed draw the same tokens. */
  readonly seed?: number;
}

/** mulberry32: 32 bits of state, uniform in [0, 1). */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * A function that chooses a token id from logits [V].
 *
 * @throws OmniError `bad_usage` for parameters out of range; the sampler itself throws `runtime_failed` when the
 *   logits are not numbers.
 */
export function createSampler({
  temperature = 0,
  topK,
  topP = 1,
  seed = 0,
}: Sampling = {}): (logits: Float32Array) => number {
  if (!(temperature >= 0 && Number.isFinite(temperature))) throw outOfRange('temperature', '0 or more');
  if (topK !== undefined && !(Number.isInteger(topK) && topK > 0)) throw outOfRange('topK', '1 or more');
  if (!(topP > 0 && topP <= 1)) throw outOfRange('topP', 'above 0 and at most 1');
  const random = createRandom(seed);

  return (logits) => {
    let best = 0;
    let peak = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < logits.length && !Number.isNaN(peak); i += 1) {
      if (logits[i]! <= peak) continue;
      best = i;
      peak = logits[i]!;
    }
    if (!Number.isFinite(peak)) {
      throw new OmniError(
        'runtime_failed',
        'The model’s output is not a number.',
        'Verify the model (omnivqa model verify) or choose the CPU provider.',
      );
    }
    if (temperature === 0) return best;

    const weights = new Float64Array(logits.length);
    let total = 0;
    for (let i = 0; i < logits.length; i += 1) {
      weights[i] = Math.exp((logits[i]! - peak) / temperature);
      total += weights[i]!;
    }
    // Tokens below this weight hold less than 1 - p together, so that none of them is in the nucleus: what has
    // to be sorted is a handful instead of the vocabulary.
    const floor = ((1 - topP) * total) / logits.length;
    let candidates: number[] = [];
    for (let i = 0; i < weights.length; i += 1) if (weights[i]! >= floor) candidates.push(i);
    if (topK !== undefined || topP < 1) {
      candidates.sort((a, b) => weights[b]! - weights[a]! || a - b);
      if (topK !== undefined) candidates = candidates.slice(0, topK);
      // As in transformers, the nucleus is taken from what top-k left, renormalised.
      let mass = 0;
      for (const id of candidates) mass += weights[id]!;
      let kept = 0;
      let count = 0;
      while (count < candidates.length && (count === 0 || kept < topP * mass)) {
        kept += weights[candidates[count]!]!;
        count += 1;
      }
      candidates = candidates.slice(0, count);
    }
    let mass = 0;
    for (const id of candidates) mass += weights[id]!;
    let at = random() * mass;
    for (const id of candidates) {
      at -= weights[id]!;
      if (at < 0) return id;
    }
    return candidates.at(-1)!;
  };
}

const outOfRange = (name: string, range: string) =>
  new OmniError('bad_usage', `${name} must be ${range}.`, `Give a ${name} in that range.`);
