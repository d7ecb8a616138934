import { expect, test } from 'vitest';
import { newestWeights, weightsOf } from '../../../src/comparison/weights.ts';

test('weights are named by both revisions', () => {
  const model = { id: 'nano', revision: 'a', precision: 'fp32', provider: 'cpu', compiler: '2' };
  expect(weightsOf(model)).toBe('a');
  expect(weightsOf({ ...model, closely: true, comparison: 'b' })).toBe('a+b');
});

test('a model has the weights of its newest result, whatever others have', () => {
  const results = [
    { model: 'nano', weights: 'new', measuredAt: 5 },
    { model: 'nano', measuredAt: 3 },
    { model: 'nano', weights: 'old', measuredAt: 4 },
    { model: 'other', weights: 'other', measuredAt: 9 },
  ];
  expect(newestWeights(results, 'nano')).toBe('new');
  expect(newestWeights(results.slice(1, 2), 'nano')).toBe(undefined);
  expect(newestWeights([], 'nano')).toBe(undefined);
});
