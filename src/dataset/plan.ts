/**
 * Which clip of which source gets which recipe, where and when. A plan is a pure function of the seed and the facts of
 * the sources: clip n of a seed is the same however many clips are asked for, so that a data set can be made longer.
 */
import { createHash } from 'node:crypto';
import type { Distortion } from '../assessment/record.ts';
import type { Severity } from '../assessment/vocabulary.ts';
import type { Recipe, RecipeBook, RecipeLevel } from './recipes.ts';

/** A source as the plan sees it. */
export interface PlanSource {
  /** Even. */
  readonly width: number;
  readonly height: number;
  /** Frames per second, numerator and denominator. */
  readonly rate: readonly [number, number];
  /** Frames there are. */
  readonly frames: number;
}

/** What is drawn of a clip before its source is looked at. */
export interface Draw {
  readonly index: number;
  /** Index of the source. */
  readonly source: number;
  readonly recipe: Recipe;
  /** Index of the level. */
  readonly level: number;
}

export interface PlannedClip {
  readonly recipe: Recipe;
  readonly level: RecipeLevel;
  /** For filters that make noise. */
  readonly seed: number;
  /** Seconds of the source that the clip begins after, whole. */
  readonly start: number;
  readonly frames: number;
  readonly local: {
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
    readonly first: number;
    readonly end: number;
  } | null;
  readonly repeats: readonly { readonly first: number; readonly end: number }[];
  /** What there is to be found in the clip. */
  readonly distortions: readonly TrueDistortion[];
}

/** A distortion that was put there, in the record's words; severity null where the recipe has rungs instead. */
export type TrueDistortion = Omit<Distortion, 'score' | 'severity'> & { readonly severity: Severity | null };

/**
 * Values that depend on the seed, the clip and their own name alone: a draw that is added later changes no other.
 * SHA-256 in the place of a generator makes them the same on every machine.
 */
class Draws {
  readonly #key: string;

  constructor(seed: number, key: string) {
    this.#key = `${seed}:${key}`;
  }

  /** A whole number from `low` to `high`, both included. */
  integer(name: string, low: number, high: number): number {
    const hash = createHash('sha256').update(`${this.#key}:${name}`).digest();
    return low + Math.floor((hash.readUIntBE(0, 6) / 2 ** 48) * (high - low + 1));
  }

  /** The numbers below `count`, shuffled (Fisher and Yates). */
  order(name: string, count: number): number[] {
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i -= 1) {
      const j = this.integer(`${name}:${i}`, 0, i);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }
}

/**
 * Clip `index` of a data set: the sources take turns, each goes through the recipes in an order of its own, and a
 * recipe that comes again comes with the next of its levels.
 */
export function drawClip(index: number, seed: number, sources: number, recipes: readonly Recipe[]): Draw {
  const source = index % sources;
  const turn = Math.floor(index / sources);
  const draws = new Draws(seed, `source ${source}`);
  const recipe = recipes[draws.order('recipes', recipes.length)[turn % recipes.length]!]!;
  const round = Math.floor(turn / recipes.length);
  const level = (draws.integer(recipe.id, 0, recipe.levels.length - 1) + round) % recipe.levels.length;
  return { index, source, recipe, level };
}

/**
 * The place and time of a drawn clip, at most `seconds` long.
 *
 * Stutter that does not fit, two seconds per event, gets the level with the most events that do.
 *
 * @returns null where the source is too short: a whole second, two for stutter
 */
export function planClip(
  { index, recipe, level: drawn }: Draw,
  seed: number,
  source: PlanSource,
  { region }: RecipeBook,
  seconds: number,
): PlannedClip | null {
  const draws = new Draws(seed, `clip ${index}`);
  const { width, height, rate } = source;
  const perSecond = rate[0] / rate[1];
  const frameAt = (second: number) => Math.round(second * perSecond);
  const there = Math.floor(source.frames / perSecond + 1e-6);
  // At a rate below one frame per second a second may hold no frame at all.
  if (there < 1 || frameAt(1) < 1) return null;
  const length = Math.min(seconds, there);
  const start = draws.integer('start', 0, there - length);
  const frames = Math.min(frameAt(length), source.frames - Math.ceil(start * perSecond - 1e-6));
  const span = (first: number, end: number) => ({ start: first / perSecond, end: end / perSecond });
  const everywhere = { x: 0, y: 0, width: 1, height: 1 };
  let level = recipe.levels[drawn]!;
  let local: PlannedClip['local'] = null;
  let repeats: PlannedClip['repeats'] = [];
  const distortions: TrueDistortion[] = [];

  if (recipe.extent === 'events') {
    const most = Math.floor(length / 2);
    const fitting = recipe.levels.slice(0, drawn + 1).filter(({ parameters }) => parameters.events! <= most);
    if (fitting.length === 0) return null;
    level = fitting.at(-1)!;
    const events = level.parameters.events!;
    // Seconds 1 to length - 1 can be replaced, no two in a row: those left out between them are drawn together.
    const places = Array.from({ length: length - events }, (_, i) => i);
    const chosen = draws
      .order('events', places.length)
      .slice(0, events)
      .sort((a, b) => a - b);
    repeats = chosen
      .map((place, i) => {
        const second = place + i + 1;
        return { first: frameAt(second), end: Math.min(frames, frameAt(second + 1)) };
      })
      // At 29.97 frames per second, seconds are 30 frames or 29; what is repeated must be there.
      .filter(({ first, end }) => end > first && 2 * first - end >= 0);
    for (const { first, end } of repeats) {
      distortions.push({
        type: 'stutter',
        ...span(first, end),
        region: everywhere,
        severity: level.severity ?? null,
      });
    }
  } else if (recipe.extent === 'region') {
    const duration = Math.min(length, draws.integer('duration', ...region.seconds));
    const from = draws.integer('second', 0, length - duration);
    const first = frameAt(from);
    const end = Math.min(frames, frameAt(from + duration));
    const even = (position: number, side: number) => Math.floor((position * side) / region.grid / 2) * 2;
    const [column, row] = [
      draws.integer('column', 0, region.grid - region.cells),
      draws.integer('row', 0, region.grid - region.cells),
    ];
    local = {
      x: even(column, width),
      y: even(row, height),
      width: even(region.cells, width),
      height: even(region.cells, height),
      first,
      end,
    };
    distortions.push({
      type: recipe.type!,
      ...span(first, end),
      region: {
        x: local.x / width,
        y: local.y / height,
        width: local.width / width,
        height: local.height / height,
      },
      severity: level.severity ?? null,
    });
  } else if (recipe.type) {
    distortions.push({
      type: recipe.type,
      ...span(0, frames),
      region: everywhere,
      severity: level.severity ?? null,
    });
  }
  return {
    recipe,
    level,
    seed: draws.integer('noise', 0, 2 ** 31 - 1),
    start,
    frames,
    local,
    repeats,
    distortions,
  };
}
