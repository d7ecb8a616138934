import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compileCached, compileCheckpoint } from '../../../src/model/compiler/compile.ts';
import { openCompiled } from '../../../src/model/compiler/manifest.ts';
import { copyCheckpoint, editJson, fixtures } from '../../support/checkpoints.ts';
import { temporaryDirectory } from '../../support/media.ts';

const source = join(fixtures, 'separate-statistics');

describe('a manifest', () => {
  it.each<[string, (manifest: Record<string, unknown>) => void]>([
    ['another stop token', (manifest) => Object.assign(manifest, { stopIds: [] })],
    ['no list of files', (manifest) => Object.assign(manifest, { files: null })],
    ['a file left out', ({ files }) => delete (files as Record<string, unknown>)['motion.weights']],
    ['no digest', (manifest) => delete manifest.digest],
  ])('with %s is refused', async (_, edit) => {
    const directory = join(temporaryDirectory(), 'compiled');
    await compileCheckpoint(source, directory);
    editJson(join(directory, 'manifest.json'), edit);
    await expect(openCompiled(directory)).rejects.toMatchObject({ code: 'compiled_invalid' });
  });

  it('is the same for the same checkpoint, wherever it was compiled', async () => {
    const parent = temporaryDirectory();
    const [one, other] = await Promise.all(
      ['a', 'b'].map((name) => compileCheckpoint(source, join(parent, name))),
    );
    expect(other!.manifest).toEqual(one!.manifest);
    expect((await openCompiled(one!.directory, 'deep')).manifest).toEqual(one!.manifest);
  });

  it('places every tensor at a page of its own and hashes what it wrote', async () => {
    const directory = join(temporaryDirectory(), 'compiled');
    const { manifest } = await compileCheckpoint(source, directory, {
      precision: { decoder: 'int4', vision: 'fp16' },
    });
    expect(manifest.embeddings.newlineOffset % 4096).toBe(0);
    expect(Object.keys(manifest.files).sort()).toEqual(
      readdirSync(directory)
        .filter((name) => name !== 'manifest.json')
        .sort(),
    );
    await openCompiled(directory, 'deep');
  });
});

describe('the cache', () => {
  it('tells apart what only the directory’s name does', async () => {
    const cache = temporaryDirectory();
    // Without a section of its own, the name decides the family, and with it the prompt.
    const [scorer, assistant] = ['vqa-ugc-scorer', 'vqa-assistant'].map((name) => {
      const directory = join(temporaryDirectory(), name);
      cpSync(join(fixtures, 'separate-patch'), directory, { recursive: true });
      editJson(join(directory, 'config.json'), (json) => {
        delete json.omnivqa;
      });
      return directory;
    }) as [string, string];
    const one = await compileCached(scorer, cache);
    const other = await compileCached(assistant, cache);
    expect([one.config.omnivqa.family, other.config.omnivqa.family]).toEqual(['ugc-scorer', 'assistant']);
    expect(other.directory).not.toBe(one.directory);
  });
});

describe('the fingerprint of a checkpoint', () => {
  const compile = async (checkpoint: string) =>
    (await compileCheckpoint(checkpoint, join(temporaryDirectory(), 'compiled'))).manifest.source;

  it('is that of any copy of it, whatever the time', async () => {
    const copy = copyCheckpoint('separate-statistics');
    for (const file of readdirSync(copy)) utimesSync(join(copy, file), 1, 1);
    expect(await compile(copy)).toBe(await compile(source));
  });

  it('of a large file follows its size and time, without reading it', async () => {
    const copy = copyCheckpoint('separate-statistics');
    const file = join(copy, 'model.safetensors');
    // Beyond the tensors: a hole on the disk.
    truncateSync(file, 2 ** 27);
    utimesSync(file, 1, 1);
    const first = await compile(copy);
    expect(await compile(copy)).toBe(first);
    utimesSync(file, 1, 2);
    expect(await compile(copy)).not.toBe(first);
  });
});

describe('what a killed compilation left', () => {
  it('is removed by the next one; that of a living process stays', async () => {
    const parent = temporaryDirectory();
    const { pid } = spawnSync(process.execPath, ['--version']);
    const left = (process: number, host = hostname()) => {
      const name = `compiled.partial-${host}-${process}-0badcafe`;
      mkdirSync(join(parent, name));
      writeFileSync(join(parent, name, 'decoder.weights'), 'half');
      return name;
    };
    left(pid);
    const kept = [left(process.pid), left(pid, `not-${hostname()}`)];
    await compileCheckpoint(source, join(parent, 'compiled'));
    expect(readdirSync(parent).sort()).toEqual(['compiled', ...kept].sort());
  });

  it('in place of the target is replaced', async () => {
    const directory = join(temporaryDirectory(), 'compiled');
    mkdirSync(directory);
    writeFileSync(join(directory, 'decoder.weights'), 'half');
    await compileCheckpoint(source, directory);
    await openCompiled(directory, 'deep');
    expect(readFileSync(join(directory, 'decoder.weights')).length).toBeGreaterThan(4);
  });
});
