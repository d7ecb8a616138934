import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { OpenOptions, ThemeName } from '../../../webview-ui/dev/control.ts';
import { refined } from '../../../webview-ui/dev/records.ts';
import { openStudio, type Stage, type Studio } from '../../support/browser.ts';

/** Pictures to look at, kept by CI. */
const pictures = join('test-results', 'timeline');
let studio: Studio;
let stage: Stage;
const limit = { timeout: 60_000 };

beforeAll(async () => {
  mkdirSync(pictures, { recursive: true });
  studio = await openStudio();
});

afterEach(async () => {
  const { complaints } = stage;
  await stage.close();
  expect(complaints).toEqual([]);
});

afterAll(async () => {
  await studio?.close();
});

/** Serious and critical findings, as "rule: first element". */
async function axe(): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page: stage.page }).exclude('nav').analyze();
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
}

const themes: readonly ThemeName[] = ['dark', 'light', 'hc-dark', 'hc-light'];
const states: readonly (readonly [string, OpenOptions])[] = [
  ['complete', { threshold: 3.5 }],
  ['refined', { record: { seconds: 40, distortions: 9 }, patch: refined }],
  ['running', { state: 'running' }],
  ['failed', { state: 'failed' }],
  ['cancelled', { state: 'cancelled' }],
  ['empty', { state: 'empty' }],
];

describe.each(themes)('in the theme %s', (theme) => {
  it.each(states)('axe finds nothing serious: %s', async (name, options) => {
    stage = await studio.stage({ height: 1400 });
    await stage.open({ ...options, theme });
    if (name === 'running') for (let i = 0; i < 4; i += 1) await stage.call('finishWindow');
    await stage.view.locator('canvas[data-drawn=true]').waitFor();
    if (name === 'complete') {
      await stage.view.getByRole('button', { name: 'Next distortion' }).click();
      await stage.view.getByRole('slider', { name: 'Playhead' }).press('i');
      await stage.view.getByRole('group', { name: 'Selection' }).waitFor();
    }
    if (name === 'refined') {
      await stage.view.getByRole('tab', { name: 'Scores' }).click();
      await stage.view.getByRole('slider', { name: 'Playhead' }).press('Home');
    }
    expect(await axe()).toEqual([]);
    await stage.page.screenshot({ path: join(pictures, `${theme}-${name}.png`) });
  });

  it('axe finds nothing serious in the help', async () => {
    stage = await studio.stage();
    await stage.open({ theme });
    await stage.view.getByRole('button', { name: 'Keyboard and help' }).click();
    await stage.view.getByRole('dialog').waitFor();
    expect(await axe()).toEqual([]);
    await stage.page.screenshot({ path: join(pictures, `${theme}-help.png`) });
  });

  it.each([700, 400, 320])('nothing is cut off in a panel %i pixels wide', async (width) => {
    stage = await studio.stage({ width, height: 1600 });
    await stage.open({ theme, threshold: 3.5 });
    await stage.view.locator('.tracks[data-painted]').waitFor();
    await stage.view.getByRole('button', { name: 'Next distortion' }).click();
    await stage.view.locator('.box').first().waitFor();
    const overflow = await stage.view
      .locator('main')
      .evaluate(
        (main) =>
          main.ownerDocument.documentElement.scrollWidth - main.ownerDocument.documentElement.clientWidth,
      );
    expect(overflow).toBe(0);
    if (width === 400) expect(await axe()).toEqual([]);
    await stage.page.screenshot({ path: join(pictures, `${theme}-${width}.png`) });
  });
});

it('a theme that changes is drawn at once', async () => {
  stage = await studio.stage();
  await stage.open({ theme: 'dark' });
  await stage.view.locator('.tracks[data-painted]').waitFor();
  const canvas = stage.view.locator('.tracks .body canvas');
  const before = await canvas.screenshot();
  await stage.call('theme', 'light');
  await expect.poll(async () => (await canvas.screenshot()).equals(before), limit).toBe(false);
});

it('at 200 % everything is still there', async () => {
  stage = await studio.stage({
    width: 600,
    height: 800,
    context: { deviceScaleFactor: 2, viewport: { width: 600, height: 800 } },
  });
  await stage.open();
  await stage.view.locator('.tracks[data-painted]').waitFor();
  const sharp = await stage.view
    .locator('.tracks .body canvas')
    .evaluate(
      (canvas) => (canvas as unknown as { width: number }).width / canvas.getBoundingClientRect().width,
    );
  expect(sharp).toBeCloseTo(2, 1);
  await stage.page.screenshot({ path: join(pictures, 'zoom-200.png') });
});

it('with forced colours severity is still told by pattern', async () => {
  stage = await studio.stage({
    context: { forcedColors: 'active', viewport: { width: 1200, height: 1100 } },
  });
  await stage.open();
  await stage.view.locator('.tracks[data-painted]').waitFor();
  const patterns = await Promise.all(
    [1, 2, 3].map((rank) =>
      stage.view
        .locator(`tbody .rank-${rank}`)
        .first()
        .evaluate((bar) => {
          const { backgroundImage, backgroundColor } = (
            globalThis as unknown as { getComputedStyle(one: unknown): Record<string, string> }
          ).getComputedStyle(bar);
          return `${backgroundImage} ${backgroundColor}`;
        }),
    ),
  );
  expect(new Set(patterns).size).toBe(3);
  expect(patterns[0]).toContain('radial-gradient');
  expect(patterns[1]).toContain('repeating-linear-gradient');
  await stage.page.screenshot({ path: join(pictures, 'forced-colours.png') });
});

it('with reduced motion nothing moves by itself', async () => {
  stage = await studio.stage({
    context: { reducedMotion: 'reduce', viewport: { width: 1200, height: 1000 } },
  });
  await stage.open({ state: 'running' });
  await stage.view.getByRole('progressbar').waitFor();
  const moving = await stage.view
    .locator('main')
    .evaluate(
      (main) => (main.ownerDocument as unknown as { getAnimations(): unknown[] }).getAnimations().length,
    );
  expect(moving).toBe(0);
});
