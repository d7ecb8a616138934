/** From the right-click to the report, as a person does it. */
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  explorerMenu,
  notification,
  openViews,
  quickPick,
  quickPickRow,
  quickType,
  runCommand,
  statusBar,
  view,
  viewRows,
  type Window,
  webviewFrame,
} from '../../workbench/window.ts';
import { drawn, limit, openStudio, picture, render, root, type Studio, saveAs } from './support.ts';

let studio: Studio;
let window: Window | undefined;
let reloaded = false;

beforeAll(async () => {
  studio = await openStudio((clips) => {
    copyFileSync(join(root, 'media', 'sample.mp4'), join(clips, 'sample.mp4'));
    render(join(clips, 'long.mp4'), 150);
    render(join(clips, 'takes', 'a.mp4'), 2);
    render(join(clips, 'takes', 'b & <i>"c".mp4'), 2);
    const tenBit = ['-c:v', 'libx265', '-pix_fmt', 'yuv420p10le', '-x265-params', 'log-level=none'];
    render(join(clips, 'hevc.mkv'), 3, tenBit);
  });
});

afterEach(async ({ task }) => {
  if (window && task.result?.state === 'fail') await picture(window.page, `failed-${task.name.slice(0, 20)}`);
  const complaints = [...(window?.complaints ?? [])];
  await window?.close();
  window = undefined;
  // A page that is reloaded leaves requests of the workbench's own behind, which end as they may: ours are looked for.
  const ours = /dist\/webview|timeline\.(js|css)|extension\.cjs|Content Security Policy/;
  expect(reloaded ? complaints.filter((one) => ours.test(one)) : complaints).toEqual([]);
  reloaded = false;
});

afterAll(() => studio?.close());

test('right-click, "Assess quality", a timeline, the worst moment with its box, the report', async () => {
  window = await studio.open();
  const { page } = window;
  await explorerMenu(page, 'sample.mp4', 'Assess quality');
  const timeline = webviewFrame(page);
  // A short clip may be assessed before its view is there: what is shown meanwhile is looked at with a long one.
  await timeline.locator('[data-state=complete]').waitFor(limit);
  await drawn(timeline);
  const score = (await timeline.getByRole('complementary', { name: 'Quality' }).textContent()) ?? '';
  expect(score).toMatch(/[1-5]\.\d\d\s*of 5/);
  await picture(page, '2-assessed');

  const rows = timeline.getByRole('tabpanel').locator('tbody tr');
  await timeline.getByRole('tab', { name: /Distortions/ }).click();
  await expect.poll(() => rows.count(), limit).toBeGreaterThan(0);
  await timeline.getByRole('button', { name: 'Next distortion' }).click();
  await timeline.locator('.box').first().waitFor();
  await picture(page, '3-distortion');

  await timeline.getByRole('button', { name: 'Export' }).click();
  await timeline.getByRole('menuitem', { name: 'Report (HTML)' }).click();
  const target = join(studio.clips, 'report.html');
  await saveAs(page, target);
  await expect.poll(() => existsSync(target), limit).toBe(true);
  const report = await page.context().newPage();
  await report.goto(pathToFileURL(target).href);
  await report
    .getByText(/MOS [1-5]\.\d\d/)
    .first()
    .waitFor();
  await report.screenshot({
    path: join(root, 'test-results', 'workbench', '4-report.png'),
    fullPage: true,
  });
  expect(readFileSync(target, 'utf8')).not.toMatch(/<script|https?:\/\//);

  // What was found is in the results view, and leads back into the timeline.
  await openViews(page, 'OmniVQA');
  await expect.poll(() => viewRows(page, 'Results').count(), limit).toBe(1);
  await viewRows(page, 'Results').first().locator('.monaco-tl-twistie').click();
  await expect.poll(() => viewRows(page, 'Results').count(), limit).toBeGreaterThan(1);
  await viewRows(page, 'Results').nth(1).click();
  await timeline.getByRole('group', { name: 'Selection' }).waitFor();
  await picture(page, '5-results');
});

test('a live timeline is cancelled, keeps what is finished, survives a reload of the window and goes on', async () => {
  window = await studio.open();
  const { page } = window;
  await explorerMenu(page, 'long.mp4', 'Assess quality');
  const timeline = webviewFrame(page);
  const scores = timeline.getByRole('tab', { name: /Scores/ });
  const scored = async () => Number(/\d+/.exec((await scores.textContent()) ?? '')?.[0] ?? 0);
  await expect.poll(scored, limit).toBeGreaterThan(0);
  await statusBar(page, 'long.mp4').waitFor();
  await timeline.getByRole('progressbar').waitFor();
  await picture(page, '1-running');
  await timeline.getByRole('button', { name: 'Cancel' }).click();
  await timeline.locator('[data-state=cancelled]').waitFor();
  await picture(page, '6-cancelled');
  const kept = await scored();
  expect(kept).toBeGreaterThan(0);

  reloaded = true;
  await page.reload();
  const again = webviewFrame(page);
  await again.locator('[data-state=partial]').waitFor();
  expect(
    Number(/\d+/.exec((await again.getByRole('tab', { name: /Scores/ }).textContent()) ?? '')?.[0]),
  ).toBe(kept);
  await again.getByRole('button', { name: 'Continue' }).click();
  await again.locator('[data-state=running]').waitFor();
  await page.reload();
  // The window went while its job ran: what was finished then is there, and the job can go on to its end.
  const last = webviewFrame(page);
  await last
    .getByRole('button', { name: 'Continue' })
    .or(last.locator('[data-state=running]'))
    .first()
    .waitFor();
  const go = last.getByRole('button', { name: 'Continue' });
  if (await go.isVisible()) await go.click();
  await last.locator('[data-state=complete]').waitFor(limit);
});

test('several clips at once: progress, the results view, the worst one', async () => {
  window = await studio.open();
  const { page } = window;
  await explorerMenu(page, 'takes', 'Assess all videos');
  const done = notification(page, /2 of 2 videos assessed/);
  await done.waitFor();
  await picture(page, '7-several');
  await done.getByRole('button', { name: 'Open the Worst' }).click();
  const timeline = webviewFrame(page);
  await timeline.locator('[data-state=complete]').waitFor(limit);
  await expect
    .poll(() => timeline.getByRole('heading', { level: 1 }).textContent(), limit)
    .toMatch(/^(a|b & <i>"c")\.mp4$/);
});

test('what the browser can not play is shown in stills: 10-bit HEVC in Matroska', async () => {
  window = await studio.open();
  const { page } = window;
  await explorerMenu(page, 'hevc.mkv', 'Open the quality timeline');
  const timeline = webviewFrame(page);
  await timeline.getByRole('button', { name: 'Assess quality' }).click();
  await timeline.locator('[data-state=complete]').waitFor(limit);
  await timeline.locator('.frame[data-mode=stills] canvas[data-drawn=true]').waitFor();
  await picture(page, '8-stills');
});

test('by keyboard alone: the palette, the timeline, the export', async () => {
  window = await studio.open();
  const { page } = window;
  // Ctrl+P opens the file by name; its editor is chosen in the next list.
  await page.keyboard.press('ControlOrMeta+p');
  await quickType(page, 'sample.mp4', false);
  await quickPickRow(page, 'sample.mp4').first().waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('tab', { name: /^sample\.mp4/ }).waitFor();
  // Keys that a webview gets before it has loaded are lost.
  await webviewFrame(page).locator('video').waitFor();
  // A palette that opens before the workspace counts as trusted does not list the command, and is not filled again.
  await statusBar(page, /Assess quality|MOS \d/).waitFor();
  await runCommand(page, 'OmniVQA: Assess quality');
  const timeline = webviewFrame(page);
  await timeline.locator('[data-state=complete]').waitFor(limit);
  await drawn(timeline);
  const playhead = timeline.getByRole('slider', { name: 'Playhead' });
  await playhead.focus();
  await page.keyboard.press('w');
  await expect
    .poll(async () => Number(await playhead.getAttribute('aria-valuenow')), limit)
    .toBeGreaterThan(0);
  await page.keyboard.press('n');
  await timeline.locator('.box').first().waitFor();
  await runCommand(page, 'OmniVQA: Export the assessment…');
  await quickPick(page, 'Assessment record (JSON)');
  const target = join(studio.clips, 'by-keyboard.json');
  await saveAs(page, target);
  await expect.poll(() => existsSync(target), limit).toBe(true);
  expect(JSON.parse(readFileSync(target, 'utf8')).schema).toBe('omnivqa/assessment@1');
  await view(page, 'Results').waitFor({ state: 'hidden' });
});
