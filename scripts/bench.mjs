// `npm run bench [-- <name> [arguments]]`: builds the program and the benches, runs them and keeps their figures in
// bench/RESULTS.md. Without a name: all that need no more than the repository itself.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { build as bundle } from 'esbuild';
import { build, main, root } from './setup.mjs';

await main(async () => {
  if (!existsSync(join(root, 'media', 'sample.mp4'))) throw new Error('media/sample.mp4 is missing.');
  build();
  await bundle({
    absWorkingDir: root,
    entryPoints: ['bench/main.ts', 'bench/compile_worker.ts', 'bench/decoder_worker.ts'],
    outdir: 'dist/bench',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  });
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'dist', 'bench', 'main.mjs'), ...process.argv.slice(2)],
    { cwd: root, stdio: 'inherit' },
  );
  process.exitCode = status ?? 1;
});
