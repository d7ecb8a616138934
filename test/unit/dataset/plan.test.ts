import { describe, expect, it } from 'vitest';
import { drawClip, planClip } from '../../../src/dataset/plan.ts';
import { recipeBook } from '../../../src/dataset/recipes.ts';

const { recipes } = recipeBook;
const source = { width: 962, height: 540, rate: [30_000, 1001], frames: 180 } as const;
const most = Math.max(...recipes.map(({ levels }) => levels.length));
const plans = (count: number, seed = 1, seconds = 5) =>
  Array.from({ length: count }, (_, i) => {
    const draw = drawClip(i, seed, 3, recipes);
    return { draw, clip: planClip(draw, seed, source, recipeBook, seconds)! };
  });

describe('a plan', () => {
  it('gives every source every level of every recipe', () => {
    const seen = plans(3 * recipes.length * most).map(({ draw }) =>
      [draw.source, draw.recipe.id, draw.level].join(),
    );
    const all = [0, 1, 2].flatMap((i) =>
      recipes.flatMap(({ id, levels }) => levels.map((_, l) => [i, id, l].join())),
    );
    expect([...new Set(seen)].sort()).toEqual(all.sort());
  });

  it('gives every source every recipe before one comes again', () => {
    const first = plans(3 * recipes.length).filter(({ draw }) => draw.source === 1);
    expect(new Set(first.map(({ draw }) => draw.recipe.id)).size).toBe(recipes.length);
  });

  it('is the same for the same seed, however many clips are asked for, and another for another', () => {
    expect(plans(40)).toEqual(plans(80).slice(0, 40));
    expect(plans(40, 2)).not.toEqual(plans(40));
  });

  it('keeps spatial distortions to a quarter of the frame and 1 to 3 whole seconds', () => {
    const places = new Set<string>();
    for (const { clip } of plans(600).filter(({ draw }) => draw.recipe.extent === 'region')) {
      const { x, y, width, height, first, end } = clip.local!;
      for (const value of [x, y, width, height]) expect(value % 2).toBe(0);
      expect(x + width).toBeLessThanOrEqual(source.width);
      expect(y + height).toBeLessThanOrEqual(source.height);
      expect((width * height) / (source.width * source.height)).toBeCloseTo(0.25, 2);
      expect([1, 2, 3]).toContain(Math.round((end - first) / 29.97));
      expect(end).toBeLessThanOrEqual(clip.frames);
      const [distortion] = clip.distortions;
      expect(distortion!.start).toBeCloseTo(Math.round(distortion!.start), 1);
      expect(distortion!.region.x).toBe(x / source.width);
      places.add(`${x},${y}`);
    }
    expect(places.size).toBeGreaterThan(30);
  });

  it('repeats seconds that follow each other never', () => {
    for (const { clip, draw } of plans(600).filter(({ draw }) => draw.recipe.extent === 'events')) {
      expect(clip.repeats.length).toBe(clip.level.parameters.events);
      expect(clip.repeats.length).toBeLessThanOrEqual(Math.min(2, draw.level + 1));
      let shown = 0;
      for (const { first, end } of clip.repeats) {
        expect(2 * first - end).toBeGreaterThanOrEqual(shown);
        expect(end - first).toBeGreaterThanOrEqual(29);
        shown = end;
      }
      expect(shown).toBeLessThanOrEqual(clip.frames);
    }
  });

  it('never reads past the end of the source', () => {
    for (const { clip } of plans(300)) {
      expect(Math.ceil(clip.start * (30_000 / 1001)) + clip.frames).toBeLessThanOrEqual(source.frames);
    }
  });

  it.each([
    ['blur', 20, null],
    ['blur', 30, 1],
    ['stutter', 45, null],
    ['stutter', 60, 1],
  ])('%s of a source with %i frames at 30 fps', (id, frames, distortions) => {
    const recipe = recipes.find((one) => one.id === id)!;
    const draw = { index: 0, source: 0, recipe, level: 2 };
    const clip = planClip(draw, 1, { ...source, rate: [30, 1], frames }, recipeBook, 5);
    expect(clip?.distortions.length ?? null).toBe(distortions);
  });
});
