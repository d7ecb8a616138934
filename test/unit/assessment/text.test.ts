import { describe, expect, it } from 'vitest';
import {
  bitrateText,
  clock,
  printable,
  printableLines,
  safeJson,
  weightsText,
} from '../../../src/assessment/text.ts';

/** What a terminal, or the eye, would obey instead of showing it. */
const dangerous = /[\p{Cc}\p{Zl}\p{Zp}\u00ad\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;

const names: readonly (readonly [string, string, string])[] = [
  ['plain', 'clip 1.mp4', 'clip 1.mp4'],
  ['an emoji of several parts', '👩‍👩‍👧 🇩🇪.mp4', '👩‍👩‍👧 🇩🇪.mp4'],
  ['other scripts', 'видео 動画 وِيديو.mp4', 'видео 動画 وِيديو.mp4'],
  ['escape', '\u001b[31mred', '\\u{1b}[31mred'],
  ['the one-byte escape', '\u009b2J', '\\u{9b}2J'],
  ['a line break', 'a\nb\r', 'a\\u{a}b\\u{d}'],
  ['a bell and a delete', '\u0007\u007f', '\\u{7}\\u{7f}'],
  ['text turned around', 'a\u202e4pm.exe', 'a\\u{202e}4pm.exe'],
  ['hidden spaces', 'a\u200b\ufeffb', 'a\\u{200b}\\u{feff}b'],
  ['line separators', '\u2028\u2029', '\\u{2028}\\u{2029}'],
  ['a tag character', '\u{e0041}', '\\u{e0041}'],
];

describe('untrusted text', () => {
  it.each(names)('printable: %s', (_, text, shown) => {
    expect(printable(text)).toBe(shown);
    expect(printable(text)).not.toMatch(dangerous);
  });

  it('keeps the line breaks of an answer, and nothing else', () => {
    expect(printableLines('It is\nblurred\u001b[2J\r\n')).toBe('It is\nblurred\\u{1b}[2J\\u{d}\n');
  });

  it.each(names)('as JSON it is the same text, and harmless: %s', (_, text) => {
    const json = safeJson({ [text]: [text] }, 2);
    expect(JSON.parse(json)).toEqual({ [text]: [text] });
    expect(json.replaceAll('\n', '')).not.toMatch(dangerous);
  });
});

describe('clock', () => {
  it.each([
    [0, '0:00'],
    [0.04, '0:00'],
    [0.25, '0:00.3'],
    [59.96, '1:00'],
    [61.5, '1:01.5'],
    [3599.99, '1:00:00'],
    [3725.3, '1:02:05.3'],
    [36000, '10:00:00'],
  ])('%d s is %s', (seconds, text) => {
    expect(clock(seconds)).toBe(text);
  });
});

describe('bitrateText', () => {
  it.each([
    [900, '1 kb/s'],
    [640_000, '640 kb/s'],
    [8_240_000, '8.2 Mb/s'],
  ])('%d is %s', (bits, text) => {
    expect(bitrateText(bits)).toBe(text);
  });
});

describe('weightsText', () => {
  const model = { id: 'nano', revision: '0123456789', precision: 'fp32', provider: 'cpu', compiler: '2' };

  it('names the weights, and those that scored an encode', () => {
    expect(weightsText(model)).toBe('nano 01234567');
    expect(weightsText({ ...model, closely: true, comparison: 'abcdef0123' })).toBe(
      'nano 01234567, scores by abcdef01 for comparing',
    );
  });
});
