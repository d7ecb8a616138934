import { describe, expect, it } from 'vitest';
import { longestAnswer } from '../../../src/protocol/chat.ts';
import { chatPage } from '../../../src/protocol/chat_view.ts';
import { passagesOf } from '../../../webview-ui/chat/pieces.ts';
import { seconds, subjectText } from '../../../webview-ui/chat/words.ts';

const place = { path: '/a.mp4', span: { start: 3, end: 5 }, region: null, type: null };
const claim = { text: '', verdict: 'contradicts' as const, because: 'No.' };
const shown = (turn: Parameters<typeof passagesOf>[0]) =>
  passagesOf(turn).map(({ claim: held, pieces }) => [
    held !== null,
    pieces.map(({ text, link }) => (link ? `[${text}]` : text)),
  ]);

describe('the passages of an answer', () => {
  it('are the text, cut at the borders of claims and links', () => {
    const text = 'blur at 3 s, noise at 8 s.';
    expect(
      shown({
        text,
        links: [
          { from: 8, to: 11, place },
          { from: 22, to: 25, place },
        ],
        claims: [{ from: 13, to: 25, ...claim }],
      }),
    ).toEqual([
      [false, ['blur at ', '[3 s]', ', ']],
      [true, ['noise at ', '[8 s]']],
      [false, ['.']],
    ]);
  });

  it('leave out ranges that are empty, reversed, outside, fractional or inside another', () => {
    const ranges = [
      [2, 2],
      [3, 1],
      [-1, 2],
      [4, 99],
      [0.5, 1],
      [0, 2],
      [1, 3],
    ].map(([from = 0, to = 0]) => ({ from, to, place }));
    expect(shown({ text: 'abcdef', links: ranges, claims: [] })).toEqual([[false, ['[ab]', 'cdef']]]);
  });

  it('cut a link at the border of the claim that it crosses', () => {
    expect(
      shown({
        text: 'abcdef',
        links: [{ from: 1, to: 5, place }],
        claims: [{ from: 0, to: 3, ...claim }],
      }),
    ).toEqual([
      [true, ['a', '[bc]']],
      [false, ['def']],
    ]);
  });

  it('are bounded, and control characters are written out', () => {
    const [first] = passagesOf({ text: 'x'.repeat(longestAnswer + 5), links: [], claims: [] });
    expect(first?.pieces[0]?.text.length).toBe(longestAnswer);
    expect(shown({ text: 'a\u0000\u202eb\nc', links: [], claims: [] })).toEqual([
      [false, ['a\\u{0}\\u{202e}b\nc']],
    ]);
  });
});

it('a subject is said with its type, its span and, among several, its clip', () => {
  expect(subjectText({ path: '/a', span: { start: 3, end: 5 }, type: null }, '')).toBe('3.0–5.0 s');
  expect(subjectText({ path: '/a', span: { start: 3, end: 4.48 }, type: 'blur' }, 'a.mp4')).toBe(
    'Blur, 3.0–4.48 s, a.mp4',
  );
  expect(seconds(12.48)).toBe('12.48');
});

it('the page names nothing that could be loaded but its script and its style', () => {
  const page = chatPage({
    script: '/c.js',
    style: '/c.css',
    source: 'https://a',
    nonce: '"n',
    language: 'en',
  });
  expect(page).toContain(
    'default-src &#39;none&#39;; script-src &#39;nonce-&#34;n&#39;; style-src https://a;',
  );
  expect(page).not.toMatch(/img-src|connect-src|unsafe/);
});
