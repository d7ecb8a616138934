import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSafetensorsHeader, TensorReader } from '../../../src/model/checkpoint/safetensors.ts';
import { OmniError } from '../../../src/protocol/errors.ts';
import { fixtures } from '../../support/checkpoints.ts';
import { temporaryDirectory } from '../../support/media.ts';

const original = readFileSync(join(fixtures, 'joined-patch', 'model-00003-of-00003.safetensors'));
const headerBytes = Number(original.readBigUInt64LE(0));
const codes = ['checkpoint_corrupt', 'checkpoint_tensors', 'lfs_pointer'];

/** A fixed sequence of numbers below 1 (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Reads a whole file as a compile would: every tensor that comes out lies inside it. */
function readAll(path: string, size: number): void {
  const reader = new TensorReader();
  try {
    for (const tensor of readSafetensorsHeader(path)) {
      expect(tensor.start).toBeGreaterThanOrEqual(8);
      expect(tensor.start + tensor.bytes).toBeLessThanOrEqual(size);
      const count = tensor.shape.reduce((product, dim) => product * dim, 1);
      expect(reader.read(tensor, 0, count).every(Number.isFinite)).toBe(true);
    }
  } catch (error) {
    if (!OmniError.is(error)) throw error;
    expect(codes).toContain(error.code);
  } finally {
    reader.close();
  }
}

describe('a damaged safetensors file is read or refused, never more', () => {
  const kinds: Record<string, (data: Buffer, next: () => number) => Buffer> = {
    'flipped bits in the header': (data, next) => {
      for (let i = 0; i < 1 + next() * 4; i += 1) {
        const at = Math.floor(next() * (8 + headerBytes));
        data[at] = data[at]! ^ (1 << Math.floor(next() * 8));
      }
      return data;
    },
    'other digits in the header': (data, next) => {
      for (let i = 0; i < 1 + next() * 8; i += 1) {
        const at = 8 + Math.floor(next() * headerBytes);
        if (data[at]! >= 0x30 && data[at]! <= 0x39) data[at] = 0x30 + Math.floor(next() * 10);
      }
      return data;
    },
    'flipped bits in the data': (data, next) => {
      const at = 8 + headerBytes + Math.floor(next() * (data.length - 8 - headerBytes));
      data[at] = data[at]! ^ (1 << Math.floor(next() * 8));
      return data;
    },
    'cut anywhere': (data, next) => data.subarray(0, Math.floor(next() * data.length)),
  };

  it.each(Object.entries(kinds))('%s', (_, damage) => {
    const path = join(temporaryDirectory(), 'damaged.safetensors');
    const next = random(20_260_101);
    for (let round = 0; round < 250; round += 1) {
      const damaged = damage(Buffer.from(original), next);
      writeFileSync(path, damaged);
      readAll(path, damaged.length);
    }
  });

  it.each([
    ['nothing', ''],
    ['no object', '[]'],
    ['null', 'null'],
    ['an entry that is null', '{"a": null}'],
    ['an entry that is a list', '{"a": []}'],
    ['offsets that run backwards', '{"a": {"dtype": "X9", "shape": [1], "data_offsets": [4, 0]}}'],
    ['a shape that overflows', '{"a": {"dtype": "F32", "shape": [9e15, 9e15], "data_offsets": [0, 4]}}'],
    ['three offsets', '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}'],
    ['text for offsets', '{"a": {"dtype": "F32", "shape": [1], "data_offsets": ["0", "4"]}}'],
  ])('a header that is %s', (_, header) => {
    const path = join(temporaryDirectory(), 'header.safetensors');
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(path, Buffer.concat([length, Buffer.from(header), Buffer.alloc(16)]));
    expect(() => readSafetensorsHeader(path)).toThrowError(
      expect.objectContaining({ code: 'checkpoint_corrupt' }),
    );
  });

  it('that is not there, or is a directory', () => {
    const directory = temporaryDirectory();
    for (const path of [join(directory, 'none.safetensors'), directory]) {
      expect(() => readSafetensorsHeader(path)).toThrowError(
        expect.objectContaining({ code: 'file_unreadable' }),
      );
    }
  });
});
