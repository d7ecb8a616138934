import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requireVulkan } from '../parity/vulkan.ts';
import { sharedDirectory } from './media.ts';

export interface FailingDriver {
  /** To be added to the environment of a process that is to use it, before its first GPU session. */
  readonly env: NodeJS.ProcessEnv;
  /** From now on the device is lost, or has no memory left, for every process, until {@link recover}. */
  fail(how: 'LOST' | 'FULL'): void;
  recover(): void;
}

/** A Vulkan driver (see vulkan_driver.c) in front of the one that the WebGPU tests use; takes a C compiler to make. */
export function failingDriver(): FailingDriver {
  requireVulkan();
  const real = process.env.VK_ICD_FILENAMES!;
  const { ICD } = JSON.parse(readFileSync(real, 'utf8')) as { ICD: { library_path: string } };
  const directory = sharedDirectory();
  const library = join(directory, 'driver.so');
  execFileSync('cc', [
    '-shared',
    '-fPIC',
    '-O1',
    '-o',
    library,
    fileURLToPath(new URL('vulkan_driver.c', import.meta.url)),
    '-ldl',
  ]);
  const manifest = join(directory, 'driver.json');
  const format = { file_format_version: '1.0.0', ICD: { library_path: library, api_version: '1.0.5' } };
  writeFileSync(manifest, JSON.stringify(format));
  const files = { LOST: join(directory, 'lost'), FULL: join(directory, 'full') };
  return {
    env: {
      VK_ICD_FILENAMES: manifest,
      DRIVER: resolve(dirname(real), ICD.library_path),
      DRIVER_LOST: files.LOST,
      DRIVER_FULL: files.FULL,
    },
    fail: (how) => writeFileSync(files[how], ''),
    recover() {
      for (const file of Object.values(files)) rmSync(file, { force: true });
    },
  };
}
