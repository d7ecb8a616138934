/** The extension as it was built, in a real workbench, on a folder of clips of its own. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, FrameLocator, Page } from 'playwright-core';
import { expect } from 'vitest';
import { launchChromium } from '../../support/browser.ts';
import { openPage, type Window, type WindowOptions } from '../../workbench/window.ts';
import { startWorkbench, type Workbench, type WorkbenchOptions } from '../../workbench/workbench.ts';

export const root = fileURLToPath(new URL('../../..', import.meta.url));
export const limit = { timeout: 120_000 };

export interface Studio {
  readonly clips: string;
  readonly workbench: Workbench;
  readonly browser: Browser;
  open(options?: WindowOptions): Promise<Window>;
  close(): Promise<void>;
}

/** Starts a workbench with the extension; `prepare` fills the folder. */
export async function openStudio(
  prepare: (clips: string) => void,
  options: Omit<WorkbenchOptions, 'workspace'> = {},
): Promise<Studio> {
  const clips = mkdtempSync(join(tmpdir(), 'omnivqa-clips-'));
  prepare(clips);
  const workbench = await startWorkbench({ workspace: clips, extensions: [root], ...options });
  const browser = await launchChromium();
  return {
    clips,
    workbench,
    browser,
    open: (more) => openPage(browser, workbench, more),
    close: async () => {
      await browser.close();
      await workbench.stop();
      rmSync(clips, { recursive: true, force: true });
    },
  };
}

/** A moving test picture. */
export function render(path: string, seconds: number, video: readonly string[] = ['-c:v', 'libx264']): void {
  mkdirSync(dirname(path), { recursive: true });
  execFileSync('ffmpeg', [
    ...['-v', 'error', '-y', '-f', 'lavfi', '-i', `testsrc2=size=640x360:rate=25:duration=${seconds}`],
    ...['-preset', 'ultrafast', '-pix_fmt', 'yuv420p', ...video, `file:${path}`],
  ]);
}

/** Keeps a picture of the page among the artefacts of the run. */
export async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(root, 'test-results', 'workbench', `${name}.png`) });
}

/** Answers the save dialog, once it has offered the name that it comes up with. */
export async function saveAs(page: Page, target: string): Promise<void> {
  const input = page.locator('.quick-input-widget:visible input[type="text"]').first();
  await expect.poll(() => input.inputValue(), limit).toMatch(/\.omnivqa\.\w+$/);
  await input.fill(target);
  await expect.poll(() => input.inputValue(), limit).toBe(target);
  await input.press('Enter');
}

/** Waits until the timeline has drawn its curve, a frame of the clip and the filmstrip. */
export async function drawn(view: FrameLocator): Promise<void> {
  await view.locator('.tracks[data-painted][data-film=whole]').waitFor(limit);
  await view.locator('canvas[data-drawn=true], video').first().waitFor();
}
