import { expect, it } from 'vitest';
import { comparePrompts, promptTable } from '../../../src/evaluation/prompts.ts';
import { mulberry32 } from '../../../src/evaluation/statistics.ts';

const labels = Array.from({ length: 24 }, (_, i) => i);
const contents = labels.map((i) => `content ${i % 12}`);
/** Follows the labels but for some that trade places. */
const following = (swaps: number) => {
  const scores = labels.map((i) => i / 24);
  for (let i = 0; i < swaps; i += 1) [scores[i], scores[23 - i]] = [scores[23 - i]!, scores[i]!];
  return scores;
};
const prompt = (assistant: string, scores: readonly number[], mass = 0.9) => ({
  user: '<image>\nHow good?',
  assistant,
  scores,
  mass,
});

it('the prompt that follows the labels comes first, with what it gains over the own one', () => {
  const report = comparePrompts(
    [prompt('own', following(8)), prompt('good', following(0))],
    labels,
    contents,
  );
  expect(report.rows.map(({ assistant }) => assistant)).toEqual(['good', 'own']);
  expect(report.rows[0]!.srcc.value).toBeCloseTo(1);
  expect(report.better).toBe(true);
  expect(report.own.gain).toEqual({ value: 0, low: 0, high: 0 });
  const { rows } = promptTable(report);
  expect(rows.map(([name]) => name)).toEqual(['How good? … good', '(own) How good? … own']);
});

it('prompts that the clips can not tell apart are said to be as good', () => {
  const report = comparePrompts(
    [prompt('own', following(1)), prompt('other', following(0))],
    labels,
    contents,
  );
  expect(report.rows[0]!.assistant).toBe('other');
  expect(report.better).toBe(false);
});

it('the best of many that are equally good is not recommended, nor one on a single content', () => {
  const random = mulberry32(7);
  const noisy = () => labels.map((label) => label + 16 * (random() - 0.5));
  const many = Array.from({ length: 25 }, (_, i) => prompt(String(i), noisy()));
  expect(comparePrompts(many, labels, contents).better).toBe(false);
  const good = [prompt('own', following(8)), prompt('good', following(0))];
  expect(
    comparePrompts(
      good,
      labels,
      labels.map(() => 'one'),
    ).better,
  ).toBe(false);
});

it('against an own prompt that says the same of every clip, any is a gain', () => {
  const constant = prompt(
    'own',
    labels.map(() => 0.5),
  );
  const report = comparePrompts([constant, prompt('good', following(0))], labels, contents);
  expect(report.rows[0]).toMatchObject({ assistant: 'good', gain: { value: expect.closeTo(1, 9) } });
  expect(report.better).toBe(true);
});

it('one that says the same of every clip is last', () => {
  const constant = labels.map(() => 0.5);
  const report = comparePrompts(
    [prompt('own', following(2)), prompt('constant', constant)],
    labels,
    contents,
  );
  expect(report.rows.map(({ assistant }) => assistant)).toEqual(['own', 'constant']);
  expect(report.better).toBe(false);
});
