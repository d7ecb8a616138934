import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const room = join(root, 'webview-ui');
const sources = readdirSync(room, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(ts|svelte)$/.test(file))
  .map((file) => ({ file: file.split(sep).join('/'), text: readFileSync(join(room, file), 'utf8') }));

describe('invariants of the views', () => {
  it('they import svelte, the protocol, the assessment and themselves', () => {
    const wrong = sources.flatMap(({ file, text }) =>
      [...text.matchAll(/(?:^|\n)\s*import\b[^'";]*?'([^']+)'/g)]
        .map((match) => match[1] as string)
        .filter((specifier) => {
          if (!specifier.startsWith('.')) return specifier !== 'svelte';
          const [first, second] = relative(root, resolve(room, file, '..', specifier)).split(sep);
          return (
            first !== 'webview-ui' && !(first === 'src' && ['protocol', 'assessment'].includes(second ?? ''))
          );
        })
        .map((specifier) => `${file}: ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it('what is shipped takes nothing from the development harness', () => {
    expect(
      sources.filter(({ file, text }) => !file.startsWith('dev/') && /from '[^']*\/dev\//.test(text)),
    ).toEqual([]);
  });

  it('no text becomes markup and no style is inline', () => {
    expect(
      sources.filter(({ text }) =>
        /\{@html|innerHTML|insertAdjacentHTML|document\.write|\sstyle="/.test(text),
      ),
    ).toEqual([]);
  });
});
