/** Encoder settings compared where they are written: lenses, results inline, hover, the comparison. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { explorerRow, type Window } from '../../workbench/window.ts';
import { limit, openStudio, picture, render, type Studio } from './support.ts';

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
rungs:
  - name: high
    crf: 20
  - name: low
    crf: 45
    sped: veryfast
`;
/** The CRFs of the script, and what it writes. */
const written = { best: 18, good: 26, fair: 34, poor: 42 };

beforeAll(async () => {
  studio = await openStudio((clips) => {
    render(join(clips, 'source.mp4'), 3, [...['-vf', 'scale=320:180', '-c:v', 'libx264', '-crf', '5']]);
    for (const [name, crf] of Object.entries(written)) {
      const settings = ['-vf', 'scale=320:180', '-c:v', 'libx264', '-crf', String(crf)];
      render(join(clips, `${name}.mp4`), 3, settings);
    }
    writeFileSync(join(clips, 'encode.sh'), script);
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

test('a script with four CRFs: one click, four results inline, the hover', async () => {
  window = await studio.open();
  const { page } = window;
  await openFile(page, 'encode.sh');
  await lens(page, 'Compare all 4').waitFor(limit);
  await expect.poll(() => lens(page, /^Assess$/).count(), limit).toBe(4);
  await picture(page, 'compare-1-lenses');

  await lens(page, 'Compare all 4').click();
  await expect.poll(() => lens(page, /MOS [1-5]\.\d\d/).count(), limit).toBe(4);
  await picture(page, 'compare-2-results');

  await line(page, 'poor.mp4').hover({ position: { x: 120, y: 8 } });
  const hover = page.locator('.monaco-hover:visible');
  await hover.getByText('Worst', { exact: false }).first().waitFor();
  await hover.locator('img').nth(1).waitFor();
  await picture(page, 'compare-3-hover');
});

test('a ladder with a mistake says so', async () => {
  window = await studio.open();
  const { page } = window;
  await openFile(page, 'web.ladder.yaml');
  await page.locator('.squiggly-warning').first().waitFor(limit);
  await picture(page, 'compare-4-ladder');
});
