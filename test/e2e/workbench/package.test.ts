/** The package that people install: what is in it, and that it works where nothing else of the repository is. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { explorerMenu, webviewFrame } from '../../workbench/window.ts';
import { drawn, limit, openStudio, root, type Studio } from './support.ts';

let home: string;
let vsix: string;
let studio: Studio | undefined;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'omnivqa-vsix-'));
  vsix = join(home, 'omnivqa.vsix');
  // It compares what is in the package with what should be, file by file.
  execFileSync(process.execPath, [join(root, 'scripts', 'package.mjs'), '--out', vsix], { stdio: 'pipe' });
  studio = await openStudio(
    (clips) => copyFileSync(join(root, 'media', 'sample.mp4'), join(clips, 'sample.mp4')),
    { extensions: [vsix] },
  );
});
afterAll(async () => {
  await studio?.close();
  rmSync(home, { recursive: true, force: true });
});

test('is smaller than 90 MB', () => {
  expect(statSync(vsix).size).toBeLessThan(90e6);
});

test('assesses a clip after an ordinary installation', async () => {
  const { page, complaints } = await studio!.open();
  await explorerMenu(page, 'sample.mp4', 'Assess quality');
  const timeline = webviewFrame(page);
  await timeline.locator('[data-state=complete]').waitFor(limit);
  await drawn(timeline);
  const [engine] = studio!.workbench.processes(/dist\/engine\.mjs/);
  expect(engine).toBeDefined();
  expect(complaints).toEqual([]);
});
