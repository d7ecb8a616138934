/** What a model says of one window. */
import { clampScore } from '../assessment/pooling.ts';
import { askSpans } from '../model/localizer.ts';
import { type Rating, rateSpans } from '../model/rater.ts';
import type { ProbedStep } from '../model/segments.ts';
import { type ClipTokens, everyNthKey, spanTokens } from '../model/sequence.ts';
import type { FrameWindow } from '../video/frames.ts';
import { windowTokens } from './clip.ts';
import type { EngineModel } from './models.ts';
import type { Answer, Stage, WindowResult } from './windows.ts';

export type Clocked = <T>(stage: Stage, work: () => Promise<T>) => Promise<T>;

/**
 * Asks every question about a window and about its steps.
 *
 * A model is trained on one key frame a second. Where a window has more of them, those at the same place in their
 * seconds are rated together, and the window's rating is the mean: what one frame shows by chance counts less. What is
 * wrong is asked of the first alone.
 *
 * @param questions Branches; undefined asks for the overall quality.
 * @param rater What rates it; what is wrong is asked of `model`.
 */
export async function rateWindow(
  window: Pick<FrameWindow, 'times' | 'end' | 'key' | 'motion'>,
  model: EngineModel,
  questions: readonly (string | undefined)[],
  clocked: Clocked,
  signal: AbortSignal | undefined,
  keysPerSecond = 1,
  rater = model,
): Promise<Pick<WindowResult, 'answers' | 'probes'>> {
  const { config } = model;
  const run = signal ? { signal } : {};
  const all = await windowTokens(window, rater, run, clocked);
  const phases =
    keysPerSecond > 1
      ? Array.from({ length: keysPerSecond }, (_, i) => everyNthKey(all, keysPerSecond, i))
      : [all];
  const { stepSeconds, windowSeconds, localization } = config.omnivqa;
  const { keyFrames } = phases[0]!;
  const whole = stepSeconds >= windowSeconds || keyFrames <= stepSeconds;
  // Key frames are one per second: a step is that many of them, and the motion frames up to the next.
  const first = whole
    ? []
    : Array.from({ length: Math.ceil(keyFrames / stepSeconds) }, (_, i) => i * stepSeconds);
  const at = (keyFrame: number) => window.key.frames[keyFrame * keysPerSecond] ?? window.times.length;
  const spansOf = (part: ClipTokens): ClipTokens[] => {
    const steps = first.filter((from) => from < part.keyFrames);
    const span = (from: number): ClipTokens => {
      const to = Math.min(from + stepSeconds, keyFrames);
      return spanTokens(part, [from, to], [at(from), at(to)]);
    };
    return [part, ...steps.map(span)];
  };
  const stepTimes = whole
    ? [{ start: window.times[0]!, end: window.end }]
    : first.map((from) => ({
        start: window.times[at(from)]!,
        end: window.times[at(from + stepSeconds)] ?? window.end,
      }));
  const askedOf =
    rater === model || !localization
      ? phases[0]!
      : await windowTokens(
          { ...window, key: everyNthPicture(window.key, keysPerSecond) },
          model,
          run,
          clocked,
        );
  const asked = spansOf(askedOf);
  // Seconds of each span that are asked about: of every step alone, or all of them of the whole window.
  const seconds = asked.map(({ keyFrames }, i) => {
    const about = localization?.scope === 'window' || whole ? i === 0 : i > 0;
    return localization && about ? keyFrames : 0;
  });

  const probedTimes =
    localization?.scope === 'step'
      ? stepTimes
      : Array.from({ length: keyFrames }, (_, i) => ({
          start: window.times[at(i)]!,
          end: window.times[at(i + 1)] ?? window.end,
        }));

  const answers: Answer[] = [];
  let probes: ProbedStep[] | null = null;
  for (const [number, branch] of questions.entries()) {
    const options = { ...run, ...(branch === undefined ? {} : { branch }) };
    // What is wrong where does not depend on the branch: it is asked once.
    const probed = number === 0 && localization !== null;
    const ratings: (readonly (Rating | null)[])[] = [];
    if (rater === model || probed) {
      const said = await clocked('language', () =>
        askSpans(model.omni, asked, { ...options, seconds: probed ? seconds : [] }),
      );
      if (rater === model) ratings.push(said.map(({ rating }) => rating));
      if (probed) {
        probes = said
          .flatMap((one) => one.probes ?? [])
          .map((one, i) => ({ ...probedTimes[i]!, probes: one }));
      }
    }
    for (const part of rater === model ? phases.slice(1) : phases) {
      if (part.keyFrames === 0) continue;
      ratings.push(await clocked('language', () => rateSpans(rater.omni, spansOf(part), options)));
    }
    // The model knows every branch that it is asked about, so none of its answers is null.
    const [rating, ...parts] = asked.map((_, i) => meanRating(ratings.flatMap((one) => one[i] ?? [])));
    const scored = whole ? [rating!] : parts;
    answers.push({
      rating: rating!,
      steps: stepTimes.map((span, i) => ({ ...span, score: clampScore(scored[i]!.score * 100) })),
    });
  }
  return { answers, probes };
}

/** The first of every `n` key frames. */
function everyNthPicture({ frames, pixels }: FrameWindow['key'], n: number): FrameWindow['key'] {
  if (n === 1) return { frames, pixels };
  const bytes = pixels.length / frames.length;
  const kept = frames.filter((_, i) => i % n === 0);
  const chosen = new Uint8Array(kept.length * bytes);
  for (let i = 0; i < kept.length; i++)
    chosen.set(pixels.subarray(i * n * bytes, (i * n + 1) * bytes), i * bytes);
  return { frames: kept, pixels: chosen };
}

/** What several ratings of one span come to. */
function meanRating(ratings: readonly Rating[]): Rating {
  const mean = (of: (rating: Rating) => number) =>
    ratings.reduce((sum, rating) => sum + of(rating), 0) / ratings.length;
  const { levels, problems } = ratings[0]!;
  return {
    levels: levels.map((_, i) => mean((one) => one.levels[i]!)),
    score: mean((one) => one.score),
    problems,
  };
}
