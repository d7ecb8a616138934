import { answerPrompts, type PromptAnswers, type RatingPrompt } from '../model/rating_prompts.ts';
import { refuseKnownNonVideo } from '../video/formats.ts';
import { readFrames } from '../video/frames.ts';
import { probeVideo } from '../video/probe.ts';
import { framePlan, nothingDecoded, windowTokens } from './clip.ts';
import { cancelled } from './content.ts';
import type { EngineModel } from './models.ts';

/**
 * What a model says of the first window of a clip in several prompts; see {@link answerPrompts}.
 *
 * @throws OmniError those of probing, reading and running the model; `cancelled`.
 */
export async function probePrompts(
  path: string,
  model: EngineModel,
  prompts: readonly RatingPrompt[],
  signal: AbortSignal,
): Promise<PromptAnswers> {
  await refuseKnownNonVideo(path);
  const { value: info } = await probeVideo(path, { signal });
  const frames = readFrames(info, framePlan(model, info), { signal });
  try {
    const first = await frames.next();
    if (signal.aborted) throw cancelled();
    if (first.done) throw nothingDecoded(path);
    const clip = await windowTokens(first.value, model, { signal });
    return await answerPrompts(model.omni, clip, prompts, { signal });
  } finally {
    await frames.return(undefined as never);
  }
}
