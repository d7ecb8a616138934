import { basename, dirname, join } from 'node:path';
import * as vscode from 'vscode';
import { conversationMarkdown } from '../../assessment/conversation_markdown.ts';
import type { AnswerTarget } from '../../protocol/chat.ts';
import {
  type ChatHost,
  type ChatSnapshot,
  type ChatSubject,
  type ChatView,
  chatPage,
  chatViewProtocol,
} from '../../protocol/chat_view.ts';
import { type Connection, connect } from '../../protocol/rpc.ts';
import { videoExtensions } from '../../protocol/video_names.ts';
import { pick } from '../asking.ts';
import { type Clips, untrusted } from '../clips.ts';
import { Owner } from '../disposables.ts';
import { Page } from '../page.ts';
import { type Timelines, webviewPort } from '../timelines.ts';
import { activeVideo } from '../videos.ts';
import { momentName, spanText } from '../words.ts';
import type { Conversation, Conversations } from './conversations.ts';

/** One webview with a conversation in it, or with none yet. */
class Surface extends Owner {
  readonly #views: ChatViews;
  readonly #connection: Connection<ChatView>;
  readonly #webview: vscode.Webview;
  #conversation: Conversation | undefined;
  #following: vscode.Disposable[] = [];

  constructor(views: ChatViews, webview: vscode.Webview, conversation: Conversation | undefined) {
    super();
    this.#views = views;
    this.#webview = webview;
    const { clips } = views;
    const folder = vscode.Uri.joinPath(clips.context.extensionUri, 'dist', 'webview');
    webview.options = { enableScripts: true, enableForms: false, localResourceRoots: [folder] };
    const here = () => {
      if (!this.#conversation) throw new Error('There is no conversation in this view.');
      return this.#conversation;
    };
    this.#connection = connect<ChatHost, ChatView>(webviewPort(webview), {
      version: chatViewProtocol,
      handlers: {
        still: ({ path, time, width }, { signal }) => {
          if (!vscode.workspace.isTrusted) throw untrusted();
          // Only what the conversation is about: the view names no file of its own.
          if (!here().clips.some(({ fsPath }) => fsPath === path))
            throw new Error('Not a clip of this view.');
          return clips.request('still', { path, time, width }, { signal });
        },
        ask: async ({ question }) => {
          await here().ready;
          here().ask(question);
        },
        stop: () => here().stop(),
        retry: ({ turn }) => here().retry(turn),
        subject: ({ subject }) => here().focus(subject),
        addClip: () => this.#addClip(),
        removeClip: ({ path }) => here().remove(path),
        goTo: (place) => views.goTo(here(), place),
        clear: () => here().clear(),
        export: () => exportConversation(here()),
        prompt: ({ turn }) => views.openPrompt(here(), turn),
      },
      listeners: {},
      onPeer: () => this.#send(),
      onProblem: (problem) => clips.log.warn(`Chat: ${problem}`),
    });
    this.own(new vscode.Disposable(() => this.#connection.dispose()));
    this.own(new vscode.Disposable(() => this.#unfollow()));
    this.own(vscode.workspace.onDidGrantWorkspaceTrust(() => this.#send()));
    this.own(
      new Page(webview, (nonce) =>
        chatPage({
          script: webview.asWebviewUri(vscode.Uri.joinPath(folder, 'chat.js')).toString(),
          style: webview.asWebviewUri(vscode.Uri.joinPath(folder, 'chat.css')).toString(),
          source: webview.cspSource,
          nonce,
          language: vscode.env.language,
        }),
      ),
    );
    this.show(conversation);
  }

  get conversation(): Conversation | undefined {
    return this.#conversation;
  }

  get webview(): vscode.Webview {
    return this.#webview;
  }

  #unfollow(): void {
    for (const one of this.#following.splice(0)) one.dispose();
  }

  show(conversation: Conversation | undefined): void {
    if (conversation && conversation === this.#conversation) return;
    this.#unfollow();
    this.#conversation = conversation;
    if (conversation) {
      this.#following = [
        conversation.onDidChange(() => this.#send()),
        conversation.onDidAnswer((turn) => this.#connection.update('turn', turn, turn.id)),
      ];
    }
    this.#send();
  }

  #send(): void {
    this.#connection.update('snapshot', this.#conversation?.snapshot() ?? emptySnapshot());
  }

  compose(): void {
    this.#connection.notify('compose', { text: null });
  }

  async #addClip(): Promise<void> {
    const chosen = await chooseClip(this.#views.clips, this.#conversation?.clips ?? []);
    if (!chosen) return;
    if (this.#conversation) await this.#conversation.add(chosen);
    else this.show(this.#views.conversations.of(chosen));
  }
}

const emptySnapshot = (): ChatSnapshot => ({
  clips: [],
  subject: null,
  turns: [],
  suggestions: [],
  ability: null,
  canAsk: false,
  closed: vscode.workspace.isTrusted ? null : untrusted().serialize(),
});

/** Lets the user choose among the clips that were assessed, or any file. */
async function chooseClip(clips: Clips, without: readonly vscode.Uri[]): Promise<vscode.Uri | undefined> {
  const known = clips.summaries
    .map(({ path }) => vscode.Uri.file(path))
    .filter((uri) => !without.some(({ fsPath }) => fsPath === uri.fsPath));
  const browse = { label: vscode.l10n.t('Choose a file…'), uri: undefined };
  if (known.length > 0) {
    const chosen = await pick(
      [
        ...known.map((uri) => ({
          label: basename(uri.fsPath),
          description: vscode.workspace.asRelativePath(dirname(uri.fsPath), false),
          uri,
        })),
        browse,
      ],
      { placeHolder: vscode.l10n.t('A clip to ask about') },
    );
    if (!chosen) return undefined;
    if (chosen.uri) return chosen.uri;
  }
  const [file] =
    (await vscode.window.showOpenDialog({
      canSelectMany: false,
      title: vscode.l10n.t('A clip to ask about'),
      filters: { [vscode.l10n.t('Videos')]: [...videoExtensions] },
    })) ?? [];
  return file?.scheme === 'file' ? file : undefined;
}

/** Asks where to and writes the conversation as Markdown. */
async function exportConversation(conversation: Conversation): Promise<{ readonly path: string } | null> {
  const { fsPath } = conversation.uri;
  const target = await vscode.window.showSaveDialog({
    defaultUri: vscode.Uri.file(join(dirname(fsPath), `${basename(fsPath)}.omnivqa.md`)),
    filters: { Markdown: ['md'] },
  });
  if (!target) return null;
  const text = conversationMarkdown(
    conversation.clips.map(({ fsPath: path }) => basename(path)),
    conversation.turns.map((turn) => ({
      question: turn.question,
      about: turn.subject ? aboutText(turn.subject) : '',
      text: turn.text,
      options: turn.options,
      contradictions: turn.claims.flatMap(({ verdict, because }) =>
        verdict === 'contradicts' ? [because] : [],
      ),
      basis: turn.error ? [`${turn.error.message} ${turn.error.next}`] : turn.basis,
    })),
  );
  await vscode.workspace.fs.writeFile(target, Buffer.from(text));
  return { path: target.fsPath };
}

function aboutText({ span, type }: ChatSubject): string {
  return [
    type === null ? '' : momentName({ kind: type, severity: null, start: 0, end: 0, mos: null }),
    span === null ? '' : spanText(span),
  ]
    .filter(Boolean)
    .join(', ');
}

/** The panels beside the timelines and the view in the side bar. */
export class ChatViews
  extends Owner
  implements vscode.WebviewViewProvider, vscode.WebviewPanelSerializer<unknown>
{
  static readonly view = 'omnivqa.chat';
  static readonly panel = 'omnivqa.conversation';
  readonly clips: Clips;
  readonly timelines: Timelines;
  readonly conversations: Conversations;
  readonly #panels = new Map<string, { readonly panel: vscode.WebviewPanel; readonly surface: Surface }>();
  #side: Surface | undefined;
  /** What was last asked about: the side bar shows it. */
  #latest: Conversation | undefined;

  constructor(clips: Clips, timelines: Timelines, conversations: Conversations) {
    super();
    this.clips = clips;
    this.timelines = timelines;
    this.conversations = conversations;
    this.own(vscode.window.registerWebviewViewProvider(ChatViews.view, this));
    this.own(vscode.window.registerWebviewPanelSerializer(ChatViews.panel, this));
    this.own(timelines.onDidAsk(({ uri, focus }) => void this.ask(uri, { path: uri.fsPath, ...focus })));
    this.own(timelines.onDidFocus(({ uri, focus }) => conversations.focus(uri, focus)));
    this.own(
      vscode.window.tabGroups.onDidChangeTabs(() => {
        const video = activeVideo();
        // The side bar follows the editor, as long as nothing is being answered there.
        if (video && this.#side?.conversation?.snapshot().canAsk !== false) {
          this.#side?.show(conversations.of(video));
        }
      }),
    );
  }

  override dispose(): void {
    super.dispose();
    for (const { surface } of this.#panels.values()) surface.dispose();
    this.#side?.dispose();
  }

  resolveWebviewView({ webview, onDidDispose }: vscode.WebviewView): void {
    const video = activeVideo();
    const surface = new Surface(this, webview, video ? this.conversations.of(video) : this.#latest);
    this.#side = surface;
    onDidDispose(() => {
      surface.dispose();
      if (this.#side === surface) this.#side = undefined;
    });
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel, state: unknown): Promise<void> {
    const path = (state as { path?: unknown } | undefined)?.path;
    if (typeof path === 'string') this.#adopt(panel, vscode.Uri.file(path));
    else panel.dispose();
  }

  #adopt(panel: vscode.WebviewPanel, uri: vscode.Uri): Surface {
    const surface = new Surface(this, panel.webview, this.conversations.of(uri));
    const entry = { panel, surface };
    this.#panels.set(uri.fsPath, entry);
    panel.onDidDispose(() => {
      surface.dispose();
      if (this.#panels.get(uri.fsPath) === entry) this.#panels.delete(uri.fsPath);
      surface.conversation?.rest();
    });
    return surface;
  }

  /** Opens the conversation about a clip beside its timeline, about a part of it where one is named. */
  async ask(uri: vscode.Uri, subject: ChatSubject | null = null): Promise<void> {
    const conversation = this.conversations.of(uri);
    await conversation.ready;
    if (subject) conversation.focus(subject);
    this.#latest = conversation;
    const known = this.#panels.get(uri.fsPath);
    if (known) {
      known.panel.reveal();
      known.surface.compose();
      return;
    }
    if (!timelineColumn(uri)) await this.timelines.showAlone(uri);
    const panel = vscode.window.createWebviewPanel(
      ChatViews.panel,
      vscode.l10n.t('Ask: {0}', basename(uri.fsPath)),
      vscode.ViewColumn.Beside,
    );
    this.#adopt(panel, uri).compose();
  }

  /** Shows what an answer names in the clip's timeline; the keyboard stays where it is. */
  async goTo(conversation: Conversation, { path, span, region, type }: AnswerTarget): Promise<void> {
    const uri = conversation.clips.find(({ fsPath }) => fsPath === path);
    if (!uri || !isSpan(span)) return;
    const column = timelineColumn(uri) ?? vscode.ViewColumn.One;
    await this.timelines.show(
      uri,
      {
        time: span.start,
        span: span.end > span.start ? span : null,
        mark: region || type ? { region, type } : null,
      },
      { viewColumn: column, preserveFocus: true },
    );
  }

  async openPrompt(conversation: Conversation, id: string): Promise<void> {
    const text = conversation.prompt(id);
    const document = await vscode.workspace.openTextDocument({ content: text, language: 'plaintext' });
    await vscode.window.showTextDocument(document, { preview: true });
  }
}

const isSpan = (span: { readonly start: number; readonly end: number }) =>
  Number.isFinite(span.start) && Number.isFinite(span.end) && span.start >= 0;

/** Where a clip's timeline is open. */
function timelineColumn({ fsPath }: vscode.Uri): vscode.ViewColumn | undefined {
  return vscode.window.tabGroups.all.find(({ tabs }) =>
    tabs.some(
      ({ input }) =>
        input instanceof vscode.TabInputCustom &&
        input.viewType === 'omnivqa.timeline' &&
        input.uri.fsPath === fsPath,
    ),
  )?.viewColumn;
}
