/** A conversation about a clip, as a person has it: what is wrong and where, and is this compression? */
import { copyFileSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { AxeResults } from 'axe-core';
import type { Frame, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  dialog,
  explorerMenu,
  openPage,
  openViews,
  view,
  type Window,
  wearsTheme,
} from '../../workbench/window.ts';
import { startWorkbench, type Theme, themes } from '../../workbench/workbench.ts';
import { limit, openStudio, picture, root, type Studio, saveAs } from './support.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let studio: Studio;
let window: Window | undefined;

beforeAll(async () => {
  // Its blur is at 3 to 5 s in the upper right, see media/sample.truth.json.
  studio = await openStudio((clips) =>
    copyFileSync(join(root, 'media', 'sample.mp4'), join(clips, 'sample.mp4')),
  );
});

afterEach(async ({ task }) => {
  if (window && task.result?.state === 'fail') await picture(window.page, 'failed-chat');
  const complaints = [...(window?.complaints ?? [])];
  await window?.close();
  window = undefined;
  expect(complaints).toEqual([]);
});

afterAll(() => studio?.close());

/** The inside of the webview that has this element. */
async function webviewWith(page: Page, selector: string): Promise<Frame> {
  let found: Frame | undefined;
  await expect
    .poll(async () => {
      for (const frame of page.frames()) {
        // A frame that goes while it is looked at is not the one.
        if (
          (await frame
            .locator(selector)
            .count()
            .catch(() => 0)) > 0
        )
          found = frame;
      }
      return found !== undefined;
    }, limit)
    .toBe(true);
  return found!;
}

const chatOf = (page: Page) => webviewWith(page, '#chat main');
const timelineOf = (page: Page) => webviewWith(page, '#timeline .tracks[data-painted]');

async function ask(chat: Frame, question: string): Promise<void> {
  const before = await chat.locator('article').count();
  const field = chat.getByRole('textbox', { name: 'Question' });
  await field.fill(question);
  await field.press('Enter');
  await expect.poll(() => chat.locator('article').count(), limit).toBe(before + 1);
  const turn = chat.locator('article').last();
  await expect.poll(() => turn.getAttribute('data-state'), limit).not.toMatch(/waiting|streaming/);
  expect(await turn.getAttribute('data-state'), (await turn.textContent()) ?? '').toBe('complete');
}

/** Draws a selection over the lanes of the timeline, as the pointer does. */
async function brush(page: Page, timeline: Frame, start: number, end: number): Promise<void> {
  const body = timeline.locator('.tracks .body');
  await body.scrollIntoViewIfNeeded();
  const box = await body.boundingBox();
  const [from = 0, to = 0] = ((await timeline.locator('.tracks').getAttribute('data-range')) ?? '')
    .split('-')
    .map(Number);
  if (!box) throw new Error('The timeline has no lanes.');
  const x = (time: number) => box.x + ((time - from) / (to - from)) * box.width;
  await page.mouse.move(x(start) + 1, box.y + 90);
  await page.mouse.down();
  await page.mouse.move(x((start + end) / 2), box.y + 95);
  await page.mouse.move(x(end) - 1, box.y + 95);
  await page.mouse.up();
}

test('what is wrong and where, its box; a span, and whether it is compression', async () => {
  window = await studio.open({ width: 1500, height: 950 });
  const { page } = window;
  await explorerMenu(page, 'sample.mp4', 'Assess quality');
  const assessed = await webviewWith(page, '#timeline [data-state=complete]');
  await assessed.locator('.tracks[data-painted]').waitFor(limit);
  await assessed.getByRole('button', { name: 'Ask', exact: true }).click();

  const chat = await chatOf(page);
  const timeline = await timelineOf(page);
  await chat.getByText('sample.mp4').first().waitFor();
  await chat.locator('canvas[data-drawn=true]').first().waitFor(limit);
  await chat.getByRole('list', { name: 'Questions to ask' }).waitFor(limit);
  await picture(page, 'chat-1-open');

  await ask(chat, 'What is wrong, and where?');
  const answer = chat.getByTestId('answer').last();
  await expect.poll(() => answer.textContent(), limit).toMatch(/blur/i);
  await picture(page, 'chat-2-answered');
  const place = answer.getByRole('button', { name: /^(0:0)?3/ }).first();
  await place.click();
  await timeline.locator('.box.chosen').waitFor(limit);
  expect((await timeline.locator('.box.chosen').textContent())?.toLowerCase()).toContain('blur');
  await picture(page, 'chat-3-box');

  await brush(page, timeline, 3, 5);
  const chip = chat.locator('.composer').getByTestId('subject');
  await expect.poll(() => chip.textContent(), limit).toMatch(/^\s*(2\.9|3\.)\d*–(4\.9|5\.)\d* s/);
  await ask(chat, 'Is this compression?');
  const options = chat.getByRole('list', { name: 'What the model chose among' }).last().getByRole('listitem');
  const said = (await options.allTextContents()).map((one) => one.replace(/\s+/g, ' ').trim().toLowerCase());
  expect(said).toHaveLength(2);
  expect(said.map((one) => /yes|no/.exec(one.replace('chosen: ', ''))?.[0]).sort()).toEqual(['no', 'yes']);
  expect(said.every((one) => /\d+ %$/.test(one))).toBe(true);
  await picture(page, 'chat-4-compression');

  await chat.getByRole('button', { name: 'Export to Markdown' }).click();
  const target = join(studio.clips, 'talk.md');
  await saveAs(page, target);
  await expect
    .poll(() => {
      try {
        return readFileSync(target, 'utf8');
      } catch {
        return '';
      }
    }, limit)
    .toMatch(/# sample\.mp4[\s\S]*## What is wrong, and where\?[\s\S]*## Is this compression\?/);
});

test.each(Object.keys(themes) as Theme[])('%s: the conversation is still there, by axe', async (theme) => {
  studio.workbench.configure({ 'workbench.colorTheme': themes[theme].name });
  window = await studio.open({ width: 1500, height: 950 });
  const { page } = window;
  await wearsTheme(page, theme);
  await explorerMenu(page, 'sample.mp4', 'Open the quality timeline');
  await timelineOf(page);
  await explorerMenu(page, 'sample.mp4', 'Ask about this clip');
  const chat = await chatOf(page);
  await expect.poll(() => chat.locator('article').count(), limit).toBe(2);
  await chat.locator('canvas[data-drawn=true]').first().waitFor(limit);
  await picture(page, `chat-${theme.replaceAll(' ', '-')}`);
  // As the debugger's own text: the page's policy lets no script in.
  await chat.evaluate(`${axe};0`);
  const { violations } = await chat.evaluate(() =>
    (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run(),
  );
  expect(
    violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`),
  ).toEqual([]);
});

test('in the side bar the chat follows the editor', async () => {
  window = await studio.open();
  const { page } = window;
  await explorerMenu(page, 'sample.mp4', 'Open the quality timeline');
  await timelineOf(page);
  await openViews(page, 'OmniVQA');
  const header = view(page, 'Chat').locator('.pane-header');
  await header.waitFor();
  if ((await header.getAttribute('aria-expanded')) !== 'true') await header.click();
  const chat = await chatOf(page);
  await expect.poll(() => chat.locator('article').count(), limit).toBe(2);
  await picture(page, 'chat-5-side-bar');
});

test('untrusted workspace: a conversation can be looked at, nothing is asked', async () => {
  const workbench = await startWorkbench({
    workspace: studio.clips,
    extensions: [root],
    trusted: false,
    settings: { 'security.workspace.trust.startupPrompt': 'always' },
  });
  window = await openPage(studio.browser, workbench);
  try {
    const { page } = window;
    await dialog(page).getByRole('button', { name: /^No/ }).click();
    await explorerMenu(page, 'sample.mp4', 'Ask about this clip');
    const chat = await chatOf(page);
    await chat.getByText('This workspace is not trusted').first().waitFor();
    expect(await chat.getByRole('textbox', { name: 'Question' }).count()).toBe(0);
  } finally {
    await picture(window.page, 'chat-6-untrusted');
    await window.close();
    window = undefined;
    await workbench.stop();
  }
});
