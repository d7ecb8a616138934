import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { FrameLocator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ChatSnapshot, ChatTurn } from '../../../src/protocol/chat_view.ts';
import type { ChatHarness, ChatOptions } from '../../../webview-ui/dev/chat_control.ts';
import type { ThemeName } from '../../../webview-ui/dev/control.ts';
import { openStudio, type Studio } from '../../support/browser.ts';

/** Pictures to look at, kept by CI. */
const pictures = join('test-results', 'chat');
const limit = { timeout: 60_000 };
let studio: Studio;
let page: Page;
let view: FrameLocator;
let complaints: string[] = [];

beforeAll(async () => {
  mkdirSync(pictures, { recursive: true });
  studio = await openStudio();
});

afterEach(async () => {
  await page.context().close();
  expect(complaints).toEqual([]);
});

afterAll(async () => {
  await studio?.close();
});

async function open(options: ChatOptions = {}, size = { width: 520, height: 900 }): Promise<void> {
  complaints = [];
  const context = await studio.browser.newContext({ viewport: size });
  page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(`${error}`));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  // Nothing may be fetched but the view itself.
  page.on('request', (request) => {
    if (!request.url().startsWith(studio.address)) complaints.push(`fetched ${request.url()}`);
  });
  await page.exposeFunction('reportViolation', (text: string) => complaints.push(text));
  await page.addInitScript(
    `addEventListener('securitypolicyviolation', (event) =>
      top.reportViolation('CSP: ' + event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample));`,
  );
  await page.goto(`${studio.address}chat?bare`);
  await page.evaluate((one) => globalThis.chat.open(one), options);
  view = page.frameLocator('iframe');
  await view.locator('main').waitFor();
}

const call = <K extends 'send' | 'stream' | 'finish' | 'compose' | 'theme' | 'reload' | 'disconnect'>(
  name: K,
  ...args: Parameters<ChatHarness[K]>
) =>
  page.evaluate(
    async ([method, parameters]) => {
      await (globalThis.chat[method as K] as (...all: unknown[]) => unknown)(...parameters);
    },
    [name, args] as const,
  );
const log = () => page.evaluate(() => globalThis.chat.log);
const field = () => view.getByRole('textbox', { name: 'Question' });
const answer = () => view.getByTestId('answer').last();

async function ask(question: string): Promise<void> {
  await field().fill(question);
  await field().press('Enter');
  await view.locator('article[data-state=waiting]').waitFor();
}

/** What a person may see of a whole conversation: places, a contradiction, probabilities, a span. */
const path = '/clips/harbour.mp4';
const text =
  'There is severe blur at 3.0–5.0 s in the upper right, and noise at 8.0–9.0 s in the whole picture.';
const at = (part: string, more = 0) => ({
  from: text.indexOf(part),
  to: text.indexOf(part) + part.length + more,
});
const upperRight = { x: 0.5, y: 0, width: 0.5, height: 0.5 };
const blur = { path, span: { start: 3, end: 5 }, region: upperRight, type: 'blur' };
const turn = (changes: Partial<ChatTurn>): ChatTurn => ({
  id: 'a',
  revision: 1,
  question: 'What is wrong, and where?',
  subject: null,
  clips: [path],
  state: 'complete',
  text,
  cut: false,
  links: [
    { ...at('3.0–5.0 s'), place: blur },
    { ...at('upper right'), place: blur },
    { ...at('8.0–9.0 s'), place: { path, span: { start: 8, end: 9 }, region: null, type: 'noise' } },
  ],
  claims: [
    { ...at('severe blur at 3.0–5.0 s in the upper right'), verdict: 'agrees', text: '', because: '' },
    {
      ...at('noise at 8.0–9.0 s in the whole picture'),
      verdict: 'contradicts',
      text: 'noise at 8.0–9.0 s in the whole picture',
      because: 'The record has no noise at 8.0–9.0 s.',
    },
  ],
  options: [],
  basis: ['omnivqa-nano on cpu', '0.0–12.5 s, 13 key frames'],
  prompt: true,
  error: null,
  ...changes,
});
const conversation: Partial<ChatSnapshot> = {
  turns: [
    turn({}),
    turn({
      id: 'b',
      question: 'Is this compression?',
      subject: { path, span: { start: 3, end: 5 }, type: null },
      text: 'No.',
      links: [],
      claims: [],
      options: [
        { text: 'Yes', probability: 0.13, chosen: false },
        { text: 'No', probability: 0.87, chosen: true },
      ],
    }),
  ],
  subject: { path, span: { start: 3, end: 5 }, type: null },
};

async function axe(): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).exclude('nav').analyze();
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
}

const stillsDrawn = () =>
  expect.poll(() => view.locator('canvas:not([data-drawn=true])').count(), limit).toBe(0);

describe.each(['dark', 'light', 'hc-dark', 'hc-light'] satisfies ThemeName[])('in the theme %s', (theme) => {
  it.each<[string, Partial<ChatSnapshot>]>([
    ['conversation', conversation],
    ['new', {}],
    ['no-clip', { clips: [], canAsk: false, suggestions: [] }],
    [
      'untrusted',
      {
        ...conversation,
        canAsk: false,
        closed: {
          code: 'bad_usage',
          message: 'This workspace is not trusted, so nothing is run on its files.',
          next: 'Trust the workspace to ask; earlier answers can be read without.',
        },
      },
    ],
  ])('axe finds nothing serious: %s', async (name, snapshot) => {
    await open({ theme, snapshot });
    if (snapshot.clips?.length !== 0) await view.locator('canvas[data-drawn=true]').first().waitFor();
    await stillsDrawn();
    expect(await axe()).toEqual([]);
    await page.screenshot({ path: join(pictures, `${theme}-${name}.png`) });
  });

  it.each([320, 280])('nothing is cut off in a view %i pixels wide', async (width) => {
    await open({ theme, snapshot: conversation }, { width, height: 800 });
    await view.getByTestId('subject').last().waitFor();
    const overflow = await view
      .locator('main')
      .evaluate(
        (main) =>
          main.ownerDocument.documentElement.scrollWidth - main.ownerDocument.documentElement.clientWidth,
      );
    expect(overflow).toBe(0);
    await page.screenshot({ path: join(pictures, `${theme}-${width}.png`) });
  });
});

describe('an answer', () => {
  it('comes word by word, and the end of it is in sight', async () => {
    await open({}, { width: 400, height: 420 });
    await ask('What is wrong?');
    await expect.poll(log, limit).toEqual([{ name: 'ask', params: { question: 'What is wrong?' } }]);
    await expect.poll(() => field().inputValue(), limit).toBe('');
    await call('stream', 'There is ');
    await expect.poll(() => answer().textContent(), limit).toBe('There is ');
    await call('stream', `blur.\n${'And more of it.\n'.repeat(60)}`);
    await expect.poll(() => answer().textContent(), limit).toContain('And more of it.');
    await call('finish');
    await view.locator('article[data-state=complete]').waitFor();
    const below = () =>
      view
        .getByRole('region', { name: 'Conversation' })
        .evaluate((one) => one.scrollHeight - one.scrollTop - one.clientHeight);
    await expect.poll(below, limit).toBeLessThan(24);
    await view.getByText('omnivqa-nano on cpu').waitFor();
  });

  it('can be stopped by key and by button, and asked again', async () => {
    await open();
    await ask('What is wrong?');
    await call('stream', 'There is');
    await field().press('Escape');
    await view.locator('article[data-state=stopped]').waitFor();
    await expect.poll(() => answer().textContent(), limit).toBe('There is');
    await view.getByText('Stopped; the answer is not whole.').waitFor();
    await view.getByRole('button', { name: 'Ask again' }).click();
    await view.locator('article[data-state=waiting]').waitFor();
    await view.getByRole('button', { name: 'Stop' }).click();
    await view.locator('article[data-state=stopped]').waitFor();
    await expect
      .poll(async () => (await log()).map(({ name }) => name), limit)
      .toEqual(['ask', 'stop', 'retry', 'stop']);
  });

  it('has times and places that lead into the timeline', async () => {
    await open({ snapshot: conversation });
    await view.getByRole('button', { name: '3.0–5.0 s', exact: true }).click();
    await view.getByRole('button', { name: 'upper right' }).click();
    await expect.poll(log, limit).toEqual([
      { name: 'goTo', params: blur },
      { name: 'goTo', params: blur },
    ]);
  });

  it('keeps what the record contradicts, and says so in words', async () => {
    await open({ snapshot: conversation });
    const first = view.getByTestId('answer').first();
    expect(await first.textContent()).toBe(`${text.slice(0, -1)}The record says otherwise.`);
    await view.getByRole('list', { name: 'What the record says' }).waitFor();
    expect(await view.getByRole('list', { name: 'What the record says' }).textContent()).toBe(
      'The record has no noise at 8.0–9.0 s.',
    );
  });

  it('that was chosen among others comes with their probabilities', async () => {
    await open({ snapshot: conversation });
    const options = view.getByRole('list', { name: 'What the model chose among' }).getByRole('listitem');
    expect((await options.allTextContents()).map((one) => one.replace(/\s+/g, ' '))).toEqual([
      'Yes 13 %',
      'Chosen: No 87 %',
    ]);
    const shares = await options.evaluateAll((items) =>
      items.map((item) => {
        const [track] = item.getElementsByClassName('track');
        const bar = track?.firstElementChild?.getBoundingClientRect().width ?? 0;
        return bar / (track?.getBoundingClientRect().width ?? 1);
      }),
    );
    expect(shares[0]).toBeCloseTo(0.13, 2);
    expect(shares[1]).toBeCloseTo(0.87, 2);
  });

  it('that failed says why and what to do', async () => {
    await open();
    await ask('What is wrong?');
    await call('finish', {
      state: 'failed',
      error: {
        code: 'file_replaced',
        message: 'The clip was replaced while it was read.',
        next: 'Ask again.',
      },
    });
    await view.getByText('The clip was replaced while it was read. Ask again.').waitFor();
    await view.getByRole('button', { name: 'Ask again' }).waitFor();
  });

  it('is text, whatever the model writes', async () => {
    await open();
    await ask('What is wrong?');
    const hostile = [
      '<img src=x onerror="top.reportViolation(1)"><script>top.reportViolation(2)</script>',
      '[click](command:workbench.action.terminal.new) ![](https://example.org/x.png) https://example.org',
      '<a href="command:x">go</a> <style>*{display:none}</style> &lt;b&gt; {@html x}',
      'controls:\u0000\u001b[31m\u202egnp.exe\u2028',
    ].join('\n');
    await call('stream', hostile);
    await call('finish', {
      links: [
        { from: -5, to: 3, place: blur },
        { from: 4, to: 1e9, place: blur },
        { from: 0, to: 4, place: blur },
      ],
      options: [{ text: '<b>x</b>\u202e', probability: 7, chosen: true }],
      basis: ['<i>model</i>'],
    });
    await view.locator('article[data-state=complete]').waitFor();
    const shown = (await answer().textContent()) ?? '';
    expect(shown).toContain('<script>top.reportViolation(2)</script>');
    expect(shown).toContain('[click](command:workbench.action.terminal.new)');
    expect(shown).toContain('\\u{0}\\u{1b}[31m\\u{202e}gnp.exe\\u{2028}');
    expect(await view.locator('article :is(img, a, script, style, iframe, b, i)').count()).toBe(0);
    expect(await answer().getByRole('button').allTextContents()).toEqual(['<img']);
    await view.getByText('100 %').waitFor();
    expect(await axe()).toEqual([]);
  });

  it('of 100,000 characters is cut and leaves the view usable', async () => {
    await open();
    await ask('What is wrong?');
    await call('stream', 'w'.repeat(100_000));
    await call('finish', { cut: true });
    await view.getByText('The answer was cut at its longest length.').waitFor();
    expect(((await answer().textContent()) ?? '').length).toBe(20_000);
    const overflow = await view
      .locator('main')
      .evaluate(
        (main) =>
          main.ownerDocument.documentElement.scrollWidth - main.ownerDocument.documentElement.clientWidth,
      );
    expect(overflow).toBe(0);
    await field().fill('And now?');
    await field().press('Enter');
    await expect.poll(async () => (await log()).length, limit).toBe(2);
  });
});

describe('the conversation', () => {
  it('by keyboard alone: recall, a line break, a suggestion, the subject', async () => {
    await open({ snapshot: conversation });
    await field().focus();
    await page.keyboard.press('ArrowUp');
    await expect.poll(() => field().inputValue(), limit).toBe('Is this compression?');
    await page.keyboard.press('ArrowUp');
    await expect.poll(() => field().inputValue(), limit).toBe('What is wrong, and where?');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await expect.poll(() => field().inputValue(), limit).toBe('');
    await field().pressSequentially('one');
    await page.keyboard.press('Shift+Enter');
    await field().pressSequentially('two');
    await expect.poll(() => field().inputValue(), limit).toBe('one\ntwo');
    await view.getByRole('button', { name: 'Ask about the whole clip' }).press('Enter');
    await expect.poll(() => view.locator('.composer').getByTestId('subject').count(), limit).toBe(0);
    await view.getByRole('button', { name: 'Is there any noise?' }).press('Enter');
    await view.locator('article[data-state=waiting]').waitFor();
    await expect
      .poll(async () => (await log()).at(-1), limit)
      .toEqual({ name: 'ask', params: { question: 'Is there any noise?' } });
  });

  it('takes several clips, and lets them go', async () => {
    await open();
    await view.getByRole('button', { name: 'Add a clip' }).click();
    const clips = view.getByRole('list', { name: 'Clips of this conversation' }).getByRole('listitem');
    await expect.poll(() => clips.count(), limit).toBe(2);
    await page.screenshot({ path: join(pictures, 'several.png') });
    await view.getByRole('button', { name: 'Take harbour-crf34.mp4 out of the conversation' }).click();
    await expect.poll(() => clips.count(), limit).toBe(1);
  });

  it('is exported, shown as prompts and cleared', async () => {
    await open({ snapshot: conversation });
    await view.getByRole('button', { name: 'Export to Markdown' }).click();
    await view.getByRole('button', { name: 'Open the prompt' }).first().click();
    await view.getByRole('button', { name: 'Clear the conversation' }).click();
    await expect.poll(() => view.locator('article').count(), limit).toBe(0);
    await expect
      .poll(async () => (await log()).map(({ name }) => name), limit)
      .toEqual(['export', 'prompt', 'clear']);
  });

  it('keeps the draft when the view is moved, and gives it back when a question was not taken', async () => {
    await open();
    await page.evaluate(() => {
      globalThis.chat.failNext = {
        name: 'ask',
        error: { code: 'engine_crashed', message: 'The engine stopped.', next: 'Ask again.' },
      };
    });
    await field().fill('What is wrong?');
    await field().press('Enter');
    await view.getByText('The engine stopped.').waitFor();
    await expect.poll(() => field().inputValue(), limit).toBe('What is wrong?');
    await view.getByRole('button', { name: 'Dismiss' }).click();
    await call('compose', 'Where is the blur?');
    await expect.poll(() => field().inputValue(), limit).toBe('Where is the blur?');
    await expect
      .poll(() => field().evaluate((one) => one === one.ownerDocument.activeElement), limit)
      .toBe(true);
  });

  it('says when its host is gone', async () => {
    await open({ snapshot: conversation });
    await call('disconnect');
    await view.getByText('The other side was closed.').waitFor();
    await expect.poll(() => field().isDisabled(), limit).toBe(true);
  });
});
