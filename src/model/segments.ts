/** What was said about single steps, joined into distortions. */
import type { Distortion } from '../assessment/record.ts';
import { severities } from '../assessment/vocabulary.ts';
import {
  type Localization,
  type SegmentCalibration,
  type SpatialType,
  spatialTypes,
} from './checkpoint/localization.ts';
import type { Region, StepProbes } from './localizer.ts';

export const wholeFrame: Region = { x: 0, y: 0, width: 1, height: 1 };
/** Places less likely than this are left out of {@link StepProbes.places}. */
export const leastPlace = 1e-3;

/** When probes count as a finding; from the model's calibration. */
export interface Thresholds {
  readonly spatial: number;
  readonly temporal: number;
  /** How runs of steps are judged; without it, single steps are, by `spatial`. */
  readonly segments?: SegmentCalibration | undefined;
}

export function thresholdsOf({ calibration }: Localization): Thresholds {
  return {
    spatial: calibration.spatial.threshold ?? 0.5,
    temporal: calibration.temporal.threshold ?? 0.5,
    segments: calibration.segments,
  };
}

/** A step that is less sure than this has no part in a run. */
const leastSure = 0.3;

/** How sure a step must be that something is wrong in it to be asked where and how severe. */
export const asksDetails = ({ none }: Pick<StepProbes, 'none'>, { spatial }: Thresholds): boolean =>
  // Half the threshold is where a finding may still go on (see `runs`).
  1 - none >= Math.min(leastSure, spatial / 2);

/** One step of a clip with what was said about it. */
export interface ProbedStep {
  /** Seconds of presentation time; `end` is exclusive. */
  readonly start: number;
  readonly end: number;
  readonly probes: StepProbes;
}

/** A run of steps that seem to have the same distortion. */
interface Segment {
  readonly type: SpatialType;
  readonly steps: ProbedStep[];
  /** Summed logarithms of each place's probability, and the place. */
  readonly places: Map<string, { readonly region: Region; sum: number }>;
  entered: boolean;
}

/** How much two places must overlap for one distortion to have both (intersection over union). */
const sameArea = 0.3;

/** Steps touch that are no further apart than this, s: a frame and a half. */
export const stepGap = (fps: number): number => 1.5 / fps;

/**
 * Joins what was said about single steps into distortions that do not overlap, but for stutter.
 *
 * Stutter has no place; how severe it is follows from how long it goes on: one step, two, three or more.
 *
 * @param steps In order. Steps that do not touch (`gap` seconds) are not joined.
 */
export function mergeProbes(steps: readonly ProbedStep[], thresholds: Thresholds, gap = 1e-3): Distortion[] {
  const { spatial, temporal, segments } = thresholds;
  const found = segments ? judged(steps, segments, gap) : runs(steps, spatial, gap);
  found.push(...stutters(steps, temporal, gap));
  return found.sort((a, b) => a.start - b.start || a.end - b.end);
}

/**
 * A run begins and ends where its type is no longer the likeliest, or lies elsewhere; it counts where one of its steps
 * reaches the threshold, and its steps may go down to half of it (hysteresis: a second in between that is less sure
 * does not cut it). Its place is the one with the highest summed log probability, its severity that of the mean
 * distribution, its score the mean probability.
 */
function runs(steps: readonly ProbedStep[], threshold: number, gap: number): Distortion[] {
  const found: Distortion[] = [];
  let open: Segment | null = null;
  const close = () => {
    if (open?.entered) found.push(distortionOf(open));
    open = null;
  };
  for (const step of steps) {
    const { none, types, places } = step.probes;
    const best = likeliest((type) => types[type]);
    const sure = 1 - none;
    if (sure < threshold / 2 || !places) {
      close();
      continue;
    }
    const running: Segment | null = open;
    if (running === null || (running as Segment).type !== best || !joins(running, step, gap)) {
      close();
      open = { type: best, steps: [], places: new Map(), entered: false };
    }
    const segment = open as unknown as Segment;
    segment.steps.push(step);
    segment.entered ||= sure >= threshold;
    addPlaces(segment, places);
  }
  close();
  return found;
}

/** A run that may be a distortion, and what it is judged by. */
export interface Candidate {
  /** Its score is the mean probability of its type. */
  readonly distortion: Distortion;
  readonly features: Readonly<Record<keyof SegmentCalibration['weights'], number>>;
  /** Its steps: the first, and the one after the last. */
  readonly from: number;
  readonly to: number;
}

/** Log odds, of a type against nothing, from which runs are taken for candidates: their own, and against what is usual. */
const levels = [0, 1, 2, 3];
const unusualLevels = [0, 1.5, 3];
/** Steps on either side that are the run's surroundings. */
const reach = 15;
/** Beyond this, in log odds, more contrast says no more. */
const mostContrast = 3;

/**
 * Every run that may be a distortion: of steps of which one type is the likeliest, at one place, at each of some levels of
 * sureness. The type may be the likeliest by itself, or against how likely it is around there anyway: what a model
 * takes a content for all the time does not hide what happens to it for a second.
 */
export function candidates(steps: readonly ProbedStep[], gap: number): Candidate[] {
  const odds = steps.map(({ probes }) => mapTypes((type) => logOdds(probes.types[type], probes.none)));
  const usual = steps.map((_, i) => {
    const around = odds.slice(Math.max(0, i - reach), i + reach + 1);
    return mapTypes((type) => lowerQuartile(around.map((one) => one[type])));
  });
  const kinds = [
    { levels, value: (i: number, type: SpatialType) => odds[i]![type] },
    {
      levels: unusualLevels,
      value: (i: number, type: SpatialType) => 1.5 * odds[i]![type] - usual[i]![type],
    },
  ];
  const found = new Map<string, Candidate>();
  for (const { levels, value } of kinds) {
    const best = steps.map((_, i) => likeliest((type) => value(i, type)));
    for (const level of levels) {
      for (let i = 0; i < steps.length; ) {
        const type = best[i]!;
        const segment: Segment = { type, steps: [], places: new Map(), entered: true };
        const from = i;
        while (
          i < steps.length &&
          1 - steps[i]!.probes.none >= leastSure &&
          best[i] === type &&
          value(i, type) >= level &&
          joins(segment, steps[i]!, gap)
        ) {
          segment.steps.push(steps[i]!);
          addPlaces(segment, steps[i]!.probes.places!);
          i++;
        }
        if (i === from) i++;
        else found.set(`${type} ${from} ${i}`, candidateOf(segment, odds, from, i));
      }
    }
  }
  return [...found.values()];
}

/** Whether a run may go on with a step, or begin with it. */
function joins(segment: Segment, { start, probes }: ProbedStep, gap: number): boolean {
  if (!probes.places) return false;
  const last = segment.steps.at(-1);
  if (!last) return true;
  return start - last.end <= gap && overlap(bestPlace(segment), probes.places[0]!.region) >= sameArea;
}

function candidateOf(
  segment: Segment,
  odds: readonly Readonly<Record<SpatialType, number>>[],
  from: number,
  to: number,
): Candidate {
  const of = (one: Readonly<Record<SpatialType, number>>) => one[segment.type];
  const inside = odds.slice(from, to).map(of);
  const outside = [...odds.slice(Math.max(0, from - reach), from), ...odds.slice(to, to + reach)].map(of);
  const beside = [odds[from - 1], odds[to]].flatMap((one) => (one ? [of(one)] : []));
  const mean = average(inside);
  const alone = outside.length === 0;
  const wholes = segment.steps.map(
    ({ probes }) => probes.places!.find(({ region }) => region.width === 1)?.probability ?? 0,
  );
  return {
    distortion: distortionOf(segment),
    features: {
      mean,
      contrast: alone ? 0 : Math.max(-mostContrast, mean - median(outside)),
      edge: alone
        ? 0
        : Math.max(-mostContrast, Math.min(mostContrast, Math.min(...inside) - Math.max(...beside))),
      alone: alone ? 1 : 0,
      local: 1 - average(wholes),
      length: Math.log(inside.length),
    },
    from,
    to,
  };
}

/** The likeliest candidates that do not overlap, as far as they are likely enough. */
function judged(
  steps: readonly ProbedStep[],
  { threshold, bias, weights }: SegmentCalibration,
  gap: number,
): Distortion[] {
  const names = Object.keys(weights) as (keyof typeof weights)[];
  const scored = candidates(steps, gap)
    .map((one) => {
      const sum = names.reduce((total, name) => total + weights[name] * one.features[name], bias);
      return { ...one, score: 1 / (1 + Math.exp(-sum)) };
    })
    .filter(({ score }) => score >= threshold)
    .sort((a, b) => b.score - a.score);
  const taken = new Uint8Array(steps.length);
  const chosen = scored.filter(({ from, to }) => {
    if (taken.subarray(from, to).includes(1)) return false;
    taken.fill(1, from, to);
    return true;
  });
  return chosen.map(({ distortion, score }) => ({ ...distortion, score }));
}

const mapTypes = <T>(of: (type: SpatialType) => T) =>
  Object.fromEntries(spatialTypes.map((type) => [type, of(type)])) as Record<SpatialType, T>;

/** The type with the largest value; of equals the first. */
export const likeliest = (of: (type: SpatialType) => number): SpatialType =>
  spatialTypes.reduce((a, b) => (of(b) > of(a) ? b : a));

const least = 1e-6;
const logOdds = (probability: number, none: number) =>
  Math.log(Math.max(probability, least) / Math.max(none, least));

const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function lowerQuartile(values: readonly number[]): number {
  return Float64Array.from(values).sort()[Math.floor((values.length - 1) / 4)]!;
}

function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
}

/** Regions by what they are; each is written out once, however many runs it is in and however often a record is made. */
const keys = new WeakMap<Region, string>();

function keyOf(region: Region): string {
  const known = keys.get(region) ?? JSON.stringify(region);
  keys.set(region, known);
  return known;
}

function addPlaces(segment: Segment, places: NonNullable<StepProbes['places']>): void {
  const floor = Math.log(leastPlace);
  const said = new Map(places.map((place) => [keyOf(place.region), place]));
  for (const [key, known] of segment.places) {
    const place = said.get(key);
    known.sum += place ? Math.log(place.probability) : floor;
    said.delete(key);
  }
  for (const [key, { region, probability }] of said) {
    segment.places.set(key, {
      region,
      sum: Math.log(probability) + floor * (segment.steps.length - 1),
    });
  }
}

function bestPlace({ places }: Segment): Region {
  return [...places.values()].reduce((a, b) => (b.sum > a.sum ? b : a)).region;
}

function distortionOf(segment: Segment): Distortion {
  const { type, steps } = segment;
  const mean = (value: (probes: StepProbes) => number) =>
    steps.reduce((sum, { probes }) => sum + value(probes), 0) / steps.length;
  const degrees = [0, 1, 2].map((i) => mean(({ severity }) => severity?.[i] ?? 0));
  return {
    type,
    start: steps[0]!.start,
    end: steps.at(-1)!.end,
    region: clipped(bestPlace(segment)),
    severity: severities[degrees.indexOf(Math.max(...degrees))]!,
    score: Math.min(
      1,
      mean(({ types }) => types[type]),
    ),
  };
}

function stutters(steps: readonly ProbedStep[], threshold: number, gap: number): Distortion[] {
  const found: Distortion[] = [];
  let run: ProbedStep[] = [];
  const chance = ({ probes }: ProbedStep) => probes.stutter ?? 0;
  const close = () => {
    if (run.some((step) => chance(step) >= threshold)) {
      found.push({
        type: 'stutter',
        start: run[0]!.start,
        end: run.at(-1)!.end,
        region: wholeFrame,
        severity: severities[Math.min(run.length, severities.length) - 1]!,
        score: Math.min(1, run.reduce((sum, step) => sum + chance(step), 0) / run.length),
      });
    }
    run = [];
  };
  for (const step of steps) {
    if (run.length > 0 && step.start - run.at(-1)!.end > gap) close();
    // A second of stutter is a second: what is less sure beside it does not lengthen it.
    if (chance(step) >= threshold) run.push(step);
    else close();
  }
  close();
  return found;
}

function overlap(a: Region, b: Region): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / (a.width * a.height + b.width * b.height - shared);
}

function clipped({ x, y, width, height }: Region): Region {
  const bound = (value: number) => Math.min(1, Math.max(0, value));
  const [left, top] = [bound(x), bound(y)];
  return { x: left, y: top, width: bound(x + width) - left, height: bound(y + height) - top };
}
