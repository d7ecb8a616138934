import { expect, it } from 'vitest';
import { halves, toHalves } from '../../../src/model/checkpoint/half.ts';

const rounded = (...values: number[]) => {
  const into = new Uint16Array(values.length);
  const tooLarge = toHalves(Float32Array.from(values), into);
  return { bits: Array.from(into), tooLarge };
};

it('every finite half survives the way to a float and back', () => {
  const finite = Array.from({ length: 65536 }, (_, bits) => bits).filter(
    (bits) => (bits & 0x7c00) !== 0x7c00,
  );
  const into = new Uint16Array(finite.length);
  expect(
    toHalves(
      Float32Array.from(finite, (bits) => halves()[bits]!),
      into,
    ),
  ).toBe(-1);
  expect(Array.from(into)).toEqual(finite);
});

it('rounds to nearest, ties to even, below and above 2^-14', () => {
  const table = halves();
  for (const bits of [0, 1, 2, 0x3fe, 0x3ff, 0x400, 0x401, 0x3bff, 0x3c00, 0x3c01, 0x7bfe]) {
    const [low, high] = [table[bits]!, table[bits + 1]!];
    const step = high - low;
    const even = bits % 2 === 0 ? bits : bits + 1;
    const { bits: got } = rounded(low + step * 0.49, low + step / 2, low + step * 0.51, -(low + step / 2));
    expect(got).toEqual([bits, even, bits + 1, even | 0x8000]);
  }
});

it('names the first value that does not fit', () => {
  expect(rounded(1, 65519, -65519).tooLarge).toBe(-1);
  expect(rounded(1, 65520, 1e9)).toEqual({ bits: [0x3c00, 0x7c00, 0x7c00], tooLarge: 1 });
});
