import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import type { Assessment, Span } from '../assessment/record.ts';
import type { AssessRequest, JobUpdate } from '../protocol/engine.ts';
import { OmniError, type SerializedError } from '../protocol/errors.ts';
import { serializeError } from '../protocol/rpc.ts';
import type { AssessProgress, AssessStep } from './assess.ts';

/** What a job has come to. */
export interface JobResult {
  readonly record: Assessment;
  /** It is an earlier result. */
  readonly kept: boolean;
  /** Why it ended before the clip did. */
  readonly error: OmniError | null;
}

/** What the work on a job is given. */
export interface JobWork {
  readonly request: AssessRequest;
  /** Aborts when the job is cancelled or has to wait for a more urgent one. */
  readonly signal: AbortSignal;
  /** The moment of the clip that is looked at, s. */
  playhead(): number | null;
  /** The work has really begun, and earlier results are given up: from now on it is gone on with, not begun again. */
  began(resumed: boolean): void;
  progress(progress: AssessProgress): void;
  step(step: AssessStep): void;
}

/** `busy`: another process has this clip; the job waits its turn. */
export type Worker = (work: JobWork) => Promise<JobResult | 'busy'>;

export interface JobQueueOptions {
  readonly work: Worker;
  readonly onUpdate: (update: JobUpdate<Assessment>) => void;
  /** Called when the last job is over, and when there is one again. */
  readonly onIdle: (idle: boolean) => void;
  /** Milliseconds after which a job asks again for a clip that another process has. */
  readonly patience?: number;
}

type Phase = NonNullable<JobUpdate<Assessment>['state']>['phase'];

interface Job {
  readonly id: string;
  readonly key: string;
  request: AssessRequest;
  priority: number;
  /** Jobs of one priority run in the order in which they were asked for. */
  readonly order: number;
  phase: Phase;
  playhead: number | null;
  resumed: boolean;
  controller: AbortController | null;
  /** It was cancelled by the user, or it makes room for a more urgent one. */
  ending: 'cancelled' | 'preempted' | null;
  /** When it may ask again for its clip. */
  notBefore: number;
  progress: AssessProgress | null;
  /** Frames and moment from which the rate is measured. */
  measured: { readonly frames: number; readonly at: number } | null;
  step: AssessStep | null;
  /** The record of `step`, where it was composed already. */
  record: { readonly step: AssessStep; readonly value: Assessment | null } | null;
  readonly over: Promise<void>;
  readonly settle: () => void;
  timer: NodeJS.Timeout | undefined;
  /** Milliseconds between updates: what they cost decides. */
  interval: number;
  lastUpdate: number;
}

/** Fewest milliseconds between updates of one job, and most. */
const quickest = 200;
const slowest = 5_000;
/** Of the time, what updates may take: one part in so many. */
const share = 20;

/** The jobs of one engine: one runs, the most urgent first; a more urgent one takes over at the end of a window. */
export class JobQueue {
  readonly #options: JobQueueOptions;
  readonly #jobs = new Map<string, Job>();
  #running: Job | null = null;
  #order = 0;
  #closed = false;
  #again: NodeJS.Timeout | undefined;
  /** What is done between jobs, and whether something of it is being done. */
  readonly #interludes: (() => Promise<void>)[] = [];
  #interlude = false;

  constructor(options: JobQueueOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** Queues a clip, or joins the job of the same clip and model. Updates come later than the return. */
  add(request: AssessRequest): string {
    const { path, model, provider, closely = false, refine = null } = request;
    const key = JSON.stringify([resolve(path), model, provider, closely, refine]);
    for (const job of this.#jobs.values()) {
      if (job.key !== key || job.ending === 'cancelled') continue;
      job.priority = Math.max(job.priority, request.priority);
      this.#pumpSoon();
      return job.id;
    }
    let settle = () => {};
    const over = new Promise<void>((done) => {
      settle = done;
    });
    const job: Job = {
      id: `${process.pid}-${randomBytes(4).toString('hex')}`,
      key,
      request,
      priority: request.priority,
      order: this.#order++,
      phase: 'queued',
      playhead: null,
      resumed: false,
      controller: null,
      ending: null,
      notBefore: 0,
      progress: null,
      measured: null,
      step: null,
      record: null,
      over,
      settle,
      timer: undefined,
      interval: quickest,
      lastUpdate: Number.NEGATIVE_INFINITY,
    };
    this.#jobs.set(job.id, job);
    if (this.#jobs.size === 1) this.#options.onIdle(false);
    this.#touch(job);
    this.#pumpSoon();
    return job.id;
  }

  /** Ends a job. Resolves when it is over. */
  async cancel(id: string): Promise<void> {
    const job = this.#jobs.get(id);
    if (!job) return;
    job.ending = 'cancelled';
    if (job.controller) {
      job.phase = 'cancelling';
      this.#touch(job);
      job.controller.abort();
    } else this.#finish(job, { outcome: 'cancelled' });
    await job.over;
  }

  /** Ends the jobs of a clip. */
  async cancelPath(path: string): Promise<void> {
    const same = [...this.#jobs.values()].filter(({ request }) => resolve(request.path) === resolve(path));
    await Promise.all(same.map(({ id }) => this.cancel(id)));
  }

  /** What is finished of a clip that is being assessed; null where there is nothing of the kind. */
  recordOf(path: string, model: string): Assessment | null {
    for (const job of this.#jobs.values()) {
      const { request } = job;
      if (resolve(request.path) === resolve(path) && request.model === model) return this.#record(job);
    }
    return null;
  }

  prioritise(path: string, time: number | null, priority: number): void {
    for (const job of this.#jobs.values()) {
      // What a second model looks at is chosen by what is known of the clip, and waits for first results of others.
      if (resolve(job.request.path) !== resolve(path) || job.request.refine) continue;
      job.playhead = time;
      job.priority = Math.max(job.priority, priority);
    }
    this.#pumpSoon();
  }

  /**
   * Does something that needs the model alone, before any job that waits: the running one stops after its window and
   * goes on afterwards. One at a time, in order.
   *
   * @throws what `work` throws; OmniError `cancelled` where the queue was closed.
   */
  between<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#interludes.push(async () => {
        if (this.#closed) reject(new OmniError('cancelled', 'The engine was closed.', 'Ask again.'));
        else await work().then(resolve, reject);
      });
      this.#pumpSoon();
    });
  }

  /** Ends all jobs without another word; finished windows are kept. Resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#again);
    for (const job of this.#jobs.values()) {
      clearTimeout(job.timer);
      job.controller?.abort();
    }
    await this.#running?.over;
    this.#pump();
  }

  /** Not at once: the reply with the job's number goes first. */
  #pumpSoon(): void {
    setImmediate(() => this.#pump());
  }

  #pump(): void {
    if (this.#closed) {
      for (const refused of this.#interludes.splice(0)) void refused();
      return;
    }
    clearTimeout(this.#again);
    if (this.#interlude) return;
    const [interlude] = this.#interludes;
    if (interlude) {
      if (this.#running) {
        this.#running.ending ??= 'preempted';
        return;
      }
      this.#interludes.shift();
      this.#interlude = true;
      void interlude().finally(() => {
        this.#interlude = false;
        this.#pump();
      });
      return;
    }
    const now = Date.now();
    const waiting = [...this.#jobs.values()].filter((job) => job.phase === 'queued');
    const ready = waiting.filter(({ notBefore }) => notBefore <= now);
    ready.sort((a, b) => b.priority - a.priority || a.order - b.order);
    const [first] = ready;
    if (this.#running) {
      if (first && first.priority > this.#running.priority) this.#running.ending ??= 'preempted';
      return;
    }
    if (first) void this.#run(first);
    else if (waiting.length > 0) {
      const soonest = Math.min(...waiting.map(({ notBefore }) => notBefore));
      this.#again = setTimeout(() => this.#pump(), Math.max(0, soonest - now));
    }
  }

  async #run(job: Job): Promise<void> {
    this.#running = job;
    job.controller = new AbortController();
    job.phase = 'starting';
    this.#touch(job);
    const { signal } = job.controller;
    let end: Ending | null = null;
    try {
      const result = await this.#options.work({
        request: job.request,
        signal,
        playhead: () => job.playhead,
        began: (resumed) => {
          job.resumed ||= resumed;
          // Where it is asked for again it goes on.
          job.request = { ...job.request, fresh: false };
        },
        progress: (progress) => {
          if (job.phase === 'starting') job.phase = 'running';
          job.progress = progress;
          job.measured ??= { frames: workDone(job), at: performance.now() };
          this.#touch(job);
        },
        step: (step) => {
          if (job.phase === 'starting') job.phase = 'running';
          job.step = step;
          this.#touch(job);
          if (job.ending === 'preempted') job.controller?.abort();
        },
      });
      if (result === 'busy') job.notBefore = Date.now() + (this.#options.patience ?? 500);
      else if (job.ending !== 'preempted' || result.record.status !== 'cancelled') {
        const { record, kept, error } = result;
        end = { outcome: record.status, record, kept, error: error?.serialize() ?? null };
      }
    } catch (error) {
      const stopped = OmniError.is(error, 'cancelled') || signal.aborted;
      if (!stopped) end = { outcome: 'failed', error: serializeError(error) };
      else if (job.ending === 'cancelled') end = { outcome: 'cancelled' };
    }
    this.#running = null;
    job.controller = null;
    job.measured = null;
    // Cancelled while it was on its way back into the queue.
    if (!end && job.ending === 'cancelled') end = { outcome: 'cancelled' };
    if (end || this.#closed) this.#finish(job, end ?? { outcome: 'cancelled' });
    else {
      job.ending = null;
      job.phase = 'queued';
      this.#touch(job);
    }
    this.#pump();
  }

  #finish(job: Job, { outcome, record, kept = false, error = null }: Ending): void {
    clearTimeout(job.timer);
    this.#jobs.delete(job.id);
    if (!this.#closed) {
      this.#options.onUpdate({
        job: job.id,
        path: job.request.path,
        state: null,
        record: record ?? this.#record(job),
        error,
        outcome,
        kept,
        resumed: job.resumed,
      });
      if (this.#jobs.size === 0) this.#options.onIdle(true);
    }
    job.settle();
  }

  #record(job: Job): Assessment | null {
    if (!job.step) return null;
    if (job.record?.step !== job.step) job.record = { step: job.step, value: job.step.record() };
    return job.record.value;
  }

  /** Sends an update soon: at once where the last one is long ago. */
  #touch(job: Job): void {
    if (this.#closed || job.timer) return;
    const wait = Math.max(0, job.lastUpdate + job.interval - performance.now());
    job.timer = setTimeout(() => {
      job.timer = undefined;
      this.#send(job);
    }, wait);
  }

  #send(job: Job): void {
    const from = performance.now();
    const { progress, measured, step } = job;
    const total = progress?.total ?? null;
    const done = workDone(job);
    const seconds = measured ? (from - measured.at) / 1000 : 0;
    const rate = measured && seconds > 0 ? (done - measured.frames) / seconds : 0;
    this.#options.onUpdate({
      job: job.id,
      path: job.request.path,
      state: {
        phase: job.phase,
        progress: total ? Math.min(1, done / total) : null,
        eta: total && rate > 0 ? Math.max(0, total - done) / rate : null,
        framesPerSecond: rate > 0 && step && step.windows.length > 0 ? rate : null,
        finished: step ? spansOf(step) : [],
        current: job.phase === 'running' ? (step?.current ?? null) : null,
        ...(job.request.refine ? { refining: true } : {}),
      },
      record: this.#record(job),
      error: null,
      outcome: null,
      kept: false,
      resumed: job.resumed,
    });
    job.lastUpdate = performance.now();
    job.interval = Math.min(slowest, Math.max(quickest, share * (job.lastUpdate - from)));
  }
}

interface Ending {
  readonly outcome: NonNullable<JobUpdate<Assessment>['outcome']>;
  readonly record?: Assessment;
  readonly kept?: boolean;
  readonly error?: SerializedError | null;
}

/** Frames that are done with; one that was only read counts half: it is still to be looked at. */
function workDone({ progress, step }: Job): number {
  const rated = step ? step.windows.reduce((sum, { frames }) => sum + frames, 0) : 0;
  return rated + Math.max(0, (progress?.frames ?? 0) - rated) / 2;
}

/** The finished windows as spans; neighbours are one. */
function spansOf({ windows }: AssessStep): Span[] {
  const spans: Span[] = [];
  let next = -1;
  for (const { index, start, end } of windows) {
    const last = spans.at(-1);
    if (last && index === next) last.end = end;
    else spans.push({ start, end });
    next = index + 1;
  }
  return spans;
}
