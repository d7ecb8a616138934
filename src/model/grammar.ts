/**
 * Answers under a grammar: the model may say one of some texts and nothing else, so that what it says always parses, and
 * how likely each of them is is known. Options may be several tokens, and one may begin as another does.
 */
import { OmniError } from '../protocol/errors.ts';
import type { DecoderContext, OmniModel } from './runtime/model.ts';

/** What of a decoder's context the grammar uses. */
export type GrammarContext = Pick<DecoderContext, 'append' | 'length' | 'truncate'>;
/** What of a model the grammar uses. */
export type GrammarModel = Pick<OmniModel, 'embed' | 'stopIds'> & {
  readonly tokenizer: Pick<OmniModel['tokenizer'], 'encodePlain'>;
};

export interface Likelihoods {
  /** One for each option, in their order; they sum to 1. */
  readonly probabilities: readonly number[];
  /** Tokens that were read for it, beside those that were in the context. */
  readonly tokens: number;
}

interface Node {
  readonly next: Map<number, Node>;
  /** Options that end here. */
  ends: number | null;
}

/** The tokens of the options as a tree. @throws OmniError `bad_usage` where two options are the same tokens, or none. */
function treeOf(model: GrammarModel, options: readonly string[]): Node {
  const root: Node = { next: new Map(), ends: null };
  for (const [index, option] of options.entries()) {
    let node = root;
    for (const id of model.tokenizer.encodePlain(option)) {
      let child = node.next.get(id);
      if (!child) {
        child = { next: new Map(), ends: null };
        node.next.set(id, child);
      }
      node = child;
    }
    if (node === root || node.ends !== null) {
      throw new OmniError(
        'bad_usage',
        `The option ${JSON.stringify(option)} can not be told from the others.`,
        'Give options that differ and are not empty.',
      );
    }
    node.ends = index;
  }
  return root;
}

/** The softmax of some logits. @throws OmniError `runtime_failed` where they are not numbers. */
export function softmax(logits: readonly number[], temperature = 1): number[] {
  const values = logits.map((logit) => logit / temperature);
  const peak = Math.max(...values);
  const exponents = values.map((value) => Math.exp(value - peak));
  const total = exponents.reduce((sum, value) => sum + value, 0);
  if (!Number.isFinite(total)) {
    throw new OmniError(
      'runtime_failed',
      'The model’s output is not a number.',
      'Verify the model (omnivqa model verify) or choose the CPU provider.',
    );
  }
  return exponents.map((value) => value / total);
}

/**
 * How likely each option is, given that the model says one of them: at every token the softmax over those that go on in
 * an option, and where an option may end there, over the tokens that end an answer, too. The context is as before
 * afterwards, also where it fails.
 *
 * @param logits [vocabulary], of the context's last position.
 * @throws OmniError `bad_usage` (see above), `cancelled`, `context_too_long`, `out_of_memory`, `runtime_failed`.
 */
export async function likelihoods(
  model: GrammarModel,
  context: GrammarContext,
  logits: Float32Array,
  options: readonly string[],
  {
    temperature = 1,
    signal,
  }: { readonly temperature?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<Likelihoods> {
  const probabilities = options.map(() => 0);
  let tokens = 0;
  const before = context.length;
  const walk = async (node: Node, share: number, at: Float32Array): Promise<void> => {
    const ids = [...node.next.keys()];
    if (ids.length === 0) {
      probabilities[node.ends!] = share;
      return;
    }
    const stops = node.ends === null ? [] : [...model.stopIds];
    const shares = softmax(
      [...ids, ...stops].map((id) => at[id] ?? Number.NEGATIVE_INFINITY),
      temperature,
    );
    if (node.ends !== null) {
      probabilities[node.ends] = share * shares.slice(ids.length).reduce((sum, one) => sum + one, 0);
    }
    for (const [i, id] of ids.entries()) {
      const child = node.next.get(id)!;
      // Nothing goes on after it: the model need not read it.
      if (child.next.size === 0) {
        probabilities[child.ends!] = share * shares[i]!;
        continue;
      }
      const length = context.length;
      const { logits: after } = await context.append(model.embed([id]), 1, { signal });
      tokens += 1;
      await walk(child, share * shares[i]!, after);
      context.truncate(length);
    }
  };
  try {
    await walk(treeOf(model, options), 1, logits);
  } finally {
    context.truncate(before);
  }
  return { probabilities, tokens };
}
