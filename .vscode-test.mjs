// Tests inside an extension host: `npm run build`, then `npx vscode-test`. They run in the workbench of test/workbench,
// or in desktop VS Code (fetched by @vscode/test-electron) with OMNIVQA_VSCODE=desktop, on the extension exactly as it
// ships and on a workspace of their own.
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from '@vscode/test-cli';
import { build } from 'esbuild';
import { stage } from './scripts/package.mjs';
import { root } from './scripts/setup.mjs';

const out = join(root, 'dist', 'test');
const shared = { absWorkingDir: root, outdir: out, bundle: true, platform: 'node', logLevel: 'warning' };
rmSync(join(out, 'extension'), { recursive: true, force: true });
await build({
  ...shared,
  entryPoints: readdirSync(join(root, 'test', 'extension'))
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `test/extension/${name}`),
  outdir: join(out, 'extension'),
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  target: 'node20',
  external: ['vscode', 'mocha'],
  sourcemap: 'inline',
});
const desktop = process.env.OMNIVQA_VSCODE === 'desktop';
const code = join(out, 'code.mjs');
if (!desktop) {
  await build({
    ...shared,
    entryPoints: { code: 'test/workbench/code.ts' },
    outExtension: { '.js': '.mjs' },
    format: 'esm',
    packages: 'external',
  });
  chmodSync(code, 0o755);
}

const home = mkdtempSync(join(tmpdir(), 'omnivqa-host-'));
process.once('exit', () => rmSync(home, { recursive: true, force: true }));
const extensionDevelopmentPath = join(home, 'extension');
const workspaceFolder = join(home, 'workspace');
stage(extensionDevelopmentPath);
mkdirSync(workspaceFolder);

export default defineConfig({
  tests: [
    {
      files: 'dist/test/extension/*.test.cjs',
      extensionDevelopmentPath,
      workspaceFolder,
      ...(desktop ? { version: 'stable' } : { useInstallation: { fromPath: code } }),
      mocha: { ui: 'tdd', timeout: 120_000, reporter: join(root, 'test', 'extension', 'reporter.cjs') },
    },
  ],
});
