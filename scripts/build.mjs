// Bundles the command line into dist/cli.mjs. Packages with native parts or files of their own stay outside the bundle
// and are resolved at run time. The benches are bundled by scripts/bench.mjs, the views by scripts/webview.mjs.
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './setup.mjs';

await build({
  absWorkingDir: root,
  entryPoints: { cli: 'src/cli/omnivqa.ts' },
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
