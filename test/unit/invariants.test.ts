import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const source = fileURLToPath(new URL('../../src', import.meta.url));

/** Which rooms a room may import; every room may import itself. ARCHITECTURE.md shows the same as a picture. */
const mayImport: Record<string, readonly string[]> = {
  assessment: [],
  protocol: [],
  video: ['protocol', 'assessment'],
  model: ['protocol', 'assessment'],
  engine: ['protocol', 'assessment', 'video', 'model', 'comparison'],
  comparison: ['protocol', 'assessment'],
  dataset: ['protocol', 'assessment', 'video'],
  evaluation: ['protocol', 'assessment', 'engine'],
  extension: ['protocol', 'assessment', 'comparison', 'engine'],
  cli: ['protocol', 'assessment', 'video', 'model', 'engine', 'dataset', 'evaluation', 'comparison'],
};

/** Modules that only some places may import, by the invariants. */
const restricted: Record<string, (file: string) => boolean> = {
  vscode: (file) => file.startsWith('extension/'),
  'onnxruntime-node': (file) => file.startsWith('model/runtime/'),
  'fluent-ffmpeg': (file) => file.startsWith('video/'),
  '@huggingface/hub': (file) => file === 'model/checkpoint/hub_listing.ts',
  undici: (file) => file === 'model/checkpoint/proxy.ts',
  // The engine's client starts the engine.
  'node:child_process': (file) => file.startsWith('video/') || file === 'engine/client.ts',
};

/** Only a pull opens a connection; the clip's player in a browser is answered on the loopback interface. */
const network = /^(node:)?(http|https|http2|net|tls|dgram|dns)(\/|$)/;

interface Import {
  readonly file: string;
  readonly room: string;
  readonly specifier: string;
}

const imports: Import[] = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .flatMap((file) => {
    const text = readFileSync(join(source, file), 'utf8');
    const path = file.split(sep).join('/');
    return [
      ...text.matchAll(/(?:^|\n)\s*(?:import|export)\b[^'";]*?from\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/g),
    ].map((match) => ({ file: path, room: path.split('/')[0] ?? '', specifier: match[1] ?? match[2] ?? '' }));
  });

describe('invariants of the rooms', () => {
  it('a room imports only the rooms it may', () => {
    const wrong = imports.filter(({ file, room, specifier }) => {
      if (!specifier.startsWith('.')) return false;
      const target = relative(source, resolve(source, dirname(file), specifier)).split(sep)[0] ?? '';
      return target !== room && !mayImport[room]?.includes(target);
    });
    expect(wrong).toEqual([]);
  });

  it('assessment and protocol do no I/O', () => {
    expect(
      imports.filter(
        ({ room, specifier }) => ['assessment', 'protocol'].includes(room) && specifier.startsWith('node:'),
      ),
    ).toEqual([]);
  });

  it.each(Object.keys(restricted))('%s stays in its room', (module) => {
    expect(
      imports.filter(({ specifier, file }) => specifier === module && !restricted[module]?.(file)),
    ).toEqual([]);
  });

  it('only a pull opens a connection', () => {
    const fetching = [...new Set(imports.map(({ file }) => file))].filter((file) =>
      /\bfetch[();]|\bnew (WebSocket|EventSource)\b/.test(readFileSync(join(source, file), 'utf8')),
    );
    const room = ['hub.ts', 'hub_listing.ts', 'proxy.ts'].map((file) => `model/checkpoint/${file}`);
    expect(fetching.sort()).toEqual(room);
    const wrong = imports.filter(
      ({ file, specifier }) => network.test(specifier) && file !== 'extension/media_server.ts',
    );
    expect(wrong).toEqual([]);
  });

  it('what the extension host loads reaches neither the model nor ffmpeg', () => {
    const reached = new Set<string>();
    const walk = (file: string) => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const one of imports) {
        if (one.file !== file || !one.specifier.startsWith('.')) continue;
        walk(
          relative(source, resolve(source, dirname(file), one.specifier))
            .split(sep)
            .join('/'),
        );
      }
    };
    for (const file of new Set(imports.map(({ file }) => file))) {
      if (file.startsWith('extension/')) walk(file);
    }
    const heavy = [...reached].filter((file) => /^(model|video)\//.test(file));
    expect(heavy).toEqual([]);
  });
});
