import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HostCache } from '../../../src/model/runtime/kv_cache.ts';
import { bundledProviders, type Provider, runtimeError } from '../../../src/model/runtime/ort.ts';
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

describe('what a runtime says when its device fails', () => {
  // As onnxruntime 1.30 and Dawn said it on a driver that failed, and as their sources and those of others have it.
  const download =
    '/onnxruntime_src/onnxruntime/core/providers/webgpu/buffer_manager.cc:641 void onnxruntime::webgpu::BufferManager::Download(WGPUBuffer, void*, size_t) const map_async_result.status == wgpu::MapAsyncStatus::Success was false. Failed to download data from buffer. wgpu::MapAsyncStatus value: ';
  const words: readonly (readonly [Provider, string, string])[] = [
    ['webgpu', 'device_lost', `${download}4, message: [Device] is lost.\n`],
    [
      'webgpu',
      'out_of_memory',
      `${download}3, message: [Invalid Buffer (unlabeled)] is invalid due to a previous error.\n`,
    ],
    ['webgpu', 'out_of_memory', 'vkAllocateMemory failed with VK_ERROR_OUT_OF_DEVICE_MEMORY'],
    ['webgpu', 'device_lost', 'vkQueueSubmit failed with VK_ERROR_DEVICE_LOST'],
    ['webgpu', 'out_of_memory', 'Failed to create GPU buffer: size=4294967296, usage=140.'],
    [
      'webgpu',
      'out_of_memory',
      'Buffer size (3185049600) exceeds the max buffer size limit (1073741824).\n - While calling [Device].CreateBuffer',
    ],
    ['dml', 'device_lost', 'Exception(3) tid(1c) 887A0005 The GPU device instance has been suspended.'],
    ['dml', 'device_lost', 'DXGI_ERROR_DEVICE_HUNG'],
    ['dml', 'out_of_memory', 'Exception(1) tid(4790) 8007000E Not enough memory resources are available'],
    ['cuda', 'out_of_memory', 'CUDA failure 2: out of memory ; GPU=0'],
    ['cuda', 'device_lost', 'CUDA failure 700: an illegal memory access was encountered ; GPU=0'],
    ['cuda', 'out_of_memory', 'BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer'],
    ['webgpu', 'runtime_failed', 'Non-zero status code returned while running MatMul node.'],
    ['cpu', 'out_of_memory', 'std::bad_alloc'],
    ['cpu', 'runtime_failed', 'Device is lost, says a node of the CPU'],
  ];

  it.each(words)('%s: %s, by "%s"', (provider, code, text) => {
    const error = runtimeError(new Error(text), provider, 'run a graph');
    expect(error.code).toBe(code);
    expect(error.next).not.toBe('');
    // C++ paths and signatures are for the log.
    if (text.startsWith(download)) expect(error.message).not.toContain('buffer_manager');
    expect(error.detail.findings).toEqual([text]);
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
