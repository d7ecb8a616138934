import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { longestAnswer, longestQuestion, mostClips } from '../../protocol/chat.ts';
import type { ChatClip, ChatSnapshot, ChatSubject, ChatTurn } from '../../protocol/chat_view.ts';
import { OmniError } from '../../protocol/errors.ts';
import { type Clips, serialized } from '../clips.ts';
import { Owner } from '../disposables.ts';
import { Answers } from './answers.ts';
import { History } from './history.ts';

const untrusted = () =>
  new OmniError(
    'bad_usage',
    vscode.l10n.t('This workspace is not trusted, so nothing is run on its files.'),
    vscode.l10n.t('Trust the workspace to ask; earlier answers can be read without.'),
  );

/** Questions about a part of a clip. In English, as what the engine understands. */
function suggestionsFor({ type }: ChatSubject): readonly string[] {
  return type === null
    ? ['What is wrong here, and where?', 'Is this compression?', 'How good is it?']
    : ['Where is it?', 'When is it?', 'How severe is it?'];
}

/** A conversation about a clip, and those that were added to compare it with. */
export class Conversation extends Owner {
  /** The clip that the conversation is kept by. */
  readonly uri: vscode.Uri;
  readonly #clips: Clips;
  readonly #answers: Answers;
  readonly #history: History;
  readonly #changed = this.own(new vscode.EventEmitter<void>());
  /** Anything of the snapshot changed. */
  readonly onDidChange = this.#changed.event;
  readonly #answered = this.own(new vscode.EventEmitter<ChatTurn>());
  /** There is more of the answer that is being given. */
  readonly onDidAnswer = this.#answered.event;
  #members: vscode.Uri[];
  readonly #watching = new Map<string, vscode.Disposable>();
  readonly #revisions = new Map<string, string>();
  #subject: ChatSubject | null = null;
  #turns: ChatTurn[] = [];
  /** What the model was given, by turn. */
  #prompts: Readonly<Record<string, string>> = {};
  #suggestions: readonly string[] = [];
  #ability: string | null = null;
  #running: AbortController | undefined;
  /** Resolves when what is kept of the conversation has been read. */
  readonly ready: Promise<void>;

  constructor(uri: vscode.Uri, clips: Clips, answers: Answers, history: History) {
    super();
    this.uri = uri;
    this.#clips = clips;
    this.#answers = answers;
    this.#history = history;
    this.#members = [uri];
    this.own(
      clips.onDidChange((changed) => {
        if (!this.#watching.has(changed.fsPath)) return;
        void this.#suggest();
        this.#changed.fire();
      }),
    );
    this.own(vscode.workspace.onDidGrantWorkspaceTrust(() => void this.#begin()));
    this.own(new vscode.Disposable(() => this.#running?.abort()));
    this.ready = this.#read();
  }

  override dispose(): void {
    super.dispose();
    for (const watching of this.#watching.values()) watching.dispose();
    this.#watching.clear();
    for (const { fsPath } of this.#members) this.#answers.close(fsPath);
  }

  async #read(): Promise<void> {
    const { clips, turns, prompts } = await this.#history.read(this.uri.fsPath);
    this.#prompts = prompts;
    // What was being answered when the window closed is not being answered any more.
    this.#turns = turns.map((turn) =>
      turn.state === 'waiting' || turn.state === 'streaming' ? { ...turn, state: 'stopped' } : turn,
    );
    this.#members = clips.map((path) => vscode.Uri.file(path));
    await this.#begin();
  }

  /** Looks at what is known of the clips. */
  async #begin(): Promise<void> {
    for (const uri of this.#members) {
      if (this.#watching.has(uri.fsPath)) continue;
      this.#watching.set(uri.fsPath, this.#clips.watch(uri));
      const file = await stat(uri.fsPath).catch(() => undefined);
      this.#revisions.set(uri.fsPath, file ? `${file.size}-${file.mtimeMs}` : '');
    }
    this.#changed.fire();
    if (!vscode.workspace.isTrusted) return;
    void this.#suggest();
    // What it can be asked is said beside the question's field; without it the question says so itself.
    this.#ability ??= await this.#answers.ability(this.uri.fsPath).catch(() => null);
    this.#changed.fire();
  }

  async #suggest(): Promise<void> {
    if (!vscode.workspace.isTrusted || this.#running) return;
    const suggestions = await this.#answers.suggestions(this.uri.fsPath).catch(() => []);
    if (this.disposed || this.#running) return;
    const asked = new Set(this.#turns.map(({ question }) => question));
    this.#suggestions = suggestions.filter((question) => !asked.has(question)).slice(0, 4);
    this.#changed.fire();
  }

  prompt(turn: string): string {
    return this.#prompts[turn] ?? '';
  }

  get clips(): readonly vscode.Uri[] {
    return this.#members;
  }

  get turns(): readonly ChatTurn[] {
    return this.#turns;
  }

  snapshot(): ChatSnapshot {
    const trusted = vscode.workspace.isTrusted;
    return {
      clips: this.#members.map((uri) => this.#clip(uri)),
      subject: this.#subject,
      turns: this.#turns,
      suggestions: this.#running ? [] : this.#subject ? suggestionsFor(this.#subject) : this.#suggestions,
      ability: this.#ability,
      canAsk: trusted && this.#running === undefined,
      closed: trusted ? null : untrusted().serialize(),
    };
  }

  #clip(uri: vscode.Uri): ChatClip {
    const { record } = this.#clips.state(uri);
    const [worst] = record?.distortions ?? [];
    return {
      path: uri.fsPath,
      name: basename(uri.fsPath),
      mos: record?.mos ?? null,
      distortions: record?.distortions?.length ?? null,
      duration: record?.video.duration ?? null,
      poster: worst?.start ?? record?.pooling.worst.start ?? 0,
      revision: this.#revisions.get(uri.fsPath) ?? '',
    };
  }

  focus(subject: ChatSubject | null): void {
    const whole = subject && subject.span === null && subject.type === null;
    const next = whole ? null : subject;
    if (JSON.stringify(next) === JSON.stringify(this.#subject)) return;
    this.#subject = next;
    this.#changed.fire();
  }

  async add(uri: vscode.Uri): Promise<void> {
    if (this.#members.some(({ fsPath }) => fsPath === uri.fsPath)) return;
    if (this.#members.length >= mostClips) {
      throw new OmniError(
        'bad_usage',
        vscode.l10n.t('A conversation is about {0} clips at most.', mostClips),
        vscode.l10n.t('Take one out before another is added.'),
      );
    }
    this.#members = [...this.#members, uri];
    await this.#begin();
    await this.#keep();
  }

  async remove(path: string): Promise<void> {
    if (this.#members.length < 2 || this.#running) return;
    this.#members = this.#members.filter(({ fsPath }) => fsPath !== path);
    this.#watching.get(path)?.dispose();
    this.#watching.delete(path);
    this.#answers.close(path);
    if (this.#subject?.path === path) this.#subject = null;
    this.#changed.fire();
    await this.#keep();
  }

  /** Takes a question and begins to answer it; the answer comes through the events. */
  ask(question: string, subject: ChatSubject | null = this.#subject): void {
    const text = question.trim().slice(0, longestQuestion);
    if (text === '') return;
    this.#mayAsk();
    void this.#answer({
      id: randomUUID(),
      revision: 0,
      question: text,
      subject,
      clips: this.#members.map(({ fsPath }) => fsPath),
      state: 'waiting',
      text: '',
      cut: false,
      links: [],
      claims: [],
      options: [],
      basis: [],
      prompt: false,
      error: null,
    });
  }

  /** Asks the last question again; its answer is replaced. */
  retry(id: string): void {
    const last = this.#turns.at(-1);
    if (last?.id !== id) return;
    this.#mayAsk();
    this.#turns = this.#turns.slice(0, -1);
    this.ask(last.question, last.subject);
  }

  #mayAsk(): void {
    if (!vscode.workspace.isTrusted) throw untrusted();
    if (this.#running) {
      throw new OmniError(
        'bad_usage',
        vscode.l10n.t('The answer before this one is still being written.'),
        vscode.l10n.t('Wait for it or stop it.'),
      );
    }
  }

  stop(): void {
    this.#running?.abort();
  }

  async #answer(turn: ChatTurn): Promise<void> {
    const running = new AbortController();
    this.#running = running;
    this.#turns = [...this.#turns, turn];
    this.#suggestions = [];
    this.#changed.fire();
    try {
      const { rawPrompt, ...answer } = await this.#answers.ask(
        { turn: turn.id, question: turn.question, subject: turn.subject, clips: turn.clips },
        {
          signal: running.signal,
          onText: (more) =>
            this.#change(turn.id, (now) => ({
              state: 'streaming',
              text: (now.text + more).slice(0, longestAnswer),
            })),
        },
      );
      this.#prompts = { ...this.#prompts, [turn.id]: rawPrompt };
      this.#change(turn.id, () => ({ ...answer, state: 'complete', prompt: rawPrompt !== '' }));
    } catch (error) {
      if (running.signal.aborted || OmniError.is(error, 'cancelled')) {
        this.#change(turn.id, () => ({ state: 'stopped' }));
      } else {
        this.#change(turn.id, () => ({ state: 'failed', error: serialized(error) }));
      }
    }
    this.#running = undefined;
    this.#changed.fire();
    void this.#suggest();
    await this.#keep();
  }

  #change(id: string, changes: (turn: ChatTurn) => Partial<ChatTurn>): void {
    const turn = this.#turns.find((one) => one.id === id);
    if (!turn) return;
    const changed = { ...turn, ...changes(turn), revision: turn.revision + 1 };
    this.#turns = this.#turns.map((one) => (one.id === id ? changed : one));
    this.#answered.fire(changed);
  }

  async #keep(): Promise<void> {
    // A conversation that was cleared meanwhile stays forgotten.
    if (this.#turns.length === 0 && this.#members.length === 1) return;
    try {
      await this.#history.write({
        clips: this.#members.map(({ fsPath }) => fsPath),
        turns: this.#turns,
        prompts: this.#prompts,
      });
    } catch (error) {
      this.#clips.log.warn(`The conversation could not be kept: ${error}`);
    }
  }

  /** Nobody looks at the conversation any more: the engine may forget what it holds ready for the next question. */
  rest(): void {
    if (!this.#running) for (const { fsPath } of this.#members) this.#answers.close(fsPath);
  }

  /** Forgets every turn, here and in storage. */
  async clear(): Promise<void> {
    this.#running?.abort();
    this.#turns = [];
    this.#prompts = {};
    this.#changed.fire();
    void this.#suggest();
    await this.#history.forget(this.uri.fsPath);
  }
}

/** The conversations of this window, opened when they are first looked at. */
export class Conversations extends Owner {
  readonly answers: Answers;
  readonly #clips: Clips;
  readonly #history: History;
  readonly #open = new Map<string, Conversation>();

  constructor(clips: Clips) {
    super();
    this.#clips = clips;
    this.#history = new History(clips.context);
    this.answers = this.own(new Answers(clips));
  }

  override dispose(): void {
    super.dispose();
    for (const conversation of this.#open.values()) conversation.dispose();
  }

  of(uri: vscode.Uri): Conversation {
    const known = this.#open.get(uri.fsPath);
    if (known) return known;
    const conversation = new Conversation(uri, this.#clips, this.answers, this.#history);
    this.#open.set(uri.fsPath, conversation);
    return conversation;
  }

  /** The user looks at another part of a clip: conversations about it may be about that. */
  focus(uri: vscode.Uri, focus: Omit<ChatSubject, 'path'>): void {
    for (const conversation of this.#open.values()) {
      if (conversation.clips.some(({ fsPath }) => fsPath === uri.fsPath)) {
        conversation.focus({ path: uri.fsPath, ...focus });
      }
    }
  }

  async clearAll(): Promise<void> {
    await Promise.all([...this.#open.values()].map((conversation) => conversation.clear()));
    await this.#history.forgetAll();
  }
}
