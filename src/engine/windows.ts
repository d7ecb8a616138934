/** From what is known of a clip's windows to its record. Pure: a window that was kept and read again counts the same. */
import { clampScore, meanLevels, mergeSpans, mosOf, pool, type ScoredSpan } from '../assessment/pooling.ts';
import type { Assessment } from '../assessment/record.ts';
import { schemaId } from '../assessment/vocabulary.ts';
import type { Rating } from '../model/rater.ts';
import { mergeProbes, type ProbedStep, stepGap, type Thresholds } from '../model/segments.ts';
import type { OmniError, Problem } from '../protocol/errors.ts';
import { clipFindings, type WindowFindings } from '../video/frames.ts';
import type { VideoInfo } from '../video/probe.ts';
import { type Packet, signalsOf, type WindowSignals } from '../video/signals.ts';

/** Stages of the work that the record's `timing` tells apart. */
export type Stage = 'decode' | 'vision' | 'motion' | 'language';

/** Seconds. */
export type Spent = Readonly<Record<Stage, number>>;

export const totalSpent = ({ decode, vision, motion, language }: Spent): number =>
  decode + vision + motion + language;

/** What was answered about a window, and about each of its steps. */
export interface Answer {
  readonly rating: Rating;
  readonly steps: readonly ScoredSpan[];
}

/** All that a record takes from one window: plain JSON, so that it can be kept in a journal. */
export interface WindowResult {
  readonly index: number;
  /** Seconds of presentation time; `end` is exclusive. */
  readonly start: number;
  readonly end: number;
  /** Index of its first frame in the clip. */
  readonly firstFrame: number;
  readonly frames: number;
  /** One per question, see {@link questionsOf}. */
  readonly answers: readonly Answer[];
  /** What is wrong in each of its steps; null where the model was not trained to say. */
  readonly probes: readonly ProbedStep[] | null;
  readonly signals: WindowSignals;
  readonly findings: WindowFindings;
  readonly problems: readonly Problem[];
  readonly spent: Spent;
  /** What it was computed on, where that is not what the others of its journal are computed on. */
  readonly provider?: string;
}

/** What the reader said when it had come to the end of the clip. */
export interface ReadEnd {
  /** How many windows the clip has. */
  readonly windows: number;
  /** How the frames had to be converted. */
  readonly conversions: readonly Problem[];
}

/** What a record says of a clip and its model whatever the windows say. */
export interface ClipFacts {
  /** As the user gave it. */
  readonly path: string;
  readonly sha256: string | null;
  readonly info: VideoInfo;
  /** Of the probe. */
  readonly problems: readonly Problem[];
  readonly model: Assessment['model'];
  /** The branches that the model knows. */
  readonly branches: readonly string[];
  /** When the model's probes count as a finding; null where it was not trained to be asked. */
  readonly thresholds: Thresholds | null;
}

/** How far the work has come. */
export interface WorkState {
  /** null as long as the end of the clip was not reached. */
  readonly end: ReadEnd | null;
  /** Empty where the packets could not be read, or are not known yet. */
  readonly packets: readonly Packet[];
  /** Why the work ended before the clip did; null while it goes on, and where it is done. */
  readonly stopped: OmniError | null;
  /** Seconds. */
  readonly wall: number;
}

/** Problems that mean that something of the clip was not seen. */
const incomplete = new Set([
  'truncated',
  'decode_errors',
  'clip_truncated',
  'motion_truncated',
  'stopped_early',
]);

/** What a model is asked about each window: branches, undefined for the overall quality, which comes first. */
export function questionsOf(branches: readonly string[]): readonly (string | undefined)[] {
  return branches.length > 1 ? [undefined, ...branches] : [undefined];
}

/**
 * The record of those windows that are finished: all of a clip's, or any of them.
 *
 * The clip's score is the mean of its windows' scores, and its levels the mean of their levels, weighted by their
 * length: a window is what the model was trained to rate. Pooling statistics are those of the timeline.
 *
 * @param windows One or more, in order, none twice.
 */
export function compose(facts: ClipFacts, windows: readonly WindowResult[], state: WorkState): Assessment {
  const { info, branches } = facts;
  const questions = questionsOf(branches);
  const found = [...facts.problems, ...windows.flatMap(({ problems }) => problems)];
  const last = windows.at(-1)!;
  const atEnd = state.end !== null && last.index === state.end.windows - 1;
  const reached = atEnd ? { end: last.end, frames: last.firstFrame + last.frames } : null;
  const { vfr, problems } = clipFindings(info, windows, reached);
  found.push(...(state.end?.conversions ?? []), ...problems);
  const { stopped } = state;
  if (stopped && stopped.code !== 'cancelled') {
    const message = `${stopped.message} (${stopped.code}) The windows before it are kept.`;
    found.push({ code: 'stopped_early', message, start: last.end });
  }
  const elsewhere = windows.filter(
    ({ provider = facts.model.provider }) => provider !== facts.model.provider,
  );
  if (elsewhere.length > 0) {
    const others = [...new Set(elsewhere.map(({ provider }) => provider))].join(', ');
    const rest = elsewhere.length === windows.length ? '' : `; the others on ${facts.model.provider}`;
    found.push({
      code: 'device_changed',
      message: `${elsewhere.length} of ${windows.length} windows were computed on ${others}${rest}.`,
      start: elsewhere[0]!.start,
      end: elsewhere.at(-1)!.end,
    });
  }
  const whole = state.end !== null && windows.length === state.end.windows;
  const { timeline, ...overall } = verdict(windows, 0);
  const branch = (name: string) => {
    if (!branches.includes(name)) return null;
    const { timeline: _, ...figures } = verdict(windows, Math.max(0, questions.indexOf(name)));
    return figures;
  };
  const spent = (stage: Stage) => windows.reduce((sum, window) => sum + window.spent[stage], 0);
  return {
    schema: schemaId,
    video: {
      path: facts.path,
      sha256: facts.sha256,
      container: info.container,
      codec: info.codec,
      profile: info.profile,
      pixelFormat: info.pixelFormat,
      width: info.width,
      height: info.height,
      fps: info.fps,
      vfr: info.vfr || vfr,
      frames: windows.reduce((sum, { frames }) => sum + frames, 0),
      duration: info.duration,
      bitrate: info.bitrate,
      color: info.color,
      rotation: info.rotation,
      interlaced: info.interlaced,
    },
    model: facts.model,
    status:
      stopped?.code === 'cancelled'
        ? 'cancelled'
        : !whole || found.some(({ code }) => incomplete.has(code))
          ? 'partial'
          : 'complete',
    coverage: mergeSpans(
      windows.map(({ start, end }) => [start, end]),
      1 / info.fps,
    ),
    ...overall,
    branches: { technical: branch('technical'), aesthetic: branch('aesthetic') },
    timeline,
    distortions:
      facts.thresholds &&
      mergeProbes(
        windows.flatMap(({ probes }) => probes ?? []),
        facts.thresholds,
        stepGap(info.fps),
      ),
    signals: signalsOf(windows, state.packets),
    problems: joined(found),
    timing: {
      wall: state.wall,
      decode: spent('decode'),
      vision: spent('vision'),
      motion: spent('motion'),
      language: spent('language'),
    },
  };
}

/** What the answers to one question come to. */
function verdict(windows: readonly WindowResult[], question: number) {
  const parts = windows.map(({ start, end, answers }) => {
    const { rating, steps } = answers[question]!;
    // A window of a single frame may have no length; it still counts.
    return { ...rating, steps, weight: Math.max(end - start, 1e-6) };
  });
  const length = parts.reduce((sum, { weight }) => sum + weight, 0);
  // Of a single window it is that window's own, to the last bit.
  const score = clampScore(
    parts.reduce((sum, { score, weight }) => sum + 100 * score * (weight / length), 0),
  );
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
