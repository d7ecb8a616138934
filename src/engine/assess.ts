import { clampScore, meanLevels, mergeSpans, mosOf, pool, type ScoredSpan } from '../assessment/pooling.ts';
import { type Assessment, schemaId } from '../assessment/record.ts';
import { type Rating, rateSpans } from '../model/rater.ts';
import { spanTokens } from '../model/sequence.ts';
import { OmniError, type Problem } from '../protocol/errors.ts';
import { refuseKnownNonVideo } from '../video/formats.ts';
import { type FrameWindow, readFrames } from '../video/frames.ts';
import { fingerprint, probeVideo } from '../video/probe.ts';
import { packetSizes, SignalCollector } from '../video/signals.ts';
import { framePlan, nothingDecoded, windowTokens } from './clip.ts';
import { type Content, cancelled, sha256OfFile } from './content.ts';
import type { EngineModel } from './models.ts';
import type { ResultCache } from './results.ts';

export interface AssessProgress {
  readonly frames: number;
  /** Frames in all, as the container claims; null where it does not say. */
  readonly total: number | null;
}

export interface AssessOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: AssessProgress) => void;
  /** The file's content, where it was hashed already; otherwise it is hashed beside the work. */
  readonly content?: Content | undefined;
}

/** Stages of the work that the record's `timing` tells apart. */
export type Stage = 'decode' | 'vision' | 'motion' | 'language';

/** What was answered about a window, and about each of its steps. */
export interface Answer {
  readonly rating: Rating;
  readonly steps: readonly ScoredSpan[];
}

interface RatedWindow {
  readonly start: number;
  readonly end: number;
  /** One per question. */
  readonly answers: readonly Answer[];
}

/** Problems that mean that something of the clip was not seen. */
const incomplete = new Set([
  'truncated',
  'decode_errors',
  'clip_truncated',
  'motion_truncated',
  'stopped_early',
]);

/**
 * Assesses one clip: one decode, in windows of `window_seconds` (see {@link framePlan}); each window is rated as a clip of its own, and each
 * `step_seconds` of it for the timeline where the model's steps are shorter than its windows.
 *
 * The clip's score is the mean of its windows' scores, and its levels the mean of their levels, weighted by their
 * length: a window is what the model was trained to rate. Pooling statistics are those of the timeline.
 *
 * A model that was trained for one branch alone answers the overall question from it, so both have the same figures;
 * one that knows several is asked about each.
 *
 * What is finished when the work is cancelled, or fails after its first window, is kept: the record then has status
 * `cancelled` or `partial`, the latter with a problem `stopped_early`.
 *
 * `timing.decode` is the time in which the work waited for frames; decoding goes on beside the other stages.
 *
 * @throws OmniError those of probing and reading, `file_replaced`, `cancelled`, and those of the model's runtime.
 */
export async function assessVideo(
  path: string,
  model: EngineModel,
  { signal, onProgress, content }: AssessOptions = {},
): Promise<Assessment> {
  const started = performance.now();
  const { omni, config } = model;
  const { value: info, problems } = await probeVideo(path, signal ? { signal } : {});
  if (content && content.fingerprint !== info.fingerprint) throw replaced(path);

  // What does not need the frames runs beside them, and ends with them whatever becomes of them.
  const beside = new AbortController();
  const abort = () => beside.abort();
  signal?.addEventListener('abort', abort, { once: true });
  const hashing = content ? Promise.resolve(content.sha256) : sha256OfFile(path, beside.signal);
  const sizing = packetSizes(info, beside.signal).catch(() => []);
  // Looked at only after the frames: until then a failure must not end the process.
  hashing.catch(() => undefined);

  const spent: Record<Stage, number> = { decode: 0, vision: 0, motion: 0, language: 0 };
  const clocked = async <T>(stage: Stage, work: () => Promise<T>): Promise<T> => {
    const from = performance.now();
    try {
      return await work();
    } finally {
      spent[stage] += (performance.now() - from) / 1000;
    }
  };

  const { branches } = config.omnivqa;
  const questions = branches.length > 1 ? [undefined, ...branches] : [undefined];
  const windows: RatedWindow[] = [];
  const found = [...problems];
  const signals = new SignalCollector();
  const plan = framePlan(model, info);
  const frames = readFrames(info, plan, {
    ...(signal ? { signal } : {}),
    onProgress: (done) => onProgress?.({ frames: done, total: info.frames }),
  });
  let { vfr } = info;
  let stopped: OmniError | undefined;
  try {
    for (;;) {
      const next = await clocked('decode', () => frames.next());
      // Ctrl+C reaches ffmpeg too: what then looks like the end of the clip is none.
      if (signal?.aborted) throw cancelled();
      if (next.done) {
        found.push(...next.value.problems);
        vfr ||= next.value.vfr;
        break;
      }
      const window = next.value;
      const [start, end] = [window.times[0]!, window.end];
      const answers = await rateWindow(window, model, questions, clocked, signal);
      signals.add(window, plan.motionSize);
      windows.push({ start, end, answers });
      const limit = config.motion?.maxPositions ?? Number.POSITIVE_INFINITY;
      if (window.times.length > limit) {
        const message = `The motion branch takes ${limit} frames of a window; this one has ${window.times.length}.`;
        found.push({ code: 'motion_truncated', message, start, end });
      }
      for (const problem of answers[0]!.rating.problems) found.push({ ...problem, start, end });
    }
    if (windows.length === 0) throw nothingDecoded(path);
    await hashing;
    // The hash may have taken longer than the frames, which were watched on their own.
    if ((await fingerprint(path).catch(() => null)) !== info.fingerprint) throw replaced(path);
  } catch (error) {
    beside.abort();
    const kept = windows.length > 0 && OmniError.is(error) && error.code !== 'file_replaced';
    if (!kept) throw error;
    stopped = error;
    if (error.code !== 'cancelled') {
      const message = `${error.message} (${error.code}) The windows before it are kept.`;
      found.push({ code: 'stopped_early', message, start: windows.at(-1)!.end });
    }
  } finally {
    signal?.removeEventListener('abort', abort);
    await frames.return(undefined as never);
  }

  const { timeline, ...overall } = verdict(windows, 0);
  const branch = (name: string) => {
    if (!branches.includes(name)) return null;
    const { timeline: _, ...figures } = verdict(windows, Math.max(0, questions.indexOf(name)));
    return figures;
  };
  return {
    schema: schemaId,
    video: {
      path,
      sha256: await hashing.catch(() => null),
      container: info.container,
      codec: info.codec,
      profile: info.profile,
      pixelFormat: info.pixelFormat,
      width: info.width,
      height: info.height,
      fps: info.fps,
      vfr,
      frames: signals.frames,
      duration: info.duration,
      bitrate: info.bitrate,
      color: info.color,
      rotation: info.rotation,
      interlaced: info.interlaced,
    },
    model: {
      id: model.id,
      revision: model.revision,
      precision: model.precision,
      provider: omni.choice.provider,
      compiler: model.compiler,
    },
    status:
      stopped?.code === 'cancelled'
        ? 'cancelled'
        : found.some(({ code }) => incomplete.has(code))
          ? 'partial'
          : 'complete',
    coverage: mergeSpans(
      windows.map(({ start, end }) => [start, end]),
      1 / info.fps,
    ),
    ...overall,
    branches: { technical: branch('technical'), aesthetic: branch('aesthetic') },
    timeline,
    distortions: null,
    signals: signals.finish(await sizing),
    problems: joined(found),
    timing: { wall: (performance.now() - started) / 1000, ...spent },
  };
}

/**
 * Asks every question about a window and about its steps.
 *
 * @param questions Branches; undefined asks for the overall quality.
 */
export async function rateWindow(
  window: Pick<FrameWindow, 'times' | 'end' | 'key' | 'motion'>,
  model: EngineModel,
  questions: readonly (string | undefined)[],
  clocked: <T>(stage: Stage, work: () => Promise<T>) => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<Answer[]> {
  const { omni, config } = model;
  const run = signal ? { signal } : {};
  const clip = await windowTokens(window, model, run, clocked);
  const { stepSeconds, windowSeconds } = config.omnivqa;
  const { keyFrames } = clip;
  const whole = stepSeconds >= windowSeconds || keyFrames <= stepSeconds;
  // Key frames are one per second: a step is that many of them, and the motion frames up to the next.
  const first = whole
    ? []
    : Array.from({ length: Math.ceil(keyFrames / stepSeconds) }, (_, i) => i * stepSeconds);
  const at = (keyFrame: number) => window.key.frames[keyFrame] ?? window.times.length;
  const steps = first.map((from) => {
    const to = Math.min(from + stepSeconds, keyFrames);
    return spanTokens(clip, [from, to], [at(from), at(to)]);
  });
  const answers: Answer[] = [];
  for (const branch of questions) {
    const asked = { ...run, ...(branch === undefined ? {} : { branch }) };
    // The model knows every branch that it is asked about, so none of its answers is null.
    const [rating, ...parts] = (await clocked('language', () =>
      rateSpans(omni, [clip, ...steps], asked),
    )) as Rating[];
    answers.push({
      rating: rating!,
      steps: whole
        ? [{ start: window.times[0]!, end: window.end, score: clampScore(rating!.score * 100) }]
        : first.map((from, i) => ({
            start: window.times[at(from)]!,
            end: window.times[at(from + stepSeconds)] ?? window.end,
            score: clampScore(parts[i]!.score * 100),
          })),
    });
  }
  return answers;
}

/** What the answers to one question come to. */
function verdict(windows: readonly RatedWindow[], question: number) {
  const parts = windows.map(({ start, end, answers }) => {
    const { rating, steps } = answers[question]!;
    // A window of a single frame may have no length; it still counts.
    return { ...rating, steps, weight: Math.max(end - start, 1e-6) };
  });
  const length = parts.reduce((sum, { weight }) => sum + weight, 0);
  const score = clampScore(parts.reduce((sum, { score, weight }) => sum + 100 * score * weight, 0) / length);
  const timeline = parts.flatMap(({ steps }) => steps);
  return { mos: mosOf(score), score, levels: meanLevels(parts), pooling: pool(timeline), timeline };
}

/** Windows repeat what is true of the whole clip: one entry per code, over the whole time it was seen. */
function joined(problems: readonly Problem[]): Problem[] {
  const byCode = new Map<string, Problem>();
  for (const problem of problems) {
    const known = byCode.get(problem.code);
    if (!known) byCode.set(problem.code, problem);
    else if (known.end !== undefined && problem.end !== undefined) {
      byCode.set(problem.code, { ...known, end: Math.max(known.end, problem.end) });
    }
  }
  return [...byCode.values()];
}

const replaced = (path: string) =>
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
  const known = await cache.get(path, content.sha256, model);
  if (known) return { record: known, kept: true };
  const record = await assessVideo(path, model, { ...options, content });
  await cache.put(record, model);
  return { record, kept: false };
}
