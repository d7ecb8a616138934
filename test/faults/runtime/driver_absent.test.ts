import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { chooseProvider } from '../../../src/model/runtime/providers.ts';

// In a file, and so a process, of its own: a process that found no driver once does not look again.
it.runIf(process.platform === 'linux')(
  'a Vulkan driver that does not exist leaves the CPU, and says so',
  async () => {
    const geometry = { heads: 2, kvHeads: 1, headDim: 16 };
    process.env.VK_ICD_FILENAMES = join(tmpdir(), 'omnivqa-absent_icd.json');
    await expect(chooseProvider('webgpu', geometry)).rejects.toMatchObject({
      code: 'provider_unavailable',
      next: expect.stringContaining('cpu'),
    });
    expect(await chooseProvider('auto', geometry)).toMatchObject({
      provider: 'cpu',
      reason: expect.stringContaining('webgpu'),
    });
  },
);
