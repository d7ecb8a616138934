import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { refined } from '../../../webview-ui/dev/records.ts';
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

it('says which model said what: legend, read-out, table', async () => {
  stage = await studio.stage({ height: 1400 });
  await stage.open({ record: { seconds: 40 }, patch: refined });
  const { view } = stage;
  await view.locator('.tracks[data-painted]').waitFor();
  const legend = view.getByRole('list', { name: 'Which model said what' });
  expect(await legend.getByRole('listitem').allInnerTexts()).toEqual([
    'omnivqa-nano, the whole clip',
    'omnivqa-8b, 3 windows',
  ]);

  const read = view.getByTestId('read');
  const playhead = view.getByRole('slider', { name: 'Playhead' });
  await playhead.press('Home');
  await expect.poll(() => read.innerText(), limit).toMatch(/omnivqa-8b\s+3\.84/);
  expect(await playhead.getAttribute('aria-valuetext')).toContain('3.84 by omnivqa-8b');
  await view.getByRole('tab', { name: 'Scores' }).click();
  const row = view.getByRole('row').filter({ hasText: '0:31.0' }).first();
  await row.getByRole('button').click();
  await expect.poll(() => read.innerText(), limit).toMatch(/omnivqa-8b\s+1\.96/);
  expect(await row.innerText()).toMatch(/1\.96\s+omnivqa-8b, 0:30/);
  await view.getByRole('row').filter({ hasText: '0:22.0' }).first().getByRole('button').click();
  await expect.poll(() => read.innerText(), limit).not.toContain('omnivqa-8b');
});

it('shows a result as whole while a second model looks at it', async () => {
  stage = await studio.stage({ height: 1400 });
  await stage.open({ record: { seconds: 40 } });
  const { view } = stage;
  await view.locator('.tracks[data-painted]').waitFor();
  expect(await view.getByRole('list', { name: 'Which model said what' }).count()).toBe(0);
  const job = { phase: 'running', progress: 0.5, eta: 3, framesPerSecond: null } as const;
  await stage.call('send', {
    job: { ...job, finished: [{ start: 0, end: 10 }], current: { start: 30, end: 40 }, refining: true },
    actions: ['cancel', 'assess', 'ask', 'export'],
  });
  await view.getByText('Refining the worst moments').waitFor();
  await view.getByRole('progressbar', { name: 'Second model' }).waitFor();
  await view.getByRole('button', { name: 'Export' }).waitFor();
  await stage.call('send', { job: null });
  await view.getByText('The second model has looked at no window.').waitFor({ state: 'attached' });
});

it('shows the name of a second model as text', async () => {
  stage = await studio.stage({ height: 1400 });
  const [first] = refined.refinements!;
  const id = '<img src=x onerror=alert(1)>';
  await stage.open({
    record: { seconds: 40 },
    patch: { refinements: [{ ...first!, model: { ...first!.model, id } }] },
  });
  const legend = stage.view.getByRole('list', { name: 'Which model said what' });
  await legend.getByText(`${id}, 1 window`).waitFor();
});

it('says that the scores of an encode are for comparing', async () => {
  stage = await studio.stage({ height: 1400 });
  const model = { id: 'omnivqa-nano', revision: 'v0', precision: 'fp32', provider: 'cpu', compiler: '1' };
  const patch = { model: { ...model, closely: true, comparison: 'v1' } as const };
  await stage.open({ record: { seconds: 10 }, patch });
  const said = stage.view.getByText('for comparing encodes');
  await said.waitFor();
  expect(await said.getAttribute('title')).toBe('v1');
});
