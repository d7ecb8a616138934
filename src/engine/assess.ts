import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { clampScore, meanLevels, mergeSpans, mosOf, pool, type ScoredSpan } from '../assessment/pooling.ts';
import { type Assessment, schemaId } from '../assessment/record.ts';
import { type Rating, rateSpans } from '../model/rater.ts';
import { spanTokens } from '../model/sequence.ts';
import { OmniError, type Problem } from '../protocol/errors.ts';
import { type FrameWindow, readFrames } from '../video/frames.ts';
import { probeVideo } from '../video/probe.ts';
import { packetSizes, SignalCollector } from '../video/signals.ts';
import { framePlan, nothingDecoded, windowTokens } from './clip.ts';
import type { EngineModel } from './models.ts';

export interface AssessProgress {
  readonly frames: number;
  /** Frames in all, as the container claims; null where it does not say. */
  readonly total: number | null;
}

export interface AssessOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: AssessProgress) => void;
}

/**
 * Assesses one clip: one decode, in windows of `window_seconds`; each window is rated as a clip of its own, and each
 * `step_seconds` of it for the timeline where the model's steps are shorter than its windows.
 *
 * The clip's score is the mean of its windows' scores, and its levels the mean of their levels, weighted by their
 * length: a window is what the model was trained to rate. Pooling statistics are those of the timeline.
 *
 * Cancelling after the first window gives what is finished, with status `cancelled`.
 *
 * @throws OmniError those of probing and reading, `file_replaced`, `cancelled`, and those of the model's runtime.
 */
export async function assessVideo(
  path: string,
  model: EngineModel,
  options: AssessOptions = {},
): Promise<Assessment> {
  const { signal, onProgress } = options;
  const started = performance.now();
  const { omni } = model;
  const { value: info, problems } = await probeVideo(path, signal ? { signal } : {});
  const hashing = sha256OfFile(path, signal);
  const sizing = packetSizes(info, signal);
  // Looked at only after the frames: until then a failure of theirs must not end the process.
  for (const later of [hashing, sizing]) later.catch(() => undefined);

  const plan = framePlan(model);
  const spent = { decode: 0, vision: 0, motion: 0, language: 0 };
  const clocked = async <T>(stage: keyof typeof spent, work: () => Promise<T>): Promise<T> => {
    const from = performance.now();
    try {
      return await work();
    } finally {
      spent[stage] += (performance.now() - from) / 1000;
    }
  };

  const signals = new SignalCollector();
  const timeline: ScoredSpan[] = [];
  const windows: { readonly rating: Rating; readonly span: readonly [number, number] }[] = [];
  const found = [...problems];
  let cancelled = false;
  const frames = readFrames(info, plan, {
    ...(signal ? { signal } : {}),
    onProgress: (done) => onProgress?.({ frames: done, total: info.frames }),
  });
  try {
    for (;;) {
      const next = await clocked('decode', () => frames.next());
      if (next.done) {
        found.push(...next.value.problems);
        break;
      }
      const window = next.value;
      signals.add(window, plan.motionSize);
      const { rating, steps } = await rateWindow(window, model, clocked, signal);
      windows.push({ rating, span: [window.times[0]!, window.end] });
      timeline.push(...steps);
      for (const problem of rating.problems)
        found.push({ ...problem, start: window.times[0]!, end: window.end });
    }
  } catch (error) {
    if (!OmniError.is(error, 'cancelled') || windows.length === 0) throw error;
    cancelled = true;
  } finally {
    await frames.return(undefined as never);
  }
  if (windows.length === 0) throw nothingDecoded(path);

  const coverage = mergeSpans(
    windows.map(({ span }) => span),
    1 / info.fps,
  );
  const weighted = windows.map(({ rating, span: [start, end] }) => ({
    levels: rating.levels,
    weight: Math.max(end - start, 1e-6),
    score: rating.score * 100,
  }));
  const length = weighted.reduce((sum, { weight }) => sum + weight, 0);
  const score = clampScore(weighted.reduce((sum, { score, weight }) => sum + score * weight, 0) / length);
  const incomplete = found.some(({ code }) => code === 'truncated' || code === 'decode_errors');
  return {
    schema: schemaId,
    video: {
      path,
      sha256: cancelled ? await hashing.catch(() => null) : await hashing,
      container: info.container,
      codec: info.codec,
      profile: info.profile,
      pixelFormat: info.pixelFormat,
      width: info.width,
      height: info.height,
      fps: info.fps,
      vfr: info.vfr,
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
    status: cancelled ? 'cancelled' : incomplete ? 'partial' : 'complete',
    coverage,
    mos: mosOf(score),
    score,
    levels: meanLevels(weighted),
    branches: { technical: null, aesthetic: null },
    pooling: pool(timeline),
    timeline,
    distortions: null,
    signals: signals.finish(await sizing.catch(() => [])),
    problems: dedupe(found),
    timing: { wall: (performance.now() - started) / 1000, ...spent },
  };
}

async function rateWindow(
  window: FrameWindow,
  model: EngineModel,
  clocked: <T>(stage: 'vision' | 'motion' | 'language', work: () => Promise<T>) => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<{ rating: Rating; steps: ScoredSpan[] }> {
  const { omni, config } = model;
  const run = signal ? { signal } : {};
  const clip = await windowTokens(window, model, run, clocked);
  const { keyFrames } = clip;
  const end = window.end;
  const { stepSeconds, windowSeconds } = config.omnivqa;
  return clocked('language', async () => {
    if (stepSeconds >= windowSeconds || keyFrames <= stepSeconds) {
      const [rating] = (await rateSpans(omni, [clip], run)) as [Rating];
      return { rating, steps: [{ start: window.times[0]!, end, score: rating.score * 100 }] };
    }
    // Key frames are one per second: a step is that many of them and the motion frames up to the next.
    const first = Array.from({ length: Math.ceil(keyFrames / stepSeconds) }, (_, i) => i * stepSeconds);
    const at = (keyFrame: number) => window.key.frames[keyFrame] ?? window.times.length;
    const spans = first.map((from) => {
      const to = Math.min(from + stepSeconds, keyFrames);
      return spanTokens(clip, [from, to], [at(from), at(to)]);
    });
    const [rating, ...parts] = (await rateSpans(omni, [clip, ...spans], run)) as Rating[];
    const steps = first.map((from, i) => ({
      start: window.times[at(from)]!,
      end: window.times[at(from + stepSeconds)] ?? end,
      score: parts[i]!.score * 100,
    }));
    return { rating: rating!, steps };
  });
}

/** Windows repeat what is true of the whole clip: one entry per code, over the whole time it was seen. */
function dedupe(problems: readonly Problem[]): Problem[] {
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

/** SHA-256 of a file, read in pieces. */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const stream = createReadStream(resolve(path), { highWaterMark: 2 ** 20, ...(signal ? { signal } : {}) });
  for await (const chunk of stream) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
