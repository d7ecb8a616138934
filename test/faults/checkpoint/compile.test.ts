import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { compileCached, compileCheckpoint } from '../../../src/model/compiler/compile.ts';
import { openCompiled } from '../../../src/model/compiler/manifest.ts';
import { copyCheckpoint, editJson, fixtures } from '../../support/checkpoints.ts';
import { temporaryDirectory } from '../../support/media.ts';

/** The device holds this many more bytes of weights; what does not fit fails as the kernel makes it fail. */
const disk = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY, code: 'ENOSPC' }));

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  return {
    ...fs,
    writeSync(file: number, bytes: Uint8Array, offset: number, length: number) {
      if (disk.left <= 0) throw Object.assign(new Error(`${disk.code}: write`), { code: disk.code });
      // A device that fills up first takes a part of what it is given.
      const written = fs.writeSync(file, bytes, offset, Math.min(length, disk.left));
      disk.left -= written;
      return written;
    },
  };
});

afterEach(() => {
  disk.left = Number.POSITIVE_INFINITY;
});

const source = join(fixtures, 'separate-patch');

describe('a disk that fills up', () => {
  it.each([
    ['at once', 'ENOSPC', 0],
    ['in the middle of a tensor', 'ENOSPC', 300_001],
    ['because of a quota', 'EDQUOT', 5000],
    ['because files may not grow so large', 'EFBIG', 5000],
  ])('%s: disk_full, and nothing is left', async (_, code, left) => {
    const parent = temporaryDirectory();
    Object.assign(disk, { left, code });
    await expect(compileCheckpoint(source, join(parent, 'compiled'))).rejects.toMatchObject({
      code: 'disk_full',
    });
    expect(readdirSync(parent)).toEqual([]);
  });

  it('leaves the compiled model that was there', async () => {
    const directory = join(temporaryDirectory(), 'compiled');
    await compileCheckpoint(source, directory);
    Object.assign(disk, { left: 100_000, code: 'ENOSPC' });
    const precision = { decoder: 'int8', vision: 'fp32' } as const;
    await expect(compileCheckpoint(source, directory, { precision })).rejects.toMatchObject({
      code: 'disk_full',
    });
    expect((await openCompiled(directory, 'deep')).manifest.options.precision.decoder).toBe('fp32');
  });

  it('writes on where a write was cut short', async () => {
    const directory = join(temporaryDirectory(), 'compiled');
    const { manifest } = await compileCheckpoint(source, directory);
    const whole = Object.values(manifest.files).reduce((sum, { size }) => sum + size, 0);
    // Room for all of it: every write succeeds, the last one exactly.
    Object.assign(disk, { left: whole, code: 'ENOSPC' });
    await compileCheckpoint(source, directory);
    await openCompiled(directory, 'deep');
  });
});

describe('a checkpoint that changes while it is compiled', () => {
  it('is refused, and nothing is left', async () => {
    const checkpoint = copyCheckpoint();
    const parent = temporaryDirectory();
    const compiling = compileCheckpoint(checkpoint, join(parent, 'compiled'), {
      onProgress: ({ done, total }) => {
        if (done < total) return;
        const file = join(checkpoint, 'model.safetensors');
        const data = readFileSync(file);
        data[data.length - 1]! ^= 1;
        writeFileSync(file, data);
      },
    });
    await expect(compiling).rejects.toMatchObject({ code: 'file_replaced' });
    expect(readdirSync(parent)).toEqual([]);
  });

  it('is refused when a file of it is gone at the end', async () => {
    const checkpoint = copyCheckpoint('joined-patch');
    const parent = temporaryDirectory();
    const compiling = compileCheckpoint(checkpoint, join(parent, 'compiled'), {
      onProgress: ({ done, total }) => {
        if (done === total) rmSync(join(checkpoint, 'model-00001-of-00003.safetensors'), { force: true });
      },
    });
    await expect(compiling).rejects.toMatchObject({ code: 'file_replaced' });
    expect(readdirSync(parent)).toEqual([]);
  });

  it('is refused when its weights end early', async () => {
    const checkpoint = copyCheckpoint();
    const parent = temporaryDirectory();
    const compiling = compileCheckpoint(checkpoint, join(parent, 'compiled'), {
      onProgress: () => writeFileSync(join(checkpoint, 'model.safetensors'), ''),
    });
    await expect(compiling).rejects.toMatchObject({ code: 'checkpoint_corrupt' });
    expect(readdirSync(parent)).toEqual([]);
  });
});

describe('cancelling', () => {
  it.each([0, 0.1, 0.5, 0.9, 0.99])('at %d of the way leaves nothing', async (share) => {
    const parent = temporaryDirectory();
    const controller = new AbortController();
    const compiling = compileCached(source, parent, {
      signal: controller.signal,
      onProgress: ({ done, total }) => {
        if (done >= share * total) controller.abort();
      },
    });
    await expect(compiling).rejects.toMatchObject({ code: 'cancelled' });
    expect(readdirSync(parent)).toEqual([]);
  });

  it('before it begins does no work', async () => {
    const parent = temporaryDirectory();
    const onProgress = vi.fn();
    const compiling = compileCheckpoint(source, join(parent, 'compiled'), {
      signal: AbortSignal.abort(),
      onProgress,
    });
    await expect(compiling).rejects.toMatchObject({ code: 'cancelled' });
    expect(onProgress).not.toHaveBeenCalled();
    expect(readdirSync(parent)).toEqual([]);
  });
});

describe('a checkpoint whose', () => {
  const refused = (checkpoint: string) =>
    expect(compileCheckpoint(checkpoint, join(temporaryDirectory(), 'compiled'))).rejects;

  it('weights are a Git LFS pointer', async () => {
    const checkpoint = copyCheckpoint();
    writeFileSync(
      join(checkpoint, 'model.safetensors'),
      'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 16161234567\n',
    );
    await refused(checkpoint).toMatchObject({ code: 'lfs_pointer' });
  });

  it('index is empty, or no object', async () => {
    for (const text of ['{}', 'null', '[]', '{"weight_map": null}', '{"weight_map": {"a": 1}}']) {
      const checkpoint = copyCheckpoint('joined-patch');
      writeFileSync(join(checkpoint, 'model.safetensors.index.json'), text);
      await refused(checkpoint).toMatchObject({ code: 'checkpoint_tensors' });
    }
  });

  it('level words are several tokens', async () => {
    const checkpoint = copyCheckpoint();
    editJson(join(checkpoint, 'config.json'), (json) => {
      json.omnivqa = { levels: ['magnificent', 'good', 'fair', 'poor', 'low'] };
    });
    await refused(checkpoint).toMatchObject({ code: 'tokenizer_invalid' });
  });

  it('optional generation_config.json is broken: its stop tokens are missed, nothing else', async () => {
    const checkpoint = copyCheckpoint();
    for (const text of ['{', 'null', '[]', '{"eos_token_id": "x"}']) {
      writeFileSync(join(checkpoint, 'generation_config.json'), text);
      const { manifest } = await compileCheckpoint(checkpoint, join(temporaryDirectory(), 'compiled'));
      expect(manifest.stopIds).toEqual(manifest.config.eosTokenIds);
    }
  });
});
