import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freeGraphicsMemory, freeMemory } from '../../../src/engine/free_memory.ts';
import { nanoDirectory } from '../../../src/engine/paths.ts';
import { openCheckpoint } from '../../../src/model/checkpoint/checkpoint.ts';
import type { ModelConfig } from '../../../src/model/checkpoint/config.ts';
import { compileCheckpoint } from '../../../src/model/compiler/compile.ts';
import {
  fewestActivations,
  futureWeightBytes,
  memoryText,
  mostActivations,
  planMemory,
  totalMemory,
  weightBytes,
  windowNeed,
} from '../../../src/model/runtime/memory.ts';
import { fixtures } from '../../support/checkpoints.ts';
import { temporaryDirectory } from '../../support/media.ts';

/** The language model of the full network, with windows of 10 s. */
function fullShape(): ModelConfig {
  const config = openCheckpoint(join(fixtures, 'separate-patch')).config;
  return {
    ...config,
    ...{ hiddenSize: 3584, numHiddenLayers: 28, numKeyValueHeads: 4, headDim: 128 },
    ...{ tokensPerFrame: 196, maxPositionEmbeddings: 32_768 },
    omnivqa: { ...config.omnivqa, windowSeconds: 10, stepSeconds: 1 },
  };
}

const ways = [
  { precision: 'fp16', weights: 30e9, loading: 0 },
  { precision: 'int4', weights: 6e9, loading: 0 },
] as const;

describe('planMemory', () => {
  const config = fullShape();
  const plan = (available: number | null, onCpu = true) =>
    planMemory({ config, device: 'this computer', onCpu, available, ways });
  const fixed = (seconds: number, weights: number) => {
    const { cache, pictures } = windowNeed(config, seconds, true);
    return weights + cache + pictures;
  };

  it('takes what is wanted where there is room, and where nobody knows', () => {
    for (const available of [64e9, null]) {
      const { precision, windowSeconds, need, problems } = plan(available);
      expect({ precision, windowSeconds, problems }).toEqual({
        precision: 'fp16',
        windowSeconds: 10,
        problems: [],
      });
      expect(need.activations).toBe(mostActivations);
    }
  });

  it('knows what keys and values take', () => {
    // 28 layers, keys and values, 4 heads of 128 numbers in single precision.
    const perToken = 28 * 2 * 4 * 128 * 4;
    const { cache } = windowNeed(config, 10, true);
    expect(cache % perToken).toBe(0);
    expect(cache / perToken).toBeGreaterThan(10 * 196);
  });

  it('gives up the size of a run first, then bits, then the length of windows', () => {
    const tight = plan(fixed(10, 30e9) + fewestActivations);
    expect(tight).toMatchObject({ precision: 'fp16', windowSeconds: 10, problems: [] });
    expect(tight.need.activations).toBe(fewestActivations);

    const lower = plan(fixed(10, 30e9) + fewestActivations - 1);
    expect(lower).toMatchObject({ precision: 'int4', windowSeconds: 10 });
    expect(lower.problems.map(({ code }) => code)).toEqual(['precision_lowered']);
    expect(lower.need.activations).toBe(mostActivations);

    const shorter = plan(fixed(10, 6e9) + fewestActivations - 1);
    expect(shorter).toMatchObject({ precision: 'int4', windowSeconds: 5 });
    expect(shorter.problems.map(({ code }) => code)).toEqual(['precision_lowered', 'window_shortened']);

    const shortest = plan(fixed(1, 6e9) + fewestActivations);
    expect(shortest).toMatchObject({ precision: 'int4', windowSeconds: 1 });
  });

  it.each([1e9, 5e9, 6.2e9, 7e9, 10e9, 29e9, 30.5e9, 40e9])('never plans for more than %d bytes', (room) => {
    try {
      expect(totalMemory(plan(room).need)).toBeLessThanOrEqual(room);
    } catch (error) {
      expect(error).toMatchObject({ code: 'out_of_memory' });
      expect(room).toBeLessThan(fixed(1, 6e9) + fewestActivations);
    }
  });

  it('leaves room for what opening the graphs takes for a moment', () => {
    const greedy = [{ precision: 'int4', weights: 6e9, loading: 4e9 }];
    const request = { config, device: 'this computer', onCpu: true, ways: greedy };
    const { need } = planMemory({ ...request, available: 10e9 });
    expect(totalMemory(need)).toBe(10e9);
    expect(() => planMemory({ ...request, available: 10e9 - 1 })).toThrowError(/needs 10\.0 GB/);
  });

  it('says what is needed and what to do where nothing fits', () => {
    expect(() => plan(4e9)).toThrowError(
      expect.objectContaining({
        code: 'out_of_memory',
        message: expect.stringMatching(
          /needs 6\.\d GB .*6\.0 GB of it for weights in int4.*4\.0 GB to spare/,
        ),
        next: expect.stringContaining('smaller model'),
      }),
    );
    expect(() => plan(4e9, false)).toThrowError(
      expect.objectContaining({ next: expect.stringContaining('provider cpu') }),
    );
  });

  it('in words', () => {
    expect(memoryText(plan(12e9), 'this computer')).toMatch(
      /^7\.\d GB at most: weights 6\.0 GB, context \d+ MB, activations 1\.1 GB, pictures .*; this computer has 12\.0 GB/,
    );
    expect(memoryText(plan(null, false), 'the card')).toContain('how much the card has is not known');
  });
});

describe('the weights of a model', () => {
  it.each(['fp32', 'fp16', 'int8', 'int4'] as const)(
    'in %s are foretold before compiling',
    async (decoder) => {
      const directory = nanoDirectory();
      const { config, tensors } = openCheckpoint(directory);
      const precision = { decoder, vision: decoder === 'int4' ? 'int8' : decoder } as const;
      const target = join(temporaryDirectory(), 'compiled');
      const { manifest } = await compileCheckpoint(directory, target, { precision, accuracyLevel: 4 });
      const foretold = futureWeightBytes(tensors.values(), config, precision, false);
      // A page of padding for each tensor, and for its scales, is much of so small a file.
      const actual = weightBytes(manifest, false);
      expect(actual).toBeGreaterThan(foretold * 0.98);
      expect(actual).toBeLessThan(foretold * 1.02 + 2 * 4096 * tensors.size);
      expect(weightBytes(manifest, true)).toBeGreaterThanOrEqual(weightBytes(manifest, false));
    },
  );
});

describe('free memory', () => {
  const files = (contents: Record<string, string>) => (path: string) => contents[path] ?? null;
  const machine = { '/proc/meminfo': 'MemTotal: 99 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\n' };
  const free = (contents: Record<string, string>) => freeMemory('linux', files({ ...machine, ...contents }));

  it('of a Linux machine is what its kernel calls available', () => expect(free({})).toBe(8_192_000_000));

  it('of a control group is what its limit leaves, cached files aside', () => {
    const group = {
      '/proc/self/cgroup': '0::/user/app\n',
      '/sys/fs/cgroup/user/app/memory.max': 'max\n',
      '/sys/fs/cgroup/user/memory.max': '3000000\n',
      '/sys/fs/cgroup/user/memory.current': '2500000\n',
      '/sys/fs/cgroup/user/memory.stat': 'anon 500000\ninactive_file 900000\nactive_file 600000\n',
    };
    expect(free(group)).toBe(2_000_000);
    expect(free({ ...group, '/sys/fs/cgroup/user/app/memory.max': '1000000' })).toBe(1_000_000);
  });

  it('of a control group of version 1, in a container', () => {
    const group = {
      '/proc/self/cgroup': '5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '4000000',
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': '3000000',
      '/sys/fs/cgroup/memory/memory.stat':
        'inactive_file 9\ntotal_inactive_file 1000000\ntotal_active_file 0\n',
    };
    expect(free(group)).toBe(2_000_000);
    const unlimited = { ...group, '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712' };
    expect(free(unlimited)).toBe(8_192_000_000);
  });

  it('is never below nothing, and there is some here', () => {
    const full = {
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/memory.max': '1000',
      '/sys/fs/cgroup/memory.current': '2000',
    };
    expect(free(full)).toBe(0);
    expect(freeMemory()).toBeGreaterThan(0);
  });

  it('of a graphics card is known where its driver says so', () => {
    const cards = files({
      '/sys/class/drm/card0/device/mem_info_vram_total': '1000',
      '/sys/class/drm/card0/device/mem_info_vram_used': '100',
      '/sys/class/drm/card1/device/mem_info_vram_total': '9000',
      '/sys/class/drm/card1/device/mem_info_vram_used': '2000',
    });
    const list = () => ['card0', 'card1', 'card1-DP-1', 'renderD128', 'version'];
    expect(freeGraphicsMemory('linux', 'x64', cards, list)).toBe(7000);
    expect(freeGraphicsMemory('linux', 'x64', files({}), list)).toBeNull();
    expect(freeGraphicsMemory('win32', 'x64')).toBeNull();
    expect(freeGraphicsMemory('darwin', 'arm64')).toBe(freeMemory('darwin'));
  });
});
