import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { canvasSize, cutFragments, sentSize, shrinkBeforeRgb } from '../../../src/video/geometry.ts';
import { Resampler } from '../../../src/video/resample.ts';
import { resizeBicubic } from '../../support/media.ts';

const root = new URL('../../fixtures/parity/pixels/', import.meta.url);
const file = readFileSync(new URL('expected.safetensors', root));
const length = Number(file.readBigUInt64LE(0));
const header = JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<
  string,
  { shape: number[]; data_offsets: [number, number] }
>;

function tensor(name: string) {
  const { shape, data_offsets: offsets } = header[name]!;
  return { shape, data: file.subarray(8 + length + offsets[0], 8 + length + offsets[1]) };
}

const cases = JSON.parse(readFileSync(new URL('case.json', root), 'utf8')) as {
  frame: string;
  expected: string;
  kind: 'squash' | 'fragments';
  size: number;
  cell?: number;
  area?: number;
}[];

describe('pictures that Pillow made, bit for bit', () => {
  it.each(cases)('$expected', ({ frame, expected, kind, size, cell, area }) => {
    const { shape, data } = tensor(frame);
    const [height, width] = shape as [number, number];
    let made: Uint8Array;
    if (kind === 'squash') made = resizeBicubic(data, width, height, size, size);
    else {
      const view = { kind, size, cell: cell!, area: area! };
      const canvas = canvasSize({ width, height }, view);
      made = new Uint8Array(size * size * 3);
      cutFragments(resizeBicubic(data, width, height, canvas.width, canvas.height), canvas, view, made, 0);
    }
    expect(Buffer.from(made).equals(tensor(expected).data)).toBe(true);
  });
});

describe('resample_wasm.ts', () => {
  it('is what resample.wat assembles to', async () => {
    const assembler: string = '../../../scripts/resample.mjs';
    const { resamplePath, resampleText } = (await import(assembler)) as {
      resamplePath: string;
      resampleText(): Promise<string>;
    };
    expect(readFileSync(resamplePath, 'utf8')).toBe(await resampleText());
  });
});

describe('what ffmpeg sends', () => {
  it.each([
    ['a large frame for a large view, at its size', [1920, 1080], [384, 384], [384, 384]],
    ['a large frame for small motion frames, four times as large', [1920, 1080], [48, 48], [192, 192]],
    ['a frame that grows, as it is', [176, 144], [384, 384], [176, 144]],
    ['a frame that grows one way only', [320, 1000], [384, 384], [320, 384]],
    ['a frame between once and four times a small target, as it is', [100, 400], [48, 48], [100, 192]],
  ])('%s', (_, [w, h], [tw, th], [sw, sh]) => {
    const sent = sentSize({ width: w!, height: h! }, { width: tw!, height: th! });
    expect(sent).toEqual({ width: sw, height: sh });
  });

  it.each([
    [[1920, 1080], 192, 3],
    [[1280, 720], 192, 2],
    [[960, 540], 192, 1],
    [[3840, 2160], 192, 6],
    [[1920, 1080], 384, 1],
    [[16, 16], 16, 1],
  ])('motion frames of %j for %d shrink by %d before they become RGB', ([width, height], side, factor) => {
    expect(shrinkBeforeRgb({ width: width!, height: height! }, { width: side, height: side })).toBe(factor);
  });

  it('a size that stays has no pass: the planes are only interleaved', () => {
    const planes = Uint8Array.from({ length: 12 }, (_, i) => i);
    const out = new Uint8Array(12);
    new Resampler(2, 2, 2, 2).fromGbr(planes, out, 0);
    expect([...out]).toEqual([8, 0, 4, 9, 1, 5, 10, 2, 6, 11, 3, 7]);
  });
});
