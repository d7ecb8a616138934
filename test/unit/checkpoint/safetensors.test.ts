import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSafetensorsHeader, TensorReader } from '../../../src/model/checkpoint/safetensors.ts';
import { temporaryDirectory } from '../../support/media.ts';

/** Writes a safetensors file of tensors that follow each other. */
function write(tensors: Record<string, { dtype: string; shape: number[]; bytes: Uint8Array }>): string {
  let offset = 0;
  const header = Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype, shape, bytes }]) => {
      offset += bytes.length;
      return [name, { dtype, shape, data_offsets: [offset - bytes.length, offset] }];
    }),
  );
  const text = Buffer.from(JSON.stringify({ __metadata__: { format: 'pt' }, ...header }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const path = join(temporaryDirectory(), 'x.safetensors');
  writeFileSync(path, Buffer.concat([length, text, ...Object.values(tensors).map(({ bytes }) => bytes)]));
  return path;
}

const bytes = (values: Float32Array | Uint16Array) => new Uint8Array(values.buffer);

/** The same five numbers in the three types weights come in. All of them are exact in each. */
const values = [0, 1, -2.5, 0.15625, 256];
const files = {
  F32: bytes(Float32Array.from(values)),
  F16: bytes(Uint16Array.from([0, 0x3c00, 0xc100, 0x3100, 0x5c00])),
  BF16: bytes(Uint16Array.from([0, 0x3f80, 0xc020, 0x3e20, 0x4380])),
};

describe.each(Object.entries(files))('%s', (dtype, data) => {
  // A byte before it: the tensor does not lie at a multiple of its element's size.
  const place = () =>
    readSafetensorsHeader(
      write({
        before: { dtype: 'U8', shape: [1], bytes: new Uint8Array(1) },
        tensor: { dtype, shape: [5], bytes: data },
      }),
    ).find(({ name }) => name === 'tensor')!;

  it('reads any piece by position', () => {
    const tensor = place();
    const reader = new TensorReader();
    for (const [from, count] of [
      [0, 5],
      [2, 2],
      [4, 1],
      [0, 0],
    ] as const) {
      expect(Array.from(reader.read(tensor, from, count))).toEqual(values.slice(from, from + count));
    }
    reader.close();
  });

  it.each([
    ['an infinity', { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 }],
    ['a number that is none', { F32: 0x7fc00001, F16: 0xfe00, BF16: 0xffc0 }],
  ] as const)('refuses %s', (_, bits) => {
    const bad = Buffer.from(data);
    const element = bits[dtype as keyof typeof bits];
    if (dtype === 'F32') bad.writeUInt32LE(element, 4);
    else bad.writeUInt16LE(element, 2);
    const [tensor] = readSafetensorsHeader(write({ weight: { dtype, shape: [5], bytes: bad } }));
    const reader = new TensorReader();
    expect(() => reader.read(tensor!, 0, 5)).toThrowError(
      expect.objectContaining({ code: 'checkpoint_corrupt', message: expect.stringContaining('weight') }),
    );
    expect(Array.from(reader.read(tensor!, 2, 3))).toEqual(values.slice(2));
    reader.close();
  });
});
