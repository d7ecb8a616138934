import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { modelFacts } from '../../../src/engine/model_facts.ts';
import { keepFigures } from '../../../src/engine/model_figures.ts';
import { compiledModel } from '../../../src/engine/models.ts';
import { checkpointWith, loadForTest, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory } from '../../support/media.ts';

it('lists the embedded model, those that are named, and what else is compiled', async () => {
  temporaryCache();
  const named = checkpointWith({});
  const other = await compiledModel(checkpointWith({ family: 'of-the-lab' }, { name: 'joined-patch' }));
  const facts = await modelFacts([named, 'nano'], null);
  expect(facts.map(({ name, label }) => ({ name, label }))).toEqual([
    { name: 'nano', label: 'OmniVQA-Nano' },
    { name: named, label: 'separate-patch' },
    { name: other.directory, label: 'of-the-lab' },
  ]);
  const [nano, checkpoint, compiled] = facts;
  expect(nano).toMatchObject({ chats: false, finds: true, loaded: null, problem: null });
  expect(checkpoint).toMatchObject({ precision: null, chats: true, loaded: null, problem: null });
  expect(compiled).toMatchObject({ precision: 'fp32', family: 'of-the-lab' });
  for (const { bytes } of facts) expect(bytes).toBeGreaterThan(1000);
});

it('says of a loaded model where it runs and why, and lists its compiled form no second time', async () => {
  temporaryCache();
  const named = checkpointWith({});
  const model = await loadForTest(named);
  const facts = await modelFacts([named], model);
  expect(facts.map(({ name }) => name)).toEqual(['nano', named]);
  const { provider, reason } = model.omni.choice;
  expect(facts[1]!.loaded).toEqual({ provider, reason, precision: 'fp32', seconds: model.loadSeconds });
  expect(facts[1]!.precision).toBe('fp32');
  expect(facts[0]!.loaded).toBeNull();
});

it('says what was measured at last', async () => {
  const cache = temporaryCache();
  const named = checkpointWith({});
  const model = await loadForTest(named);
  expect((await modelFacts([named], null))[1]!.measured).toBeNull();
  const figures = {
    ...{ loadSeconds: 1, secondsPer10sClip: 0.9, prefillTokensPerSecond: 420 },
    ...{ decodeTokensPerSecond: 31, peakMemoryBytes: 6e9 },
    limits: { prefillTokensPerSecond: 500, decodeTokensPerSecond: 40 },
  };
  await keepFigures(model, { ...figures, secondsPer10sClip: 2 });
  await keepFigures(model, figures);
  const measured = { ...figures, provider: 'cpu', revision: model.revision };
  expect((await modelFacts([named], null))[1]!.measured).toMatchObject(measured);
  // Of a file that was damaged nothing is said.
  writeFileSync(join(cache, 'figures', `${model.revision}-cpu.json`), '{"provider":3');
  expect((await modelFacts([named], null))[1]).toMatchObject({ measured: null, problem: null });
});

it('says why one can not be used', async () => {
  temporaryCache();
  const empty = join(temporaryDirectory(), 'empty');
  mkdirSync(empty);
  const facts = await modelFacts(['/nowhere', empty], null);
  expect(facts.map(({ label, problem }) => [label, problem !== null])).toEqual([
    ['OmniVQA-Nano', false],
    ['nowhere', true],
    ['empty', true],
  ]);
  expect(facts[1]!.problem).toContain('There is no directory /nowhere.');
});
