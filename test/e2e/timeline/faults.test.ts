import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Assessment } from '../../../src/assessment/record.ts';
import { timelineProtocol } from '../../../src/protocol/timeline.ts';
import { makeRecord } from '../../../webview-ui/dev/records.ts';
import { openStudio, type Stage, type Studio } from '../../support/browser.ts';

let studio: Studio;
let stage: Stage;
const limit = { timeout: 60_000 };

beforeAll(async () => {
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

const drawn = () => stage.view.locator('canvas[data-drawn=true]').waitFor();

describe('a view that', () => {
  it('was hidden shows the newest snapshot when it comes back', async () => {
    stage = await studio.stage();
    await stage.open({ state: 'running' });
    await stage.call('finishWindow');
    await stage.view.locator('.tracks[data-painted]').waitFor();
    await stage.call('hide', true);
    while (await stage.call('finishWindow'));
    await stage.call('hide', false);
    await stage.view.locator('[data-state=complete]').waitFor();
    await expect
      .poll(() => stage.view.getByRole('tab', { name: /Scores/ }).textContent(), limit)
      .toContain('13');
    await drawn();
  });

  it('was reloaded mid-request is a new one that is right at once', async () => {
    stage = await studio.stage();
    await stage.open({ state: 'running' });
    await stage.call('finishWindow');
    await stage.view.locator('.tracks[data-painted]').waitFor();
    await stage.set('hold', true);
    await stage.view.getByRole('slider', { name: 'Playhead' }).press('End');
    await expect.poll(() => stage.call('held'), limit).toBeGreaterThan(0);
    await stage.call('reload');
    await stage.view.locator('[data-state=running]').waitFor();
    await stage.call('release');
    await drawn();
  });

  it('was closed mid-request leaves nothing waiting', async () => {
    stage = await studio.stage();
    await stage.set('hold', true);
    await stage.open();
    await expect.poll(() => stage.call('held'), limit).toBeGreaterThan(0);
    await stage.call('close');
    await stage.call('release');
    await stage.open();
    await drawn();
  });

  it('lost its host says so and stays usable', async () => {
    stage = await studio.stage();
    await stage.open();
    await drawn();
    await stage.call('disconnect');
    await expect
      .poll(() => stage.view.getByRole('alert').textContent(), limit)
      .toContain('The other side was closed.');
    await expect.poll(() => stage.view.getByRole('button', { name: 'Assess again' }).count(), limit).toBe(0);
    await stage.view.getByRole('button', { name: 'Next distortion' }).click();
    await stage.view.locator('.box').first().waitFor();
  });

  it('comes from another release says so', async () => {
    stage = await studio.stage();
    await stage.open({ state: 'outdated' });
    await expect
      .poll(() => stage.view.getByRole('alert').textContent(), limit)
      .toMatch(/protocol version \d, the other side version \d\. Reload the window/);
  });

  it('hears nothing waits in plain words', async () => {
    stage = await studio.stage();
    await stage.open({ state: 'silent' });
    await stage.view.getByText('Waiting for the clip …').waitFor();
  });
});

it('a request that fails is shown with its next step until it is dismissed', async () => {
  stage = await studio.stage();
  await stage.open();
  await drawn();
  await stage.set('failNext', {
    name: 'export',
    error: { code: 'not_writable', message: 'The folder is read-only.', next: 'Choose another folder.' },
  });
  await stage.view.getByRole('button', { name: 'Export' }).click();
  await stage.view.getByRole('menuitem', { name: 'Report (HTML)' }).click();
  const alert = stage.view.getByRole('alert');
  await expect
    .poll(() => alert.textContent(), limit)
    .toContain('The folder is read-only. Choose another folder.');
  await alert.getByRole('button', { name: 'Dismiss' }).click();
  await alert.waitFor({ state: 'detached' });
});

it('a file that was replaced is shown anew', async () => {
  stage = await studio.stage();
  await stage.open();
  await drawn();
  const asked = async () => (await stage.call('log')).filter(({ name }) => name === 'still').length;
  const before = await asked();
  await stage.call('send', { media: { url: null, offset: 0, stills: true, revision: '2' } });
  await expect.poll(asked, limit).toBeGreaterThan(before);
  await drawn();
});

const hostile = '"><img src=x onerror="top.reportViolation(\'ran\')"><b>&amp;\u202e\n🎬 {@html}';

it('markup in names, metadata and messages stays text', async () => {
  stage = await studio.stage();
  const record = makeRecord();
  const patch: Partial<Assessment> = {
    video: { ...record.video, codec: hostile, profile: hostile, pixelFormat: hostile },
    model: { ...record.model, id: hostile, provider: hostile },
    problems: [{ code: hostile, message: hostile }],
  };
  await stage.open({ patch, name: hostile });
  await drawn();
  await stage.call('send', {
    error: {
      code: 'ffmpeg_failed',
      message: hostile,
      next: hostile,
      command: hostile,
      stderr: hostile,
      findings: [hostile],
    },
  });
  await stage.view.getByRole('alert').waitFor();
  await stage.view.getByRole('tab', { name: /Problems/ }).click();
  await expect.poll(() => stage.view.getByRole('tabpanel').textContent(), limit).toContain(hostile);
  expect(await stage.view.getByRole('heading', { level: 1 }).textContent()).toBe(hostile);
  expect(await stage.view.locator('main img, main b:not(.clock b, .mos b, .selected b)').count()).toBe(0);
});

it('inside VS Code it talks through acquireVsCodeApi and keeps its place', async () => {
  stage = await studio.stage();
  const page = await stage.page.context().newPage();
  await page.addInitScript(`
    globalThis.posted = [];
    globalThis.acquireVsCodeApi = () => ({
      postMessage: (message) => posted.push(message),
      getState: () => ({ time: 4, boxes: false, letters: false, range: { start: 2, end: 6 }, selection: 'nonsense' }),
      setState: (state) => { globalThis.kept = state; },
    });
  `);
  await page.goto(`${studio.address}timeline.html`);
  const read = (expression: string) => page.evaluate(expression);
  await expect.poll(() => read('posted[0]?.rpc'), limit).toBe('hello');
  const snapshot = {
    clip: { name: 'clip.mp4', path: '/clip.mp4' },
    record: makeRecord(),
    job: null,
    media: { url: null, offset: 0, stills: false, revision: '1' },
    threshold: null,
    error: null,
    actions: [],
  };
  for (const message of [
    { rpc: 'hello', version: timelineProtocol, session: 'host', answer: true },
    { rpc: 'update', topic: 'snapshot', key: '', payload: snapshot },
  ]) {
    await page.evaluate(`postMessage(${JSON.stringify(message)})`);
  }
  await page.getByRole('heading', { name: 'clip.mp4' }).waitFor();
  await page.getByText('This clip can not be shown here.').waitFor();
  expect(await page.locator('.tracks').getAttribute('data-range')).toBe('2.0000-6.0000');
  await page.getByRole('slider', { name: 'Playhead' }).press('ArrowRight');
  await expect.poll(() => read('kept.time'), limit).toBeCloseTo(4.04, 3);
  await page.close();
});

it('the bundle stays under 400 kB gzipped', async () => {
  stage = await studio.stage();
  const sizes = await Promise.all(
    ['timeline.js', 'timeline.css'].map(async (name) => {
      const response = await fetch(studio.address + name);
      return gzipSync(Buffer.from(await response.arrayBuffer())).length;
    }),
  );
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(400_000);
});
