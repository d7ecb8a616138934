import { randomUUID } from 'node:crypto';
import * as vscode from 'vscode';
import { namedTypes } from '../../assessment/mentions.ts';
import type { ChatAnswer, ChatOpened } from '../../protocol/chat.ts';
import type { AnswerLink, ChatSubject, ChatTurn } from '../../protocol/chat_view.ts';
import type { Clips } from '../clips.ts';
import { Owner } from '../disposables.ts';
import { settingsFor, teamFolder } from '../settings.ts';
import { spanText } from '../words.ts';

/** What of a turn an answer brings, and what the model was given for it. */
export interface Answered extends Pick<ChatTurn, 'text' | 'cut' | 'links' | 'claims' | 'options' | 'basis'> {
  readonly rawPrompt: string;
}

export interface Question {
  /** Names the answer's pieces. */
  readonly turn: string;
  readonly question: string;
  readonly subject: ChatSubject | null;
  /** Paths; the conversation's own clip first. */
  readonly clips: readonly string[];
}

/** The engine's conversations, opened when the first question about a clip comes. */
export class Answers extends Owner {
  readonly #clips: Clips;
  readonly #open = new Map<string, Promise<ChatOpened>>();

  constructor(clips: Clips) {
    super();
    this.#clips = clips;
    // An engine that ended took its conversations with it.
    this.own(clips.onDidLoseEngine(() => this.#open.clear()));
    this.own(
      vscode.workspace.onDidChangeConfiguration((change) => {
        const ours = ['omnivqa.model', 'omnivqa.chatModel', 'omnivqa.provider'];
        if (!ours.some((name) => change.affectsConfiguration(name))) return;
        for (const path of [...this.#open.keys()]) this.close(path);
      }),
    );
  }

  #where(path: string) {
    const uri = vscode.Uri.file(path);
    const { model, provider } = settingsFor(uri);
    return { path, model, provider, teamFolder: teamFolder(uri) };
  }

  /** What is asked may be another model than the one whose result of the clip is known. */
  #conversation(path: string) {
    const where = this.#where(path);
    const { chatModel } = settingsFor(vscode.Uri.file(path));
    return { ...where, model: chatModel, assessedBy: where.model, span: null };
  }

  #opened(path: string): Promise<ChatOpened> {
    const known = this.#open.get(path);
    if (known) return known;
    const opening = this.#clips.request('chatOpen', this.#conversation(path));
    this.#open.set(path, opening);
    opening.catch(() => {
      if (this.#open.get(path) === opening) this.#open.delete(path);
    });
    return opening;
  }

  /** What the model can be asked about a clip, in a sentence. */
  async ability(path: string): Promise<string> {
    return (await this.#opened(path)).ability;
  }

  /** Questions worth asking about a clip, from what was found in it. */
  suggestions(path: string): Promise<readonly string[]> {
    return this.#clips.request('suggestions', this.#where(path));
  }

  /**
   * Asks, and waits for the whole answer.
   *
   * @throws OmniError as the engine's `ask`; `cancelled` when the signal aborts.
   */
  async ask(
    { turn, question, subject, clips }: Question,
    { signal, onText }: { readonly signal: AbortSignal; readonly onText: (text: string) => void },
  ): Promise<Answered> {
    const [path = ''] = subject ? [subject.path] : clips;
    const { chat } = await this.#opened(path);
    const listening = this.#clips.onDidWrite((piece) => {
      if (piece.turn === turn) onText(piece.text);
    });
    try {
      const answer = await this.#clips.request(
        'ask',
        {
          chat,
          turn,
          question: aboutType(question, subject?.type ?? null),
          span: subject?.span ?? null,
          // A part of one clip is looked at alone.
          attachments: subject ? [] : clips.filter((other) => other !== path),
        },
        { signal },
      );
      return answered(answer);
    } finally {
      listening.dispose();
    }
  }

  /** One question about the whole of a clip, for the editor's own chat: a conversation of its own in the engine. */
  async once(path: string, question: string, token: vscode.CancellationToken): Promise<Answered> {
    const abort = new AbortController();
    const cancelling = token.onCancellationRequested(() => abort.abort());
    const { signal } = abort;
    try {
      const { chat } = await this.#clips.request('chatOpen', this.#conversation(path), { signal });
      try {
        const asked = { chat, turn: randomUUID(), question, span: null, attachments: [] };
        return answered(await this.#clips.request('ask', asked, { signal }));
      } finally {
        void this.#clips.request('chatClose', { chat }).catch(() => undefined);
      }
    } finally {
      cancelling.dispose();
    }
  }

  /** Lets the engine forget what it holds of a clip for the next question. */
  close(path: string): void {
    const opening = this.#open.get(path);
    this.#open.delete(path);
    // Where the engine is gone, so is its conversation.
    void opening?.then(({ chat }) => this.#clips.request('chatClose', { chat })).catch(() => undefined);
  }
}

/** The question with the lane's type in it, where its words name none. In English, as what the engine understands. */
function aboutType(question: string, type: string | null): string {
  return type === null || namedTypes(question).length > 0 ? question : `About the ${type}: ${question}`;
}

/** "87 %"; what is not quite certain is not rounded to certainty. */
function percent(share: number): string {
  if (share > 0 && share < 0.005) return '< 1 %';
  return share < 1 && share > 0.995 ? '> 99 %' : `${Math.round(share * 100)} %`;
}

/** The engine's answer as the view shows it. */
function answered(answer: ChatAnswer): Answered {
  const links: AnswerLink[] = [];
  let text = '';
  for (const part of answer.parts) {
    const from = text.length;
    text += part.text;
    if (part.target) links.push({ from, to: text.length, place: part.target });
  }
  const { model, probability, basis, tokensPrefilled } = answer;
  const read = basis.map(({ span, keyFrames, keyFramesPerSecond }) =>
    keyFramesPerSecond > 1
      ? vscode.l10n.t('{0}, {1} key frames, {2} a second', spanText(span), keyFrames, keyFramesPerSecond)
      : vscode.l10n.t('{0}, {1} key frames', spanText(span), keyFrames),
  );
  return {
    text,
    cut: answer.cut,
    links,
    claims: answer.claims,
    options: answer.options ?? [],
    basis: [
      `${model.id} ${model.revision.slice(0, 8)}`,
      ...read,
      ...(probability === null ? [] : [vscode.l10n.t('probability {0}', percent(probability))]),
      ...(basis.length === 0
        ? []
        : [
            answer.prefixReused
              ? vscode.l10n.t('{0} tokens read, the clip’s are reused', tokensPrefilled)
              : vscode.l10n.t('{0} tokens read', tokensPrefilled),
          ]),
    ],
    rawPrompt: answer.rawPrompt,
  };
}
