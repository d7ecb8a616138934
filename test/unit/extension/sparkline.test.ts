import { expect, test } from 'vitest';
import { sparkline } from '../../../src/extension/comparison/sparkline.ts';

const scores = [
  { start: 10, end: 11, mos: 4 },
  { start: 11, end: 12, mos: 2.5 },
  { start: 12, end: 13, mos: 9 },
];

test('a course of quality is drawn within its picture, whatever the scores', () => {
  const svg = sparkline(scores, { start: 11, end: 12 }, 3.5);
  const curve = /<path d="(M[^"]+)" stroke="#3b8eea"/.exec(svg)?.[1] ?? '';
  const [x, y] = ['H', 'V'].map((axis) =>
    [...curve.matchAll(new RegExp(`${axis}([\\d.-]+)`, 'g'))].map(([, value]) => Number(value)),
  );
  expect(x?.at(0)).toBe(16);
  expect(x?.at(-1)).toBe(297);
  expect(Math.min(...(y ?? []))).toBe(3);
  expect(Math.max(...(y ?? []))).toBeLessThan(53);
  expect(svg).toContain('stroke-dasharray');
  expect(svg).toMatch(/<rect x="109.7"/);
});

test('nothing measured, or nothing to mark, is a picture all the same', () => {
  for (const svg of [sparkline([], null, null), sparkline(scores.slice(0, 1), { start: 5, end: 5 }, null)]) {
    expect(svg).toMatch(/^<svg [^>]*>.*<\/svg>$/);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  }
});
