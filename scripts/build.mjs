// Bundles the command line into dist/cli.mjs, and every bench/*.bench.ts into dist/bench. Packages with native parts or
// files of their own stay outside the bundles and are resolved at run time.
import { chmodSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './setup.mjs';

const benches = existsSync(join(root, 'bench'))
  ? readdirSync(join(root, 'bench')).filter((name) => name.endsWith('.bench.ts'))
  : [];

await build({
  absWorkingDir: root,
  entryPoints: [
    { in: 'src/cli/omnivqa.ts', out: 'cli' },
    ...benches.map((name) => ({ in: `bench/${name}`, out: `bench/${name.replace(/\.ts$/, '')}` })),
  ],
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
