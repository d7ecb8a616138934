/** The pictures of a comparison: wipe, side by side, difference, zoom, steps, and what can not be shown. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { FrameLocator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ComparedEncode, ComparisonSnapshot } from '../../../src/protocol/comparison_view.ts';
import type { ComparisonHarness } from '../../../webview-ui/dev/comparison_control.ts';
import type { ThemeName } from '../../../webview-ui/dev/control.ts';
import { openStudio, type Studio } from '../../support/browser.ts';

/** Pictures to look at, kept by CI. */
const pictures = join('test-results', 'comparison');
/** For a machine with much else to do. */
const limit = { timeout: 20_000 };
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

const encode = (crf: number, course: readonly number[]): ComparedEncode => ({
  id: `libx264-${crf}`,
  label: `libx264 crf ${crf}`,
  codec: 'libx264',
  state: 'done',
  progress: null,
  eta: null,
  bytes: 1e6,
  bitrate: 1e8 / crf,
  speed: 1,
  mos: course[0]!,
  vmaf: null,
  ssim: null,
  psnr: null,
  windows: course.map((mos, index) => ({ start: 2 * index, end: 2 * index + 2, mos })),
  madeAt: 0,
  aligned: true,
  problems: [],
});

const snapshot: ComparisonSnapshot = {
  source: 'harbour.mov',
  now: 7_500_000,
  note: null,
  error: null,
  encodes: [
    encode(22, [4.2, 4.3, 4.1, 4.2]),
    encode(30, [3.6, 3.5, 3.6, 3.4]),
    encode(42, [2.2, 2.1, 1.2, 2]),
  ],
};

interface Options {
  readonly theme?: ThemeName;
  readonly size?: { readonly width: number; readonly height: number };
  readonly faults?: ComparisonHarness['faults'];
  readonly given?: ComparisonSnapshot;
}

async function open(options: Options = {}): Promise<void> {
  const { theme = 'dark', size = { width: 1000, height: 860 }, faults = {}, given = snapshot } = options;
  complaints = [];
  const context = await studio.browser.newContext({ viewport: size, reducedMotion: 'reduce' });
  page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(`${error}`));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(studio.address)) complaints.push(`fetched ${request.url()}`);
  });
  await page.exposeFunction('reportViolation', (text: string) => complaints.push(text));
  await page.addInitScript(
    `addEventListener('securitypolicyviolation', (event) =>
      top.reportViolation('CSP: ' + event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample));`,
  );
  await page.goto(`${studio.address}comparison?bare`);
  await page.evaluate(
    ([wrong, one, name]) => {
      globalThis.comparison.faults = wrong;
      return globalThis.comparison.open(one, name);
    },
    [faults, given, theme] as const,
  );
  view = page.frameLocator('iframe');
  await view.getByRole('heading', { name: 'Pictures' }).evaluate((element) => element.scrollIntoView());
}

const canvas = () => view.locator('.viewer canvas');
const where = () => view.locator('.where').textContent();
const divider = () => view.getByRole('slider', { name: 'Wipe divider' });
const chosen = (name: string) => view.getByRole('button', { name, exact: true });
/** The frame that is on the canvas, from 0. */
const drawn = (frame: number) =>
  expect.poll(() => canvas().getAttribute('data-frame'), limit).toBe(String(frame));

/** What is used of the browser's canvas, whose types the tests do not have. */
interface Canvas {
  readonly width: number;
  readonly height: number;
  getContext(kind: '2d'): {
    getImageData(x: number, y: number, width: number, height: number): { readonly data: Uint8ClampedArray };
  };
}

/** A sum over the canvas's pixels, from one column to another: as parts of its width, or as columns. */
const columns = (from: number, to: number): Promise<string> =>
  canvas().evaluate(
    (element, [left, right]) => {
      const { width, height } = element as unknown as Canvas;
      const place = (at: number) => (at > 1 ? at : Math.round(width * at));
      const area = [place(left), 0, place(right) - place(left), height] as const;
      const { data } = (element as unknown as Canvas).getContext('2d').getImageData(...area);
      let sum = 0;
      for (const value of data) sum = (Math.imul(sum, 31) + value) | 0;
      return String(sum);
    },
    [from, to] as const,
  );

/** A canvas that is read often is drawn by other means, whose edges are not the same to the pixel: from now on. */
async function settle(): Promise<void> {
  for (const key of ['Home', 'End', 'Home', 'End']) {
    await divider().press(key);
    await columns(0, 1);
  }
}

async function axe(): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
}

describe.each(['dark', 'light', 'hc-dark', 'hc-light'] satisfies ThemeName[])('in the theme %s', (theme) => {
  it('axe finds nothing serious in any of the three ways to look', async () => {
    await open({ theme, faults: { late: ['libx264-42', 0.04] } });
    await drawn(125);
    for (const name of ['Wipe', 'Side by side', 'Difference']) {
      await chosen(name).click();
      expect(await axe()).toEqual([]);
      await page.screenshot({ path: join(pictures, `viewer-${theme}-${name.split(' ')[0]}.png`) });
    }
  });

  it('nothing is cut off at 400 pixels', async () => {
    await open({ theme, size: { width: 400, height: 900 } });
    await drawn(125);
    for (const name of ['Wipe', 'Difference', 'Side by side']) {
      await chosen(name).click();
      const overflow = await view
        .locator('html')
        .evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth);
      expect(overflow).toBe(0);
    }
    await page.screenshot({ path: join(pictures, `viewer-${theme}-400.png`) });
  });
});

describe('the viewer', () => {
  it('begins where the two differ most, and goes back there', async () => {
    await open();
    await expect.poll(where, limit).toContain('Frame 126 of 300 · 5.000 s');
    await drawn(125);
    await view.getByText('−2.90 MOS from A to B at 0:04–0:06').waitFor();
    await view.getByRole('slider', { name: 'Frame' }).press('Home');
    await drawn(0);
    await view.getByRole('button', { name: 'Jump to the largest difference' }).click();
    await drawn(125);
    await view.getByRole('combobox', { name: 'First picture' }).selectOption('Source');
    await view.getByRole('button', { name: 'Jump to the worst window' }).waitFor();
  });

  it('steps frame by frame', async () => {
    await open();
    await drawn(125);
    const slider = view.getByRole('slider', { name: 'Frame' });
    for (const [key, frame] of [
      ['.', 126],
      ['ArrowRight', 127],
      [',', 126],
      ['ArrowLeft', 125],
      ['End', 299],
      ['.', 299],
      ['Home', 0],
      ['j', 125],
    ] as const) {
      await slider.press(key);
      await drawn(frame);
    }
    // Of both clips: one, then the next ones at once, the last alone, and the first alone.
    const requests = await page.evaluate(() => globalThis.comparison.asked);
    expect(requests).toEqual([1, 1, 8, 8, 1, 1, 1, 1]);
    expect(await slider.getAttribute('aria-valuetext')).toBe('Frame 126 of 300, 5.000 s');
    await view.getByRole('button', { name: 'One frame on' }).click();
    await drawn(126);
    await canvas().click({ position: { x: 200, y: 200 } });
    await page.keyboard.press(',');
    await drawn(125);
  });

  it('wipes: the first on the left of the divider, the second on its right', async () => {
    await open();
    await drawn(125);
    await settle();
    const first = { whole: await columns(0, 1), left: await columns(0, 0.5), right: await columns(0.5, 1) };
    await divider().press('Home');
    const second = { whole: await columns(0, 1), right: await columns(0.5, 1) };
    expect(second.whole).not.toBe(first.whole);
    const { x, y, width, height } = (await canvas().boundingBox())!;
    await page.mouse.move(x + 2, y + height / 2);
    await page.mouse.down();
    await page.mouse.move(x + width / 2, y + height / 2, { steps: 4 });
    await page.mouse.up();
    expect(await divider().getAttribute('aria-valuetext')).toBe('50 % of A');
    expect(await columns(0, 0.5)).toBe(first.left);
    expect(await columns(0.5, 1)).toBe(second.right);
    await divider().press('ArrowRight');
    await divider().press('Shift+ArrowLeft');
    expect(await divider().getAttribute('aria-valuenow')).toBe('41');
  });

  it('shows both side by side, one above the other where there is no room', async () => {
    await open();
    await drawn(125);
    await chosen('Side by side').click();
    expect(await columns(0, 0.5)).not.toBe(await columns(0.5, 1));
    await view.getByRole('button', { name: '1:1' }).click();
    await view.getByRole('combobox', { name: 'Second picture' }).selectOption('libx264 crf 22');
    await expect.poll(async () => (await columns(0, 483)) === (await columns(485, 968)), limit).toBe(true);
    const box = async (name: string) => (await view.locator(`.tag.${name}`).boundingBox())!;
    expect((await box('second')).y).toBe((await box('first')).y);
    await page.setViewportSize({ width: 400, height: 900 });
    await expect.poll(async () => (await box('second')).x === (await box('first')).x, limit).toBe(true);
  });

  it('zooms to the pixel, and is moved', async () => {
    await open();
    await drawn(125);
    await settle();
    await divider().press('1');
    await expect.poll(() => canvas().getAttribute('data-zoom'), limit).toBe('1');
    for (let step = 0; step < 5; step += 1) await view.getByRole('button', { name: 'Zoom in' }).click();
    await view.getByText('800 %').waitFor();
    /** Whether every pixel of the picture is a square of one colour. */
    const squares = () =>
      canvas().evaluate((element) => {
        const { width, height } = element as unknown as Canvas;
        const { data } = (element as unknown as Canvas).getContext('2d').getImageData(0, 0, width, height);
        const colour = (x: number, y: number) =>
          data.slice((y * width + x) * 4, (y * width + x) * 4 + 3).join();
        const changes = new Set<number>();
        let count = 0;
        for (let y = 0; y < height; y += 5) {
          for (let x = 1; x < width; x += 1) {
            if (colour(x, y) === colour(x - 1, y)) continue;
            changes.add(x % 8);
            count += 1;
          }
        }
        return { places: changes.size, some: count > 0 };
      });
    expect(await squares()).toEqual({ places: 1, some: true });
    const before = await columns(0, 1);
    await divider().press('Shift+ArrowRight');
    // The divider's own keys.
    expect(await columns(0, 1)).toBe(before);
    await view.getByRole('slider', { name: 'Frame' }).press('Shift+ArrowRight');
    await expect.poll(() => columns(0, 1), limit).not.toBe(before);
    await divider().press('Home');
    const { x, y, width, height } = (await canvas().boundingBox())!;
    const still = await columns(0, 1);
    await page.mouse.move(x + width / 2, y + height / 3);
    await page.mouse.down();
    await page.mouse.move(x + width / 2 + 90, y + height / 3 + 40, { steps: 3 });
    await page.mouse.up();
    expect(await columns(0, 1)).not.toBe(still);
    await view.getByRole('button', { name: 'Fit' }).click();
    await expect
      .poll(() => view.getByRole('button', { name: 'Fit' }).getAttribute('aria-pressed'))
      .toBe('true');
    await page.mouse.move(x + width / 2, y + height / 3);
    await page.keyboard.down('Control');
    await page.mouse.wheel(0, -100);
    await page.keyboard.up('Control');
    await expect.poll(() => canvas().getAttribute('data-zoom'), limit).toBe('4');
  });

  it('shows what differs, amplified', async () => {
    await open();
    await drawn(125);
    await canvas().click({ position: { x: 200, y: 200 } });
    await page.keyboard.press('d');
    await view.getByText('In this frame the two differ by').waitFor();
    const eightfold = await columns(0, 1);
    await view.getByRole('combobox', { name: 'Amplified' }).selectOption('not');
    await expect.poll(() => columns(0, 1), limit).not.toBe(eightfold);
    await view.getByRole('button', { name: 'Zoom to that pixel' }).click();
    await view.getByText('800 %').waitFor();
    await view.getByRole('combobox', { name: 'First picture' }).selectOption('libx264 crf 42');
    await view.getByText('The two are equal, pixel for pixel.').waitFor();
  });

  it('says in words which picture is of another frame', async () => {
    await open({ faults: { late: ['libx264-42', 0.04] } });
    await drawn(125);
    await view.locator('.tag.first').getByText('5.000 s').waitFor();
    await view.locator('.tag.second').getByText('5.040 s').waitFor();
    await view
      .getByText('libx264 crf 42 has no frame at 5.000 s: it shows that of 5.040 s, 40 ms later.')
      .waitFor();
    await view.getByRole('combobox', { name: 'Second picture' }).selectOption('libx264 crf 30');
    await expect.poll(() => view.getByText('has no frame at').count(), limit).toBe(0);
  });

  it('says in words which picture is gone, shows the other, and tries again', async () => {
    await open({ faults: { gone: 'libx264-42' } });
    await drawn(125);
    const words =
      'No picture of libx264 crf 42: libx264-42 is not kept any more. Compare again: it is made anew.';
    await view.getByText(words).waitFor();
    await chosen('Difference').click();
    await view.getByText(words).waitFor();
    await chosen('Side by side').click();
    await view.getByText(words).waitFor();
    expect(await axe()).toEqual([]);
    await page.screenshot({ path: join(pictures, 'viewer-gone.png') });
    await page.evaluate(() => {
      globalThis.comparison.faults = {};
    });
    await view.getByRole('button', { name: 'Try again' }).click();
    await expect.poll(() => view.getByText(words).count(), limit).toBe(0);
    await drawn(125);
  });

  it('says in words that the source is gone', async () => {
    await open({ faults: { noFrames: true } });
    await view.getByText('harbour.mov is not kept any more.').waitFor();
    await page.evaluate(() => {
      globalThis.comparison.faults = {};
    });
    await view.getByRole('button', { name: 'Try again' }).click();
    await drawn(125);
  });

  it('holds a single encode against its source', async () => {
    await open({ given: { ...snapshot, encodes: [snapshot.encodes[2]!] } });
    await drawn(125);
    await view.getByText('A Source', { exact: true }).waitFor();
    await view.getByText('B libx264 crf 42', { exact: true }).waitFor();
  });
});
