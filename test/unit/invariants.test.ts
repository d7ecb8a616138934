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
  model: ['protocol'],
  engine: ['protocol', 'assessment', 'video', 'model'],
  cli: ['protocol', 'assessment', 'video', 'model', 'engine'],
};

/** Modules that only some places may import, by the invariants. */
const restricted: Record<string, (file: string) => boolean> = {
  vscode: (file) => file.startsWith('extension/'),
  'onnxruntime-node': (file) => file.startsWith('model/runtime/'),
  'fluent-ffmpeg': (file) => file.startsWith('video/'),
  'node:child_process': (file) => file.startsWith('video/'),
};

/** No code of ours opens a connection. */
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

  it('nothing opens a connection', () => {
    expect(imports.filter(({ specifier }) => network.test(specifier))).toEqual([]);
  });
});
