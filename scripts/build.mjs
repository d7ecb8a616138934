// Bundles the command line and the engine (dist/cli.mjs, dist/engine.mjs), the views (scripts/webview.mjs) and the
// extension (dist/extension.cjs). Packages with native parts or files of their own stay outside the first two and are
// resolved at run time. The benches are bundled by scripts/bench.mjs.
import { chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './setup.mjs';
import { buildWebviews } from './webview.mjs';

await build({
  absWorkingDir: root,
  entryPoints: { cli: 'src/cli/omnivqa.ts', engine: 'src/engine/main.ts' },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
});
chmodSync(join(root, 'dist', 'cli.mjs'), 0o755);

await buildWebviews();

if (existsSync(join(root, 'src', 'extension', 'extension.ts'))) {
  await build({
    absWorkingDir: root,
    entryPoints: { extension: 'src/extension/extension.ts' },
    outdir: 'dist',
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    external: ['vscode'],
    minify: true,
    sourcemap: true,
    logLevel: 'warning',
  });
}
