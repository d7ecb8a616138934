import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Locator } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { mosOf } from '../../../src/assessment/pooling.ts';
import { makeRecord } from '../../../webview-ui/dev/records.ts';
import { openStudio, type Stage, type Studio } from '../../support/browser.ts';

const record = { ...makeRecord(), distortions: makeRecord().distortions ?? [] };
const { fps } = record.video;
const files = mkdtempSync(join(tmpdir(), 'omnivqa-clips-'));
let studio: Studio;
let stage: Stage;

beforeAll(async () => {
  const clip = (codec: string[], name: string) =>
    execFileSync('ffmpeg', [
      ...['-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25:duration=4'],
      ...['-f', 'lavfi', '-i', 'sine=duration=4', ...codec, '-c:a', 'aac', '-shortest', join(files, name)],
    ]);
  clip(['-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-bf', '2'], 'h264.mp4');
  clip(['-c:v', 'libx265', '-x265-params', 'log-level=none', '-tag:v', 'hvc1'], 'hevc.mp4');
  studio = await openStudio(files);
});

afterEach(async () => {
  const { complaints } = stage;
  await stage.close();
  expect(complaints).toEqual([]);
});

afterAll(async () => {
  await studio?.close();
  rmSync(files, { recursive: true, force: true });
});

const limit = { timeout: 60_000 };
const text = (locator: Locator) => expect.poll(() => locator.textContent(), limit);
const frame = async () =>
  Number(await stage.view.getByRole('slider', { name: 'Playhead' }).getAttribute('aria-valuenow'));
const frameIs = (wanted: number) => expect.poll(frame, limit).toBe(wanted);
const range = async () => {
  const [start = 0, end = 0] = ((await stage.view.locator('.tracks').getAttribute('data-range')) ?? '')
    .split('-')
    .map(Number);
  return { start, end };
};

/** Where a moment is on the page, at a height within the lanes' drawing (px from its top). */
async function place(time: number, y: number) {
  const body = stage.view.locator('.tracks .body');
  await body.scrollIntoViewIfNeeded();
  const box = await body.boundingBox();
  const { start, end } = await range();
  if (!box) throw new Error('no lanes');
  return { x: box.x + ((time - start) / (end - start)) * box.width, y: box.y + y };
}

/** Heights within the drawing: the ruler and the middle of the MOS curve. */
const onRuler = 10;
const onCurve = 130;

async function open(options: Parameters<Stage['open']>[0] = {}, size: Parameters<Studio['stage']>[0] = {}) {
  stage = await studio.stage(size);
  await stage.open(options);
}

async function openReady(options: Parameters<Stage['open']>[0] = {}) {
  await open(options);
  await stage.view.locator('.tracks[data-painted]').waitFor();
}

describe('a stored record', () => {
  it('says how good, what is wrong, by which model, and what stood in the way', async () => {
    await openReady({ threshold: 3.5 });
    const quality = stage.view.getByRole('complementary', { name: 'Quality' });
    await text(quality).toContain(record.mos.toFixed(2));
    const words = (await quality.textContent()) ?? '';
    expect(words).toContain('Below the target of 3.50');
    expect(words).toMatch(/High\s*\d+ %\s*Good\s*\d+ %\s*Fair\s*\d+ %\s*Poor\s*\d+ %\s*Low\s*\d+ %/);
    expect(words).toMatch(new RegExp(`Mean\\s*${mosOf(record.pooling.mean).toFixed(2)}`));
    expect(words).toMatch(/Aesthetic\s*not trained/);
    expect(words).toMatch(/omnivqa-nano[\s\S]+cpu, fp32/);
    await text(stage.view.locator('header')).toContain('1920×1080');
    await stage.view.getByRole('tab', { name: /Problems/ }).click();
    await text(stage.view.getByRole('tabpanel')).toContain(record.problems[0]!.message);
  });

  it('has a table twin with every distortion and every score', async () => {
    await openReady();
    const panel = stage.view.getByRole('tabpanel');
    await expect.poll(() => panel.locator('tbody tr').count(), limit).toBe(record.distortions.length);
    const first = record.distortions[0]!;
    const words = (await panel.locator('tbody tr').first().textContent()) ?? '';
    expect(words.toLowerCase()).toContain(first.type);
    expect(words).toContain(first.severity);
    await stage.view.getByRole('tab', { name: /Scores/ }).click();
    await expect.poll(() => panel.locator('tbody tr').count(), limit).toBe(record.timeline.length);
    await panel
      .getByRole('button', { name: /^0:05\.0/ })
      .first()
      .click();
    await frameIs(5 * fps);
  });

  it('of a model that finds no distortions says that, and does not say that there are none', async () => {
    await openReady({ patch: { distortions: null } });
    await expect
      .poll(() => stage.view.getByText('it was not trained to find distortions').count(), limit)
      .toBe(2);
    expect(await stage.view.getByRole('tab', { name: 'Distortions' }).textContent()).not.toMatch(/\d/);
    expect(await stage.view.locator('.lane').count()).toBe(0);
    await stage.view.getByRole('slider', { name: 'Playhead' }).press('w');
    await frameIs(Math.ceil(record.pooling.worst.start * fps));
  });

  it('shows the picture at the playhead, and under it a strip of pictures', async () => {
    await openReady();
    await stage.view.locator('canvas[data-drawn=true]').waitFor();
    await expect
      .poll(async () => (await stage.call('log')).some(({ name }) => name === 'filmstrip'), limit)
      .toBe(true);
    const asked = (await stage.call('log')).find(({ name }) => name === 'still');
    expect(asked?.params).toMatchObject({ time: 0 });
  });
});

describe('seeking', () => {
  it('by click goes to the frame under the pointer and shows its boxes', async () => {
    await openReady();
    const one = record.distortions.find(({ region }) => region.width < 1)!;
    const at = await place((one.start + one.end) / 2, onCurve);
    await stage.page.mouse.click(at.x, at.y);
    await expect
      .poll(async () => Math.abs((await frame()) / fps - (one.start + one.end) / 2), limit)
      .toBeLessThan(2 / fps);
    const box = stage.view.locator('.box').first();
    await text(box).toContain(one.severity);
    const style = (await box.getAttribute('style')) ?? '';
    expect(style).toContain(`left: ${one.region.x * 100}%`);
    expect(style).toContain(`width: ${one.region.width * 100}%`);
  });

  it('by dragging the ruler follows the pointer', async () => {
    await openReady();
    const from = await place(1, onRuler);
    const to = await place(9, onRuler);
    await stage.page.mouse.move(from.x, from.y);
    await stage.page.mouse.down();
    await stage.page.mouse.move(to.x, to.y, { steps: 8 });
    await stage.page.mouse.up();
    await expect.poll(async () => Math.abs((await frame()) / fps - 9), limit).toBeLessThan(2 / fps);
    expect(await stage.view.locator('.selection').count()).toBe(0);
  });

  it('to the worst moment and through all distortions, forwards and back', async () => {
    await openReady();
    await stage.view
      .getByRole('button', { name: /^0:\d\d\.\d\d–/ })
      .first()
      .click();
    await frameIs(Math.ceil(record.pooling.worst.start * fps));
    await stage.view.getByRole('slider', { name: 'Playhead' }).press('Home');
    await frameIs(0);
    for (const { start } of record.distortions) {
      await stage.view.getByRole('button', { name: 'Next distortion' }).click();
      await frameIs(Math.ceil(start * fps - 1e-3));
    }
    for (const { start } of record.distortions.slice(0, -1).toReversed()) {
      await stage.view.getByRole('button', { name: 'Previous distortion' }).click();
      await frameIs(Math.ceil(start * fps - 1e-3));
    }
  });

  it('by the host points at a distortion, or at a place that is none', async () => {
    await openReady();
    const one = record.distortions[2]!;
    const { type, region, start, end } = one;
    await stage.call('reveal', start, { start, end }, { type, region });
    await stage.view.locator('.box.chosen:not(.mark)').waitFor();
    expect((await stage.view.locator('.box.chosen').textContent())?.toLowerCase()).toContain(type);
    const nowhere = { x: 0.9, y: 0.9, width: 0.05, height: 0.05 };
    await stage.call('reveal', 0.2, { start: 0.2, end: 0.4 }, { type: 'stutter', region: nowhere });
    await stage.view.locator('.box.mark').waitFor();
    await text(stage.view.locator('.box.mark')).toContain('not in the record');
    await stage.view.getByRole('button', { name: 'Next distortion' }).click();
    await expect.poll(() => stage.view.locator('.box.mark').count(), limit).toBe(0);
  });

  it('is what a question is about: the clip, a span, a distortion or a lane', async () => {
    await openReady();
    const asked = async () =>
      (await stage.call('log')).filter(({ name }) => name === 'ask').map(({ params }) => params);
    await stage.view.getByRole('button', { name: 'Ask', exact: true }).click();
    await expect.poll(asked, limit).toEqual([{ span: null, type: null }]);
    await stage.view.getByRole('button', { name: 'Next distortion' }).click();
    await stage.page.keyboard.press('a');
    const [{ start, end, type } = { start: 0, end: 0, type: '' }] = record.distortions.toSorted(
      (a, b) => a.start - b.start,
    );
    await expect.poll(async () => (await asked())[1], limit).toEqual({ span: { start, end }, type });
    await stage.call('reveal', 3, { start: 3, end: 5 });
    await stage.view.getByRole('button', { name: 'Ask about this span' }).click();
    await expect
      .poll(async () => (await asked())[2], limit)
      .toEqual({
        span: { start: 3, end: 5 },
        type: null,
      });
    await stage.view.getByTitle('Ask about noise').click();
    await expect.poll(async () => (await asked())[3], limit).toEqual({ span: null, type: 'noise' });
  });

  it('by the host reveals a span', async () => {
    await openReady();
    await stage.call('reveal', 6, { start: 6, end: 7.5 });
    await frameIs(6 * fps);
    await text(stage.view.getByRole('group', { name: 'Selection' })).toContain('0:06.00–0:07.50');
  });
});

describe('zoom and pan', () => {
  it('with the wheel keep the moment under the pointer, down to the single frame', async () => {
    await openReady();
    const at = await place(6, onCurve);
    await stage.page.mouse.move(at.x, at.y);
    await stage.page.keyboard.down('Control');
    for (let i = 0; i < 12; i += 1) await stage.page.mouse.wheel(0, -200);
    await expect.poll(async () => (await range()).end - (await range()).start, limit).toBeCloseTo(2 / fps, 3);
    const { start, end } = await range();
    expect(start).toBeLessThanOrEqual(6);
    expect(end).toBeGreaterThanOrEqual(6);
    for (let i = 0; i < 20; i += 1) await stage.page.mouse.wheel(0, 400);
    await stage.page.keyboard.up('Control');
    await expect.poll(range, limit).toEqual({ start: 0, end: record.video.duration });
  });

  it('with Shift and the wheel pan, never past the ends', async () => {
    await openReady();
    const zoomIn = stage.view.getByRole('button', { name: 'Zoom in' });
    await zoomIn.click();
    await zoomIn.click();
    const at = await place((await range()).start + 0.5, onCurve);
    await stage.page.mouse.move(at.x, at.y);
    await stage.page.keyboard.down('Shift');
    await stage.page.mouse.wheel(0, 300);
    await expect.poll(async () => (await range()).start, limit).toBeGreaterThan(0.1);
    for (let i = 0; i < 10; i += 1) await stage.page.mouse.wheel(0, 3000);
    await stage.page.keyboard.up('Shift');
    await expect.poll(async () => (await range()).end, limit).toBeCloseTo(record.video.duration!, 3);
    await stage.view.getByRole('button', { name: 'Whole clip' }).click();
    await expect.poll(range, limit).toEqual({ start: 0, end: record.video.duration });
  });

  it('by drawing in the overview show that part', async () => {
    await openReady();
    const strip = (await stage.view.locator('.strip').boundingBox())!;
    await stage.page.mouse.move(strip.x + strip.width * 0.25, strip.y + 10);
    await stage.page.mouse.down();
    await stage.page.mouse.move(strip.x + strip.width * 0.5, strip.y + 10, { steps: 5 });
    await stage.page.mouse.up();
    const { start, end } = await range();
    expect(start).toBeCloseTo(record.video.duration! * 0.25, 1);
    expect(end).toBeCloseTo(record.video.duration! * 0.5, 1);
  });
});

describe('a span', () => {
  it('brushed across the lanes is read out, exported and cleared', async () => {
    await openReady();
    const from = await place(2, onCurve);
    const to = await place(5, onCurve);
    await stage.page.mouse.move(from.x, from.y);
    await stage.page.mouse.down();
    await stage.page.mouse.move(to.x, to.y, { steps: 6 });
    await stage.page.mouse.up();
    const selection = stage.view.getByRole('group', { name: 'Selection' });
    await text(selection).toMatch(/0:0[12]\.\d\d–0:0[45]\.\d\d/);
    expect(await selection.textContent()).toMatch(/MOS \d\.\d\d, lowest \d\.\d\d/);
    await selection.getByRole('button', { name: 'Export span' }).click();
    await expect
      .poll(async () => (await stage.call('log')).find(({ name }) => name === 'export')?.params, limit)
      .toMatchObject({ format: 'csv', span: { start: expect.closeTo(2, 1), end: expect.closeTo(5, 1) } });
    await selection.getByRole('button', { name: 'Zoom' }).click();
    await expect.poll(async () => (await range()).start, limit).toBeCloseTo(2, 1);
    await stage.page.keyboard.press('Escape');
    await selection.waitFor({ state: 'detached' });
  });

  it('under the pointer is read out without moving the playhead', async () => {
    await openReady();
    const at = await place(7.5, onCurve);
    await stage.page.mouse.move(at.x, at.y);
    const segment = record.timeline.find(({ start, end }) => start <= 7.5 && 7.5 < end)!;
    await text(stage.view.getByTestId('read')).toContain(mosOf(segment.score).toFixed(2));
    expect(await frame()).toBe(0);
  });
});

describe('the keyboard alone', () => {
  it('reaches everything: frames, distortions, selection, zoom, tables, menus, help', async () => {
    await openReady();
    const { page, view } = stage;
    const focused = () => view.locator(':focus');
    const tabTo = async (target: Locator) => {
      for (let i = 0; i < 40; i += 1) {
        await page.keyboard.press('Tab');
        if (await target.evaluate((element) => element.matches(':focus'))) return;
      }
      throw new Error('Tab never came there');
    };

    const ruler = view.getByRole('slider', { name: 'Playhead' });
    await tabTo(view.getByRole('button', { name: 'Export' }));
    await page.keyboard.press('Enter');
    await expect.poll(() => focused().textContent(), limit).toBe('Report (HTML)');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await expect
      .poll(async () => (await stage.call('log')).find(({ name }) => name === 'export')?.params, limit)
      .toMatchObject({ format: 'json' });

    await tabTo(ruler);
    await page.keyboard.press('ArrowRight');
    await frameIs(1);
    await page.keyboard.press('Shift+ArrowRight');
    await frameIs(1 + fps);
    await page.keyboard.press('ArrowLeft');
    await frameIs(fps);
    expect(await ruler.getAttribute('aria-valuetext')).toMatch(/^0:01\.000, frame 25, MOS \d\.\d\d/);

    await page.keyboard.press('i');
    await page.keyboard.press('Shift+ArrowRight');
    await page.keyboard.press('o');
    await text(view.getByRole('group', { name: 'Selection' })).toContain('0:01.00–0:02.04');
    await page.keyboard.press('z');
    await expect.poll(async () => (await range()).start, limit).toBeCloseTo(1, 3);
    await page.keyboard.press('0');
    await page.keyboard.press('n');
    await frameIs(Math.ceil(record.distortions.find(({ start }) => start > 2)!.start * fps));
    await text(view.locator('p[aria-live]')).toContain(
      record.distortions.find(({ start }) => start > 2)!.severity,
    );

    // One tab stop for all lanes, arrows inside.
    await ruler.focus();
    const bars = view.locator('.lane button');
    await page.keyboard.press('Shift+Tab');
    const stop = view.locator('.lane button[tabindex="0"]');
    expect(await stop.count()).toBe(1);
    expect(await stop.evaluate((element) => element.matches(':focus'))).toBe(true);
    const before = await focused().getAttribute('data-bar');
    await page.keyboard.press('ArrowDown');
    expect(await focused().getAttribute('data-bar')).not.toBe(before);
    const chosen = Number(await focused().getAttribute('data-moment'));
    await page.keyboard.press('Enter');
    await frameIs(Math.ceil(record.distortions[chosen]!.start * fps - 1e-3));
    expect(await bars.count()).toBe(record.distortions.length);

    await tabTo(view.getByRole('tab', { name: /Distortions/ }));
    await page.keyboard.press('ArrowRight');
    await expect
      .poll(() => view.getByRole('tab', { name: /Scores/ }).getAttribute('aria-selected'), limit)
      .toBe('true');

    await page.keyboard.press('?');
    const help = view.getByRole('dialog');
    await help.waitFor();
    await text(help).toContain('Next distortion');
    await help.getByRole('checkbox').press('Space');
    await page.keyboard.press('Escape');
    await help.waitFor({ state: 'hidden' });
    await ruler.focus();
    const here = await frame();
    await page.keyboard.press('n');
    await page.keyboard.press('ArrowRight');
    await frameIs(here + 1);
  });
});

describe('a running job', () => {
  it('fills in window by window, what the user looks at first', async () => {
    await open({ state: 'running' });
    const { view } = stage;
    await view.getByText('Being assessed').waitFor();
    expect(await stage.call('finishWindow')).toEqual({ start: 0, end: 1 });
    await view.locator('.tracks[data-painted]').waitFor();
    await text(view.locator('header')).toMatch(/8 % · 6\.9 s left · 143 frames\/s/);
    await view.getByRole('slider', { name: 'Playhead' }).focus();
    const at = await place(8.5, onCurve);
    await stage.page.mouse.click(at.x, at.y);
    await expect
      .poll(async () => (await stage.call('log')).some(({ name }) => name === 'prioritise'), limit)
      .toBe(true);
    expect(await stage.call('finishWindow')).toEqual({ start: 8, end: 9 });
    const scores = view.getByRole('tab', { name: /Scores/ });
    await text(scores).toContain('2');
    while (await stage.call('finishWindow'));
    await text(view.locator('[data-state]')).toContain('Assessed');
    await text(scores).toContain('13');
    await text(view.locator('p[aria-live]')).toContain(`MOS ${record.mos.toFixed(2)}`);
    expect((await stage.call('log')).filter(({ name }) => name === 'still').length).toBeLessThan(5);
  });

  it('is cancelled, keeps what is finished and can be continued', async () => {
    await open({ state: 'running' });
    const { view } = stage;
    for (let i = 0; i < 3; i += 1) await stage.call('finishWindow');
    await view.getByRole('button', { name: 'Cancel' }).click();
    await text(view.locator('[data-state=cancelled]')).toContain('Cancelled at 0:03.0 of 0:12.4');
    await text(view.getByRole('tab', { name: /Scores/ })).toContain('3');
    await view.getByRole('button', { name: 'Continue' }).click();
    await view.locator('[data-state=running]').waitFor();
  });

  it.each([
    ['empty', 'Not assessed yet'],
    ['partial', 'Partial: 0:04.0 of 0:12.4'],
    ['failed', 'ffmpeg could not decode the clip.'],
  ] as const)('that is %s says so', async (state, words) => {
    await open({ state });
    await stage.view.getByText(words).first().waitFor();
    if (state !== 'partial') {
      await stage.view.getByRole('button', { name: 'Assess quality' }).click();
      await expect
        .poll(async () => (await stage.call('log')).some(({ name }) => name === 'assess'), limit)
        .toBe(true);
    }
  });
});

describe('the picture', () => {
  it('is the video itself where it plays: seeks to the frame, plays on', async () => {
    await openReady({
      media: '/files/h264.mp4',
      record: { seconds: 4, distortions: 2, width: 320, height: 180 },
    });
    const { view } = stage;
    const video = view.locator('video');
    await stage.call('reveal', 2, null);
    await expect
      .poll(
        () =>
          video.evaluate((one) => (one as unknown as { currentTime: number; seeking: boolean }).currentTime),
        limit,
      )
      .toBeCloseTo(2 + 0.5 / fps, 2);
    await view.getByRole('button', { name: 'Play', exact: true }).click();
    await expect.poll(frame, limit).toBeGreaterThan(2 * fps + 2);
    await view.getByRole('button', { name: 'Pause' }).click();
    await view.getByRole('button', { name: 'Play', exact: true }).waitFor();
    expect((await stage.call('log')).some(({ name }) => name === 'still')).toBe(false);
  });

  it('is stills where there is sound but no picture (HEVC)', async () => {
    await open({ media: '/files/hevc.mp4', record: { seconds: 4, codec: 'hevc' } });
    await stage.view.locator('.frame[data-mode=stills] canvas[data-drawn=true]').waitFor();
  });

  it('is stills where the address gives nothing', async () => {
    await open({ media: '/files/missing.mp4' });
    await stage.view.locator('.frame[data-mode=stills] canvas[data-drawn=true]').waitFor();
    // The browser reports the 404 itself.
    expect(stage.complaints.splice(0)).toEqual([expect.stringContaining('404')]);
  });

  it('plays stills by the clock', async () => {
    await openReady();
    await stage.view.getByRole('button', { name: 'Play', exact: true }).click();
    await expect.poll(frame, limit).toBeGreaterThan(5);
    await stage.page.keyboard.press('k');
    await stage.view.getByRole('button', { name: 'Play', exact: true }).waitFor();
  });

  it('says why there is none, and tries again at the next moment', async () => {
    stage = await studio.stage();
    await stage.set('failNext', {
      name: 'still',
      error: { code: 'ffmpeg_hung', message: 'ffmpeg did not answer.', next: 'Try another moment.' },
    });
    await stage.open();
    await stage.view.getByText('No picture here: ffmpeg did not answer.').waitFor();
    await stage.view.getByRole('slider', { name: 'Playhead' }).press('ArrowRight');
    await stage.view.locator('canvas[data-drawn=true]').waitFor();
  });
});

describe('two hours with 100,000 points', () => {
  it('stay a page of bounded size that zooms down to the frame', async () => {
    await openReady({ record: { seconds: 7200, segment: 0.072, distortions: 4000 } });
    const { view } = stage;
    await text(view.getByRole('tab', { name: /Scores/ })).toContain('100,000');
    expect(await view.locator('*').count()).toBeLessThan(3000);
    const bar = view.locator('.lane button[aria-label*="×"]').first();
    await bar.click();
    await expect.poll(async () => (await range()).end - (await range()).start, limit).toBeLessThan(7200);
    await view.getByRole('slider', { name: 'Playhead' }).focus();
    for (let i = 0; i < 24; i += 1) await stage.page.keyboard.press('+');
    await expect.poll(async () => (await range()).end - (await range()).start, limit).toBeCloseTo(2 / fps, 3);
    await stage.page.keyboard.press('n');
    await expect.poll(frame, limit).toBeGreaterThan(0);
  });
});
