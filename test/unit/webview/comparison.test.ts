import { describe, expect, it } from 'vitest';
import {
  deltasOf,
  linearTicks,
  logTicks,
  paddedRange,
  seriesOf,
} from '../../../src/assessment/comparison_plot.ts';
import { type ComparedEncode, comparisonPage } from '../../../src/protocol/comparison_view.ts';
import { windowDifferences, worstOf } from '../../../webview-ui/comparison/plot.ts';
import { ageText, signed, sizeText, stateText } from '../../../webview-ui/comparison/words.ts';

const encode = (changes: Partial<ComparedEncode>): ComparedEncode => ({
  id: 'a',
  label: 'libx264 crf 23',
  codec: 'libx264',
  state: 'done',
  progress: null,
  eta: null,
  bytes: null,
  bitrate: null,
  speed: null,
  mos: null,
  vmaf: null,
  ssim: null,
  psnr: null,
  windows: [],
  madeAt: null,
  aligned: true,
  problems: [],
  ...changes,
});

describe('ticks', () => {
  it('are round numbers within the range', () => {
    expect(linearTicks(1.13, 4.9, 6)).toEqual([2, 3, 4]);
    expect(linearTicks(0.961, 0.988, 6)).toEqual([0.965, 0.97, 0.975, 0.98, 0.985]);
    expect(linearTicks(3, 3, 6)).toEqual([3]);
  });

  it('follow the decades of a logarithmic axis, and are linear within less than one', () => {
    expect(logTicks(300e3, 12e6, 5)).toEqual([500e3, 1e6, 2e6, 5e6, 10e6]);
    expect(logTicks(1.1e6, 1.9e6, 4)).toEqual([1.2e6, 1.4e6, 1.6e6, 1.8e6]);
  });

  it('leave air around the values, and around a single one', () => {
    expect(paddedRange([1, 2], 0.1)).toEqual([0.9, 2.1]);
    expect(paddedRange([4], 0.1)).toEqual([3.6, 4.4]);
    expect(paddedRange([0], 0.1)).toEqual([-1, 1]);
    expect(paddedRange([], 0.1)).toEqual([0, 1]);
  });
});

describe('curves', () => {
  it('have one codec each, by rising rate, without what is not measured', () => {
    const series = seriesOf(
      [
        encode({ id: 'a', bitrate: 2e6, mos: 4 }),
        encode({ id: 'b', codec: 'libx265', bitrate: 1e6, mos: 3.9 }),
        encode({ id: 'c', bitrate: 1e6, mos: 3.5 }),
        encode({ id: 'd', bitrate: 0, mos: 1 }),
        encode({ id: 'e', bitrate: 5e6 }),
        encode({ id: 'f', bitrate: 3e6, mos: 4.5, aligned: false }),
      ],
      'mos',
    );
    expect(series.map(({ codec, points }) => [codec, points.map(({ encode }) => encode.id)])).toEqual([
      ['libx264', ['c', 'a']],
      ['libx265', ['b']],
    ]);
  });

  it('are compared both ways round, or it is said why not', () => {
    const four = (codec: string, factor: number) =>
      [1, 2, 3, 4].map((mos) =>
        encode({ id: `${codec}${mos}`, codec, bitrate: factor * 2 ** mos * 1e5, mos }),
      );
    const [there, back] = deltasOf(seriesOf([...four('x', 1), ...four('y', 0.5)], 'mos'));
    expect(there).toMatchObject({ anchor: 'x', test: 'y', rate: { value: expect.closeTo(-0.5, 9) } });
    expect(back).toMatchObject({ anchor: 'y', test: 'x', rate: { value: expect.closeTo(1, 9) } });
    const [few] = deltasOf(seriesOf([...four('x', 1), ...four('y', 0.5).slice(1)], 'mos'));
    expect(few).toMatchObject({
      rate: { refusal: 'too_few_points' },
      quality: { refusal: 'too_few_points' },
    });
  });
});

describe('differences over time', () => {
  const first = encode({
    windows: [
      { start: 0, end: 2, mos: 4 },
      { start: 2, end: 4, mos: 3 },
      { start: 6, end: 8, mos: 2 },
    ],
  });
  const second = encode({
    windows: [
      { start: 0, end: 3, mos: 3.5 },
      { start: 3, end: 7, mos: 3.25 },
    ],
  });

  it('are cut at the boundaries of either, where both are measured', () => {
    expect(windowDifferences(first, second)).toEqual([
      { start: 0, end: 2, difference: -0.5 },
      { start: 2, end: 3, difference: 0.5 },
      { start: 3, end: 4, difference: 0.25 },
      { start: 6, end: 7, difference: 1.25 },
    ]);
    expect(windowDifferences(first, encode({}))).toEqual([]);
    expect(windowDifferences(first, { ...second, aligned: false })).toEqual([]);
  });

  it('name the worst window', () => {
    expect(worstOf(first)).toEqual({ start: 6, end: 8, mos: 2 });
    expect(worstOf(encode({}))).toBeNull();
  });
});

describe('words', () => {
  it('say sizes, ages, signs and states', () => {
    expect([sizeText(640), sizeText(11_440_000), sizeText(2.5e9)]).toEqual(['1 kB', '11.4 MB', '2.50 GB']);
    expect([ageText(0, 30_000), ageText(0, 6e5), ageText(0, 8e6), ageText(0, 9e8), ageText(9, 0)]).toEqual([
      'just now',
      '10 min ago',
      '2 h ago',
      '10 days ago',
      'just now',
    ]);
    expect([signed(0.42, 2), signed(-12.34, 1), signed(-0.001, 2)]).toEqual(['+0.42', '−12.3', '0.00']);
    expect(stateText(encode({ state: 'encoding', progress: 0.417, eta: 11.2 }))).toBe(
      'encoding 41 %, 12 s left',
    );
    expect(stateText(encode({ state: 'waiting' }))).toBe('waiting');
  });
});

it('the page loads what is named and runs nothing else', () => {
  const page = comparisonPage({
    script: 'a.js"><script>',
    style: 'a.css',
    source: 'vscode-resource:',
    nonce: 'n0nce',
    language: 'en',
  });
  expect(page).toContain('default-src &#39;none&#39;; script-src &#39;nonce-n0nce&#39;');
  expect(page).not.toContain('"><script>');
  expect(page).not.toContain('unsafe');
});
