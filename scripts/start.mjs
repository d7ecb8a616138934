// `npm start`: from a fresh checkout to the assessment of a real clip, then the extension on a folder of sample clips: in
// desktop VS Code where `code` is on PATH, otherwise in a workbench in the browser. CI=true or OMNIVQA_NO_OPEN=1 ends
// after the assessment.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, main, root, run, setUp } from './setup.mjs';

await main(async () => {
  setUp();
  build();
  run(process.execPath, [join(root, 'dist', 'cli.mjs'), 'assess', join('media', 'sample.mp4')]);
  if (process.env.CI === 'true' || process.env.OMNIVQA_NO_OPEN === '1') return;

  const { makeWorkspace } = await import('./workspace.mjs');
  process.stderr.write('\nMaking a folder of sample clips …\n');
  const folder = makeWorkspace(join(root, '.samples'));
  const windows = process.platform === 'win32';
  if (spawnSync('code', ['--version'], { stdio: 'ignore', shell: windows }).status === 0) {
    run('code', ['--new-window', `--extensionDevelopmentPath=${root}`, folder], { shell: windows });
    process.stdout.write(`\nVS Code opens ${folder}: right-click a video, "Assess quality".\n`);
    return;
  }
  // The workbench of the tests, in a bundle that lies two folders below the repository as its source does.
  const { build: bundle } = await import('esbuild');
  const outfile = join(root, 'dist', 'dev', 'workbench.mjs');
  mkdirSync(join(root, 'dist', 'dev'), { recursive: true });
  await bundle({
    absWorkingDir: root,
    entryPoints: ['test/workbench/workbench.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'warning',
  });
  const { startWorkbench } = await import(pathToFileURL(outfile).href);
  const workbench = await startWorkbench({ workspace: folder, extensions: [root] });
  const address = new URL(workbench.url);
  address.searchParams.set('folder', folder);
  process.stdout.write(
    `\nThe workbench is open at ${address.href}\nRight-click a video there, "Assess quality". Ctrl+C ends it.\n`,
  );
  await new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, resolve);
  });
  await workbench.stop();
});
