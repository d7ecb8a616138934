import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HostCache } from '../../../src/model/runtime/kv_cache.ts';
import { bundledProviders } from '../../../src/model/runtime/ort.ts';
import { chooseProvider } from '../../../src/model/runtime/providers.ts';
import { temporaryDirectory } from '../../parity/cases.ts';
import { requireVulkan } from '../../parity/vulkan.ts';

const geometry = { heads: 2, kvHeads: 1, headDim: 16 };

describe('providers', () => {
  it('that this build lacks are named as such', async () => {
    for (const provider of ['cuda', 'dml', 'coreml'] as const) {
      if (bundledProviders().includes(provider)) continue;
      await expect(chooseProvider(provider, geometry)).rejects.toMatchObject({
        code: 'provider_unavailable',
        message: expect.stringContaining(provider),
        next: expect.stringContaining('cpu'),
      });
    }
  });

  it('take the CPU without a question when it is asked for', async () =>
    expect(await chooseProvider('cpu', geometry)).toMatchObject({ provider: 'cpu', attention: 'fused' }));
});

describe.runIf(process.platform === 'linux')('a Vulkan driver', () => {
  let temporary: { path: string; remove(): Promise<void> };
  let given: string | undefined;

  beforeAll(async () => {
    given = process.env.VK_ICD_FILENAMES;
    temporary = await temporaryDirectory();
  });

  afterAll(async () => {
    process.env.VK_ICD_FILENAMES = given;
    if (given === undefined) delete process.env.VK_ICD_FILENAMES;
    await temporary.remove();
  });

  it('in software is not taken for a graphics card', async () => {
    process.env.VK_ICD_FILENAMES = '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json';
    expect(await chooseProvider('auto', geometry)).toMatchObject({
      provider: 'cpu',
      reason: expect.stringContaining('software'),
    });
  });

  it('is used as far as it computes what the CPU computes', async () => {
    delete process.env.VK_ICD_FILENAMES;
    requireVulkan();
    // Under a name that tells nothing, a software driver is one like any other, to be judged by what it computes.
    const manifest = process.env.VK_ICD_FILENAMES!;
    const driver = JSON.parse(await readFile(manifest, 'utf8')) as { ICD: { library_path: string } };
    driver.ICD.library_path = resolve(dirname(manifest), driver.ICD.library_path);
    const unnamed = join(temporary.path, 'driver.json');
    await writeFile(unnamed, JSON.stringify(driver));
    process.env.VK_ICD_FILENAMES = unnamed;

    const choice = await chooseProvider('auto', geometry);
    expect(choice.provider).toBe('webgpu');
    if (choice.attention === 'chunked') {
      expect(choice.maxPrefill).toBeLessThan(32);
      expect(choice.reason).toMatch(/wrong by .* prompts go in by/);
    }
    // No two kinds of hardware agree to the last bit: with no tolerance the test fails for real.
    const strict = await chooseProvider('auto', geometry, { tolerance: 0 });
    expect(strict).toMatchObject({ provider: 'cpu', reason: expect.stringContaining('attention is off by') });
    await expect(chooseProvider('webgpu', geometry, { tolerance: 0 })).rejects.toMatchObject({
      code: 'provider_unavailable',
    });
  });
});

describe('memory', () => {
  it('that is not there is told from other failures', () => {
    const shape = { layers: 1, kvHeads: 2 ** 12, headDim: 2 ** 12 };
    const names = { past: () => 'past', present: () => 'present' };
    expect(() => new HostCache(shape, names, 2 ** 24)).toThrowError(
      expect.objectContaining({ code: 'out_of_memory' }),
    );
  });
});
