import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { FrameLocator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ComparedEncode, ComparisonSnapshot } from '../../../src/protocol/comparison_view.ts';
import type {} from '../../../webview-ui/dev/comparison_control.ts';
import type { ThemeName } from '../../../webview-ui/dev/control.ts';
import { openStudio, type Studio } from '../../support/browser.ts';

/** Pictures to look at, kept by CI. */
const pictures = join('test-results', 'comparison');
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

async function open(
  given: ComparisonSnapshot,
  theme: ThemeName = 'dark',
  size = { width: 1000, height: 1150 },
): Promise<void> {
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
  await page.goto(`${studio.address}comparison?bare`);
  await page.evaluate(([one, name]) => globalThis.comparison.open(one, name), [given, theme] as const);
  view = page.frameLocator('iframe');
  await view.getByRole('heading', { level: 1 }).waitFor();
}

const encode = (codec: string, crf: number, bitrate: number, mos: number): ComparedEncode => ({
  id: `${codec}-${crf}`,
  label: `${codec} crf ${crf}`,
  codec,
  state: 'done',
  progress: null,
  eta: null,
  bytes: (bitrate * 12) / 8,
  bitrate,
  speed: 60 / crf,
  mos,
  vmaf: 20 * mos,
  ssim: null,
  psnr: null,
  windows: [0, 1, 2, 3, 4, 5].map((index) => ({
    start: 2 * index,
    end: 2 * index + 2,
    mos: mos + 0.3 * Math.sin(index * crf),
  })),
  madeAt: 0,
  aligned: true,
  problems: [],
});

const snapshot: ComparisonSnapshot = {
  source: 'harbour.mov',
  now: 7_500_000,
  note: '20 of 183 s of the source were encoded, chosen by its scenes.',
  error: null,
  encodes: [
    encode('libx264', 22, 6_400_000, 4.2),
    encode('libx264', 27, 3_200_000, 3.8),
    encode('libx264', 32, 1_600_000, 3.1),
    encode('libx264', 37, 800_000, 2.2),
    encode('libsvtav1', 25, 3_200_000, 4.2),
    encode('libsvtav1', 33, 1_600_000, 3.8),
    encode('libsvtav1', 41, 800_000, 3.1),
    { ...encode('libsvtav1', 49, 400_000, 2.2), problems: ['-g was not carried over.'] },
  ],
};

async function axe(): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
}

const point = (name: string) => view.locator('svg').getByRole('button', { name });
const row = (name: string) => view.getByRole('row', { name });

describe.each(['dark', 'light', 'hc-dark', 'hc-light'] satisfies ThemeName[])('in the theme %s', (theme) => {
  it('axe finds nothing serious', async () => {
    await open(snapshot, theme);
    await point('libx264 crf 27').click();
    expect(await axe()).toEqual([]);
    await page.screenshot({ path: join(pictures, `${theme}.png`) });
  });

  it('nothing is cut off at 400 pixels', async () => {
    await open(snapshot, theme, { width: 400, height: 1300 });
    const overflow = await view
      .locator('html')
      .evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth);
    expect(overflow).toBe(0);
    await page.screenshot({ path: join(pictures, `${theme}-400.png`) });
  });
});

describe('the plot and its table', () => {
  it('have the numbers of the record', async () => {
    await open(snapshot);
    expect(await view.locator('svg').getByRole('button').count()).toBe(8);
    await point('libx264 crf 27: MOS 3.80 at 3.2 Mb/s').waitFor();
    await view.getByText('20 of 183 s of the source').waitFor();
    const cells = await row('libx264 crf 27').getByRole('cell').allTextContents();
    expect(cells.slice(0, 5)).toEqual(['3.80', '76.0', '3.2 Mb/s', '4.8 MB', '2.2×']);
    expect(cells.at(-1)).toBe('2 h ago');
    // Better to the left and up: half the rate at the same quality.
    const [a, b] = await Promise.all([
      point('libx264 crf 27').boundingBox(),
      point('libsvtav1 crf 33').boundingBox(),
    ]);
    expect(b!.x).toBeLessThan(a!.x);
    expect(b!.y).toBeCloseTo(a!.y, 0);
    await view.getByRole('cell', { name: '−50.0 %' }).waitFor();
    await view.getByRole('button', { name: 'VMAF' }).first().click();
    await point('libx264 crf 27: VMAF 76.0 at 3.2 Mb/s').waitFor();
  });

  it('are worked with by keyboard alone', async () => {
    await open(snapshot);
    await point('libsvtav1 crf 33').focus();
    const readout = () => view.locator('output').textContent();
    await expect.poll(readout).toBe('libsvtav1 crf 33: MOS 3.80 at 1.6 Mb/s');
    await page.keyboard.press('Enter');
    const chosen = row('libsvtav1 crf 33').getByRole('button').first();
    await expect.poll(() => chosen.getAttribute('aria-pressed')).toBe('true');
    const header = view.getByRole('columnheader', { name: 'MOS' }).first();
    await header.getByRole('button').press('Enter');
    await expect.poll(() => header.getAttribute('aria-sort')).toBe('ascending');
    await header.getByRole('button').press('Enter');
    await expect.poll(() => header.getAttribute('aria-sort')).toBe('descending');
    await view.getByRole('button', { name: 'Show the largest difference' }).press('Enter');
    const asked = () => page.evaluate(() => globalThis.comparison.log[0]);
    await expect.poll(asked).toMatchObject({ name: 'open', params: { encode: 'libsvtav1-49' } });
  });

  it('fill in while encodes run, and can be cancelled', async () => {
    const [first, ...others] = snapshot.encodes;
    const unknown = { bytes: null, bitrate: null, speed: null, mos: null, vmaf: null, windows: [] };
    const running = { ...first!, ...unknown, state: 'encoding', progress: 0.4, eta: 12 } as const;
    await open({ ...snapshot, encodes: [running, ...others] });
    await view.getByText('7 of 8 encodes measured').waitFor();
    await view.getByText('encoding 40 %, 12 s left').waitFor();
    expect(await view.getByRole('cell', { name: '−50.0 %' }).count()).toBe(0);
    await view.getByRole('button', { name: 'Cancel' }).click();
    await expect.poll(() => page.evaluate(() => globalThis.comparison.log.at(-1)?.name)).toBe('cancel');
    await page.evaluate((one) => globalThis.comparison.send(one), snapshot);
    await view.getByRole('cell', { name: '−50.0 %' }).waitFor();
    expect(await view.getByRole('button', { name: 'Cancel' }).count()).toBe(0);
  });

  it('are exported as they are shown', async () => {
    await open(snapshot);
    await view.getByRole('button', { name: 'VMAF' }).first().click();
    await view.getByLabel('logarithmic bitrate').uncheck();
    const group = view.getByRole('group', { name: 'Export' });
    for (const format of ['HTML', 'SVG', 'CSV', 'JSON']) {
      await group.getByRole('button', { name: format }).press('Enter');
      const asked = () => page.evaluate(() => globalThis.comparison.log.at(-1));
      const params = { format: format.toLowerCase(), metric: 'vmaf', logarithmic: false };
      await expect.poll(asked).toEqual({ name: 'export', params });
    }
  });

  it('show hostile names as text', async () => {
    const hostile = '<img src=x onerror=alert(1)>{@html 1}"\'\u202e';
    await open({
      ...snapshot,
      source: hostile,
      encodes: snapshot.encodes.map((one) => ({
        ...one,
        label: hostile,
        codec: `${one.codec}${hostile}`,
        problems: [hostile],
      })),
    });
    expect(await view.getByRole('heading', { level: 1 }).textContent()).toBe(hostile);
    expect(await view.locator('img, iframe, main script').count()).toBe(0);
    expect(await axe()).toEqual([]);
  });
});
