import type { Assessment, Span } from '../assessment/record.ts';
import { hdrProblems, unlikeProblems } from '../model/domain.ts';
import { thresholdsOf } from '../model/segments.ts';
import { OmniError, type Problem } from '../protocol/errors.ts';
import { refuseKnownNonVideo } from '../video/formats.ts';
import { type FramePlan, type FrameWindow, keyInterval, readFrames } from '../video/frames.ts';
import { fingerprint, probeVideo } from '../video/probe.ts';
import { measureWindow, type Packet, packetSizes } from '../video/signals.ts';
import { evenKeys, framePlan, nothingDecoded } from './clip.ts';
import { type Content, cancelled, sha256OfFile } from './content.ts';
import type { EngineModel } from './models.ts';
import { type Clocked, rateWindow } from './rate_window.ts';
import { type ResultCache, resultKey } from './results.ts';
import {
  type Answer,
  type ClipFacts,
  compose,
  questionsOf,
  type ReadEnd,
  type Stage,
  totalSpent,
  type WindowResult,
} from './windows.ts';

export interface AssessProgress {
  /** Frames of finished windows, and those read beyond them. */
  readonly frames: number;
  /** Frames in all, as the container claims; null where it does not say. */
  readonly total: number | null;
}

/** What is known of a clip, and of what its model is asked, when its windows are begun. */
export type JournalClip = Pick<ClipFacts, 'info' | 'problems' | 'branches' | 'thresholds'>;

/** Where finished windows are kept, and found again by the next attempt at the same clip. */
export interface WindowStore {
  /** By index. */
  readonly windows: ReadonlyMap<number, WindowResult>;
  readonly packets: readonly Packet[] | null;
  readonly end: ReadEnd | null;
  /** As the others, never fails: what can not be kept is computed again, if it comes to that. */
  begin(clip: JournalClip): Promise<void>;
  add(window: WindowResult): Promise<void>;
  keepPackets(packets: readonly Packet[]): Promise<void>;
  finish(end: ReadEnd): Promise<void>;
}

/** What is finished of a clip while the work goes on. */
export interface AssessStep {
  /** In order. */
  readonly windows: readonly WindowResult[];
  /** The span that is worked on next; null where none is left. */
  readonly current: Span | null;
  /** The record of what is finished; null before the first window. */
  record(): Assessment | null;
}

export interface AssessOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: AssessProgress) => void;
  /** Told when the work begins, whenever it goes on somewhere else, and at each window that is finished. */
  readonly onStep?: (step: AssessStep) => void;
  /** The file's content, where it was hashed already; otherwise it is hashed beside the work. */
  readonly content?: Content | undefined;
  /** What there is to say of the attempt, for the record. */
  readonly notes?: readonly Problem[];
  /** Windows that it holds are not assessed again; without it, nothing outlives the call. */
  readonly store?: WindowStore | undefined;
  /** Told why the work ended before the clip did, where what is finished is returned all the same. */
  readonly onStopped?: (error: OmniError) => void;
  /**
   * Rates each second by as many key frames as the model wants for comparisons, with the weights that it has for them, if
   * any: for what is to be told from its like.
   */
  readonly closely?: boolean;
  /** The moment that is looked at, s: after the window that is worked on, the work goes on there. */
  readonly playhead?: () => number | null;
}

/**
 * Assesses one clip in windows of `window_seconds` (see {@link framePlan}); each window is rated as a clip of its own,
 * and each `step_seconds` of it for the timeline where the model's steps are shorter than its windows. The clip is
 * decoded once, from its beginning to its end, unless windows are kept already or the user looks elsewhere.
 *
 * A model that was trained for one branch alone answers the overall question from it, so both have the same figures;
 * one that knows several is asked about each.
 *
 * What is finished when the work is cancelled, or fails after its first window, is kept: the record then has status
 * `cancelled` or `partial`, the latter with a problem `stopped_early`.
 *
 * `timing.decode` is the time in which the work waited for frames; decoding goes on beside the other stages. Key frames that
 * are turned into tokens while others are awaited count as vision.
 *
 * @throws OmniError those of probing and reading, `file_replaced`, `cancelled`, and those of the model's runtime.
 */
export async function assessVideo(
  path: string,
  model: EngineModel,
  {
    signal,
    onProgress,
    onStep,
    onStopped,
    content,
    notes = [],
    store,
    closely = false,
    playhead,
  }: AssessOptions = {},
): Promise<Assessment> {
  const started = performance.now();
  const { config } = model;
  const rater = (closely && (await model.comparison?.load())) || model;
  const { value: info, problems } = await probeVideo(path, signal ? { signal } : {});
  if (content && content.fingerprint !== info.fingerprint) throw replaced(path);

  // What does not need the frames runs beside them, and ends with them whatever becomes of them.
  const beside = new AbortController();
  const abort = () => beside.abort();
  signal?.addEventListener('abort', abort, { once: true });
  const hashing = content ? Promise.resolve(content.sha256) : sha256OfFile(path, beside.signal);
  const { branches, localization } = config.omnivqa;
  const thresholds = localization && thresholdsOf(localization);
  await store?.begin({ info, problems, branches, thresholds });
  let packets = store?.packets ?? [];
  const sizing = store?.packets
    ? Promise.resolve()
    : packetSizes(info, beside.signal).then(
        async (all) => {
          packets = all;
          await store?.keepPackets(all);
        },
        // A clip is assessed without them, too.
        () => undefined,
      );
  // Looked at only after the frames: until then a failure must not end the process.
  hashing.catch(() => undefined);

  const facts: ClipFacts = {
    path,
    sha256: content?.sha256 ?? null,
    info,
    problems: [...problems, ...hdrProblems(info.hdr, config.vision), ...model.memory.problems, ...notes],
    model: { id: model.id, ...resultKey(model, closely) },
    branches,
    thresholds,
  };
  const keysPerSecond = closely ? evenKeys(rater.config.omnivqa.comparisonKeyFrames, info.fps) : 1;
  const plan = { ...framePlan(model, info), keysPerSecond };
  /** Seconds that were spent on key frames while frames were awaited. */
  let ahead = 0;
  const eachKey = async (pixels: Uint8Array) => {
    const from = performance.now();
    const tokens = await model.omni.vision(pixels, 1, signal ? { signal } : {});
    ahead += (performance.now() - from) / 1000;
    return tokens;
  };
  const windowFrames = plan.windowSeconds * keyInterval(info.fps);
  const claimed = info.frames ?? (info.duration === null ? null : Math.round(info.duration * info.fps));
  const windows = new Map(store?.windows ?? []);
  const earlier = [...windows.values()].reduce((sum, { spent }) => sum + totalSpent(spent), 0);
  let end = store?.end ?? null;
  /** Index of a window that the clip turned out to end before, where it is not known how far before. */
  let bound = Number.POSITIVE_INFINITY;
  let stopped: OmniError | null = null;

  const ordered = () => [...windows.values()].sort((a, b) => a.index - b.index);
  const record = (sha256 = facts.sha256) =>
    compose({ ...facts, sha256 }, ordered(), {
      end,
      packets,
      stopped,
      wall: earlier + (performance.now() - started) / 1000,
    });

  /** Windows in all, as far as can be said; null where nothing can. */
  const expected = () =>
    end?.windows ?? (claimed === null ? null : Math.min(bound, Math.ceil(claimed / windowFrames)));
  /** The window that is shown at the playhead, if there is one and it is not finished. */
  const wanted = (): number | null => {
    const time = playhead?.() ?? null;
    const index = time === null ? null : Math.floor((Math.max(0, time) * info.fps) / windowFrames);
    return index !== null && index < (expected() ?? 0) && !windows.has(index) ? index : null;
  };
  /** Where to go on: at the playhead, else behind it, else in the first gap; null where nothing is left. */
  const next = (from: number): number | null => {
    const unfinished = (index: number) => {
      let at = index;
      while (windows.has(at)) at++;
      return at >= (end?.windows ?? bound) ? null : at;
    };
    const [behind, gap] = [unfinished(from), unfinished(0)];
    // Whether the clip goes on behind what it claims is found out at last.
    const beyond = behind !== null && behind >= (expected() ?? Number.POSITIVE_INFINITY);
    return wanted() ?? (beyond ? gap : (behind ?? gap));
  };
  const step = (index: number | null) => {
    const seconds = windowFrames / info.fps;
    const length = info.duration ?? Number.POSITIVE_INFINITY;
    const from = (index ?? 0) * seconds;
    onStep?.({
      windows: ordered(),
      current:
        index === null || from >= length ? null : { start: from, end: Math.min(from + seconds, length) },
      record: () => (windows.size > 0 ? record() : null),
    });
  };

  try {
    for (let at = next(0); at !== null; at = next(at)) {
      const stop = Math.min(...[...windows.keys()].filter((index) => index > at!));
      const before = [...windows.values()].reduce((sum, { frames }) => sum + frames, 0);
      step(at);
      // To begin elsewhere than at the start, the reader has to know what lies before.
      if (at > 0) await sizing;
      const frames = readFrames(info, plan, {
        startWindow: at,
        stopWindow: stop,
        packets,
        ...(signal ? { signal } : {}),
        eachKey: rater === model && model.omni.keysOneByOne ? eachKey : undefined,
        onProgress: (read) => onProgress?.({ frames: before + read, total: info.frames }),
      });
      try {
        for (;;) {
          const spent: Record<Stage, number> = { decode: 0, vision: 0, motion: 0, language: 0 };
          const clocked = clock(spent);
          const { done, value } = await clocked('decode', () => frames.next());
          const early = Math.min(ahead, spent.decode);
          spent.decode -= early;
          spent.vision += early;
          ahead = 0;
          // Ctrl+C reaches ffmpeg too: what then looks like the end of the clip is none.
          if (signal?.aborted) throw cancelled();
          if (done) {
            const last = value.coverage.frames > 0 || at === 0 || windows.has(at - 1);
            if (value.ended && last) {
              end = { windows: at, conversions: value.conversions };
              await store?.finish(end);
            } else if (value.ended) bound = at;
            break;
          }
          const result = await assessWindow(value, model, plan, spent, signal, rater);
          // Nothing of another file is kept under this one's name.
          if (store && (await fingerprint(path).catch(() => null)) !== info.fingerprint) throw replaced(path);
          windows.set(result.index, result);
          await store?.add(result);
          at = result.index + 1;
          step(next(at));
          if (next(at) !== at) break;
        }
      } finally {
        await frames.return(undefined as never);
      }
    }
    if (windows.size === 0) throw nothingDecoded(path);
    await hashing;
    // The hash may have taken longer than the frames, which were watched on their own.
    if ((await fingerprint(path).catch(() => null)) !== info.fingerprint) throw replaced(path);
  } catch (error) {
    beside.abort();
    const kept = windows.size > 0 && OmniError.is(error) && error.code !== 'file_replaced';
    if (!kept) throw error;
    stopped = error;
    onStopped?.(error);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
  await sizing;
  return record(await hashing.catch(() => null));
}

/**
 * All that is found in one window.
 *
 * @param spent Where the time of each stage is added to.
 * @param rater What rates it; what is wrong is asked of `model`.
 */
export async function assessWindow(
  window: FrameWindow,
  model: EngineModel,
  { motionSize, keysPerSecond = 1 }: Pick<FramePlan, 'motionSize' | 'keysPerSecond'>,
  spent: Record<Stage, number>,
  signal: AbortSignal | undefined,
  rater = model,
): Promise<WindowResult> {
  const { omnivqa } = model.config;
  const questions = questionsOf(omnivqa.branches);
  const rated = await rateWindow(window, model, questions, clock(spent), signal, keysPerSecond, rater);
  return {
    index: window.index,
    start: window.times[0]!,
    end: window.end,
    firstFrame: window.firstFrame,
    frames: window.times.length,
    ...rated,
    signals: measureWindow(window, motionSize),
    findings: window.findings,
    problems: windowProblems(window, rated.answers, model.config),
    spent,
  };
}

/** Adds the time of each piece of work to its stage's, s. */
export function clock(spent: Record<Stage, number>): Clocked {
  return async (stage, work) => {
    const from = performance.now();
    try {
      return await work();
    } finally {
      spent[stage] += (performance.now() - from) / 1000;
    }
  };
}

function windowProblems(
  { times, end, key }: FrameWindow,
  answers: readonly Answer[],
  { motion, vision }: EngineModel['config'],
): Problem[] {
  const start = times[0]!;
  const limit = motion?.maxPositions ?? Number.POSITIVE_INFINITY;
  const found: Problem[] = answers[0]!.rating.problems.map((problem) => ({ ...problem, start, end }));
  found.push(...unlikeProblems(key.pixels, vision, { start, end }));
  if (times.length <= limit) return found;
  const message = `The motion branch takes ${limit} frames of a window; this one has ${times.length}.`;
  return [{ code: 'motion_truncated', message, start, end }, ...found];
}

/** The file is not the one any more that the work was begun on. */
export const replaced = (path: string) =>
  new OmniError(
    'file_replaced',
    `${path} was changed or removed while it was assessed.`,
    'Assess it again when nothing writes to it any more.',
    { path },
  );

/**
 * As {@link assessVideo}, but a clip whose content was assessed before, with the same model, is not assessed again.
 *
 * @returns `kept`: whether the record is an earlier one.
 * @throws OmniError as {@link assessVideo}.
 */
export async function assessCached(
  path: string,
  model: EngineModel,
  cache: ResultCache,
  options: Omit<AssessOptions, 'content'> = {},
): Promise<{ record: Assessment; kept: boolean }> {
  await refuseKnownNonVideo(path);
  const before = await fingerprint(path);
  const content = { fingerprint: before, sha256: await sha256OfFile(path, options.signal) };
  const key = resultKey(model, options.closely);
  const known = await cache.get(path, content.sha256, key);
  if (known) return { record: known, kept: true };
  const record = await assessVideo(path, model, { ...options, content });
  await cache.put(record, key);
  return { record, kept: false };
}
