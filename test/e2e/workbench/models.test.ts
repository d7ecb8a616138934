/** Two models on one clip, and the list of models. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  explorerMenu,
  notification,
  quickPick,
  quickPickRow,
  runCommand,
  type Window,
  webviewFrame,
} from '../../workbench/window.ts';
import { limit, openStudio, picture, render, root, type Studio } from './support.ts';

const models = mkdtempSync(join(tmpdir(), 'omnivqa-models-'));
/** A random checkpoint that says something of each second. */
const second = join(models, 'second-model');
let studio: Studio;
let window: Window | undefined;

beforeAll(async () => {
  cpSync(join(root, 'test', 'fixtures', 'parity', 'separate-patch'), second, { recursive: true });
  const path = join(second, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as { omnivqa: object };
  writeFileSync(path, JSON.stringify({ ...config, omnivqa: { ...config.omnivqa, window_seconds: 2 } }));
  studio = await openStudio((clips) => render(join(clips, 'clip.mp4'), 12), {
    settings: { 'omnivqa.refineModel': second, 'omnivqa.refineWindows': 2 },
  });
});

afterEach(async ({ task }) => {
  if (window && task.result?.state === 'fail') await picture(window.page, `failed-${task.name.slice(0, 20)}`);
  const complaints = [...(window?.complaints ?? [])];
  await window?.close();
  window = undefined;
  expect(complaints).toEqual([]);
});

afterAll(async () => {
  await studio?.close();
  rmSync(models, { recursive: true, force: true });
});

test('Nano answers, a second model looks at the worst windows, the list says which does what', async () => {
  window = await studio.open();
  const { page } = window;
  await explorerMenu(page, 'clip.mp4', 'Assess quality');
  const timeline = webviewFrame(page);
  const legend = timeline.getByRole('list', { name: 'Which model said what' });
  await legend.getByText('second-model, 2 windows').waitFor(limit);
  await timeline.locator('[data-state=complete]').waitFor(limit);
  await picture(page, 'models-1-refined');

  await runCommand(page, 'OmniVQA: Show models');
  await quickPickRow(page, 'OmniVQA-Nano').waitFor(limit);
  await picture(page, 'models-2-list');
  expect(await quickPickRow(page, 'OmniVQA-Nano').innerText()).toContain('Assesses');
  const row = quickPickRow(page, 'second-model');
  expect(await row.innerText()).toContain('Looks at the worst windows');
  expect(await row.innerText()).toContain('converses');
  await quickPick(page, 'second-model');
  await quickPickRow(page, 'Use for chat').waitFor(limit);
  await picture(page, 'models-3-actions');
  await quickPick(page, 'Use for chat');
  await notification(page, 'second-model answers questions from now on.').waitFor(limit);

  await runCommand(page, 'OmniVQA: Show models');
  await expect
    .poll(() => quickPickRow(page, 'second-model').innerText(), limit)
    .toContain('Answers questions');
  await quickPick(page, 'second-model');
  await quickPick(page, 'See where it runs');
  await notification(page, /second-model runs on cpu in fp32/).waitFor(limit);
  await picture(page, 'models-4-runs');
});
