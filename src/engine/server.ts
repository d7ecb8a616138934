import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { excerpt } from '../assessment/excerpt.ts';
import type { Assessment } from '../assessment/record.ts';
import { timelineCsv } from '../assessment/report_csv.ts';
import { htmlReport, reportStyle } from '../assessment/report_html.ts';
import { suggestedQuestions } from '../assessment/suggestions.ts';
import { safeJson } from '../assessment/text.ts';
import {
  type AssessRequest,
  type EngineClient,
  type EngineService,
  engineProtocol,
  type ModelChoice,
  type RefineChoice,
  type ResultPlace,
} from '../protocol/engine.ts';
import { OmniError, type Problem } from '../protocol/errors.ts';
import { connect, type Port, serializeError } from '../protocol/rpc.ts';
import type { ExportFormat } from '../protocol/timeline.ts';
import { locateFfmpeg } from '../video/ffmpeg.ts';
import { refuseKnownNonVideo } from '../video/formats.ts';
import { pairedStills, sourceFrames } from '../video/pairs.ts';
import { fingerprint, probeVideo, type VideoInfo } from '../video/probe.ts';
import { readFilmstrip, readStill } from '../video/stills.ts';
import { assessVideo, type WindowStore } from './assess.ts';
import { Chats } from './chats.ts';
import { Contents } from './content.ts';
import { Cuts } from './cuts.ts';
import { isDeviceFailure, problemOf } from './devices.ts';
import { Encodes, outputOf } from './encodes.ts';
import { tidy, writeWhole } from './files.ts';
import { offerOf, pullOffered } from './hub_models.ts';
import { JobQueue, type JobResult, type JobWork } from './jobs.ts';
import { Journal } from './journal.ts';
import { LoadedModel } from './loaded.ts';
import { Lock } from './lock.ts';
import { planText } from './memory_plan.ts';
import { modelFacts, placeOf } from './model_facts.ts';
import { type EngineModel, findIdentity, type ModelIdentity, modelConfig } from './models.ts';
import { isRefined, notRefined, refineAssessment } from './refine.ts';
import { closeWay, ResultCache, type ResultKey, resultKey, resultName, type Way } from './results.ts';
import { TeamFolder } from './team.ts';
import { compose, totalSpent } from './windows.ts';

export interface EngineOptions {
  /** Directory for results, journals and locks; several engines may share it. */
  readonly store: string;
  /** Bytes that a model may take of its device's memory; default: what is free. */
  readonly memory?: number;
  /** Milliseconds without a job after which the model is freed; default 5 minutes. */
  readonly unloadAfter?: number;
  /** Milliseconds without a job or a request after which {@link onIdle} is called; default 20 minutes. */
  readonly idleAfter?: number;
  /** Nothing was asked of the engine for long: its process may end. */
  readonly onIdle?: () => void;
  /** A device failed. Nothing runs any more and the client knows: the process must end. */
  readonly onDeviceFailed?: () => void;
}

/** Where a record may have been computed, in the order in which it is looked for. */
const kinds = ['cuda', 'webgpu', 'dml', 'coreml', 'cpu'] as const;

/** Facts of files that are remembered for the next picture. */
const mostProbes = 64;

/**
 * The engine's end of the connection to its client: assesses clips one at a time, keeps what it finds, shows pictures.
 *
 * @returns a function that ends its jobs, keeping finished windows, and resolves when nothing runs any more.
 */
export function serveEngine(port: Port, options: EngineOptions): () => Promise<void> {
  const { store, unloadAfter = 5 * 60_000, idleAfter = 20 * 60_000, onIdle, onDeviceFailed } = options;
  const contents = new Contents(join(store, 'contents'));
  const encodes = new Encodes(join(store, 'encodes'), contents);
  const cuts = new Cuts(join(store, 'cuts'), contents);
  const log = (level: 'info' | 'warning' | 'error', text: string): void =>
    connection.notify('log', { level, text });
  const loaded = new LoadedModel(unloadAfter, ({ code, message }) => log('warning', `${message} (${code})`));
  loaded.memory = options.memory;
  loaded.onLoaded = ({ id, memory, omni: { choice } }) => {
    log('info', `${id} runs on ${choice.provider}: ${choice.reason} ${planText(memory, choice.provider)}.`);
    for (const { code, message } of memory.problems) log('warning', `${message} (${code})`);
  };

  /** @param model Where it is loaded: windows that were shortened for want of memory are not those of other attempts. */
  const journalFile = (sha256: string, key: ResultKey, model?: EngineModel) => {
    const shortened = model?.memory.problems.some(({ code }) => code === 'window_shortened');
    const windows = shortened ? `-${model!.memory.windowSeconds}s` : '';
    return join(store, 'journals', `${resultName(sha256, key)}${windows}.jsonl`);
  };
  const results = () => new ResultCache(join(store, 'results'));
  const keysOf = (
    identity: ModelIdentity,
    { model, provider }: ModelChoice,
    ways: readonly Way[],
  ): ResultKey[] => {
    const { revision, precision, compiler } = identity;
    // What the loaded model would compute is what a job would find.
    const first = loaded.model?.revision === revision ? [loaded.model.omni.choice.provider] : [];
    const fallback = loaded.limitOf(model, provider)?.step === 'cpu' ? ['cpu'] : [];
    const wanted = new Set(provider === 'auto' ? [...first, ...kinds] : [provider, ...fallback]);
    return ways.flatMap((way) =>
      [...wanted].map((kind) => ({ revision, precision, compiler, provider: kind, ...way })),
    );
  };

  /** The whole record of a content, from this engine's store or from the team's. */
  async function findWhole(
    path: string,
    sha256: string,
    identity: ModelIdentity,
    choice: ModelChoice,
    team: TeamFolder | null,
    problems: Problem[],
    ways: readonly Way[],
  ): Promise<Assessment | null> {
    const cache = results();
    try {
      for (const key of keysOf(identity, choice, ways)) {
        const record = await cache.get(path, sha256, key);
        if (record) return record;
      }
    } finally {
      problems.push(...cache.problems);
    }
    const shared = await team?.get(path);
    const same =
      shared?.status === 'complete' &&
      shared.video.sha256 === sha256 &&
      shared.model.revision === identity.revision &&
      (choice.provider === 'auto' || choice.provider === shared.model.provider);
    return same ? shared : null;
  }

  /** How closely a request wants its clip looked at, as far as its model can. */
  async function wayFor({ model, closely = false }: AssessRequest, identity: ModelIdentity): Promise<Way> {
    return closely ? closeWay(await modelConfig(model), identity) : {};
  }

  /** As any clip is looked at, else as what is compared, which has no other result. */
  async function anyWay({ model }: ModelChoice, identity: ModelIdentity): Promise<Way[]> {
    const close = closeWay(await modelConfig(model), identity);
    return close.closely ? [{}, close] : [{}];
  }

  /** Where the team keeps its results: those of its clips, not of what is compared. */
  function teamOf({ teamFolder }: AssessRequest, { closely }: Way): TeamFolder | null {
    return teamFolder === null || closely ? null : new TeamFolder(teamFolder);
  }

  async function work(job: JobWork): Promise<JobResult | 'busy'> {
    const { request, signal } = job;
    if (request.refine) return refine(job, request.refine);
    const { path, fresh } = request;
    await refuseKnownNonVideo(path);
    const content = await contents.of(path, signal);
    const identity =
      (await findIdentity(request.model)) ??
      (await loaded.use(request.model, request.provider, signal, async (model) => model));
    const way = await wayFor(request, identity);
    const team = teamOf(request, way);
    const problems: Problem[] = [];
    const finish = async (record: Assessment, kept: boolean, error: OmniError | null) => {
      if (team && record.status !== 'cancelled' && !error) await team.put(path, record);
      return { record: withProblems(record, [...problems, ...(team?.problems ?? [])]), kept, error };
    };
    const lockName = createHash('sha256').update(`${content.sha256} ${identity.revision}`).digest('hex');
    const lock = await Lock.take(join(store, 'locks', `${lockName}.lock`));
    if (lock === 'taken') return 'busy';
    try {
      const known = fresh
        ? null
        : await findWhole(path, content.sha256, identity, request, team, problems, [way]);
      if (known) {
        // An engine that was killed after it kept the record left it.
        await rm(journalFile(content.sha256, known.model), { force: true }).catch(() => undefined);
        return await finish(known, true, null);
      }
      return await loaded.use(request.model, request.provider, signal, async (model) => {
        const key = resultKey(model, request.closely);
        const cache = results();
        const file = journalFile(content.sha256, key, model);
        if (fresh) {
          await rm(file, { force: true }).catch(() => undefined);
          await cache.remove(content.sha256, key);
          await team?.remove(path);
        }
        const journal = await Journal.open(file, { sha256: content.sha256, ...key });
        const limit = loaded.limitOf(request.model, request.provider);
        if (limit && journal.windows.size === 0) await inherit(journal, content.sha256, key, model);
        job.began(journal.windows.size > 0);
        let stopped: OmniError | null = null;
        try {
          const record = await assessVideo(path, model, {
            signal,
            content,
            closely: request.closely ?? false,
            store: onDevice(journal, key.provider),
            notes: limit ? [problemOf(limit, key.provider)] : [],
            onProgress: job.progress,
            onStep: job.step,
            onStopped: (error) => {
              stopped = error.code === 'cancelled' ? null : error;
            },
            playhead: job.playhead,
          });
          // The next process goes on with it.
          const failure = stopped as OmniError | null;
          if (failure && loaded.onLost && isDeviceFailure(failure, key.provider)) throw failure;
          if (await cache.put(record, key)) await journal.remove();
          problems.push(...journal.problems, ...cache.problems);
          return await finish(record, false, stopped);
        } catch (error) {
          if (OmniError.is(error, 'file_replaced')) await journal.remove();
          throw error;
        } finally {
          await journal.close();
        }
      });
    } finally {
      if (lock !== 'unlockable') await lock.release();
    }
  }

  /** Has the windows of a clip's record that matter most looked at by a second model. */
  async function refine(
    { request, signal, began, progress, step }: JobWork,
    { model: second, windows }: RefineChoice,
  ): Promise<JobResult | 'busy'> {
    const { path } = request;
    await refuseKnownNonVideo(path);
    const content = await contents.of(path, signal);
    const first = await findIdentity(request.model);
    const way = first ? await wayFor(request, first) : {};
    const team = teamOf(request, way);
    const problems: Problem[] = [];
    const record = first && (await findWhole(path, content.sha256, first, request, team, problems, [way]));
    if (!record) {
      throw new OmniError('bad_usage', `${path} has no whole result to refine.`, 'Assess the clip first.', {
        path,
      });
    }
    let refined = record;
    const keep = async () => {
      const cache = results();
      await cache.put(refined, record.model);
      await team?.put(path, refined);
      problems.push(...cache.problems, ...(team?.problems ?? []));
    };
    try {
      const identity = await findIdentity(second);
      if (identity && isRefined(record, identity, { config: await modelConfig(second) }, windows)) {
        return { record: withProblems(record, problems), kept: true, error: null };
      }
      return await loaded.use(second, request.provider, signal, async (model) => {
        const key = resultKey(model);
        const name = createHash('sha256').update(`${content.sha256} ${model.revision}`).digest('hex');
        const lock = await Lock.take(join(store, 'locks', `${name}.lock`));
        if (lock === 'taken') return 'busy';
        // What that model found in a window is the same whether it was asked about all of the clip or about this.
        const journal = await Journal.open(journalFile(content.sha256, key, model), {
          sha256: content.sha256,
          ...key,
        });
        const limit = loaded.limitOf(second, request.provider);
        if (limit) problems.push(problemOf(limit, key.provider));
        try {
          began(journal.windows.size > 0);
          await refineAssessment(path, record, model, {
            windows,
            signal,
            store: onDevice(journal, key.provider),
            onProgress: progress,
            onStep: step,
            onRecord: (so) => {
              refined = so;
            },
          });
        } finally {
          problems.push(...journal.problems);
          await journal.close();
          if (lock !== 'unlockable') await lock.release();
          if (refined !== record) await keep();
        }
        return { record: withProblems(refined, problems), kept: false, error: null };
      });
    } catch (error) {
      if (signal.aborted || OmniError.is(error, 'file_replaced')) throw error;
      const why = notRefined(second, serializeError(error));
      return { record: withProblems(refined, [...problems, why]), kept: false, error: null };
    }
  }

  /** Keeps no window that a device has computed before it is sure that nothing of it was dropped in silence. */
  function onDevice(journal: Journal, provider: string): WindowStore {
    if (provider === 'cpu') return journal;
    return {
      windows: journal.windows,
      packets: journal.packets,
      end: journal.end,
      begin: (clip) => journal.begin(clip),
      async add(window) {
        // A client that is gone ends the engine soon; what is in doubt is computed again.
        const sound = await connection.request('sound', {}).then(
          () => true,
          () => false,
        );
        if (sound) await journal.add(window);
      },
      keepPackets: (packets) => journal.keepPackets(packets),
      finish: (end) => journal.finish(end),
    };
  }

  /** Takes over what another provider has finished of a clip, before its device failed. */
  async function inherit(
    journal: Journal,
    sha256: string,
    key: ResultKey,
    model: EngineModel,
  ): Promise<void> {
    for (const provider of kinds) {
      if (provider === key.provider) continue;
      const other = { ...key, provider };
      const earlier = await Journal.open(journalFile(sha256, other, model), { sha256, ...other });
      if (earlier.windows.size === 0) continue;
      await journal.inherit(earlier);
      return earlier.remove();
    }
  }

  let pulls = 0;
  let idling: NodeJS.Timeout | undefined;
  const rest = () => {
    clearTimeout(idling);
    idling = setTimeout(() => {
      if (jobs.size === 0 && !encodes.busy && !cuts.busy && pulls === 0) onIdle?.();
      else rest();
    }, idleAfter);
    idling.unref();
  };
  const jobs: JobQueue = new JobQueue({
    work,
    onUpdate: (update) => connection.update('job', update, update.job),
    onIdle: rest,
  });

  const chats = new Chats({
    use: ({ model, provider }, signal, answer) =>
      jobs.between(() => loaded.use(model, provider, signal, answer)),
    record: async (where) => (await lookUp(where)).record,
  });
  loaded.onFree = () => chats.release();
  loaded.onDevice = (report) => connection.notify('device', { ...report, failure: null });
  loaded.onLost = onDeviceFailed
    ? (report, error) => {
        const { code, message } = error;
        connection.notify('device', { ...report, failure: { code, message } });
        clearTimeout(idling);
        // What waits for an answer gets this error before the process ends.
        void jobs.close().then(() => setImmediate(onDeviceFailed));
      }
    : null;

  /** What is stored of a clip: the whole record, or what its journal holds. */
  async function lookUp({
    path,
    teamFolder,
    ...choice
  }: ModelChoice & ResultPlace & { readonly path: string }): Promise<{
    record: Assessment | null;
    problems: Problem[];
  }> {
    const running = jobs.recordOf(path, choice.model);
    if (running) return { record: running, problems: [] };
    await refuseKnownNonVideo(path);
    const problems: Problem[] = [];
    const team = teamFolder === null ? null : new TeamFolder(teamFolder);
    const shared = (await team?.get(path)) ?? null;
    // Of a large file that was never read whole, nothing was computed here: looking at it must not take a minute.
    const content = shared ? await contents.of(path) : await contents.quick(path);
    if (!content) return { record: null, problems: team?.problems ?? [] };
    const { sha256 } = content;
    const identity = await findIdentity(choice.model);
    const ways = identity ? await anyWay(choice, identity) : [];
    const whole = identity && (await findWhole(path, sha256, identity, choice, team, problems, ways));
    if (whole) return { record: whole, problems: [...problems, ...(team?.problems ?? [])] };
    for (const key of identity ? keysOf(identity, choice, ways) : []) {
      const journal = await Journal.open(journalFile(sha256, key), { sha256, ...key });
      problems.push(...journal.problems);
      const { clip, windows, end } = journal;
      if (!clip || windows.size === 0) continue;
      const facts = {
        path,
        sha256,
        ...clip,
        model: { ...key, id: identity!.id },
      };
      const ordered = [...windows.values()].sort((a, b) => a.index - b.index);
      const wall = ordered.reduce((sum, { spent }) => sum + totalSpent(spent), 0);
      const state = { end, packets: journal.packets ?? [], stopped: null, wall };
      return { record: compose(facts, ordered, state), problems };
    }
    problems.push(...(team?.problems ?? []));
    return { record: shared?.video.sha256 === sha256 ? shared : null, problems };
  }

  /** Facts of a file, as long as it is the same one. */
  const probes = new Map<string, { readonly fingerprint: string; readonly info: Promise<VideoInfo> }>();
  async function infoOf(path: string): Promise<VideoInfo> {
    await refuseKnownNonVideo(path);
    const name = resolve(path);
    const now = await fingerprint(name);
    const known = probes.get(name);
    if (known?.fingerprint === now) return known.info;
    const info = probeVideo(name).then(({ value }) => value);
    probes.set(name, { fingerprint: now, info });
    info.catch(() => probes.delete(name));
    for (const oldest of probes.keys()) {
      if (probes.size <= mostProbes) break;
      probes.delete(oldest);
    }
    return info;
  }

  const connection = connect<EngineService<Assessment>, EngineClient<Assessment>>(port, {
    version: engineProtocol,
    handlers: {
      async facts() {
        rest();
        const ffmpeg = await locateFfmpeg().then(
          ({ ffmpeg: path, version }) => ({ path, version }),
          (error: unknown) => serializeError(error),
        );
        const { model } = loaded;
        return {
          node: process.version,
          pid: process.pid,
          ffmpeg,
          loaded: model
            ? [{ id: model.id, provider: model.omni.choice.provider, reason: model.omni.choice.reason }]
            : [],
        };
      },
      models({ names }) {
        rest();
        return modelFacts(names, loaded.model);
      },
      load({ model, provider }, { signal }) {
        rest();
        return jobs.between(() => loaded.use(model, provider, signal, async (one) => placeOf(one)));
      },
      assess(params: AssessRequest) {
        return { job: jobs.add(params) };
      },
      async cancel({ job }) {
        await jobs.cancel(job);
      },
      lookup(params) {
        rest();
        return lookUp(params);
      },
      async forget({ path, teamFolder, ...choice }) {
        rest();
        await jobs.cancelPath(path);
        const { sha256 } = await contents.of(path);
        const identity = await findIdentity(choice.model);
        const ways = identity ? await anyWay(choice, identity) : [];
        for (const key of identity ? keysOf(identity, choice, ways) : []) {
          await results().remove(sha256, key);
          await rm(journalFile(sha256, key), { force: true }).catch(() => undefined);
        }
        if (teamFolder !== null) await new TeamFolder(teamFolder).remove(path);
      },
      async offer(choice, { signal }) {
        rest();
        return offerOf(choice, signal);
      },
      async pull(choice, { signal }) {
        pulls += 1;
        try {
          await pullOffered(choice, signal, ({ done, total }) =>
            connection.update('pull', { name: choice.name, done, total }, choice.name),
          );
        } finally {
          pulls -= 1;
          rest();
        }
      },
      async encode({ path, options: words, id }, { signal }) {
        rest();
        return encodes.encode(path, outputOf(words), {
          signal,
          ...(id === undefined ? {} : { onState: (state) => connection.update('encode', { id, state }, id) }),
        });
      },
      async cut({ path, parts }, { signal }) {
        rest();
        return cuts.cut(path, parts, signal);
      },
      async still({ path, time, width }, { signal }) {
        rest();
        return readStill(await infoOf(path), time, { width, signal });
      },
      async frames({ path }, { signal }) {
        rest();
        return sourceFrames(await infoOf(path), signal);
      },
      async pictures({ source, encode, times }, { signal }) {
        rest();
        const [clip, other] = await Promise.all([infoOf(source), encode === null ? null : infoOf(encode)]);
        return pairedStills(clip, other, times, { signal });
      },
      async filmstrip({ path, times, height }, { signal }) {
        rest();
        return readFilmstrip(await infoOf(path), times, height, { signal });
      },
      async media({ path }) {
        rest();
        const { startTime, fingerprint: revision } = await infoOf(path);
        return { offset: startTime, revision };
      },
      async report({ format, span, target, ...clip }) {
        rest();
        const { record } = await lookUp(clip);
        const part = record && span ? excerpt(record, span) : record;
        if (!part) {
          throw new OmniError(
            'bad_usage',
            `There is no result of ${clip.path}${span ? ' in that span' : ''}.`,
            'Assess the clip first.',
            { path: clip.path },
          );
        }
        await writeWhole(target, reportOf(part, format));
      },
      chatOpen(params) {
        rest();
        return chats.open(params);
      },
      async ask(params, { signal }) {
        clearTimeout(idling);
        try {
          const { chat, turn } = params;
          return await chats.ask(params, signal, (text) =>
            connection.notify('chatText', { chat, turn, text }),
          );
        } finally {
          rest();
        }
      },
      chatStop: ({ turn }) => chats.stop(turn),
      chatClose: ({ chat }) => chats.close(chat),
      async suggestions(where) {
        rest();
        return suggestedQuestions((await lookUp(where)).record);
      },
    },
    listeners: {
      prioritise: ({ path, time, priority }) => jobs.prioritise(path, time, priority),
      limit: (limit) => loaded.limit(limit),
    },
    onProblem: (problem) => log('warning', problem),
  });
  rest();
  void tidy(store);

  return async () => {
    clearTimeout(idling);
    chats.dispose();
    await jobs.close();
    connection.dispose();
    await loaded.free();
  };
}

function reportOf(record: Assessment, format: ExportFormat): string {
  switch (format) {
    case 'json':
      return `${safeJson(record, 2)}\n`;
    case 'csv':
      return timelineCsv(record);
    case 'html':
      return htmlReport([record], `sha256-${createHash('sha256').update(reportStyle).digest('base64')}`);
  }
}

/** A record with what went wrong around it, each kind of thing once. */
function withProblems(record: Assessment, problems: readonly Problem[]): Assessment {
  if (problems.length === 0) return record;
  const byCode = new Map([...record.problems, ...problems].map((problem) => [problem.code, problem]));
  return { ...record, problems: [...byCode.values()] };
}
