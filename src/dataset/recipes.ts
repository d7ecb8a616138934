/**
 * The recipe book: what is done to a pristine clip, as data. `recipes.json` is the only place where a distortion is
 * defined; this reader, the renderer (`src/video/degrade.ts`) and the Python training read the same file.
 *
 * **A recipe** is a list of `steps`, each an ffmpeg filter or an encoder with its options, applied in order to a clip of
 * 8-bit 4:2:0 in limited range. `{name}` in a step is replaced by the level's parameter of that name, or by one of:
 *
 * | name | value |
 * |---|---|
 * | `seed` | drawn per clip, 0 to 2³¹ − 1 |
 * | `width`, `height` | of the clip, px |
 * | `rate` | frames per second, as a fraction (`30000/1001`) |
 * | `last` | number of the clip's last frame, from 0 |
 * | `bitrate` | `bitsPerPixel` · width · height · rate, bit/s |
 * | `peak`, `buffer` | 1.5 and 2 times the bit rate: VBV's highest rate and size (ITU-T H.264 annex C) |
 *
 * Parameters named in `scaled` are lengths in pixels of a picture whose shorter side has `referenceSide` px; they grow
 * with the picture, so that one level looks the same at every resolution.
 *
 * **Extent.** `region`: the paper's in-context distortions (arXiv 2505.22543): a rectangle of `cells` × `cells` of
 * `grid` × `grid`, a quarter of the frame, for `seconds` (lowest, highest) whole seconds from a whole second. `clip`: the
 * whole frame from beginning to end. `events`: stutter, `events` times: the frames of one second are shown again in the
 * place of the next second's.
 *
 * **Levels** go from the mildest to the strongest. Those of the `in-context` set carry the record's three severities,
 * chosen so that a full-reference metric separates them on every kind of content (`training/RECIPES.md`). Those of the
 * `pipelines` set, what real encoders and tool chains do, are rungs of a ladder.
 */
import { type Static, Type } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { distortionTypes, severities } from '../assessment/vocabulary.ts';
import { OmniError } from '../protocol/errors.ts';
import book from './recipes.json' with { type: 'json' };

const strict = { additionalProperties: false };
const Step = Type.Union([
  Type.Object({ filter: Type.String({ description: 'An ffmpeg filter, or a chain of them.' }) }, strict),
  Type.Object(
    {
      encoder: Type.String({ description: "ffmpeg's name of an encoder." }),
      options: Type.Array(Type.String(), { description: 'Its options, as arguments.' }),
    },
    strict,
  ),
]);

const Level = Type.Object(
  {
    severity: Type.Optional(Type.Enum(severities)),
    parameters: Type.Record(Type.String({ pattern: '^[a-z][A-Za-z]*$' }), Type.Number()),
  },
  strict,
);

const Recipe = Type.Object(
  {
    id: Type.String({ pattern: '^[a-z0-9]+(-[a-z0-9]+)*$' }),
    set: Type.Enum(['in-context', 'pipelines', 'both']),
    type: Type.Union([Type.Enum(distortionTypes), Type.Null()], {
      description: "The record's word for it; null where it has none.",
    }),
    extent: Type.Enum(['region', 'clip', 'events']),
    steps: Type.Array(Step),
    scaled: Type.Optional(
      Type.Array(Type.String(), { description: 'Parameters that are lengths at the reference side, px.' }),
    ),
    levels: Type.Array(Level, { minItems: 1, description: 'From the mildest to the strongest.' }),
  },
  strict,
);

/** Version of the book's format. */
export const recipesId = 'omnivqa/recipes@1';

export const RecipeBookSchema = Type.Object(
  {
    $schema: Type.Optional(Type.String()),
    format: Type.Literal(recipesId),
    region: Type.Object(
      {
        grid: Type.Integer({ minimum: 2, description: 'Cells along each side of the frame.' }),
        cells: Type.Integer({ minimum: 1, description: 'Cells along each side of the rectangle.' }),
        seconds: Type.Tuple([Type.Integer({ minimum: 1 }), Type.Integer({ minimum: 1 })]),
      },
      strict,
    ),
    referenceSide: Type.Integer({ minimum: 1, description: 'Shorter side of the picture, px.' }),
    recipes: Type.Array(Recipe, { minItems: 1 }),
  },
  { ...strict, $id: recipesId, title: 'OmniVQA recipe book' },
);

export type RecipeBook = Static<typeof RecipeBookSchema>;
export type Recipe = Static<typeof Recipe>;
export type RecipeLevel = Static<typeof Level>;

/** What a recipe is applied to. */
export interface ClipShape {
  readonly width: number;
  readonly height: number;
  /** Frames per second, numerator and denominator. */
  readonly rate: readonly [number, number];
  readonly frames: number;
}

/** A step as ffmpeg gets it. */
export type FilledStep =
  | { readonly filter: string }
  | { readonly encoder: string; readonly options: readonly string[] };

/**
 * Reads a recipe book.
 *
 * @throws OmniError `bad_usage` where it is not one, says a name twice, or has a placeholder that nothing fills.
 */
export function readRecipeBook(value: unknown): RecipeBook {
  const wrong = (what: string) =>
    new OmniError('bad_usage', `The recipe book is not valid: ${what}.`, 'Correct the book.');
  if (!Check(RecipeBookSchema, value)) {
    const first = Errors(RecipeBookSchema, value)[0];
    throw wrong(first ? `${first.instancePath || 'the book'} ${first.message}` : 'it is no book');
  }
  const ids = new Set<string>();
  for (const recipe of value.recipes) {
    if (ids.has(recipe.id)) throw wrong(`${recipe.id} is there twice`);
    ids.add(recipe.id);
    for (const level of recipe.levels) {
      try {
        fillSteps(value, recipe, level, { width: 64, height: 64, rate: [25, 1], frames: 25 }, 0);
      } catch (error) {
        throw wrong(`${recipe.id}: ${error instanceof Error ? error.message : String(error)}`);
      }
      if (recipe.extent === 'events' && !Number.isInteger(level.parameters.events)) {
        throw wrong(`${recipe.id} does not say how many events`);
      }
    }
  }
  return value;
}

/** The recipes that OmniVQA comes with. */
export const recipeBook: RecipeBook = readRecipeBook(book);

/** The values of a level's parameters for one picture size: those in `scaled` have grown with it. */
export function scaledParameters(
  { referenceSide }: RecipeBook,
  recipe: Recipe,
  { parameters }: RecipeLevel,
  { width, height }: ClipShape,
): Record<string, number> {
  const factor = Math.min(width, height) / referenceSide;
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [
      name,
      recipe.scaled?.includes(name) ? Math.round(value * factor * 1000) / 1000 : value,
    ]),
  );
}

/** The steps of one level with every placeholder filled. @throws RangeError for a name that nothing fills */
export function fillSteps(
  book: RecipeBook,
  recipe: Recipe,
  level: RecipeLevel,
  clip: ClipShape,
  seed: number,
): FilledStep[] {
  const parameters = scaledParameters(book, recipe, level, clip);
  const values: Record<string, number | string> = {
    ...parameters,
    seed,
    width: clip.width,
    height: clip.height,
    rate: clip.rate.join('/'),
    last: clip.frames - 1,
  };
  if (parameters.bitsPerPixel !== undefined) {
    const pixelRate = clip.width * clip.height * (clip.rate[0] / clip.rate[1]);
    const bitrate = Math.max(1, Math.round(parameters.bitsPerPixel * pixelRate));
    Object.assign(values, { bitrate, peak: Math.round(1.5 * bitrate), buffer: 2 * bitrate });
  }
  const fill = (template: string) =>
    template.replace(/\{(\w+)\}/g, (_, name: string) => {
      const found = Object.hasOwn(values, name) ? values[name] : undefined;
      if (found === undefined) throw new RangeError(`nothing fills {${name}}`);
      return String(found);
    });
  return recipe.steps.map((step) =>
    'filter' in step
      ? { filter: fill(step.filter) }
      : { encoder: step.encoder, options: step.options.map(fill) },
  );
}
