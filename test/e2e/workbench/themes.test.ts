/** The timeline and the views in every kind of theme, looked at by axe and kept as pictures. */
import { copyFileSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { AxeResults } from 'axe-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  explorerMenu,
  openViews,
  runCommand,
  viewRows,
  wearsTheme,
  webviewFrame,
} from '../../workbench/window.ts';
import { type Theme, themes } from '../../workbench/workbench.ts';
import { drawn, limit, openStudio, picture, root, type Studio } from './support.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let studio: Studio;

beforeAll(async () => {
  studio = await openStudio(
    (clips) => copyFileSync(join(root, 'media', 'sample.mp4'), join(clips, 'sample.mp4')),
    { settings: { 'omnivqa.threshold': 4.9, 'omnivqa.explorer.showMos': true } },
  );
});

afterAll(() => studio?.close());

test.each(Object.keys(themes) as Theme[])('%s: the timeline and the views, by axe', async (theme) => {
  studio.workbench.configure({ 'workbench.colorTheme': themes[theme].name });
  const window = await studio.open({ height: 1000 });
  const { page } = window;
  try {
    await wearsTheme(page, theme);
    await explorerMenu(page, 'sample.mp4', 'Assess quality');
    const timeline = webviewFrame(page);
    await timeline.locator('[data-state=complete]').waitFor(limit);
    await drawn(timeline);
    await timeline.getByRole('button', { name: 'Next distortion' }).click();
    await timeline.locator('.box').first().waitFor();
    await openViews(page, 'OmniVQA');
    const row = viewRows(page, 'Results').first();
    await row.waitFor();
    await row.locator('.monaco-tl-twistie').click();
    await expect.poll(() => viewRows(page, 'Results').count(), limit).toBeGreaterThan(1);
    await runCommand(page, 'View: Toggle Problems');
    await page
      .getByText(/misses the target of 4\.9/)
      .first()
      .waitFor();
    await picture(page, `theme-${theme.replaceAll(' ', '-')}`);

    const handle = await timeline.locator('body').elementHandle();
    const frame = await handle?.ownerFrame();
    if (!frame) throw new Error('The timeline has no frame.');
    // As the debugger's own text: the page's policy lets no script in.
    await frame.evaluate(`${axe};0`);
    const { violations } = await frame.evaluate(() =>
      (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run(),
    );
    expect(
      violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`),
    ).toEqual([]);
  } finally {
    await window.close();
  }
});
