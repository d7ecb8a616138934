import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, sep } from 'node:path';
import * as vscode from 'vscode';
import type { Assessment } from '../assessment/record.ts';
import { EngineClient } from '../engine/client.ts';
import type { ChatText } from '../protocol/chat.ts';
import type {
  AssessRequest,
  DeviceLimit,
  EncodeFacts,
  EncodeState,
  EngineService,
  JobUpdate,
} from '../protocol/engine.ts';
import { OmniError, type SerializedError } from '../protocol/errors.ts';
import { reviveError } from '../protocol/rpc.ts';
import { Owner } from './disposables.ts';
import { settingsFor, teamFolder } from './settings.ts';
import { type ClipSummary, summarise } from './summary.ts';

/** What is known of a clip now. */
export interface ClipState {
  readonly uri: vscode.Uri;
  /** The latest word on its job; null: none is queued or running. */
  readonly job: JobUpdate<Assessment> | null;
  /** Of a running job what is finished, otherwise the last result that was looked up or computed. */
  readonly record: Assessment | null;
  /** Why the last attempt ended without a complete record. */
  readonly error: SerializedError | null;
}

/** An encode that is being made. */
export interface EncodeJob {
  readonly id: string;
  readonly label: string;
  /** The clip that is encoded. */
  readonly source: string;
  readonly state: EncodeState;
}

type Requests = EngineService<Assessment>['requests'];
type Result<M extends keyof Requests> = Awaited<ReturnType<Requests[M]>>;

const indexKey = 'omnivqa.results';
/** How jobs rank: what the user looks at before what was asked for in a batch. */
export const priorities = { refining: -10, batch: 0, asked: 10, visible: 20 } as const;

/**
 * The clips of this window: their jobs in the engine, their records while someone looks at them, and a summary of
 * each result for the views, which outlives the window.
 */
export class Clips extends Owner {
  readonly #states = new Map<string, ClipState>();
  readonly #waiting = new Map<string, ((update: JobUpdate<Assessment>) => void)[]>();
  /** Last words on jobs that were over before anybody could wait for them, as a stored result is. */
  readonly #ended = new Map<string, JobUpdate<Assessment>>();
  /** Files whose results are left out of the views. */
  readonly #unlisted = new Set<string>();
  /** How many timelines show a clip: its record is kept in memory for them alone. */
  readonly #watched = new Map<string, number>();
  readonly #encodes = new Map<string, { job: EncodeJob; readonly tell: (state: EncodeState) => void }>();
  readonly #encoded = this.own(new vscode.EventEmitter<void>());
  /** An encode began, went on or is over. */
  readonly onDidEncode = this.#encoded.event;
  readonly #pulled = this.own(
    new vscode.EventEmitter<{ readonly name: string; readonly done: number; readonly total: number }>(),
  );
  /** There is more of a model that is downloaded, bytes. */
  readonly onDidPull = this.#pulled.event;
  /** Names of clips whose files have names that say nothing. */
  readonly #names = new Map<string, string>();
  readonly #changed = this.own(new vscode.EventEmitter<vscode.Uri>());
  /** A clip's state or summary changed. */
  readonly onDidChange = this.#changed.event;
  readonly #wrote = this.own(new vscode.EventEmitter<ChatText>());
  /** There is more of an answer that is being written. */
  readonly onDidWrite = this.#wrote.event;
  readonly #crash = this.own(new vscode.EventEmitter<void>());
  /** The engine stopped unexpectedly: what it held of conversations is gone. */
  readonly onDidLoseEngine = this.#crash.event;
  readonly #engine: EngineClient<Assessment>;

  constructor(
    readonly context: vscode.ExtensionContext,
    readonly log: vscode.LogOutputChannel,
  ) {
    super();
    const { ffmpeg, node, memory } = settingsFor();
    this.#engine = new EngineClient<Assessment>({
      entry: vscode.Uri.joinPath(context.extensionUri, 'dist', 'engine.mjs').fsPath,
      store: context.globalStorageUri.fsPath,
      env: {
        ...process.env,
        ...(ffmpeg ? { OMNIVQA_FFMPEG: ffmpeg } : {}),
        ...(memory ? { OMNIVQA_MEMORY: String(memory) } : {}),
      },
      node: node || null,
      onJob: (update) => this.#update(update),
      onEncode: (id, state) => this.#encodeState(id, state),
      onPull: (progress) => this.#pulled.fire(progress),
      onChatText: (piece) => this.#wrote.fire(piece),
      onLog: (level, text) => log[level === 'warning' ? 'warn' : level](text),
      onCrash: (error, willRestart) => void this.#crashed(error, willRestart),
      onDeviceFailed: (limit) => void this.#deviceFailed(limit),
    });
  }

  override dispose(): void {
    super.dispose();
    void this.#engine.dispose();
  }

  /** Asks the engine; starts it where it does not run. */
  request<M extends keyof Requests & string>(
    method: M,
    params: Parameters<Requests[M]>[0],
    options?: { readonly signal?: AbortSignal },
  ): Promise<Result<M>> {
    return this.#engine.request(method, params, options) as Promise<Result<M>>;
  }

  /** The encode of a clip: one that is kept, or made now. */
  async encode(
    {
      path,
      options,
      label,
    }: { readonly path: string; readonly options: readonly string[]; readonly label: string },
    signal: AbortSignal,
    tell: (state: EncodeState) => void,
  ): Promise<EncodeFacts> {
    const id = randomUUID();
    const state = { phase: 'waiting', progress: null, eta: null } as const;
    this.#encodes.set(id, { job: { id, label, source: path, state }, tell });
    this.#encoded.fire();
    try {
      return await this.request('encode', { path, options, id }, { signal });
    } finally {
      this.#encodes.delete(id);
      if (!this.disposed) this.#encoded.fire();
    }
  }

  /** What is encoded, what runs first. */
  get encodes(): EncodeJob[] {
    const rank = ({ state }: EncodeJob) => (state.phase === 'waiting' ? 1 : 0);
    return [...this.#encodes.values()].map(({ job }) => job).sort((a, b) => rank(a) - rank(b));
  }

  #encodeState(id: string, state: EncodeState): void {
    const one = this.#encodes.get(id);
    if (!one || this.disposed) return;
    one.job = { ...one.job, state };
    one.tell(state);
    this.#encoded.fire();
  }

  state(uri: vscode.Uri): ClipState {
    return this.#states.get(uri.fsPath) ?? { uri, job: null, record: null, error: null };
  }

  /** What a clip is called where it is listed. */
  nameOf(uri: vscode.Uri): string {
    return this.#names.get(uri.fsPath) ?? basename(uri.fsPath);
  }

  /** Calls a clip something else than its file. */
  name(uri: vscode.Uri, name: string): void {
    this.#names.set(uri.fsPath, name);
  }

  /** Clips with a job, the running one first. */
  get jobs(): ClipState[] {
    const rank = ({ job }: ClipState) => (job?.state?.phase === 'queued' ? 1 : 0);
    return [...this.#states.values()].filter(({ job }) => job !== null).sort((a, b) => rank(a) - rank(b));
  }

  get summaries(): readonly ClipSummary[] {
    return Object.values(this.#index());
  }

  summary(uri: vscode.Uri): ClipSummary | undefined {
    return this.#index()[uri.fsPath];
  }

  /**
   * Assesses a clip, or joins the job that does.
   *
   * @returns its last update, when the job is over.
   * @throws OmniError where it could not be queued.
   */
  async assess(
    uri: vscode.Uri,
    {
      priority,
      fresh,
      listed = true,
      closely = false,
    }: {
      readonly priority: number;
      readonly fresh: boolean;
      /** Whether the result belongs in the views: an encode that was only made to be measured does not. */
      readonly listed?: boolean;
      /** Whether it is an encode that others are compared with. */
      readonly closely?: boolean;
    },
  ): Promise<JobUpdate<Assessment>> {
    if (!vscode.workspace.isTrusted) throw untrusted();
    const { model, provider, refine } = settingsFor(uri);
    const path = uri.fsPath;
    // What a second model says would be of the result that is given up.
    if (this.state(uri).job?.state?.refining) await this.cancel(uri);
    if (!listed) this.#unlisted.add(path);
    this.#set({ ...this.state(uri), error: null });
    const request = { path, model, provider, priority, fresh, closely, teamFolder: teamFolder(uri) };
    const { job } = await this.request('assess', request);
    const update = await this.#over(job);
    if (refine && listed && update.outcome === 'complete') {
      void this.#refine({ ...request, priority: priorities.refining, fresh: false, refine });
    }
    return update;
  }

  /** Has a finished result looked at by a second model; the state of the clip says how it goes. */
  async #refine(request: AssessRequest): Promise<void> {
    try {
      const { job } = await this.request('assess', request);
      const { record } = await this.#over(job);
      for (const { code, message } of record?.problems ?? []) {
        if (code === 'not_refined') this.log.warn(`${request.path}: ${message}`);
      }
    } catch (error) {
      this.log.warn(`${request.path}: ${serialized(error).message}`);
    }
  }

  /** The last update of a job. */
  #over(job: string): Promise<JobUpdate<Assessment>> {
    const ended = this.#ended.get(job);
    this.#ended.delete(job);
    if (ended) return Promise.resolve(ended);
    return new Promise((resolve) => {
      this.#waiting.set(job, [...(this.#waiting.get(job) ?? []), resolve]);
    });
  }

  async cancel(uri: vscode.Uri): Promise<void> {
    const { job } = this.state(uri);
    if (job) await this.request('cancel', { job: job.job });
  }

  /** Keeps a clip's record in memory, and looks for a stored one, until the result is disposed. */
  watch(uri: vscode.Uri): vscode.Disposable {
    const path = uri.fsPath;
    this.#watched.set(path, (this.#watched.get(path) ?? 0) + 1);
    const { record, job } = this.state(uri);
    if (!record && (!job || job.state?.refining)) void this.lookUp(uri);
    return new vscode.Disposable(() => {
      const left = (this.#watched.get(path) ?? 1) - 1;
      if (left > 0) this.#watched.set(path, left);
      else {
        this.#watched.delete(path);
        if (!this.state(uri).job) this.#states.delete(path);
      }
    });
  }

  /** Reads what is stored of a clip into its state. */
  async lookUp(uri: vscode.Uri): Promise<void> {
    const { model, provider } = settingsFor(uri);
    try {
      const { record, problems } = await this.request('lookup', {
        path: uri.fsPath,
        model,
        provider,
        teamFolder: teamFolder(uri),
      });
      for (const { code, message } of problems) this.log.warn(`${uri.fsPath}: ${message} (${code})`);
      const { job } = this.state(uri);
      if (job && !job.state?.refining) return;
      // Why the last job ended stays true until there is something newer to say.
      this.#set({ uri, job, record, error: record ? null : this.state(uri).error });
      if (record && record.status !== 'cancelled') await this.#remember(uri, record);
    } catch (error) {
      this.#set({ ...this.state(uri), error: serialized(error) });
    }
  }

  /** Forgets the stored result of a clip. */
  async forget(uri: vscode.Uri): Promise<void> {
    const { model, provider } = settingsFor(uri);
    await this.request('forget', { path: uri.fsPath, model, provider, teamFolder: teamFolder(uri) });
    const { [uri.fsPath]: _, ...rest } = this.#index();
    await this.context.workspaceState.update(indexKey, rest);
    this.#set({ uri, job: null, record: null, error: null });
  }

  /** The user looks at this moment of a clip. */
  prioritise(uri: vscode.Uri, time: number | null): void {
    if (this.state(uri).job) {
      this.#engine.notify('prioritise', { path: uri.fsPath, time, priority: priorities.visible });
    }
  }

  #index(): Record<string, ClipSummary> {
    return this.context.workspaceState.get<Record<string, ClipSummary>>(indexKey, {});
  }

  #set(state: ClipState): void {
    if (this.disposed) return;
    const path = state.uri.fsPath;
    const needed = state.job !== null || this.#watched.has(path) || state.error !== null;
    if (needed) this.#states.set(path, state);
    else this.#states.delete(path);
    this.#changed.fire(state.uri);
  }

  #update(update: JobUpdate<Assessment>): void {
    const uri = vscode.Uri.file(update.path);
    const over = update.state === null;
    const before = this.state(uri);
    this.#set({
      uri,
      job: over ? null : update,
      record: update.record ?? before.record,
      error: update.error && forEditor(update.error),
    });
    if (!over) return;
    if (update.error) {
      const { code, message, next, command, stderr } = update.error;
      const detail = [command, stderr].filter(Boolean).join('\n');
      this.log.error(`${update.path}: ${message} (${code}) ${next}${detail ? `\n${detail}` : ''}`);
    }
    const remembered =
      update.record && update.outcome !== 'cancelled' && !this.#unlisted.has(update.path)
        ? this.#remember(uri, update.record)
        : Promise.resolve();
    void remembered.then(() => {
      const waiting = this.#waiting.get(update.job);
      if (!waiting) this.#ended.set(update.job, update);
      for (const resolve of waiting ?? []) resolve(update);
      this.#waiting.delete(update.job);
    });
  }

  async #remember(uri: vscode.Uri, record: Assessment): Promise<void> {
    // Encodes that the engine keeps are no clips of the user's: their results stand at their settings.
    if (uri.fsPath.startsWith(this.context.globalStorageUri.fsPath + sep)) return;
    const file = await stat(uri.fsPath).catch(() => undefined);
    const summary = summarise(uri.fsPath, record, file ? { size: file.size, mtime: file.mtimeMs } : null);
    await this.context.workspaceState.update(indexKey, { ...this.#index(), [uri.fsPath]: summary });
    if (!this.disposed) this.#changed.fire(uri);
  }

  async #deviceFailed({ step }: DeviceLimit): Promise<void> {
    this.#crash.fire();
    const message =
      step === 'cpu'
        ? vscode.l10n.t(
            'The graphics device failed. The work goes on on the CPU, from the last finished window.',
          )
        : vscode.l10n.t(
            'The graphics device failed. The work goes on with less at a time, from the last finished window.',
          );
    const show = vscode.l10n.t('Show Log');
    if ((await vscode.window.showWarningMessage(message, show)) === show) this.log.show();
  }

  async #crashed(error: OmniError, willRestart: boolean): Promise<void> {
    this.#crash.fire();
    this.log.error(`${error.message} ${error.next}`);
    const show = vscode.l10n.t('Show Log');
    const message = willRestart
      ? vscode.l10n.t(
          'The OmniVQA engine stopped unexpectedly. It was started again and goes on from the last finished window.',
        )
      : vscode.l10n.t('The OmniVQA engine stopped unexpectedly. Finished windows are kept.');
    if ((await vscode.window.showWarningMessage(message, show)) === show) this.log.show();
  }
}

/** Any thrown value as an error to show. */
export function serialized(error: unknown): SerializedError {
  return forEditor((OmniError.is(error) ? error : reviveError(undefined)).serialize());
}

/** The next step as it is taken in the editor, where the engine names that of the command line. */
export function forEditor(error: SerializedError): SerializedError {
  if (error.code !== 'ffmpeg_missing' && error.code !== 'ffmpeg_too_old') return error;
  const next = vscode.l10n.t(
    'Install ffmpeg (with ffprobe) and reload the window, or name it in the setting omnivqa.ffmpegPath.',
  );
  return { ...error, next };
}

export const untrusted = () =>
  new OmniError(
    'bad_usage',
    vscode.l10n.t('This workspace is not trusted, so nothing is run on its files.'),
    vscode.l10n.t('Trust the workspace to assess its videos; stored results can be viewed without.'),
  );
