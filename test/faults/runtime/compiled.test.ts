import { cp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileCheckpoint } from '../../../src/model/compiler/compile.ts';
import { openCompiled } from '../../../src/model/compiler/manifest.ts';
import { rateClip } from '../../../src/model/rater.ts';
import { loadModel } from '../../../src/model/runtime/model.ts';
import { type Case, openCase, temporaryDirectory } from '../../parity/cases.ts';

const precision = { decoder: 'fp32', vision: 'fp32' } as const;

describe('a compiled directory that is not what the compiler wrote', () => {
  let temporary: { path: string; remove(): Promise<void> };
  let source: Case;
  let serial = 0;

  beforeAll(async () => {
    temporary = await temporaryDirectory();
    source = await openCase('separate-patch');
    await compileCheckpoint(source.directory, join(temporary.path, 'whole'), { precision });
  });

  afterAll(() => temporary.remove());

  async function altered(change: (directory: string) => Promise<void>): Promise<string> {
    serial += 1;
    const directory = join(temporary.path, `altered-${serial}`);
    await cp(join(temporary.path, 'whole'), directory, { recursive: true });
    await change(directory);
    return directory;
  }

  const overwrite = async (path: string, at: number, bytes: Uint8Array) => {
    const file = await open(path, 'r+');
    await file.write(bytes, 0, bytes.length, at);
    await file.close();
  };

  it('loads when it is whole', async () => {
    const model = await loadModel(await openCompiled(join(temporary.path, 'whole'), 'deep'), {
      provider: 'cpu',
      threads: 1,
    });
    await model.dispose();
  });

  it.each([
    ['without a manifest', (directory: string) => rm(join(directory, 'manifest.json'))],
    ['with half a manifest', (directory: string) => truncate(join(directory, 'manifest.json'), 100)],
    ['without its decoder', (directory: string) => rm(join(directory, 'decoder.onnx'))],
    ['with weights cut short', (directory: string) => truncate(join(directory, 'decoder.weights'), 5000)],
    ['with empty embeddings', (directory: string) => truncate(join(directory, 'embeddings.weights'), 0)],
  ])('%s is rejected at first sight', async (_, change) => {
    const directory = await altered(change);
    await expect(openCompiled(directory)).rejects.toMatchObject({
      code: 'compiled_invalid',
      next: expect.stringContaining('Compile'),
    });
  });

  it('with one other byte is rejected by a deep look', async () => {
    const directory = await altered((path) =>
      overwrite(join(path, 'motion.weights'), 4100, Uint8Array.of(0x55)),
    );
    await expect(openCompiled(directory, 'deep')).rejects.toMatchObject({ code: 'compiled_invalid' });
  });

  it('with a graph of noise does not load, and says what to do', async () => {
    const directory = await altered(async (path) => {
      const { length } = await readFile(join(path, 'decoder.onnx'));
      await writeFile(
        join(path, 'decoder.onnx'),
        Uint8Array.from({ length }, (_, i) => (i * 7919) % 256),
      );
    });
    await expect(loadModel(await openCompiled(directory), { provider: 'cpu' })).rejects.toMatchObject({
      code: 'runtime_failed',
      next: expect.stringContaining('Compile the model again'),
    });
  });

  it('with weights cut after it was looked at does not load', async () => {
    const directory = await altered(async () => {});
    const compiled = await openCompiled(directory);
    await truncate(join(directory, 'decoder.weights'), 5000);
    await expect(loadModel(compiled, { provider: 'cpu' })).rejects.toMatchObject({ code: 'runtime_failed' });
  });

  it('with embeddings cut after it was looked at does not load', async () => {
    const directory = await altered(async () => {});
    const compiled = await openCompiled(directory);
    await truncate(join(directory, 'embeddings.weights'), 4096);
    await expect(loadModel(compiled, { provider: 'cpu' })).rejects.toMatchObject({
      code: 'compiled_invalid',
    });
  });

  it('with a tokenizer that is none does not load', async () => {
    const directory = await altered(async () => {});
    const compiled = await openCompiled(directory);
    await writeFile(join(directory, 'tokenizer.json'), '<html>');
    await expect(loadModel(compiled, { provider: 'cpu' })).rejects.toMatchObject({
      code: 'tokenizer_invalid',
    });
  });

  it('with weights that are not numbers gives no score', async () => {
    const noise = Uint8Array.from({ length: 65536 }, (_, i) => (i % 4 === 3 ? 0x7f : 0xc0));
    const directory = await altered((path) => overwrite(join(path, 'decoder.weights'), 0, noise));
    const model = await loadModel(await openCompiled(directory), { provider: 'cpu', threads: 1 });
    const { keyFrames, motionFrames } = source.facts;
    const clip = {
      key: source.float('vision.tokens'),
      keyFrames,
      motion: source.float('motion.tokens'),
      motionFrames,
    };
    await expect(rateClip(model, clip)).rejects.toMatchObject({
      code: 'runtime_failed',
      message: expect.stringContaining('not a number'),
    });
    await model.dispose();
  });
});
