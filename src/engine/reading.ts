import { type FramePlan, type FrameWindow, keyInterval, readFrames } from '../video/frames.ts';
import type { VideoInfo } from '../video/probe.ts';
import type { ReadEnd } from './windows.ts';

export interface ReadWindowsOptions {
  /** Index of the first window to read. */
  readonly start: number;
  /** Index of the window to stop before; Infinity reads to the end of the clip. */
  readonly stop: number;
  readonly signal?: AbortSignal | undefined;
  /** Told the number of frames read so far, from the first window on. */
  readonly onProgress?: (frames: number) => void;
}

/**
 * Reads some of a clip's windows: the same ones, with the same pixels and times, as if all of it were read.
 *
 * @returns What was found out about the clip, where its end was reached; otherwise undefined.
 * @throws OmniError as `readFrames`.
 */
export async function* readWindows(
  info: VideoInfo,
  plan: FramePlan,
  { start, stop, signal, onProgress }: ReadWindowsOptions,
): AsyncGenerator<FrameWindow, ReadEnd | undefined> {
  const before = start * plan.windowSeconds * keyInterval(info.fps);
  const frames = readFrames(info, plan, {
    ...(signal ? { signal } : {}),
    onProgress: (read) => read > before && onProgress?.(read - before),
  });
  let count = 0;
  try {
    while (count < stop) {
      const { done, value } = await frames.next();
      if (done) return { windows: count, vfr: value.vfr, problems: value.problems };
      count = value.index + 1;
      if (value.index >= start) yield value;
    }
    return undefined;
  } finally {
    await frames.return(undefined as never);
  }
}
