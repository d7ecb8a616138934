import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { distortionTypes, severities } from '../../../src/assessment/vocabulary.ts';
import {
  fillSteps,
  type Recipe,
  readRecipeBook,
  recipeBook,
  scaledParameters,
} from '../../../src/dataset/recipes.ts';

interface Generator {
  readonly schemas: readonly { readonly path: string; readonly name: string }[];
  schemaText(schema: { readonly path: string }): Promise<string>;
}
const generator: string = '../../../scripts/schema.mjs';
const { schemas, schemaText } = (await import(generator)) as Generator;

const recipe = (id: string): Recipe => recipeBook.recipes.find((one) => one.id === id)!;
const clip = { width: 1920, height: 1080, rate: [30_000, 1001], frames: 60 } as const;
const changed = (change: (book: ReturnType<typeof copy>) => void) => {
  const book = copy();
  change(book);
  return book;
};
const copy = () => structuredClone(recipeBook);

describe('the recipe book', () => {
  it('has the schema that is published', async () => {
    const schema = schemas.find(({ name }) => name === 'RecipeBookSchema')!;
    expect(readFileSync(schema.path, 'utf8')).toBe(await schemaText(schema));
  });

  it("has every distortion of the record, in the record's three severities", () => {
    const local = recipeBook.recipes.filter(({ set }) => set === 'in-context');
    expect([...new Set(local.map(({ type }) => type))].sort()).toEqual([...distortionTypes].sort());
    for (const { id, levels } of local) {
      expect([id, levels.map(({ severity }) => severity)]).toEqual([id, [...severities]]);
    }
  });

  it('covers a quarter of the frame, at any place of the grid', () => {
    const { grid, cells } = recipeBook.region;
    expect((cells / grid) ** 2).toBe(0.25);
  });

  it.each(['libx264', 'libx265', 'libvpx-vp9', 'libsvtav1'])('has a ladder of %s', (encoder) => {
    const ladders = recipeBook.recipes.filter(
      ({ set, steps }) =>
        set === 'pipelines' && steps.length === 1 && 'encoder' in steps[0]! && steps[0].encoder === encoder,
    );
    expect(ladders.map(({ id }) => id.split('-')[1])).toEqual(['crf', 'bitrate']);
  });

  it.each(
    recipeBook.recipes.flatMap((one) => one.levels.map((level, i) => [one.id, i, one, level] as const)),
  )('%s, level %i: every placeholder is filled', (_, __, one, level) => {
    expect(JSON.stringify(fillSteps(recipeBook, one, level, clip, 7))).not.toMatch(/\{[a-z]\w*\}/i);
  });

  it('lets lengths grow with the picture, and nothing else', () => {
    const [blur, noise] = [recipe('blur'), recipe('noise')];
    expect(scaledParameters(recipeBook, blur, { parameters: { sigma: 0.8 } }, clip)).toEqual({ sigma: 1.6 });
    const turned = { ...clip, width: 540, height: 960 };
    expect(scaledParameters(recipeBook, blur, { parameters: { sigma: 0.8 } }, turned)).toEqual({
      sigma: 0.8,
    });
    expect(scaledParameters(recipeBook, noise, { parameters: { amount: 15 } }, clip)).toEqual({ amount: 15 });
  });

  it('turns bits per pixel into a bit rate', () => {
    const [step] = fillSteps(
      recipeBook,
      recipe('x264-bitrate'),
      { parameters: { bitsPerPixel: 0.1 } },
      { width: 640, height: 360, rate: [25, 1], frames: 60 },
      0,
    );
    const options = (step as { options: readonly string[] }).options;
    expect(options.slice(0, 6)).toEqual(['-b:v', '576000', '-maxrate', '864000', '-bufsize', '1152000']);
  });

  it.each([
    ['nothing', () => null, /not valid/],
    ['another version', () => changed((book) => Object.assign(book, { format: 'x@2' })), /format/],
    ['a name twice', () => changed((book) => book.recipes.push(book.recipes[0]!)), /pristine is there twice/],
    [
      'a placeholder that nothing fills',
      () =>
        changed((book) =>
          book.recipes.push({ ...recipe('blur'), id: 'x', steps: [{ filter: 'x={constructor}' }] }),
        ),
      /x: nothing fills \{constructor\}/,
    ],
    [
      'stutter without a number',
      () =>
        changed((book) => book.recipes.push({ ...recipe('stutter'), id: 'x', levels: [{ parameters: {} }] })),
      /how many events/,
    ],
  ])('refuses %s', (_, value, message) => {
    expect(() => readRecipeBook(value())).toThrow(message);
  });
});
