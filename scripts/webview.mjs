// Bundles webview-ui into dist/webview: one script and one stylesheet per view, nothing inline, nothing eval'd.
//   node scripts/webview.mjs                   builds for the extension
//   node scripts/webview.mjs --serve <port> [--files <directory>]
//                                              builds, with the harness of webview-ui/dev, into memory and serves
//                                              it on 127.0.0.1 (0: any free port); prints the address. <directory>
//                                              is served under /files/, with ranges, as a video player needs it.
import { randomBytes } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import sveltePlugin from 'esbuild-svelte';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Options shared by all bundles; Chrome 114 is what VS Code 1.82 brings. */
const options = {
  absWorkingDir: root,
  bundle: true,
  format: 'iife',
  platform: 'browser',
  target: 'chrome114',
  conditions: ['svelte', 'browser', 'production'],
  minify: true,
  legalComments: 'none',
  logLevel: 'warning',
  plugins: [
    sveltePlugin({
      compilerOptions: { css: 'external', dev: false, runes: true },
      esbuildTsTransformOptions: { tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } } },
    }),
  ],
};

/** The views that ship: each becomes dist/webview/<name>.{js,css}. */
const views = {
  timeline: 'webview-ui/timeline/main.ts',
  chat: 'webview-ui/chat/main.ts',
  comparison: 'webview-ui/comparison/main.ts',
};

/** Writes dist/webview. */
export async function buildWebviews(outdir = join(root, 'dist', 'webview')) {
  await build({ ...options, entryPoints: views, outdir });
}

/** Serves the views with the development harness. Returns the server's address. */
async function serve(port, files) {
  const bundles = new Map();
  const built = await build({
    ...options,
    entryPoints: {
      ...views,
      harness: 'webview-ui/dev/harness.ts',
      'chat-harness': 'webview-ui/dev/chat.ts',
      'comparison-harness': 'webview-ui/dev/comparison.ts',
    },
    outdir: root,
    write: false,
  });
  for (const { path, contents } of built.outputFiles) bundles.set(`/${basename(path)}`, contents);
  // The pages that the extension will use, from the same source.
  const source = async (entry) => {
    const page = await build({
      absWorkingDir: root,
      entryPoints: [entry],
      bundle: true,
      format: 'esm',
      write: false,
    });
    return import(
      `data:text/javascript;base64,${Buffer.from(page.outputFiles[0].contents).toString('base64')}`
    );
  };
  const { timelinePage } = await source('src/protocol/timeline.ts');
  const { chatPage } = await source('src/protocol/chat_view.ts');
  const { comparisonPage } = await source('src/protocol/comparison_view.ts');

  const types = {
    js: 'text/javascript',
    css: 'text/css',
    html: 'text/html; charset=utf-8',
    mp4: 'video/mp4',
    webm: 'video/webm',
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://127.0.0.1');
    const type = types[pathname.split('.').at(-1)] ?? 'application/octet-stream';
    const harness = { '/': 'harness', '/chat': 'chat-harness', '/comparison': 'comparison-harness' }[
      pathname
    ];
    if (harness) {
      response.writeHead(200, { 'content-type': types.html });
      response.end(
        `<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>OmniVQA views</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/${harness}.css"><body><script src="/${harness}.js"></script></body></html>`,
      );
      return;
    }
    const page = {
      '/timeline.html': timelinePage,
      '/chat.html': chatPage,
      '/comparison.html': comparisonPage,
    }[pathname];
    if (page) {
      const name = pathname.slice(1, -'.html'.length);
      response.writeHead(200, { 'content-type': types.html });
      response.end(
        page({
          script: `/${name}.js`,
          style: `/${name}.css`,
          source: "'self'",
          media: [],
          nonce: randomBytes(16).toString('base64'),
          language: 'en',
        }),
      );
      return;
    }
    const bundle = bundles.get(pathname);
    if (bundle) {
      response.writeHead(200, { 'content-type': type, 'content-length': bundle.length });
      response.end(bundle);
      return;
    }
    if (files && pathname.startsWith('/files/')) {
      const path = join(files, basename(decodeURIComponent(pathname)));
      const size = statSync(path, { throwIfNoEntry: false })?.size;
      const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
      if (size !== undefined) {
        const start = range ? Number(range[1]) : 0;
        const end = range?.[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
        response.writeHead(range ? 206 : 200, {
          'content-type': type,
          'accept-ranges': 'bytes',
          'content-length': end - start + 1,
          ...(range ? { 'content-range': `bytes ${start}-${end}/${size}` } : {}),
        });
        createReadStream(path, { start, end }).pipe(response);
        return;
      }
    }
    response.writeHead(404).end();
  });
  await new Promise((resolve) => {
    server.listen(port, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${server.address().port}/`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const value = (name) => process.argv[process.argv.indexOf(name) + 1];
  if (process.argv.includes('--serve')) {
    const files = process.argv.includes('--files') ? value('--files') : undefined;
    process.stdout.write(`${await serve(Number(value('--serve')) || 0, files)}\n`);
  } else {
    await buildWebviews();
  }
}
