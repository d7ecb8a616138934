/** A model from a hub into the editor: asked for, agreed to, downloaded, used. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { fixtures } from '../../support/checkpoints.ts';
import { hubId, hubServer } from '../../support/hub_server.ts';
import {
  dialog,
  explorerMenu,
  notification,
  quickPick,
  quickPickRow,
  quickType,
  runCommand,
  webviewFrame,
} from '../../workbench/window.ts';
import { limit, openStudio, picture, render } from './support.ts';

test('"Get a model": the token, licence and size first, then the download, then a clip', async () => {
  const hub = await hubServer(join(fixtures, 'separate-patch'));
  hub.misbehave = (request, response) => {
    if (request.headers.authorization === 'Bearer hf_mine') return false;
    response.writeHead(401).end();
    return true;
  };
  const cache = mkdtempSync(join(tmpdir(), 'omnivqa-cache-'));
  const studio = await openStudio((clips) => render(join(clips, 'clip.mp4'), 3), {
    env: { OMNIVQA_CACHE: cache },
  });
  onTestFinished(async () => {
    await studio.close();
    rmSync(cache, { recursive: true, force: true });
  });
  // A setting of the machine: in a remote window it is not the user's but the machine's file that counts.
  const machine = join(studio.workbench.dir, 'user', 'Machine');
  mkdirSync(machine, { recursive: true });
  writeFileSync(join(machine, 'settings.json'), JSON.stringify({ 'omnivqa.hub.endpoint': hub.endpoint }));
  const { page, complaints } = await studio.open();
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') await picture(page, 'failed-get-model');
  });

  // A palette that opens before the workspace counts as trusted does not list the command.
  await explorerMenu(page, 'clip.mp4', 'Open the quality timeline');
  await webviewFrame(page).getByRole('button', { name: 'Assess quality' }).waitFor(limit);
  await runCommand(page, 'OmniVQA: Get a model');
  await quickPickRow(page, hubId).waitFor();
  await picture(page, 'get-1-choose');
  await quickPick(page, hubId);
  // The hub denies: the token is asked for, and hidden while it is typed.
  await page.locator('.quick-input-widget:visible input[type="password"]').fill('hf_mine');
  await picture(page, 'get-2-token');
  await page.keyboard.press('Enter');

  const question = dialog(page);
  await question.getByText('Licence: apache-2.0').waitFor(limit);
  expect(await question.innerText()).toMatch(/Download: \d.*are free/);
  await picture(page, 'get-3-consent');
  // Nothing of it was fetched before the answer.
  expect(hub.asked.some(({ path }) => path.includes('/resolve/'))).toBe(false);
  await question.getByRole('button', { name: 'Download' }).click();

  await quickPickRow(page, 'Use for rating').waitFor(limit);
  expect(readdirSync(join(cache, 'hub'))).toEqual([hubId.replace('/', '--')]);
  await picture(page, 'get-4-uses');
  await quickPick(page, 'Use for rating');
  await notification(page, /assesses clips from now on/).waitFor(limit);
  const timeline = webviewFrame(page);
  await timeline.getByRole('button', { name: 'Assess quality' }).click();
  await timeline.locator('[data-state=complete]').waitFor(limit);
  expect(await timeline.getByRole('complementary', { name: 'Quality' }).innerText()).toContain(
    hubId.split('/')[1]!,
  );

  // An id that the hub does not have, typed by hand.
  await runCommand(page, 'OmniVQA: Get a model');
  await quickPick(page, 'Another one…');
  await quickType(page, 'nobody/nothing');
  await notification(page, hub.endpoint).waitFor(limit);
  await picture(page, 'get-5-unknown');
  // What the notification says stands in the console too.
  expect(complaints.filter((one) => !one.includes('nobody/nothing'))).toEqual([]);
});
