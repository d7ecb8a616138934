import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import { OmniError } from '../../protocol/errors.ts';

/** The checkpoint's own tokenizer. */
export interface Tokenizer {
  /** Ids of a text in which special tokens are meant: `<|im_start|>` becomes one id. */
  encode(text: string): number[];
  /** Ids of a text that is only text, a user's say: `<|im_end|>` in it stays characters. */
  encodePlain(text: string): number[];
  /** Text of ids; special tokens are left out. */
  decode(ids: readonly number[]): string;
  /** The id of one token as it stands in the vocabulary (` good` is `Ġgood`), special tokens included. */
  id(token: string): number | undefined;
}

/** @throws OmniError `tokenizer_invalid`. */
export async function loadTokenizer(directory: string): Promise<Tokenizer> {
  const path = join(directory, 'tokenizer.json');
  const invalid = (cause: unknown) =>
    new OmniError(
      'tokenizer_invalid',
      `${path} can not be used: ${cause instanceof Error ? cause.message : cause}.`,
      'Take tokenizer.json from where the checkpoint was published.',
      { path },
    );
  let hub: HubTokenizer;
  try {
    hub = new HubTokenizer(JSON.parse(await readFile(path, 'utf8')), {});
  } catch (error) {
    throw invalid(error);
  }
  const specials = [...hub.get_added_tokens_decoder().values()].map(({ content }) => content);
  const encode = (text: string) => hub.encode(text, { add_special_tokens: false }).ids;
  return {
    encode,
    encodePlain(text) {
      // Cutting each special token's text after its first character keeps the tokenizer from seeing it.
      const cuts = new Set<number>();
      for (const special of specials) {
        for (let at = text.indexOf(special); at >= 0; at = text.indexOf(special, at + 1)) {
          cuts.add(at + ([...special][0] ?? '').length);
        }
      }
      const edges = [0, ...[...cuts].sort((a, b) => a - b), text.length];
      return edges.slice(1).flatMap((end, i) => (end > edges[i]! ? encode(text.slice(edges[i], end)) : []));
    },
    decode: (ids) =>
      ids.length === 0
        ? ''
        : hub.decode([...ids], { skip_special_tokens: true, clean_up_tokenization_spaces: false }),
    id: (token) => hub.token_to_id(token),
  };
}
