import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import * as vscode from 'vscode';
import type { Assessment } from '../assessment/record.ts';
import { type Connection, connect, type Port } from '../protocol/rpc.ts';
import {
  type Focus,
  type Reveal,
  type TimelineAction,
  type TimelineHost,
  type TimelineSnapshot,
  type TimelineView,
  timelinePage,
  timelineProtocol,
} from '../protocol/timeline.ts';
import { type Clips, priorities, serialized, untrusted } from './clips.ts';
import { Owner } from './disposables.ts';
import { exportReport } from './export.ts';
import type { MediaServer } from './media_server.ts';
import { Page } from './page.ts';
import { RecordDocuments } from './records.ts';
import { settingsFor } from './settings.ts';

/** From this size on a browser's webview is given a clip by {@link MediaServer}. */
const largeClip = 16 * 2 ** 20;

class VideoDocument implements vscode.CustomDocument {
  constructor(readonly uri: vscode.Uri) {}
  dispose(): void {}
}

/** The read-only custom editor of videos: one timeline per editor, all of a clip show the same state. */
export class Timelines extends Owner implements vscode.CustomReadonlyEditorProvider<VideoDocument> {
  static readonly viewType = 'omnivqa.timeline';
  readonly #open = new Map<string, Set<Timeline>>();
  /** Moments to show as soon as the clip's timeline is there. */
  readonly #wanted = new Map<string, Reveal>();
  readonly #asked = this.own(new vscode.EventEmitter<ClipFocus>());
  /** The user wants to ask about something in a timeline. */
  readonly onDidAsk = this.#asked.event;
  readonly #focused = this.own(new vscode.EventEmitter<ClipFocus>());
  /** The user selected another part of a clip in its timeline, or none. */
  readonly onDidFocus = this.#focused.event;
  readonly #answered = this.own(new vscode.EventEmitter<vscode.Uri>());

  constructor(
    readonly clips: Clips,
    readonly media: MediaServer,
  ) {
    super();
    this.own(
      vscode.window.registerCustomEditorProvider(Timelines.viewType, this, {
        supportsMultipleEditorsPerDocument: true,
      }),
    );
    this.own(clips.onDidChange((uri) => this.#refresh(uri)));
    this.own(
      vscode.workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration('omnivqa.threshold')) this.#refresh();
      }),
    );
    this.own(vscode.workspace.onDidGrantWorkspaceTrust(() => this.#refresh()));
  }

  openCustomDocument(uri: vscode.Uri): VideoDocument {
    return new VideoDocument(uri);
  }

  async resolveCustomEditor({ uri }: VideoDocument, panel: vscode.WebviewPanel): Promise<void> {
    const timeline = await Timeline.open(uri, panel, this.clips, this.media, {
      takeWanted: () => {
        const wanted = this.#wanted.get(uri.fsPath);
        this.#wanted.delete(uri.fsPath);
        return wanted;
      },
      ask: (focus) => this.#asked.fire({ uri, focus }),
      focus: (focus) => this.#focused.fire({ uri, focus }),
      answered: () => this.#answered.fire(uri),
    });
    const group = this.#open.get(uri.fsPath) ?? new Set();
    this.#open.set(uri.fsPath, group.add(timeline));
    panel.onDidDispose(() => {
      group.delete(timeline);
      timeline.dispose();
    });
  }

  /** Opens a clip's timeline, or brings it to the front; with a moment, goes there. */
  async show(
    uri: vscode.Uri,
    moment?: Omit<Reveal, 'mark'> & Partial<Reveal>,
    where?: vscode.TextDocumentShowOptions,
  ): Promise<void> {
    if (moment) this.#wanted.set(uri.fsPath, { mark: null, ...moment });
    await vscode.commands.executeCommand('vscode.openWith', uri, Timelines.viewType, where);
    for (const timeline of this.#open.get(uri.fsPath) ?? []) timeline.goToWanted();
  }

  /**
   * As {@link show}, and waits until the view runs, or a while: of two views that opened at once in a new window, one was
   * seen to stay empty, however often it was loaded again.
   */
  async showAlone(uri: vscode.Uri): Promise<void> {
    const waiting: vscode.Disposable[] = [];
    const runs = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, patience);
      waiting.push(
        new vscode.Disposable(() => clearTimeout(timer)),
        this.#answered.event(({ fsPath }) => fsPath === uri.fsPath && resolve()),
      );
    });
    try {
      await this.show(uri);
      await runs;
    } finally {
      for (const one of waiting) one.dispose();
    }
  }

  #refresh(uri?: vscode.Uri): void {
    const groups = uri ? [this.#open.get(uri.fsPath) ?? []] : this.#open.values();
    for (const group of groups) for (const timeline of group) timeline.send();
  }
}

export interface ClipFocus {
  readonly uri: vscode.Uri;
  readonly focus: Focus;
}

/** What a timeline is told, and what it tells. */
interface Surroundings {
  /** Hands out, once, the moment that the clip's timeline was opened for. */
  readonly takeWanted: () => Reveal | undefined;
  readonly ask: (focus: Focus) => void;
  readonly focus: (focus: Focus) => void;
  /** The view runs. */
  readonly answered: () => void;
}

/** How long {@link Timelines.showAlone} waits, ms. */
const patience = 20_000;

/** One view of one clip. */
class Timeline extends Owner {
  readonly #uri: vscode.Uri;
  readonly #clips: Clips;
  readonly #connection: Connection<TimelineView<Assessment>>;
  readonly #surroundings: Surroundings;
  #source: TimelineSnapshot<Assessment>['media'];
  #connected = false;
  /** Why the last thing that was asked for here could not begin. */
  #failure: ReturnType<typeof serialized> | null = null;

  static async open(
    uri: vscode.Uri,
    panel: vscode.WebviewPanel,
    clips: Clips,
    media: MediaServer,
    surroundings: Surroundings,
  ): Promise<Timeline> {
    const { webview } = panel;
    const views = vscode.Uri.joinPath(clips.context.extensionUri, 'dist', 'webview');
    webview.options = {
      enableScripts: true,
      enableForms: false,
      localResourceRoots: [views, vscode.Uri.joinPath(uri, '..')],
    };
    const size = await stat(uri.fsPath).then(
      (file) => file.size,
      () => 0,
    );
    const inBrowser = vscode.env.uiKind === vscode.UIKind.Web;
    const served = inBrowser && size >= largeClip ? await media.serve(uri.fsPath) : undefined;
    const url = served?.url ?? webview.asWebviewUri(uri);
    const timeline = new Timeline(uri, webview, clips, url.toString(true), surroundings);
    if (served) timeline.own(served.end);
    timeline.own(
      new Page(webview, (nonce) =>
        timelinePage({
          script: webview.asWebviewUri(vscode.Uri.joinPath(views, 'timeline.js')).toString(),
          style: webview.asWebviewUri(vscode.Uri.joinPath(views, 'timeline.css')).toString(),
          source: webview.cspSource,
          media: served ? [`${url.scheme}://${url.authority}`] : [],
          nonce,
          language: vscode.env.language,
        }),
      ),
    );
    return timeline;
  }

  private constructor(
    uri: vscode.Uri,
    webview: vscode.Webview,
    clips: Clips,
    url: string,
    surroundings: Surroundings,
  ) {
    super();
    this.#uri = uri;
    this.#clips = clips;
    this.#surroundings = surroundings;
    this.#source = { url, offset: 0, stills: vscode.workspace.isTrusted, revision: '' };
    this.#connection = connect<TimelineHost, TimelineView<Assessment>>(webviewPort(webview), {
      version: timelineProtocol,
      handlers: {
        still: ({ time, width }, { signal }) => {
          if (!vscode.workspace.isTrusted) throw untrusted();
          return clips.request('still', { path: uri.fsPath, time, width }, { signal });
        },
        filmstrip: ({ times, height }, { signal }) => {
          if (!vscode.workspace.isTrusted) throw untrusted();
          return clips.request('filmstrip', { path: uri.fsPath, times, height }, { signal });
        },
        assess: () => {
          // The view follows the job through snapshots: it need not wait for the end.
          const fresh = clips.state(uri).record?.status === 'complete';
          void clips.assess(uri, { priority: priorities.visible, fresh }).catch((error) => {
            this.#failure = serialized(error);
            this.send();
          });
        },
        cancel: () => clips.cancel(uri),
        export: async ({ format, span }) => {
          const path = await exportReport(clips, uri, format, span);
          return path === null ? null : { path };
        },
        open: async ({ target }) => {
          if (target === 'reveal') await vscode.commands.executeCommand('revealInExplorer', uri);
          else if (target === 'external') await vscode.env.openExternal(uri);
          else await vscode.window.showTextDocument(RecordDocuments.uriFor(uri), { preview: true });
        },
        ask: (focus) => surroundings.ask(focus),
      },
      listeners: {
        prioritise: ({ time }) => clips.prioritise(uri, time),
        focus: (focus) => surroundings.focus(focus),
      },
      onPeer: () => {
        this.#connected = true;
        this.#surroundings.answered();
        this.send();
        this.goToWanted();
      },
      onProblem: (problem) => clips.log.warn(`Timeline: ${problem}`),
    });
    this.own(new vscode.Disposable(() => this.#connection.dispose()));
    this.own(clips.watch(uri));
    void this.#lookAtMedia();
    const watcher = this.own(
      vscode.workspace.createFileSystemWatcher(
        new vscode.RelativePattern(vscode.Uri.joinPath(uri, '..'), globEscape(basename(uri.fsPath))),
      ),
    );
    this.own(watcher.onDidChange(() => void this.#replaced()));
    this.own(watcher.onDidCreate(() => void this.#replaced()));
  }

  /** The whole state, as the view shall show it; only the newest matters. */
  send(): void {
    const { job, record, error } = this.#clips.state(this.#uri);
    const actions: TimelineAction[] = ['ask', 'reveal', 'external'];
    // While a second model looks at a result, that can be used as any other.
    const busy = job !== null && !job.state?.refining;
    if (job) actions.push('cancel');
    if (!busy && vscode.workspace.isTrusted) actions.push('assess');
    if (record) actions.push('record');
    if (record && !busy) actions.push('export');
    if (job) this.#failure = null;
    this.#connection.update('snapshot', {
      clip: { name: basename(this.#uri.fsPath), path: vscode.workspace.asRelativePath(this.#uri, false) },
      record,
      job: job?.state ?? null,
      media: this.#source,
      threshold: settingsFor(this.#uri).threshold,
      error:
        this.#failure ?? error ?? (record || vscode.workspace.isTrusted ? null : untrusted().serialize()),
      actions,
    });
  }

  goToWanted(): void {
    if (!this.#connected) return;
    const wanted = this.#surroundings.takeWanted();
    if (wanted) this.#connection.notify('reveal', wanted);
  }

  async #lookAtMedia(): Promise<void> {
    // Probing runs a program on the file: not before the workspace is trusted.
    if (!vscode.workspace.isTrusted) {
      this.own(vscode.workspace.onDidGrantWorkspaceTrust(() => void this.#lookAtMedia()));
      return;
    }
    try {
      const facts = await this.#clips.request('media', { path: this.#uri.fsPath });
      this.#source = { ...this.#source, ...facts, stills: true };
      this.#failure = null;
    } catch (error) {
      this.#failure = serialized(error);
    }
    this.send();
  }

  async #replaced(): Promise<void> {
    await this.#lookAtMedia();
    if (!this.#clips.state(this.#uri).job) await this.#clips.lookUp(this.#uri);
  }
}

/** Messages of a webview as the wire of the RPC. */
export function webviewPort(webview: vscode.Webview): Port {
  return {
    post: (message) => void webview.postMessage(message),
    listen(receive) {
      const listening = webview.onDidReceiveMessage(receive);
      return () => listening.dispose();
    },
  };
}

/** A file name as a glob that matches itself alone. */
const globEscape = (name: string) => name.replace(/[[\]{}*?]/g, (character) => `[${character}]`);
