/** A second model looks at the windows of an assessed clip that matter most. */
import { clampScore, meanLevels, mosOf } from '../assessment/pooling.ts';
import type { Assessment, Refinement } from '../assessment/record.ts';
import { windowsThatMatter, withRefinements } from '../assessment/refinement.ts';
import { thresholdsOf } from '../model/segments.ts';
import type { Problem, SerializedError } from '../protocol/errors.ts';
import { keyInterval, readFrames } from '../video/frames.ts';
import { fingerprint, probeVideo } from '../video/probe.ts';
import { packetSizes } from '../video/signals.ts';
import { type AssessOptions, assessWindow, clock, replaced } from './assess.ts';
import { framePlan } from './clip.ts';
import { cancelled } from './content.ts';
import type { EngineModel, ModelIdentity } from './models.ts';
import type { Stage, WindowResult } from './windows.ts';

/** How many windows are looked at again where nothing else is said. */
export const refineWindows = 3;

/** Windows of the second model's length, the worst first. */
function chosenWindows({ config }: Pick<EngineModel, 'config'>, record: Assessment, most: number) {
  const { fps } = record.video;
  const windowFrames = framePlan({ config }, { fps }).windowSeconds * keyInterval(fps);
  const seconds = windowFrames / fps;
  return { windowFrames, seconds, chosen: windowsThatMatter(record, seconds, most) };
}

/** Whether a record has already what a model would say of the windows that matter; nothing is loaded to know. */
export function isRefined(
  record: Assessment,
  { revision }: Pick<ModelIdentity, 'revision'>,
  model: Pick<EngineModel, 'config'>,
  most: number,
): boolean {
  const { chosen, seconds } = chosenWindows(model, record, most);
  return chosen.every((index) => saidOf(record, revision, index, seconds) !== undefined);
}

/** What a model said of a window; the times of frames are rounded. */
function saidOf({ refinements }: Assessment, revision: string, index: number, seconds: number) {
  return refinements?.find(
    ({ model, start, end }) =>
      model.revision === revision && start < (index + 0.5) * seconds && end > index * seconds + 1e-3,
  );
}

/** Why a record has nothing of a second model, or not all. */
export function notRefined(second: string, error: SerializedError): Problem {
  const { code, message, next } = error;
  return {
    code: 'not_refined',
    message: `The windows that matter most could not be refined with ${second}: ${message} ${next} (${code})`,
  };
}

export type RefineOptions = Pick<AssessOptions, 'signal' | 'onProgress' | 'onStep' | 'store'> & {
  /** Most windows that are looked at. */
  readonly windows: number;
  /** Told after each window what there is: when the work ends early, that is kept. */
  readonly onRecord?: (record: Assessment) => void;
};

/**
 * Rates the windows of an assessed clip that matter most with another model, the worst first, and puts what it says
 * beside what the record says. Only those windows are decoded.
 *
 * @throws OmniError those of probing and reading, `file_replaced`, `cancelled`, and those of the model's runtime.
 */
export async function refineAssessment(
  path: string,
  record: Assessment,
  model: EngineModel,
  { windows: most, signal, onProgress, onStep, onRecord, store }: RefineOptions,
): Promise<Assessment> {
  const { omni, config } = model;
  const { value: info, problems } = await probeVideo(path, signal ? { signal } : {});
  const { branches, localization } = config.omnivqa;
  const thresholds = localization && thresholdsOf(localization);
  await store?.begin({ info, problems, branches, thresholds });
  const plan = framePlan(model, info);
  const { chosen, windowFrames, seconds } = chosenWindows(model, record, most);
  let packets = store?.packets ?? null;
  if (!packets) {
    // To begin elsewhere than at the start, the reader has to know what lies before; without, it reads all of it.
    packets = await packetSizes(info, signal).catch(() => []);
    if (signal?.aborted) throw cancelled();
    await store?.keepPackets(packets);
  }

  const finished: WindowResult[] = [];
  const said: Refinement[] = [];
  const ordered = () => finished.toSorted((a, b) => a.index - b.index);
  const step = (next: number | undefined) => {
    const state = { windows: ordered(), refined: withRefinements(record, said) };
    onStep?.({
      windows: state.windows,
      current: next === undefined ? null : { start: next * seconds, end: (next + 1) * seconds },
      record: () => state.refined,
    });
    if (said.length > 0) onRecord?.(state.refined);
  };
  const total = Math.min(record.video.frames, chosen.length * windowFrames);
  const progress = (read: number) =>
    onProgress?.({ frames: finished.reduce((sum, { frames }) => sum + frames, read), total });

  for (const index of chosen) {
    step(index);
    if (signal?.aborted) throw cancelled();
    const known = saidOf(record, model.revision, index, seconds);
    if (known) {
      said.push(known);
      continue;
    }
    let result = store?.windows.get(index);
    if (!result) {
      const spent: Record<Stage, number> = { decode: 0, vision: 0, motion: 0, language: 0 };
      const frames = readFrames(info, plan, {
        startWindow: index,
        stopWindow: index + 1,
        packets,
        ...(signal ? { signal } : {}),
        onProgress: progress,
      });
      try {
        const { done, value } = await clock(spent)('decode', () => frames.next());
        if (signal?.aborted) throw cancelled();
        // What the record covers can be read, unless the file is another one by now.
        if (done) throw replaced(path);
        result = await assessWindow(value, model, plan, spent, signal);
      } finally {
        await frames.return(undefined as never);
      }
      if ((await fingerprint(path).catch(() => null)) !== info.fingerprint) throw replaced(path);
      await store?.add(result);
    }
    finished.push(result);
    progress(0);
    const { rating } = result.answers[0]!;
    const score = clampScore(100 * rating.score);
    said.push({
      start: result.start,
      end: result.end,
      mos: mosOf(score),
      score,
      levels: meanLevels([{ levels: rating.levels, weight: 1 }]),
      model: {
        id: model.id,
        revision: model.revision,
        precision: model.precision,
        provider: result.provider ?? omni.choice.provider,
        compiler: model.compiler,
      },
    });
  }
  step(undefined);
  return withRefinements(record, said);
}
