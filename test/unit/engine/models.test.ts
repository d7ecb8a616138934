import { cpSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  compiledModel,
  compileOptions,
  listModels,
  loadEngineModel,
  modelConfig,
  modelDirectory,
  revisionOf,
} from '../../../src/engine/models.ts';
import { cacheDirectory } from '../../../src/engine/paths.ts';
import { compileCheckpoint } from '../../../src/model/compiler/compile.ts';
import { copyCheckpoint } from '../../support/checkpoints.ts';
import { loadForTest, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory } from '../../support/media.ts';

describe('modelDirectory', () => {
  it('nano is the embedded model', async () => {
    expect(modelDirectory('nano')).toMatch(/models[\\/]nano$/);
    expect((await modelConfig('nano')).omnivqa.family).toBe('nano-rater');
  });

  it.each([
    ['q-future/VQA-UGC-Scorer-llava_qwen', /no model of that name was pulled\.$/],
    ['q-future/model@v2', /no model of that name was pulled\.$/],
    ['no/such/folder', /There is no directory no\/such\/folder\.$/],
    ['nono', /There is no directory nono\.$/],
    ['package.json', /There is no directory package\.json\.$/],
  ])('says what is wrong with %s', (name, message) => {
    expect(() => modelDirectory(name)).toThrowError(message);
    expect(() => modelDirectory(name)).toThrowError(expect.objectContaining({ code: 'model_not_found' }));
  });
});

describe('cacheDirectory', () => {
  it.runIf(process.platform === 'linux').each([
    [{ OMNIVQA_CACHE: '/a', XDG_CACHE_HOME: '/b' }, '/a'],
    [{ XDG_CACHE_HOME: '/b' }, '/b/omnivqa'],
    [{ XDG_CACHE_HOME: '' }, expect.stringMatching(/\.cache\/omnivqa$/)],
    [{}, expect.stringMatching(/\.cache\/omnivqa$/)],
  ])('%j', (env, directory) => {
    expect(cacheDirectory(env)).toEqual(directory);
  });
});

describe('compiling for a run', () => {
  it('is done once, and names weights by their content', async () => {
    const cache = temporaryCache();
    const checkpoint = copyCheckpoint();
    const first = await compiledModel(checkpoint);
    const again = await compiledModel(checkpoint);
    expect(again.directory).toBe(first.directory);
    expect(readdirSync(join(cache, 'models'))).toHaveLength(1);

    // The same weights, fetched at another time to another place, are the same model.
    const copy = join(temporaryDirectory(), 'copy');
    cpSync(checkpoint, copy, { recursive: true });
    for (const name of readdirSync(copy)) utimesSync(join(copy, name), 1e9, 1e9);
    expect(revisionOf(await compiledModel(copy))).toBe(revisionOf(first));
    expect(revisionOf(await compiledModel(copyCheckpoint('joined-patch')))).not.toBe(revisionOf(first));
    expect(revisionOf(await compiledModel(checkpoint, { precision: 'fp16' }))).not.toBe(revisionOf(first));
  });

  it('keeps small checkpoints in float32 unless asked', () => {
    const checkpoint = copyCheckpoint();
    const precision = (request?: 'auto' | 'fp16' | 'int8' | 'int4') =>
      compileOptions(checkpoint, request).precision;
    expect(precision()).toEqual({ decoder: 'fp32', vision: 'fp32' });
    expect(precision('auto')).toEqual({ decoder: 'fp32', vision: 'fp32' });
    expect(precision('int8')).toEqual({ decoder: 'int8', vision: 'int8' });
    expect(precision('int4')).toEqual({ decoder: 'int4', vision: 'int8' });
  });

  it('takes a compiled directory as it is', async () => {
    const cache = temporaryCache();
    const directory = join(temporaryDirectory(), 'compiled');
    await compileCheckpoint(copyCheckpoint(), directory);
    const model = await loadForTest(directory);
    expect(model).toMatchObject({ id: 'compiled', precision: 'fp32' });
    expect((await modelConfig(directory)).omnivqa.family).toBe('fixture-separate-patch');
    expect(readdirSync(cache)).toEqual([]);
  });

  it('where the cache can not be written, is done for this run alone', async () => {
    const blocked = join(temporaryDirectory(), 'file');
    writeFileSync(blocked, '');
    temporaryCache(blocked);
    const problems: string[] = [];
    const model = await loadEngineModel(copyCheckpoint(), {
      provider: 'cpu',
      onProblem: ({ code }) => problems.push(code),
    });
    const { directory } = model.omni.compiled;
    expect(problems).toEqual(['cache_not_written']);
    expect(readdirSync(directory)).toContain('manifest.json');
    await model.dispose();
    expect(() => readdirSync(directory)).toThrow();
  });
});

describe('listModels', () => {
  it('lists the embedded model and whole compiled ones', async () => {
    const cache = temporaryCache();
    const { directory } = await compiledModel(copyCheckpoint());
    const damaged = await compiledModel(copyCheckpoint('joined-patch'));
    writeFileSync(join(damaged.directory, 'decoder.weights'), '');
    writeFileSync(join(cache, 'models', 'stray'), '');
    expect(await listModels()).toEqual([
      { name: 'nano', family: 'nano-rater', precision: null, chats: false, bytes: expect.any(Number) },
      {
        name: directory,
        family: 'fixture-separate-patch',
        precision: 'fp32',
        chats: true,
        bytes: expect.any(Number),
      },
    ]);
  });

  it('lists the embedded model where there is no cache', async () => {
    temporaryCache(join(temporaryDirectory(), 'none'));
    expect((await listModels()).map(({ name }) => name)).toEqual(['nano']);
  });
});
