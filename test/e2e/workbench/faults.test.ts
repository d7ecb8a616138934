/** What goes wrong in a real workbench, and what the person in front of it sees. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FrameLocator } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  contextMenuLabels,
  dialog,
  explorerMenu,
  explorerRow,
  notification,
  openPage,
  runCommand,
  type Window,
  webviewFrame,
} from '../../workbench/window.ts';
import { startWorkbench } from '../../workbench/workbench.ts';
import { limit, openStudio, picture, render, type Studio } from './support.ts';

let studio: Studio;
let window: Window | undefined;

beforeAll(async () => {
  studio = await openStudio((clips) => {
    for (const name of ['moved', 'twice']) render(join(clips, `${name}.mp4`), 40);
    // Long enough to be still at work when something happens to it.
    render(join(clips, 'killed.mp4'), 150);
    render(join(clips, 'replaced.mp4'), 150, ['-vf', 'scale=1920:1080', '-c:v', 'libx264']);
    render(join(clips, 'other.mp4'), 4);
  });
});

afterEach(async ({ task }) => {
  if (window && task.result?.state === 'fail') await picture(window.page, `failed-${task.name.slice(0, 20)}`);
  await window?.close();
  window = undefined;
});

afterAll(() => studio?.close());

/** How many seconds of the clip have a score. */
const scored = async (timeline: FrameLocator) =>
  Number(/\d+/.exec((await timeline.getByRole('tab', { name: /Scores/ }).textContent()) ?? '')?.[0] ?? 0);

test('engine killed mid-job: told once, goes on from the last finished window', async () => {
  window = await studio.open();
  const { page } = window;
  await explorerMenu(page, 'killed.mp4', 'Assess quality');
  const timeline = webviewFrame(page);
  await expect.poll(() => scored(timeline), limit).toBeGreaterThan(0);
  const [engine] = studio.workbench.processes(/dist\/engine\.mjs/);
  expect(engine).toBeDefined();
  process.kill(engine!, 'SIGKILL');
  const told = notification(page, 'The OmniVQA engine stopped unexpectedly');
  await told.waitFor();
  await picture(page, 'fault-killed');
  await timeline.locator('[data-state=complete]').waitFor(limit);
  expect(await told.count()).toBeLessThanOrEqual(1);
  expect(await scored(timeline)).toBe(150);
});

test('file replaced mid-job: said so, and the new one can be assessed', async () => {
  window = await studio.open();
  const { page } = window;
  await explorerMenu(page, 'replaced.mp4', 'Assess quality');
  const timeline = webviewFrame(page);
  await expect.poll(() => scored(timeline), limit).toBeGreaterThan(0);
  copyFileSync(join(studio.clips, 'other.mp4'), join(studio.clips, 'replaced.mp4'));
  await timeline
    .getByText(/was changed or removed while it was assessed/)
    .first()
    .waitFor(limit);
  await picture(page, 'fault-replaced');
  await timeline
    .getByRole('button', { name: /^(Assess quality|Assess again|Continue|Try again)$/ })
    .first()
    .click();
  await timeline.locator('[data-state=complete]').waitFor(limit);
  expect(await scored(timeline)).toBe(4);
});

test('webview moved and hidden while a job runs', async () => {
  window = await studio.open();
  const { page } = window;
  await explorerMenu(page, 'moved.mp4', 'Assess quality');
  await expect.poll(() => scored(webviewFrame(page)), limit).toBeGreaterThan(0);
  await runCommand(page, 'View: Move Editor into Next Group');
  await explorerMenu(page, 'other.mp4', 'Open the quality timeline');
  await webviewFrame(page).getByRole('heading', { name: 'other.mp4' }).waitFor();
  await explorerMenu(page, 'moved.mp4', 'Open the quality timeline');
  const timeline = webviewFrame(page);
  await timeline.getByRole('heading', { name: 'moved.mp4' }).waitFor();
  await timeline.locator('[data-state=complete]').waitFor(limit);
  expect(await scored(timeline)).toBe(40);
});

test('two windows on one folder: both show the result, the work is done once', async () => {
  window = await studio.open();
  const second = await studio.open();
  try {
    for (const { page } of [window, second]) await explorerMenu(page, 'twice.mp4', 'Assess quality');
    for (const { page } of [window, second]) {
      await webviewFrame(page).locator('[data-state=complete]').waitFor(limit);
    }
    const scores = await Promise.all(
      [window, second].map(({ page }) =>
        webviewFrame(page).getByRole('complementary', { name: 'Quality' }).textContent(),
      ),
    );
    expect(scores[0]).toBe(scores[1]);
  } finally {
    await second.close();
  }
});

test('ffmpeg missing: the cause and the next step', async () => {
  const workbench = await startWorkbench({
    workspace: studio.clips,
    extensions: [new URL('../../..', import.meta.url).pathname],
    env: { OMNIVQA_FFMPEG: '/nowhere/ffmpeg' },
  });
  try {
    window = await openPage(studio.browser, workbench);
    const { page } = window;
    await explorerMenu(page, 'other.mp4', 'Assess quality');
    const timeline = webviewFrame(page);
    await timeline.getByText('OMNIVQA_FFMPEG names /nowhere/ffmpeg').first().waitFor();
    await timeline
      .getByText(/in the setting omnivqa\.ffmpegPath/)
      .first()
      .waitFor();
    await picture(page, 'fault-ffmpeg-missing');
  } finally {
    await window?.close();
    window = undefined;
    await workbench.stop();
  }
});

test('untrusted workspace: results can be viewed, nothing is run', async () => {
  const workbench = await startWorkbench({
    workspace: studio.clips,
    extensions: [new URL('../../..', import.meta.url).pathname],
    trusted: false,
    settings: { 'security.workspace.trust.startupPrompt': 'always' },
  });
  try {
    window = await openPage(studio.browser, workbench);
    const { page } = window;
    const no = dialog(page).getByRole('button', { name: /^No/ });
    await no.click();
    const row = await explorerRow(page, 'other.mp4');
    await expect.poll(() => contextMenuLabels(page, row), limit).toContain('Open the quality timeline');
    expect(await contextMenuLabels(page, row)).not.toContain('Assess quality');
    await explorerMenu(page, 'other.mp4', 'Open the quality timeline');
    const timeline = webviewFrame(page);
    await timeline.getByRole('heading', { name: 'other.mp4' }).waitFor();
    await timeline.getByText('This workspace is not trusted').first().waitFor();
    expect(await timeline.getByRole('button', { name: 'Assess quality' }).count()).toBe(0);
    await picture(page, 'fault-untrusted');
  } finally {
    await window?.close();
    window = undefined;
    await workbench.stop();
  }
});
