import { OmniError, type Problem } from '../protocol/errors.ts';
import type { ModelConfig } from './checkpoint/config.ts';
import type { Tokenizer } from './checkpoint/tokenizer.ts';

/** What the vision and motion branches made of a clip, or of a span of it. */
export interface ClipTokens {
  /** [K, P, hidden] flattened: P projected and pooled tokens per key frame. */
  readonly key: Float32Array;
  /** K. Key frames are one per second: frames 0, r, 2r … */
  readonly keyFrames: number;
  /** [T, hidden] flattened: one token per motion frame; null without a motion branch. */
  readonly motion: Float32Array | null;
  /** T; 0 without motion tokens. */
  readonly motionFrames: number;
}

/** What building a sequence needs to know of a model. */
export interface SequenceModel {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  /** Learned vector [hidden] that ends the vision tokens of a video. */
  readonly imageNewline: Float32Array;
}

/** A run of the input sequence: token ids to be looked up, or embeddings [tokens, hidden] as they are. */
export type Piece =
  | { readonly ids: readonly number[] }
  | { readonly embeddings: Float32Array; readonly tokens: number };

/** A user's question, or numbers of the clip. */
type Filled = 'question' | 'clip';

type Written =
  | { readonly special: string }
  /** `holds`: what was filled in, if anything. */
  | { readonly text: string; readonly holds?: Filled };

type Part = Written | { readonly slot: number };

/** Share of the context kept for the conversation when a clip is cut to fit it. */
const conversationShare = 1 / 8;

const image = '<image>';
const start = '<|im_start|>';
const end = '<|im_end|>';

/**
 * The sequence that ends right before the model names the quality level: ChatML with the family's rating prompt
 * and answer prefix.
 *
 * @param branch A branch of the data set (`technical`, `aesthetic`): the prompt then asks for that quality. The
 *   network is the same one; the branches of the paper are branches of its data.
 * @returns `prefix`: what is the same for every span of a clip (nothing of the clip in it); `rest`: the others.
 * @throws OmniError `context_too_long`, `tokenizer_invalid`.
 */
export function ratingSequence(
  model: SequenceModel,
  clip: ClipTokens,
  branch?: string,
): { prefix: readonly Piece[]; rest: readonly Piece[]; problems: readonly Problem[] } {
  const { rating, systemPrompt } = model.config.omnivqa;
  const ask = (text: string) => (branch ? text.replaceAll('the quality', `the ${branch} quality`) : text);
  const user = ask(rating.user);
  // "The quality of the video is": the answer's first word is capitalised.
  const assistant = branch
    ? rating.assistant.replace(/the quality/i, (match) => match.replace(/quality/, `${branch} quality`))
    : rating.assistant;
  const write = (shown: ClipTokens) => chatMl(systemPrompt, fill(user, shown, ''), assistant);
  const { shown, problems } = cutToFit(model, write(clip), clip, 0);
  const parts = write(shown);
  const pieces = place(model, parts, shown);
  const first = parts.findIndex((part) => 'slot' in part || ('text' in part && part.holds !== undefined));
  const cut = first < 0 ? parts.length : first;
  return { prefix: pieces.slice(0, cut), rest: pieces.slice(cut), problems };
}

const noChat = ({ config }: SequenceModel) =>
  new OmniError(
    'bad_usage',
    `A model of the family ${config.omnivqa.family} rates; it was not trained to chat.`,
    'Choose a model that can chat (omnivqa model list shows them).',
  );

export interface ChatPromptOptions {
  /**
   * Use the prompt for questions about moments of the clip: it says how long the clip is and that seconds are
   * counted from 1 ("1 second" is the first second). For families whose prompt speaks of seconds.
   */
  readonly timed?: boolean;
}

/**
 * The opening of a conversation about a clip.
 *
 * @returns `prefix`: everything before the text that holds the question, the same for every question; `question`:
 *   the rest of the first turn, up to where the answer begins.
 * @throws OmniError `bad_usage` where the family has no chat prompt, `context_too_long`, `tokenizer_invalid`.
 */
export function chatOpening(
  model: SequenceModel,
  clip: ClipTokens,
  question: string,
  { timed = false }: ChatPromptOptions = {},
): { prefix: readonly Piece[]; question: readonly Piece[]; problems: readonly Problem[] } {
  const { chat, systemPrompt } = model.config.omnivqa;
  if (!chat) throw noChat(model);
  const user = timed ? withTimes(chat.user) : chat.user;
  const write = (shown: ClipTokens, text: string) => chatMl(systemPrompt, fill(user, shown, text), '');
  // Without the question, so that the clip is the same one whatever is asked.
  const { shown, problems } = cutToFit(model, write(clip, ''), clip, conversationShare);
  const parts = write(shown, question);
  const cut = parts.findIndex((part) => 'text' in part && part.holds === 'question');
  if (cut < 0) {
    throw new OmniError(
      'checkpoint_config',
      'The chat prompt has no place for a question.',
      'Write {question} where it belongs into omnivqa.chat.user of config.json.',
    );
  }
  const pieces = place(model, parts, shown);
  return { prefix: pieces.slice(0, cut), question: pieces.slice(cut), problems };
}

/**
 * One question about a clip with the beginning of its answer, in the chat prompt.
 *
 * @returns `head`: everything up to the end of the clip, the same for every question about it; `tail`: the question, up
 *   to where the answer goes on.
 * @throws OmniError `bad_usage` where the family has no chat prompt, `context_too_long`, `tokenizer_invalid`.
 */
export function questionSequence(
  model: SequenceModel,
  clip: ClipTokens,
  question: string,
  answer: string,
  { timed = false }: ChatPromptOptions = {},
): { head: readonly Piece[]; tail: readonly Piece[] } {
  const { chat, systemPrompt } = model.config.omnivqa;
  if (!chat) throw noChat(model);
  const user = timed ? withTimes(chat.user) : chat.user;
  const write = (shown: ClipTokens, text: string, begun: string) =>
    chatMl(systemPrompt, fill(user, shown, text), begun);
  const { shown } = cutToFit(model, write(clip, '', ''), clip, conversationShare);
  const { head, tail } = splitAfterClip(place(model, write(shown, question, answer), shown));
  return { head, tail };
}

/** Divides a sequence where its clip ends: what comes after is text alone. */
export function splitAfterClip(pieces: readonly Piece[]): {
  head: readonly Piece[];
  tail: readonly Piece[];
} {
  const cut = pieces.findLastIndex((piece) => 'embeddings' in piece) + 1;
  return { head: pieces.slice(0, cut), tail: pieces.slice(cut) };
}

/** Whether two runs of pieces about the same clip are the same input. */
export function samePieces(a: readonly Piece[], b: readonly Piece[]): boolean {
  return (
    a.length === b.length &&
    a.every((piece, i) => {
      const other = b[i]!;
      if ('ids' in piece) {
        return (
          'ids' in other &&
          piece.ids.length === other.ids.length &&
          piece.ids.every((id, at) => id === other.ids[at])
        );
      }
      return 'embeddings' in other && piece.tokens === other.tokens;
    })
  );
}

/** The fine-grained variant of the released chat prompt (Jia et al., arXiv 2505.22543); others stay as they are. */
function withTimes(template: string): string {
  const [seconds, observations] = ['each second from a video sequence', 'based on your observations.'];
  if (!template.includes(seconds) || !template.includes(observations)) return template;
  return template
    .replace(seconds, `${seconds} (the video is {K} seconds long)`)
    .replace(observations, `${observations} In the question, 1 second is the first second.`);
}

/** A further turn, from the token that ends the answer before it to where the next answer begins. */
export function nextTurn(model: SequenceModel, question: string): readonly Piece[] {
  const parts: readonly Written[] = [
    { special: end },
    { text: '\n' },
    { special: start },
    { text: `user\n${question}` },
    { special: end },
    { text: '\n' },
    { special: start },
    { text: 'assistant\n' },
  ];
  return parts.map((part) => ({ ids: encode(model.tokenizer, part) }));
}

/** The number of positions a run of pieces takes. */
export function pieceTokens(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, piece) => sum + ('ids' in piece ? piece.ids.length : piece.tokens), 0);
}

/** Looks up the ids of a run of pieces and puts everything in a row, [tokens, hidden]. */
export function embedPieces(
  model: { readonly config: ModelConfig; embed(ids: readonly number[]): Float32Array },
  pieces: readonly Piece[],
): Float32Array {
  const all = new Float32Array(pieceTokens(pieces) * model.config.hiddenSize);
  let at = 0;
  for (const piece of pieces) {
    const rows = 'ids' in piece ? model.embed(piece.ids) : piece.embeddings;
    all.set(rows, at);
    at += rows.length;
  }
  return all;
}

/**
 * The tokens of a span of a clip, without copying them.
 *
 * @param keys First and last (exclusive) key frame.
 * @param motion First and last (exclusive) motion frame.
 */
export function spanTokens(
  clip: ClipTokens,
  keys: readonly [number, number],
  motion: readonly [number, number],
): ClipTokens {
  const perKey = clip.key.length / Math.max(1, clip.keyFrames);
  const perMotion = clip.motion ? clip.motion.length / Math.max(1, clip.motionFrames) : 0;
  const bound = (at: number, limit: number) => Math.min(Math.max(0, at), limit);
  const [k0, k1] = [bound(keys[0], clip.keyFrames), bound(keys[1], clip.keyFrames)];
  const [m0, m1] = [bound(motion[0], clip.motionFrames), bound(motion[1], clip.motionFrames)];
  return {
    key: clip.key.subarray(k0 * perKey, k1 * perKey),
    keyFrames: k1 - k0,
    motion: clip.motion?.subarray(m0 * perMotion, m1 * perMotion) ?? null,
    motionFrames: m1 - m0,
  };
}

/** A clip with every n-th of its key frames alone, from the `first` on, and with all of its motion. */
export function everyNthKey(clip: ClipTokens, n: number, first: number): ClipTokens {
  const perKey = clip.key.length / Math.max(1, clip.keyFrames);
  const keyFrames = Math.max(0, Math.ceil((clip.keyFrames - first) / n));
  const key = new Float32Array(keyFrames * perKey);
  for (let to = 0; to < keyFrames; to++) {
    const from = first + to * n;
    key.set(clip.key.subarray(from * perKey, (from + 1) * perKey), to * perKey);
  }
  return { ...clip, key, keyFrames };
}

/** Qwen's ChatML: one system turn, one user turn, the opening of the assistant's turn and its prefix. */
function chatMl(system: string, user: readonly Part[], prefix: string): Part[] {
  return merge([
    { special: start },
    { text: `system\n${system}` },
    { special: end },
    { text: '\n' },
    { special: start },
    { text: 'user\n' },
    ...user,
    { special: end },
    { text: '\n' },
    { special: start },
    { text: `assistant\n${prefix}` },
  ]);
}

/** A prompt template with its placeholders filled. What is filled in is text and never a placeholder itself. */
function fill(template: string, clip: ClipTokens, question: string): Part[] {
  let slot = 0;
  return template.split(/(<image>|\{K\}|\{T\}|\{question\})/).map((token): Part => {
    switch (token) {
      case image:
        slot += 1;
        return { slot: slot - 1 };
      case '{K}':
        return { text: String(clip.keyFrames), holds: 'clip' };
      case '{T}':
        return { text: String(clip.motionFrames), holds: 'clip' };
      case '{question}':
        return { text: question, holds: 'question' };
      default:
        return { text: token };
    }
  });
}

/** Joins neighbouring texts, so that they are tokenised as one: only `<image>` and special tokens divide text. */
function merge(parts: readonly Part[]): Part[] {
  const merged: Part[] = [];
  for (const part of parts) {
    const last = merged.at(-1);
    if (last && 'text' in last && 'text' in part) {
      const holds = [last.holds, part.holds].find((one) => one === 'question') ?? last.holds ?? part.holds;
      merged[merged.length - 1] = { text: last.text + part.text, ...(holds ? { holds } : {}) };
    } else if (!('text' in part) || part.text !== '' || part.holds) {
      merged.push(part);
    }
  }
  return merged;
}

/** Special tokens come from here alone: the same characters in a question or a prompt are plain text. */
function encode(tokenizer: Tokenizer, part: Written): number[] {
  if ('text' in part) return tokenizer.encodePlain(part.text);
  const id = tokenizer.id(part.special);
  if (id === undefined) {
    throw new OmniError(
      'tokenizer_invalid',
      `The tokenizer has no token ${part.special}, which Qwen's chat template needs.`,
      'Take tokenizer.json from the same place as the weights.',
    );
  }
  return [id];
}

/** The most positions an input may take. */
function positions({ tokenizerModelMaxLength, maxPositionEmbeddings }: ModelConfig): number {
  return Math.min(tokenizerModelMaxLength, maxPositionEmbeddings);
}

/**
 * Cuts a clip to what the context holds.
 *
 * The released code cuts the end of the sequence at `tokenizer_model_max_length`, and with it the question and the
 * answer's beginning. Here whole seconds are dropped from the clip's end instead, key frames and their motion
 * frames together, and a problem says so. A sequence that fits is the same.
 *
 * @param reserve Share of the positions to keep free.
 */
function cutToFit(
  model: SequenceModel,
  parts: readonly Part[],
  clip: ClipTokens,
  reserve: number,
): { shown: ClipTokens; problems: Problem[] } {
  const { config, tokenizer } = model;
  const text = parts.reduce((sum, part) => sum + ('slot' in part ? 0 : encode(tokenizer, part).length), 0);
  const limit = positions(config);
  const room = limit - text - Math.ceil(limit * reserve);
  const slots = parts.filter((part) => 'slot' in part).length;
  const visions = Math.min(slots, 1);
  const motions = {
    separate: Math.max(0, Math.min(slots, 2) - 1),
    doubled: Math.min(slots, 2),
    joined: visions,
  }[config.omnivqa.tokenLayout];
  const perKey = clip.key.length / Math.max(1, clip.keyFrames) / config.hiddenSize;
  const framesOf = (keys: number) => Math.floor((clip.motionFrames * keys) / Math.max(1, clip.keyFrames));
  const size = (keys: number) => visions * (keys * perKey + 1) + motions * framesOf(keys);

  let keys = clip.keyFrames;
  while (keys > 0 && size(keys) > room) keys -= 1;
  if (keys === clip.keyFrames && size(keys) <= room) return { shown: clip, problems: [] };
  if (keys === 0) {
    throw new OmniError(
      'context_too_long',
      `The model reads ${limit} positions; the prompt takes ${text}, which leaves no room for one second of the clip.`,
      'Ask a shorter question or choose a model with a longer context.',
    );
  }
  const message = `Only the first ${keys} of ${clip.keyFrames} key frames fit the model’s ${limit} positions.`;
  return {
    shown: spanTokens(clip, [0, keys], [0, framesOf(keys)]),
    problems: [{ code: 'clip_truncated', message }],
  };
}

/** Encodes the texts of a prompt and fills its slots with the clip's tokens in the family's layout. */
function place(model: SequenceModel, parts: readonly Part[], clip: ClipTokens): Piece[] {
  const { config, imageNewline, tokenizer } = model;
  const vision = [clip.key, imageNewline];
  const motion = clip.motion ? [clip.motion] : [];
  const slots = {
    separate: [vision, motion],
    doubled: [[...vision, ...motion], motion],
    joined: [[...vision, ...motion]],
  }[config.omnivqa.tokenLayout];
  return parts.map((part): Piece => {
    if (!('slot' in part)) return { ids: encode(tokenizer, part) };
    const content = slots[part.slot] ?? [];
    const embeddings = new Float32Array(content.reduce((sum, one) => sum + one.length, 0));
    let at = 0;
    for (const one of content) {
      embeddings.set(one, at);
      at += one.length;
    }
    return { embeddings, tokens: embeddings.length / config.hiddenSize };
  });
}
