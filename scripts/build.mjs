// Bundles the command line and the engine (dist/cli.mjs, dist/engine.mjs), the views (scripts/webview.mjs) and the
// extension (dist/extension.cjs, dist/encodes.cjs). Only onnxruntime-node, which has native parts, stays outside and is resolved at run
// time. The benches are bundled by scripts/bench.mjs.
import { chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './setup.mjs';
import { buildWebviews } from './webview.mjs';

await build({
  absWorkingDir: root,
  entryPoints: {
    cli: 'src/cli/omnivqa.ts',
    engine: 'src/engine/main.ts',
    pack_worker: 'src/model/compiler/pack_worker.ts',
  },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  // fluent-ffmpeg's measuring of its own coverage; it is not in its package.
  external: ['onnxruntime-node', './lib-cov/fluent-ffmpeg'],
  // What CommonJS packages in the bundle expect to find around them.
  banner: {
    js: [
      "import { createRequire as __createRequire } from 'node:module';",
      'const require = __createRequire(import.meta.url);',
      "const __dirname = require('node:path').dirname(require('node:url').fileURLToPath(import.meta.url));",
    ].join('\n'),
  },
  sourcemap: true,
  logLevel: 'warning',
});
chmodSync(join(root, 'dist', 'cli.mjs'), 0o755);

await buildWebviews();

if (existsSync(join(root, 'src', 'extension', 'extension.ts'))) {
  await build({
    absWorkingDir: root,
    // The parsers of commands and ladders load with the first document that needs them, not with the extension.
    entryPoints: { extension: 'src/extension/extension.ts', encodes: 'src/comparison/encodes.ts' },
    outdir: 'dist',
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    external: ['vscode'],
    supported: { 'dynamic-import': false },
    plugins: [
      {
        name: 'parsers-apart',
        setup({ onResolve }) {
          onResolve({ filter: /\/comparison\/encodes\.ts$/ }, ({ kind }) =>
            kind === 'dynamic-import' ? { path: './encodes.cjs', external: true } : undefined,
          );
        },
      },
    ],
    minify: true,
    sourcemap: true,
    logLevel: 'warning',
  });
}
