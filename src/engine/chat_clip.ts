/** The clip's end of a conversation: which frames a question is about, and the model's contexts for them. */
import { Asker } from '../model/asker.ts';
import { Words } from '../model/localizer.ts';
import { type ClipTokens, spanTokens } from '../model/sequence.ts';
import type { Span } from '../protocol/timeline.ts';
import { refuseKnownNonVideo } from '../video/formats.ts';
import { type FrameWindow, keyInterval, keyStep, readFrames } from '../video/frames.ts';
import { fingerprint, probeVideo, type VideoInfo } from '../video/probe.ts';
import { evenKeys, framePlan, nothingDecoded, windowTokens } from './clip.ts';
import { cancelled } from './content.ts';
import type { EngineModel } from './models.ts';

/** What is asked about at once. */
export interface Step extends Span {
  readonly asker: Asker;
  /** Which second of the asker's clip it is, from 1. */
  readonly second: number;
}

export interface ReadSpan {
  readonly info: VideoInfo;
  /** What the frames are of. */
  readonly span: Span;
  readonly keysPerSecond: number;
  readonly steps: readonly Step[];
}

/** Seconds that one question looks at, most. */
export const mostSeconds = 60;
/** Spans up to so many seconds get so many key frames a second, at least. */
const denser: readonly (readonly [number, number])[] = [
  [1.5, 4],
  [3.5, 2],
];
/** Bytes of contexts that one clip may keep between questions. */
const mostBytes = 512 * 2 ** 20;

/** Key frames a second for a span: more where it is short, as far as the frame rate can be divided evenly. */
export function densityFor(seconds: number, fps: number): number {
  return evenKeys(denser.find(([most]) => seconds <= most)?.[1] ?? 1, fps);
}

/** A clip that is asked about; its contexts stay between questions. One call at a time. */
export class ChatClip {
  readonly path: string;
  readonly #model: EngineModel;
  readonly #words: Words | null;
  #info: VideoInfo | null = null;
  #known = new Map<string, Step>();
  /** By density and span: a further question about it reads nothing. */
  #spans = new Map<string, readonly Step[]>();

  constructor(path: string, model: EngineModel) {
    this.path = path;
    this.#model = model;
    const { localization } = model.config.omnivqa;
    this.#words = localization && new Words(model.omni, localization);
  }

  /**
   * Facts of the file. Where it was replaced, what is known of it is forgotten.
   *
   * @throws OmniError those of probing.
   */
  async info(signal?: AbortSignal): Promise<VideoInfo> {
    await refuseKnownNonVideo(this.path);
    const now = await fingerprint(this.path).catch(() => null);
    if (this.#info && this.#info.fingerprint !== now) this.dispose();
    this.#info ??= (await probeVideo(this.path, signal ? { signal } : {})).value;
    return this.#info;
  }

  /**
   * The steps of a span, those of an earlier question as they are.
   *
   * @throws OmniError those of probing, reading and running the model; `cancelled`.
   */
  async read(span: Span, signal?: AbortSignal): Promise<ReadSpan> {
    const info = await this.info(signal);
    const { localization, stepSeconds, windowSeconds } = this.#model.config.omnivqa;
    const single = localization?.scope !== 'window' && Math.min(stepSeconds, windowSeconds) === 1;
    const keysPerSecond = single ? densityFor(span.end - span.start, info.fps) : 1;
    const name = `${keysPerSecond} ${span.start} ${span.end}`;
    const steps: Step[] = [];
    const found = this.#spans.get(name);
    if (found) return { info, span, keysPerSecond, steps: found };
    for await (const { window, keys } of this.#windows(info, span, keysPerSecond, signal)) {
      steps.push(...(await this.#stepsOf(info, span, keysPerSecond, window, keys, signal)));
    }
    if (steps.length === 0) throw nothingDecoded(this.path);
    this.#spans.set(name, steps);
    return { info, span, keysPerSecond, steps };
  }

  /** The tokens of a span as one clip, for a model that is asked in its own words. */
  async clip(span: Span, signal?: AbortSignal): Promise<ClipTokens> {
    const info = await this.info(signal);
    const parts: ClipTokens[] = [];
    for await (const { window, keys } of this.#windows(info, span, 1, signal)) {
      const tokens = await this.#tokens(window, keys, signal);
      const [from, to] = keys;
      const at = (key: number) => window.key.frames[key] ?? window.times.length;
      parts.push(
        spanTokens(tokens, [0, to - from], [at(from), Math.min(at(to), framesBefore(window, span.end))]),
      );
    }
    if (parts.length === 0) throw nothingDecoded(this.path);
    const joined = (all: readonly (Float32Array | null)[]) => {
      const rows = all.flatMap((one) => (one ? [one] : []));
      const whole = new Float32Array(rows.reduce((sum, one) => sum + one.length, 0));
      let at = 0;
      for (const one of rows) {
        whole.set(one, at);
        at += one.length;
      }
      return whole;
    };
    return {
      key: joined(parts.map(({ key }) => key)),
      keyFrames: parts.reduce((sum, { keyFrames }) => sum + keyFrames, 0),
      motion: parts.some(({ motion }) => motion) ? joined(parts.map(({ motion }) => motion)) : null,
      motionFrames: parts.reduce((sum, { motionFrames }) => sum + motionFrames, 0),
    };
  }

  /** Gives back the memory of contexts beyond what may be kept, those that were used least recently first. */
  trim(most = mostBytes): void {
    const askers = [...new Set([...this.#known.values()].map(({ asker }) => asker))];
    let bytes = askers.reduce((sum, asker) => sum + asker.bytes, 0);
    for (const asker of askers) {
      if (bytes <= most) return;
      bytes -= asker.bytes;
      asker.dispose();
    }
  }

  /** Frees the contexts and forgets what was answered. */
  dispose(): void {
    for (const { asker } of this.#known.values()) asker.dispose();
    this.#known = new Map();
    this.#spans = new Map();
    this.#info = null;
  }

  /** The windows that a span touches, with the first and the last (exclusive) of the key frames that lie in it. */
  async *#windows(info: VideoInfo, span: Span, keysPerSecond: number, signal: AbortSignal | undefined) {
    const plan = { ...framePlan(this.#model, info), keysPerSecond };
    const seconds = (plan.windowSeconds * keyInterval(info.fps)) / info.fps;
    const first = Math.floor(span.start / seconds);
    const last = Math.max(first, Math.ceil(span.end / seconds - 1e-6) - 1);
    const frames = readFrames(info, plan, {
      startWindow: first,
      stopWindow: last + 1,
      ...(signal ? { signal } : {}),
    });
    try {
      for (;;) {
        const { done, value: window } = await frames.next();
        if (signal?.aborted) throw cancelled();
        if (done) return;
        const times = [...window.key.frames].map((frame) => window.times[frame]!);
        const slack = 0.5 / info.fps;
        let from = times.findIndex((time) => time >= span.start - slack);
        let to = times.findLastIndex((time) => time < span.end - slack) + 1;
        // A span between two key frames is looked at by the one before it.
        if (from < 0 || to <= from) {
          to = times.findLastIndex((time) => time <= span.start + slack) + 1;
          from = to - 1;
        }
        if (from >= 0) yield { window, keys: [from, to] as const };
      }
    } finally {
      await frames.return(undefined as never);
    }
  }

  /** What the branches make of a window; of its key frames only those that are asked about. */
  #tokens(window: FrameWindow, [from, to]: readonly [number, number], signal: AbortSignal | undefined) {
    const frame = window.key.pixels.length / Math.max(1, window.key.frames.length);
    const key = {
      frames: window.key.frames.subarray(from, to),
      pixels: window.key.pixels.subarray(from * frame, to * frame),
    };
    return windowTokens({ ...window, key }, this.#model, signal ? { signal } : {});
  }

  async #stepsOf(
    info: VideoInfo,
    span: Span,
    keysPerSecond: number,
    window: FrameWindow,
    keys: readonly [number, number],
    signal: AbortSignal | undefined,
  ): Promise<Step[]> {
    const { config, omni } = this.#model;
    const { localization, stepSeconds, windowSeconds } = config.omnivqa;
    const [from, to] = keys;
    const whole = localization?.scope === 'window' || stepSeconds >= windowSeconds;
    const length = whole ? to - from : Math.max(1, stepSeconds);
    const every = keyStep(info.fps, { keysPerSecond });
    const before = framesBefore(window, span.end);
    const names: { name: string; key: number; count: number; last: number }[] = [];
    for (let key = from; key < to; key += length) {
      const count = Math.min(length, to - key);
      const begins = window.key.frames[key]!;
      // A step is as long as it was in training, as far as the span goes.
      const last = Math.min(begins + count * keyInterval(info.fps), before, window.times.length);
      names.push({
        name: `${keysPerSecond} ${window.firstFrame + begins} ${window.firstFrame + last}`,
        key,
        count,
        last,
      });
    }
    const missing = names.filter(({ name }) => !this.#known.has(`${name} 1`));
    const tokens = missing.length > 0 ? await this.#tokens(window, keys, signal) : null;
    return names.flatMap(({ name, key, count, last }) => {
      const begins = window.key.frames[key]!;
      const seconds = localization?.scope === 'window' ? count : 1;
      const known = this.#known.get(`${name} 1`);
      const asker =
        known?.asker ??
        new Asker(omni, spanTokens(tokens!, [key - from, key - from + count], [begins, last]), this.#words);
      return Array.from({ length: seconds }, (_, i) => {
        const at = begins + i * every;
        const next =
          seconds === 1
            ? Math.min(begins + (whole ? count : stepSeconds) * every, last)
            : Math.min(at + every, last);
        const step: Step = {
          start: window.times[at] ?? window.end,
          end: window.times[next] ?? window.end,
          asker,
          second: i + 1,
        };
        const id = `${name} ${i + 1}`;
        // Put last again: what was used longest ago comes first.
        this.#known.delete(id);
        this.#known.set(id, step);
        return step;
      });
    });
  }
}

/** How many of a window's frames are shown before a time. */
function framesBefore({ times }: FrameWindow, time: number): number {
  const at = times.findIndex((one) => one >= time - 1e-6);
  return at < 0 ? times.length : at;
}
