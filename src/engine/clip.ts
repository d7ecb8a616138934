import type { OmniModel } from '../model/runtime/model.ts';
import type { ClipTokens } from '../model/sequence.ts';
import { OmniError, type Problem } from '../protocol/errors.ts';
import { type FramePlan, type FrameWindow, keyInterval, readFrames } from '../video/frames.ts';
import { probeVideo, type VideoInfo } from '../video/probe.ts';
import type { AssessOptions } from './assess.ts';
import { cancelled } from './content.ts';
import type { EngineModel } from './models.ts';

/** Side of the motion frames where a model has no motion branch: the measured signals need some. */
const signalSize = 48;

/**
 * What a model asks the frame reader for.
 *
 * @param seconds Length of a window; a shorter one is taken where the motion branch has no positions for as many
 *   frames (SlowFast's pathway here: 2,000, which is 10 s at up to 200 fps).
 */
export function framePlan(
  { config }: Pick<EngineModel, 'config'>,
  { fps }: Pick<VideoInfo, 'fps'>,
  seconds = config.omnivqa.windowSeconds,
): FramePlan {
  const most = config.motion ? Math.floor(config.motion.maxPositions / keyInterval(fps)) : seconds;
  return {
    views: config.vision.views.map((view) => ({ ...view, size: config.vision.imageSize })),
    motionSize: config.motion?.imageSize ?? signalSize,
    windowSeconds: Math.max(1, Math.min(seconds, most)),
  };
}

/** More key frames a second than this are not taken, whatever divides the frame rate. */
const mostKeys = 6;

/** Key frames a second: as many as wanted, or the next number that divides the frame rate evenly; else one. */
export function evenKeys(wanted: number, fps: number): number {
  const frames = keyInterval(fps);
  for (let keys = Math.min(wanted, mostKeys); keys <= mostKeys; keys++) if (frames % keys === 0) return keys;
  return 1;
}

/** How many seconds of a clip a conversation can be about: what the context holds, and the clip has. */
function chatSeconds({ config }: EngineModel, { fps, duration }: VideoInfo): number {
  const positions = Math.min(config.tokenizerModelMaxLength, config.maxPositionEmbeddings);
  const held = positions / (config.tokensPerFrame + (config.motion ? fps : 0));
  return Math.max(1, Math.ceil(Math.min(held, duration ?? held)));
}

export function nothingDecoded(path: string): OmniError {
  return new OmniError(
    'nothing_decoded',
    `No frame of ${path} could be decoded.`,
    'Play the file to see whether it is damaged; if it plays, update ffmpeg.',
    { path },
  );
}

/** Runs one stage of the work, and may take its time. */
export type Clocked = <T>(stage: 'vision' | 'motion', work: () => Promise<T>) => Promise<T>;

/** Tokens of a window's key frames: those that were made while it was read, and the rest's. */
async function keyTokens(
  { frames, pixels, made = [] }: FrameWindow['key'],
  omni: OmniModel,
  run: { readonly signal?: AbortSignal },
): Promise<Float32Array> {
  if (made.length === 0) return omni.vision(pixels, frames.length, run);
  const parts = await Promise.all(made);
  const left = frames.length - made.length;
  const read = (pixels.length / frames.length) * made.length;
  if (left > 0) parts.push(await omni.vision(pixels.subarray(read), left, run));
  const tokens = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    tokens.set(part, at);
    at += part.length;
  }
  return tokens;
}

/** What the vision and motion branches make of a window, which is a clip of its own to the model. */
export async function windowTokens(
  window: Pick<FrameWindow, 'times' | 'key' | 'motion'>,
  { omni, config }: EngineModel,
  run: { readonly signal?: AbortSignal } = {},
  clocked: Clocked = (_, work) => work(),
): Promise<ClipTokens> {
  const keyFrames = window.key.frames.length;
  const key = await clocked('vision', () => keyTokens(window.key, omni, run));
  const motionFrames = omni.motionFrames(window.times.length);
  const side = config.motion?.imageSize ?? 0;
  const pixels = window.motion.subarray(0, motionFrames * side * side * 3);
  const motion =
    motionFrames > 0 ? await clocked('motion', () => omni.motion(pixels, motionFrames, run)) : null;
  return { key, keyFrames, motion, motionFrames };
}

/**
 * The tokens of a clip, or of as much of its beginning as the model can take, for a conversation about it.
 *
 * @returns `span`: the seconds that were read; a longer clip has a problem `only_beginning`.
 * @throws OmniError those of probing, reading and running the model.
 */
export async function clipTokens(
  path: string,
  model: EngineModel,
  { signal, onProgress }: AssessOptions = {},
): Promise<{ clip: ClipTokens; problems: Problem[]; span: number }> {
  const run = signal ? { signal } : {};
  const { value: info, problems } = await probeVideo(path, run);
  const plan = framePlan(model, info, chatSeconds(model, info));
  const total = Math.round(Math.min(plan.windowSeconds, info.duration ?? plan.windowSeconds) * info.fps);
  const frames = readFrames(info, plan, {
    ...run,
    onProgress: (done) => onProgress?.({ frames: done, total }),
  });
  try {
    const first = await frames.next();
    if (signal?.aborted) throw cancelled();
    if (first.done) throw nothingDecoded(path);
    const window = first.value;
    const clip = await windowTokens(window, model, run);
    if (info.duration !== null && info.duration > window.end + 1) {
      problems.push({
        code: 'only_beginning',
        message: `The conversation is about the first ${window.end.toFixed(1)} s of ${info.duration.toFixed(1)} s.`,
        start: 0,
        end: window.end,
      });
    }
    return { clip, problems, span: window.end };
  } finally {
    await frames.return(undefined as never);
  }
}
