import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { checkClaims } from '../assessment/claims.ts';
import { timeIn } from '../assessment/mentions.ts';
import type { Assessment } from '../assessment/record.ts';
import { clock } from '../assessment/text.ts';
import { ChatSession } from '../model/chatter.ts';
import type { ModelConfig } from '../model/checkpoint/config.ts';
import { parseQuestion, type Question } from '../model/questions.ts';
import {
  type AnswerBasis,
  type AnswerClaim,
  type AnswerPart,
  type AskRequest,
  type ChatAnswer,
  type ChatOpened,
  type ChatOpenRequest,
  longestAnswer,
  longestQuestion,
  mostClips,
  sanitise,
} from '../protocol/chat.ts';
import type { ModelChoice, ResultPlace } from '../protocol/engine.ts';
import { OmniError } from '../protocol/errors.ts';
import type { Span } from '../protocol/timeline.ts';
import { abilityOf, answerProbed, type Probed } from './chat_answers.ts';
import { ChatClip, mostSeconds } from './chat_clip.ts';
import { linkTimes } from './chat_links.ts';
import { cancelled } from './content.ts';
import { type EngineModel, modelConfig } from './models.ts';

export interface ChatsOptions {
  /** Calls `work` with a model, alone: nothing else uses it meanwhile. */
  readonly use: <T>(
    choice: ModelChoice,
    signal: AbortSignal,
    work: (model: EngineModel) => Promise<T>,
  ) => Promise<T>;
  /** What is stored of a clip; null where it was not assessed. */
  readonly record: (
    where: ModelChoice & ResultPlace & { readonly path: string },
  ) => Promise<Assessment | null>;
  /** Milliseconds without a question after which the clips' contexts are freed; default 2 minutes. */
  readonly restAfter?: number;
}

/** What the model wrote about before, kept with the tokens of the clip. */
interface Written {
  readonly session: ChatSession;
  readonly span: Span;
  readonly keyFrames: number;
}

interface Chat {
  readonly opened: ChatOpenRequest;
  /** Read once: a checkpoint that is replaced is another one to a new conversation. */
  config: ModelConfig | null;
  busy: boolean;
  /** By path and span. */
  readonly written: Map<string, Written>;
}

/** Tokens that a written answer may have. */
const mostTokens = 1024;

/** The conversations of one engine. */
export class Chats {
  readonly #options: ChatsOptions;
  readonly #chats = new Map<string, Chat>();
  readonly #turns = new Map<string, AbortController>();
  /** Whose contexts there are. */
  #model: EngineModel | null = null;
  #clips = new Map<string, ChatClip>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ChatsOptions) {
    this.#options = options;
  }

  /** Whether anything is being answered. */
  get busy(): boolean {
    return this.#turns.size > 0;
  }

  /** @throws OmniError those of reading a checkpoint's config. */
  async open(request: ChatOpenRequest): Promise<ChatOpened> {
    const config = await modelConfig(request.model);
    const said = Buffer.from(JSON.stringify(request)).toString('base64url');
    const chat = `${randomBytes(4).toString('hex')}.${said}`;
    this.#chats.set(chat, { opened: request, config, busy: false, written: new Map() });
    return { chat, converses: config.omnivqa.converses, ability: abilityOf(config) };
  }

  /** A conversation by its name; one that another engine opened begins anew here. */
  #find(name: string): Chat {
    const known = this.#chats.get(name);
    if (known) return known;
    const opened = openedAs(name);
    if (!opened) {
      throw new OmniError('bad_usage', 'There is no such conversation.', 'Open one first.');
    }
    const chat: Chat = { opened, config: null, busy: false, written: new Map() };
    this.#chats.set(name, chat);
    return chat;
  }

  /**
   * Answers a question; see `ask` of the protocol.
   *
   * @param onText Told each piece of the text.
   */
  async ask(
    request: AskRequest,
    signal: AbortSignal,
    onText: (text: string) => void = () => undefined,
  ): Promise<ChatAnswer> {
    const chat = this.#find(request.chat);
    const text = sanitise(request.question, longestQuestion).text.trim();
    const usage = (message: string, next: string) => new OmniError('bad_usage', message, next);
    if (text === '') throw usage('The question is empty.', 'Write one.');
    if (chat.busy) {
      throw usage('The answer before this one is still being written.', 'Wait for it or stop it.');
    }
    if (request.attachments.length >= mostClips) {
      throw usage(
        `A question can be about ${mostClips} clips at most.`,
        'Take some out of the conversation.',
      );
    }
    chat.busy = true;
    const turn = new AbortController();
    this.#turns.set(request.turn, turn);
    clearTimeout(this.#timer);
    const either = AbortSignal.any([signal, turn.signal]);
    try {
      return await this.#answer(chat, { ...request, question: text }, either, onText);
    } catch (error) {
      if (either.aborted) throw cancelled();
      throw error;
    } finally {
      chat.busy = false;
      this.#turns.delete(request.turn);
      this.#timer = setTimeout(() => {
        if (!this.busy) this.release();
      }, this.#options.restAfter ?? 120_000);
      this.#timer.unref();
    }
  }

  /** Ends an answer. */
  stop(turn: string): void {
    this.#turns.get(turn)?.abort();
  }

  close(name: string): void {
    const chat = this.#chats.get(name);
    if (!chat) return;
    this.#chats.delete(name);
    if (chat.busy) return;
    for (const { session } of chat.written.values()) session.dispose();
    const path = resolve(chat.opened.path);
    if ([...this.#chats.values()].some(({ opened }) => resolve(opened.path) === path)) return;
    this.#clips.get(path)?.dispose();
    this.#clips.delete(path);
  }

  /** Frees every context: to be called before the model is. What was asked is known again when it is asked again. */
  release(): void {
    for (const { written } of this.#chats.values()) {
      for (const { session } of written.values()) session.dispose();
      written.clear();
    }
    for (const clip of this.#clips.values()) clip.dispose();
    this.#clips = new Map();
    this.#model = null;
  }

  /** Ends all answers and frees everything. */
  dispose(): void {
    clearTimeout(this.#timer);
    for (const turn of this.#turns.values()) turn.abort();
    if (!this.busy) this.release();
    this.#chats.clear();
  }

  async #answer(
    chat: Chat,
    { question: text, span: asked, attachments }: AskRequest,
    signal: AbortSignal,
    onText: (text: string) => void,
  ): Promise<ChatAnswer> {
    const { opened } = chat;
    const question = parseQuestion(text);
    chat.config ??= await modelConfig(opened.model);
    const { omnivqa } = chat.config;
    const grounded = omnivqa.localization !== null || (question.form === 'quality' && !omnivqa.converses);
    // What can be chosen is chosen; what a model that converses can put better in its own words, it writes.
    const own = omnivqa.converses && ['what', 'severity', 'quality', 'other'].includes(question.form);
    const probes = grounded && !own && question.form !== 'other';
    const paths = [opened.path, ...attachments];
    return this.#options.use(opened, signal, async (model) => {
      if (this.#model !== model) {
        this.release();
        this.#model = model;
      }
      const said = sanitise(model.id, 200).text;
      if (!probes && !omnivqa.converses) return unable(model, said, question, onText);
      const answers: OneAnswer[] = [];
      for (const path of paths) {
        if (signal.aborted) throw cancelled();
        const prefix = paths.length > 1 ? `${answers.length > 0 ? '\n' : ''}${nameOf(path)}: ` : '';
        if (prefix) onText(prefix);
        const known = { ...opened, path, model: opened.assessedBy ?? opened.model };
        const record = await this.#options.record(known).catch(() => null);
        const span = asked ?? opened.span;
        const answer = probes
          ? await this.#probed(path, question, span, record, model, signal)
          : await this.#written(chat, path, text, question, span, record, model, signal, onText);
        if (!answer) return unable(model, said, question, onText);
        if (probes) onText(answer.parts.map((part) => part.text).join(''));
        answers.push({ ...answer, prefix });
      }
      return joined(model, said, answers, onText);
    });
  }

  #clip(path: string, model: EngineModel): ChatClip {
    const name = resolve(path);
    let clip = this.#clips.get(name);
    if (!clip) {
      clip = new ChatClip(path, model);
      this.#clips.set(name, clip);
    }
    return clip;
  }

  /** The span that a question is about: its own time, else the one that was chosen, else as much as is looked at. */
  async #spanOf(
    clip: ChatClip,
    question: Question,
    chosen: Span | null,
    record: Assessment | null,
    signal: AbortSignal,
  ): Promise<{ span: Span; note: string }> {
    const info = await clip.info(signal);
    const length = info.duration ?? (info.frames === null ? mostSeconds : info.frames / info.fps);
    const outside = (span: Span) =>
      new OmniError(
        'bad_usage',
        `The clip is ${clock(length)} long; there is nothing at ${clock(span.start)}.`,
        'Ask about a time in the clip.',
        { path: clip.path },
      );
    const named = question.time && timeIn(question.time, length);
    if (question.time && !named) throw outside(question.time);
    let span = named ?? chosen ?? { start: 0, end: length };
    if (!(span.start >= 0 && span.start < length && span.end > span.start)) throw outside(span);
    span = { start: span.start, end: Math.min(span.end, length) };
    if (span.end - span.start <= mostSeconds) return { span, note: '' };
    const worst = record?.pooling.worst.start ?? span.start;
    const start = Math.floor(Math.min(Math.max(span.start, worst - mostSeconds / 2), span.end - mostSeconds));
    const part = { start, end: start + mostSeconds };
    const why = record ? 'where the record is worst' : 'its beginning';
    return { span: part, note: ` Only ${clock(part.start)}–${clock(part.end)} was looked at, ${why}.` };
  }

  async #probed(
    path: string,
    question: Question,
    chosen: Span | null,
    record: Assessment | null,
    model: EngineModel,
    signal: AbortSignal,
  ): Promise<OneAnswer | null> {
    const clip = this.#clip(path, model);
    const { span, note } = await this.#spanOf(clip, question, chosen, record, signal);
    const read = await clip.read(span, signal);
    const askers = [...new Set(read.steps.map(({ asker }) => asker))];
    const tokens = () => askers.reduce((sum, asker) => sum + asker.tokens, 0);
    const before = tokens();
    const reused = askers.every((asker) => asker.prefilled);
    const answer = await answerProbed(question, path, read, model, signal);
    if (!answer) return null;
    const keyFrames = read.steps.length;
    const dense =
      read.keysPerSecond > 1 ? ` (${read.keysPerSecond} key frames a second, as the span is short.)` : '';
    const parts = [...answer.parts, ...(note + dense === '' ? [] : [{ text: note + dense, target: null }])];
    const basis: AnswerBasis = {
      path,
      span,
      keyFrames,
      keyFramesPerSecond: read.keysPerSecond,
      tokensPrefilled: tokens() - before,
      prefixReused: reused,
      probability: answer.probability,
    };
    clip.trim();
    return {
      ...answer,
      parts,
      basis,
      record,
      prefix: '',
      cut: false,
      kind: 'probed',
      prompt: probePrompt(model, span),
    };
  }

  async #written(
    chat: Chat,
    path: string,
    text: string,
    question: Question,
    chosen: Span | null,
    record: Assessment | null,
    model: EngineModel,
    signal: AbortSignal,
    onText: (text: string) => void,
  ): Promise<OneAnswer> {
    const clip = this.#clip(path, model);
    const { span, note } = await this.#spanOf(clip, question, chosen, record, signal);
    const name = `${resolve(path)} ${span.start} ${span.end}`;
    let written = chat.written.get(name);
    const reused = written !== undefined;
    if (!written) {
      const tokens = await clip.clip(span, signal);
      written = {
        session: await ChatSession.open(model.omni, tokens, { signal }),
        span,
        keyFrames: tokens.keyFrames,
      };
      chat.written.set(name, written);
    }
    const { session, keyFrames } = written;
    const before = reused ? session.prefilledTokens : 0;
    const basis = (probability: number | null): AnswerBasis => ({
      path,
      span,
      keyFrames,
      keyFramesPerSecond: 1,
      tokensPrefilled: session.prefilledTokens - before,
      prefixReused: reused,
      probability,
    });
    const rest = {
      record,
      prefix: '',
      score: null,
      prompt: model.config.omnivqa.chat!.user.replaceAll('{question}', text),
    };
    const choices =
      question.form === 'is'
        ? ['Yes', 'No']
        : question.choices.map(({ letter, text: option }) => letter ?? option);
    if (choices.length > 0) {
      const probabilities = await session.choose(text, choices, { signal });
      const best = probabilities.indexOf(Math.max(...probabilities));
      const options = choices.map((option, i) => ({
        text: option,
        probability: probabilities[i]!,
        chosen: i === best,
      }));
      const sentence = `${choices[best]} (${Math.round(100 * probabilities[best]!)} %).${note}`;
      onText(sentence);
      return {
        ...rest,
        kind: 'probed',
        parts: [{ text: sentence, target: null }],
        options,
        probability: probabilities[best]!,
        basis: basis(probabilities[best]!),
        cut: false,
      };
    }
    let shown = 0;
    const { text: raw, ended } = await session.ask(text, {
      signal,
      maxNewTokens: mostTokens,
      onText: (piece) => {
        const clean = sanitise(piece, Math.max(0, longestAnswer - shown)).text;
        shown += clean.length;
        if (clean) onText(clean);
      },
    });
    const { text: clean, cut } = sanitise(raw);
    return {
      ...rest,
      kind: 'written',
      parts: linkTimes(clean + note, path, span),
      options: null,
      probability: null,
      basis: basis(null),
      cut: cut || ended === 'length',
    };
  }
}

/** The answer for one clip of the question's. */
interface OneAnswer extends Probed {
  readonly kind: 'probed' | 'written';
  readonly prefix: string;
  readonly basis: AnswerBasis;
  readonly record: Assessment | null;
  readonly cut: boolean;
  readonly prompt: string;
}

const nameOf = (path: string) => sanitise(path.split(/[\\/]/).at(-1) ?? path, 200).text.replaceAll('\n', ' ');

function openedAs(name: string): ChatOpenRequest | null {
  try {
    const said = JSON.parse(
      Buffer.from(name.split('.')[1] ?? '', 'base64url').toString(),
    ) as Partial<ChatOpenRequest>;
    const whole = [said.path, said.model, said.provider].every((value) => typeof value === 'string');
    return whole ? (said as ChatOpenRequest) : null;
  } catch {
    return null;
  }
}

function joined(
  model: EngineModel,
  id: string,
  answers: readonly OneAnswer[],
  onText: (text: string) => void,
): ChatAnswer {
  const parts: AnswerPart[] = [];
  const claims: AnswerClaim[] = [];
  let at = 0;
  const add = (part: AnswerPart) => {
    parts.push(part);
    at += part.text.length;
  };
  for (const { prefix, parts: own, record, kind } of answers) {
    if (prefix) add({ text: prefix, target: null });
    const from = at;
    for (const part of own) add(part);
    if (kind === 'probed') continue;
    const text = own.map((part) => part.text).join('');
    for (const claim of checkClaims(text, record)) {
      claims.push({ ...claim, from: from + claim.from, to: from + claim.to });
    }
  }
  const scored = answers.filter(({ score }) => score !== null).toSorted((a, b) => b.score! - a.score!);
  if (scored.length > 1) {
    const [best, worst] = [scored[0]!, scored.at(-1)!];
    const text = `\n${nameOf(best.basis.path)} is the best, by ${(best.score! - worst.score!).toFixed(1)} points of 100 over ${nameOf(worst.basis.path)}.`;
    onText(text);
    add({ text, target: null });
  }
  const [first] = answers as [OneAnswer];
  const single = answers.length === 1;
  return {
    kind: first.kind,
    parts,
    claims,
    cut: answers.some(({ cut }) => cut),
    model: { id, revision: model.revision },
    span: first.basis.span,
    probability: single ? first.probability : null,
    options: single ? first.options : null,
    basis: answers.map(({ basis }) => basis),
    tokensPrefilled: answers.reduce((sum, { basis }) => sum + basis.tokensPrefilled, 0),
    prefixReused: answers.every(({ basis }) => basis.prefixReused),
    rawPrompt: answers.map(({ prompt }) => prompt).join('\n\n'),
  };
}

function unable(
  model: EngineModel,
  id: string,
  { types }: Question,
  onText: (text: string) => void,
): ChatAnswer {
  const { localization } = model.config.omnivqa;
  const stutter = types.includes('stutter') && localization && !localization.temporal;
  const what = stutter ? 'It was not trained to see stutter.' : 'It was not trained to answer that.';
  const text = `${id} can not tell. ${what} ${abilityOf(model.config)}`;
  onText(text);
  return {
    kind: 'unable',
    parts: [{ text, target: null }],
    claims: [],
    cut: false,
    model: { id, revision: model.revision },
    span: null,
    probability: null,
    options: null,
    basis: [],
    tokensPrefilled: 0,
    prefixReused: false,
    rawPrompt: '',
  };
}

/** The fixed questions as the model is given them. */
function probePrompt({ config }: EngineModel, { start, end }: Span): string {
  const { localization, chat, systemPrompt, rating } = config.omnivqa;
  const turn = (user: string, assistant: string) =>
    `system: ${systemPrompt}\nuser: ${user}\nassistant: ${assistant}…`;
  const asked =
    localization && chat
      ? [localization.spatial, ...(localization.temporal ? [localization.temporal] : [])].map(
          ({ question, answer }) => turn(chat.user.replaceAll('{question}', question), answer),
        )
      : [];
  return [
    `Of each step of ${clock(start)}–${clock(end)} the model is asked what the question needs of these; its answer is read from the probabilities of the words that it may go on with.`,
    ...asked,
    turn(rating.user, rating.assistant),
  ].join('\n\n');
}
