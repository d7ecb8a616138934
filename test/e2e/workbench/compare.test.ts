/** Encoder settings compared where they are written: lenses, results inline, hover, the comparison. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  explorerRow,
  notification,
  openViews,
  quickType,
  runCommand,
  type Window,
  webviewFrame,
} from '../../workbench/window.ts';
import { limit, openStudio, picture, render, type Studio, saveAs } from './support.ts';

let studio: Studio;
let window: Window | undefined;

const script = `#!/bin/sh
set -eu

# From the best to the smallest.
ffmpeg -i source.mp4 -c:v libx264 -preset veryfast -crf 18 -an best.mp4
ffmpeg -i source.mp4 -c:v libx264 -preset veryfast -crf 26 -an good.mp4
ffmpeg -i source.mp4 -c:v libx264 -preset veryfast -crf 34 -an fair.mp4
ffmpeg -i source.mp4 -c:v libx264 -preset veryfast -crf 42 -an poor.mp4
`;
const ladder = `source: source.mp4
targetMos: 4.5
rungs:
  - name: high
    crf: 18
    preset: veryfast
  - name: middle
    crf: 30
    preset: veryfast
  - name: low
    crf: 48
    preset: veryfast
`;

beforeAll(async () => {
  studio = await openStudio((clips) => {
    render(join(clips, 'source.mp4'), 3, [...['-vf', 'scale=320:180', '-c:v', 'libx264', '-crf', '5']]);
    writeFileSync(join(clips, 'encode.sh'), script);
    writeFileSync(
      join(clips, 'search.sh'),
      'ffmpeg -i source.mp4 -c:v libx264 -preset veryfast -crf 18 -an search.mp4\n',
    );
    writeFileSync(join(clips, 'web.ladder.yaml'), ladder);
  });
});

afterEach(async ({ task }) => {
  if (window && task.result?.state === 'fail') await picture(window.page, `failed-${task.name.slice(0, 20)}`);
  const complaints = [...(window?.complaints ?? [])];
  await window?.close();
  window = undefined;
  expect(complaints).toEqual([]);
});

afterAll(() => studio?.close());

const openFile = async (page: Page, name: string) => (await explorerRow(page, name)).dblclick();
const lens = (page: Page, text: string | RegExp) =>
  page.locator('.contentWidgets .codelens-decoration a').filter({ hasText: text });
const line = (page: Page, text: string) => page.locator('.view-line').filter({ hasText: text });

test('a script with four CRFs: one click, four results inline, the curve, the hover', async () => {
  window = await studio.open();
  const { page } = window;
  await openFile(page, 'encode.sh');
  await lens(page, 'Compare all 4').waitFor(limit);
  await expect.poll(() => lens(page, /^Assess$/).count(), limit).toBe(4);
  await picture(page, 'compare-1-lenses');

  await lens(page, 'Compare all 4').click();
  await expect.poll(() => lens(page, /MOS [1-5]\.\d\d/).count(), limit).toBe(4);
  const comparison = webviewFrame(page);
  await comparison.getByText('4 of 4 encodes measured').waitFor(limit);
  await comparison.getByRole('heading', { name: 'source.mp4' }).waitFor();
  await picture(page, 'compare-2-results');
  const report = join(studio.clips, 'encodes.html');
  await comparison.getByRole('button', { name: 'HTML' }).click();
  await saveAs(page, report);
  const written = () =>
    existsSync(report) ? readFileSync(report, 'utf8').split('<th scope="row">').length : 0;
  await expect.poll(written, limit).toBe(5);
  await lookAtPictures(page);

  await line(page, 'poor.mp4').hover({ position: { x: 120, y: 8 } });
  const hover = page.locator('.monaco-hover:visible');
  await hover.getByText('Worst', { exact: false }).first().waitFor();
  await hover.locator('img').nth(1).waitFor();
  await picture(page, 'compare-3-hover');

  const user = join(studio.workbench.dir, 'user');
  const kept = readdirSync(user, { recursive: true, encoding: 'utf8' }).filter((one) => one.endsWith('.mkv'));
  expect(kept).toHaveLength(4);
  for (const one of kept) rmSync(join(user, one));
  await comparison.getByRole('slider', { name: 'Frame' }).press('End');
  await comparison.getByText(/No picture of .* is not kept any more\. Compare again/).waitFor(limit);
  await comparison.getByText('A Source', { exact: true }).waitFor();
  await picture(page, 'compare-10-gone');
});

/** The best and the poorest encode under a wipe, zoomed in, as a difference, frame by frame, and beside the source. */
async function lookAtPictures(page: Page): Promise<void> {
  const view = webviewFrame(page);
  const shown = () => view.locator('.viewer canvas').getAttribute('data-frame');
  await view.getByRole('heading', { name: 'Pictures' }).evaluate((heading) => heading.scrollIntoView());
  await expect.poll(shown, limit).toMatch(/^\d+$/);
  const first = await shown();
  const divider = view.getByRole('slider', { name: 'Wipe divider' });
  await divider.press('Shift+ArrowLeft');
  await expect.poll(() => divider.getAttribute('aria-valuenow'), limit).toBe('40');
  await picture(page, 'compare-6-wipe');

  await divider.press('1');
  await view.getByRole('button', { name: 'Zoom in' }).click();
  await view.getByRole('button', { name: 'Zoom in' }).click();
  await view.getByText('300 %').waitFor(limit);
  await picture(page, 'compare-7-pixels');
  await view.getByRole('button', { name: 'Fit' }).click();

  await view.getByRole('button', { name: 'Difference', exact: true }).click();
  await view.getByText('In this frame the two differ by').waitFor(limit);
  await picture(page, 'compare-8-difference');

  const slider = view.getByRole('slider', { name: 'Frame' });
  await slider.press('Home');
  await expect.poll(shown, limit).toBe('0');
  await slider.press('.');
  await expect.poll(shown, limit).toBe('1');
  await view.getByRole('button', { name: 'Jump to the largest difference' }).click();
  await expect.poll(shown, limit).toBe(first);

  await view.getByRole('button', { name: 'Side by side' }).click();
  await view.getByRole('combobox', { name: 'First picture' }).selectOption('Source');
  await view.getByText('A Source', { exact: true }).waitFor(limit);
  await expect.poll(() => view.locator('.where').getAttribute('data-current'), limit).toBe('true');
  const times = await view
    .locator('.tag')
    .getByText(/^\d\.\d{3} s$/)
    .allTextContents();
  expect(times).toEqual([times[0], times[0]]);
  await expect.poll(() => view.getByText('has no frame at').count(), limit).toBe(0);
  expect(await view.getByText('No picture of').count()).toBe(0);
  await picture(page, 'compare-9-side');
}

test('the highest CRF for a MOS: asked for, searched, written where the old one stood', async () => {
  window = await studio.open();
  const { page } = window;
  await openFile(page, 'search.sh');
  await lens(page, /^Assess$/).click(limit);
  const said = lens(page, /^MOS/);
  await said.waitFor(limit);
  const [, mos] = /MOS (\d\.\d\d)/.exec((await said.textContent()) ?? '') ?? [];
  await lens(page, 'Find CRF…').click();
  await quickType(page, '7', false);
  await page.getByText('Write a number that is more than 1').waitFor();
  await picture(page, 'compare-11-target');
  await quickType(page, (Number(mos) - 0.4).toFixed(2));
  const found = notification(page, /is the highest that reaches MOS/);
  await found.waitFor(limit);
  await picture(page, 'compare-12-found');
  const [, crf, reached] =
    /crf (\d+) is the highest.*it has (\d\.\d\d)/.exec((await found.textContent()) ?? '') ?? [];
  await found.getByRole('button', { name: `Write crf ${crf}` }).click();
  await line(page, `-crf ${crf} -an search.mp4`).waitFor();
  // What the search measured holds for what it has written.
  await lens(page, `MOS ${reached}`).waitFor(limit);
  await picture(page, 'compare-13-written');
});

test('a ladder: rungs that miss their target, and the ladder in the Test Explorer', async () => {
  window = await studio.open();
  const { page } = window;
  await openFile(page, 'web.ladder.yaml');
  await lens(page, 'Compare all 3').click(limit);
  await expect.poll(() => lens(page, /MOS [1-5]\.\d\d/).count(), limit).toBe(3);
  await page.locator('.squiggly-warning').first().waitFor(limit);
  await picture(page, 'compare-4-ladder');

  await openViews(page, 'Testing');
  const rows = page.locator('.test-explorer .monaco-list-row');
  await rows.filter({ hasText: 'web.ladder.yaml' }).locator('.monaco-tl-twistie').click(limit);
  await rows.filter({ hasText: 'low' }).waitFor(limit);
  await runCommand(page, 'Test: Run All Tests');
  await rows.filter({ hasText: 'low' }).locator('[class*="failed"]').first().waitFor(limit);
  await picture(page, 'compare-5-tests');
});
