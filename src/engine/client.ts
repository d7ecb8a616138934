/** The client's end of the engine: runs it in a process of its own, and runs it again where it was lost. */
import { type ChildProcess, execFile, fork } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { ChatText } from '../protocol/chat.ts';
import {
  type AssessRequest,
  type DeviceLimit,
  type DeviceReport,
  type EncodeState,
  type EngineService,
  engineProtocol,
  type EngineClient as Incoming,
  type JobUpdate,
} from '../protocol/engine.ts';
import { OmniError } from '../protocol/errors.ts';
import { type Connection, connect, reviveError } from '../protocol/rpc.ts';
import { modelKey, nextLimit } from './devices.ts';
import { ipcPort } from './ipc.ts';

export interface EngineClientOptions<R> {
  /** dist/engine.mjs */
  readonly entry: string;
  /** Directory for results, journals and locks. */
  readonly store: string;
  /** Environment of the engine; default this process's. */
  readonly env?: NodeJS.ProcessEnv;
  /** Node binary to run it on; null: the one on PATH if it is 20 or newer, else this process's own. */
  readonly node?: string | null;
  /** Told of every job that was asked for; the number of a job stays when the engine is started again. */
  onJob(update: JobUpdate<R>): void;
  /** Told where an encode stands that was asked for by a name. */
  onEncode?(id: string, state: EncodeState): void;
  onLog(level: 'info' | 'warning' | 'error', text: string): void;
  /** Told how far a model is pulled. */
  onPull?(progress: { readonly name: string; readonly done: number; readonly total: number }): void;
  /** Told each piece of an answer that is being written. */
  onChatText?(piece: ChatText): void;
  /** The engine ended unexpectedly: told once each time. `willRestart`: there are jobs to go on with. */
  onCrash(error: OmniError, willRestart: boolean): void;
  /** A device failed, and the engine with it: told once for each step down. What there is to do goes on by itself. */
  onDeviceFailed?(limit: DeviceLimit): void;
}

type Requests<R> = EngineService<R>['requests'];
type Params<R, M extends keyof Requests<R>> = Parameters<Requests<R>[M]>[0];
type Result<R, M extends keyof Requests<R>> = Awaited<ReturnType<Requests<R>[M]>>;
type Prioritise<R> = EngineService<R>['notifications']['prioritise'];

/** A job that is not over. */
interface Tracked<R> {
  /** Its number, which is the first engine's. */
  readonly id: string;
  /** Its number in the engine that runs now; null while there is none. */
  current: string | null;
  request: AssessRequest;
  last: JobUpdate<R> | null;
  looking: Prioritise<R> | null;
  crashes: number;
  cancelled: boolean;
  readonly over: Promise<void>;
  readonly settle: () => void;
}

interface Running<R> {
  readonly child: ChildProcess;
  readonly connection: Connection<EngineService<R>>;
  /** Why it ended; `idle` where it had nothing to do. */
  readonly ended: Promise<OmniError | 'idle'>;
  /** The model that it has loaded, or loads. */
  device: DeviceReport | null;
}

/** How often one job may bring the engine down before it is given up. */
const mostCrashes = 2;
/** How long an engine that was told to end may take, and how long the last lines of one that has ended, ms. */
const farewell = 5_000;
const lastWords = 500;
/** Dawn's word for memory that the GPU refused: onnxruntime goes on all the same, with buffers that hold nothing. */
const refused = /WebGPU device error\(3\): (.*)/;

/** Starts the engine with the first request, and again whenever one is needed; `dispose` ends it. */
export class EngineClient<R> {
  readonly #options: EngineClientOptions<R>;
  #starting: Promise<Running<R>> | null = null;
  #running: Running<R> | null = null;
  #disposed = false;
  /** What engines that are gone have left of devices, by model. */
  readonly #limits = new Map<string, DeviceLimit>();
  /** Questions that wait for an answer. */
  #asking = 0;
  /** By their own number. */
  readonly #jobs = new Map<string, Tracked<R>>();

  constructor(options: EngineClientOptions<R>) {
    this.#options = options;
  }

  /** Whether there is an engine process now. */
  get running(): boolean {
    return this.#running !== null;
  }

  /**
   * Asks the engine.
   *
   * @throws OmniError what the engine answers; `cancelled`; `engine_crashed` where it ended meanwhile; `disconnected`
   *   after {@link dispose}.
   */
  async request<M extends keyof Requests<R> & string>(
    method: M,
    params: Params<R, M>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Result<R, M>> {
    if (method === 'cancel') return (await this.#cancel(params as { readonly job: string })) as Result<R, M>;
    const question = method === 'ask' ? 1 : 0;
    this.#asking += question;
    const result = await this.#ask(method, params, options).finally(() => {
      this.#asking -= question;
    });
    if (method === 'assess') this.#track((result as { readonly job: string }).job, params as AssessRequest);
    return result;
  }

  /** Tells a running engine; without one there is nobody to tell. */
  notify(topic: 'prioritise', payload: Prioritise<R>): void {
    for (const job of this.#jobs.values()) if (job.request.path === payload.path) job.looking = payload;
    this.#running?.connection.notify(topic, payload);
  }

  /** Ends the engine; what its jobs have finished is kept. Resolves when the process is gone. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    const running = this.#running ?? (await this.#starting?.catch(() => null));
    if (!running) return;
    running.connection.dispose();
    if (running.child.connected) running.child.disconnect();
    const late = setTimeout(() => running.child.kill('SIGKILL'), farewell);
    await running.ended;
    clearTimeout(late);
  }

  async #ask<M extends keyof Requests<R> & string>(
    method: M,
    params: Params<R, M>,
    options: { readonly signal?: AbortSignal },
  ): Promise<Result<R, M>> {
    for (let crashes = 0; ; ) {
      const running = await this.#started();
      try {
        return (await running.connection.request(method, params as never, options)) as Result<R, M>;
      } catch (error) {
        if (!OmniError.is(error, 'disconnected') || this.#disposed) throw error;
        const reason = await running.ended;
        // It went to rest at the moment it was asked: the next one is asked. So it is for a new job.
        if (reason === 'idle') continue;
        crashes++;
        if (method !== 'assess' || crashes > mostCrashes) throw reason;
      }
    }
  }

  #track(id: string, request: AssessRequest): void {
    for (const job of this.#jobs.values()) {
      if (job.current !== id) continue;
      job.request = { ...request, fresh: job.request.fresh };
      return;
    }
    let settle = () => {};
    const over = new Promise<void>((resolve) => {
      settle = resolve;
    });
    this.#jobs.set(id, {
      id,
      current: id,
      request,
      last: null,
      looking: null,
      crashes: 0,
      cancelled: false,
      over,
      settle,
    });
  }

  async #cancel({ job: id }: { readonly job: string }): Promise<void> {
    const job = this.#jobs.get(id);
    if (!job) return;
    job.cancelled = true;
    const running = this.#running;
    if (job.current && running) {
      await running.connection.request('cancel', { job: job.current }).catch(async (error: unknown) => {
        // Without an engine there is no job either.
        if (!OmniError.is(error, 'disconnected')) throw error;
      });
    }
    await job.over;
  }

  #updated(update: JobUpdate<R>): void {
    const job = [...this.#jobs.values()].find(({ current }) => current === update.job);
    const known = { ...update, job: job?.id ?? update.job };
    if (job) {
      job.last = known;
      if (update.state === null) {
        this.#jobs.delete(job.id);
        job.settle();
      }
    }
    this.#options.onJob(known);
  }

  #started(): Promise<Running<R>> {
    if (this.#disposed) {
      return Promise.reject(
        new OmniError('disconnected', 'The engine was closed.', 'Reload the window to use it again.'),
      );
    }
    this.#starting ??= this.#start().then(
      (running) => {
        this.#running = running;
        void running.ended.then((reason) => this.#ended(reason));
        return running;
      },
      (error: unknown) => {
        this.#starting = null;
        throw error;
      },
    );
    return this.#starting;
  }

  async #start(): Promise<Running<R>> {
    const { entry, store, env = process.env, node, onLog } = this.#options;
    const execPath = node || (await nodeOnPath(env)) || process.execPath;
    await setImmediate();
    const child = fork(entry, [store], {
      execPath,
      // What ffmpeg sends is garbage soon, outside a heap that is small: by its size V8 would collect that seven times a window.
      execArgv: ['--initial-old-space-size=128'],
      env: { ...env, ...(execPath === process.execPath ? { ELECTRON_RUN_AS_NODE: '1' } : {}) },
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const tail: string[] = [];
    for (const stream of [child.stdout!, child.stderr!]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          onLog('warning', line);
          const cause = refused.exec(line)?.[1];
          if (cause) spoilt(`The graphics device is out of memory: ${cause}.`);
          tail.push(line);
          if (tail.length > 20) tail.shift();
        }
      });
    }
    // What it computes from now on is worth nothing, whether it knows or not.
    const spoilt = (message: string) => {
      const { device } = running;
      if (!device || device.on === 'cpu' || device.failure) return;
      running.device = { ...device, failure: { code: 'out_of_memory', message } };
      child.kill('SIGKILL');
    };
    const crashed = (how: string) =>
      new OmniError(
        'engine_crashed',
        `The engine ended unexpectedly (${how}).`,
        'Try again: finished windows are kept. If it happens again, report it with the log.',
        tail.length > 0 ? { stderr: tail.join('\n') } : {},
      );
    const ended = new Promise<OmniError | 'idle'>((resolve) => {
      const over = (code: number | null, signal: NodeJS.Signals | null) =>
        // It ends with 0 when it has rested for long, and when it is told to.
        resolve(code === 0 || running.device?.failure ? 'idle' : crashed(signal ?? `exit status ${code}`));
      child.on('error', (error) => resolve(crashed(error.message)));
      child.on('close', over);
      // A process that it started may hold the streams open; its last words are not waited for then.
      child.on('exit', (code, signal) => setTimeout(over, lastWords, code, signal));
    });
    const connection = connect<Incoming<R>, EngineService<R>>(
      ipcPort(child, () => 'The engine has ended.'),
      {
        version: engineProtocol,
        handlers: {
          async sound() {
            // What it wrote before it asked is there to be read in the same turn, on another channel.
            await setImmediate();
            await setImmediate();
          },
        },
        listeners: {
          job: (update) => this.#updated(update),
          encode: ({ id, state }) => this.#options.onEncode?.(id, state),
          pull: (progress) => this.#options.onPull?.(progress),
          chatText: (piece) => this.#options.onChatText?.(piece),
          device: (report) => {
            if (running.device?.failure) return;
            running.device = report;
            if (!report.failure) return;
            const late = setTimeout(() => child.kill('SIGKILL'), farewell);
            void ended.then(() => clearTimeout(late));
          },
          log: ({ level, text }) => onLog(level, text),
        },
        onProblem: (problem) => onLog('warning', problem),
      },
    );
    const running: Running<R> = { child, connection, ended, device: null };
    for (const limit of this.#limits.values()) connection.notify('limit', limit);
    return running;
  }

  /** After its device an engine is not started again on the same terms. */
  #stepDown({ device }: Running<R>, crash: OmniError | null, busy: boolean): void {
    if (!device || device.on === 'cpu' || (!device.failure && !(crash && busy))) return;
    const key = modelKey(device);
    const limit = nextLimit(device, device.failure ?? crash!, this.#limits.get(key));
    this.#limits.set(key, limit);
    this.#options.onLog('warning', `${limit.message} (${limit.code})`);
    if (device.failure) this.#options.onDeviceFailed?.(limit);
  }

  #ended(reason: OmniError | 'idle'): void {
    const last = this.#running;
    // One that never came up has a wire that nobody ended.
    if (last?.child.connected) last.connection.dispose();
    this.#running = null;
    this.#starting = null;
    if (this.#disposed) {
      for (const job of this.#jobs.values()) job.settle();
      this.#jobs.clear();
      return;
    }
    const jobs = [...this.#jobs.values()];
    for (const job of jobs) job.current = null;
    const error = reason === 'idle' ? null : reason;
    const active = jobs.filter(({ last }) => last?.state && last.state.phase !== 'queued');
    if (last) this.#stepDown(last, error, active.length > 0 || this.#asking > 0);
    if (error) {
      // A job that only waited for its turn is not to blame, where another one ran.
      for (const job of active.length > 0 ? active : jobs) job.crashes++;
    }
    const again: Tracked<R>[] = [];
    for (const job of jobs) {
      if (job.cancelled) this.#over(job, 'cancelled', null);
      else if (error && job.crashes > mostCrashes) this.#over(job, 'failed', error);
      else again.push(job);
    }
    if (error) this.#options.onCrash(error, again.length > 0);
    for (const job of again) {
      // What was begun is in the journal by now.
      const begun = job.last?.state && job.last.state.phase !== 'queued';
      job.request = { ...job.request, fresh: job.request.fresh && !begun };
      const waiting = { phase: 'queued', progress: null, eta: null, framesPerSecond: null } as const;
      const finished = job.last?.state?.finished ?? [];
      const update: JobUpdate<R> = {
        job: job.id,
        path: job.request.path,
        state: { ...waiting, finished, current: null, ...(job.request.refine ? { refining: true } : {}) },
        record: job.last?.record ?? null,
        error: null,
        outcome: null,
        kept: false,
        resumed: job.last?.resumed ?? false,
      };
      job.last = update;
      this.#options.onJob(update);
      void this.#goOn(job);
    }
  }

  /** Asks a new engine for a job that an earlier one did not finish. */
  async #goOn(job: Tracked<R>): Promise<void> {
    try {
      const running = await this.#started();
      const { job: current } = await running.connection.request('assess', job.request);
      job.current = current;
      if (job.looking) running.connection.notify('prioritise', job.looking);
      if (job.cancelled) await running.connection.request('cancel', { job: current });
    } catch (error) {
      // Where this engine ended too, its end decides on the job.
      if (OmniError.is(error, 'disconnected') && !this.#disposed) return;
      this.#over(job, 'failed', OmniError.is(error) ? error : reviveError(undefined));
    }
  }

  /** Says that a job is over that no engine can say it of. */
  #over(job: Tracked<R>, outcome: 'cancelled' | 'failed', error: OmniError | null): void {
    this.#jobs.delete(job.id);
    this.#options.onJob({
      job: job.id,
      path: job.request.path,
      state: null,
      record: job.last?.record ?? null,
      error: error?.serialize() ?? null,
      outcome,
      kept: false,
      resumed: job.last?.resumed ?? false,
    });
    job.settle();
  }
}

/** The first Node on PATH that is new enough; null where there is none. Relative places are not looked at. */
async function nodeOnPath(env: NodeJS.ProcessEnv): Promise<string | null> {
  const windows = process.platform === 'win32';
  // A copy of the environment of Windows tells upper from lower case.
  const path = Object.entries(env).find(([key]) => (windows ? key.toUpperCase() : key) === 'PATH')?.[1] ?? '';
  for (const directory of path.split(delimiter).filter(isAbsolute)) {
    const candidate = join(directory, windows ? 'node.exe' : 'node');
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (!found) continue;
    // Starting a process holds up the event loop for 10 ms and more: each in a turn of its own.
    await setImmediate();
    const version = await new Promise<string>((resolve) => {
      execFile(candidate, ['--version'], { timeout: 5_000, env }, (error, stdout) =>
        resolve(error ? '' : stdout),
      );
    });
    if (Number(/^v(\d+)\./.exec(version)?.[1] ?? 0) >= 20) return candidate;
  }
  return null;
}
