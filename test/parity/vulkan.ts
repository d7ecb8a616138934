import { existsSync } from 'node:fs';

const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json';

/**
 * Points the Vulkan loader at a driver for WebGPU, before the first GPU session of the process: the driver that
 * VK_ICD_FILENAMES names, else SwiftShader, which needs no graphics card. On other systems WebGPU does not use
 * Vulkan and nothing needs doing.
 */
export function requireVulkan(): void {
  if (process.platform !== 'linux' || process.env.VK_ICD_FILENAMES) return;
  if (!existsSync(swiftShader)) {
    throw new Error(
      `The WebGPU tests need a Vulkan driver. Install SwiftShader (sudo apt-get install chromium puts it at ${swiftShader}) ` +
        'or set VK_ICD_FILENAMES to the JSON file of another driver.',
    );
  }
  process.env.VK_ICD_FILENAMES = swiftShader;
}
