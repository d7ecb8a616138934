import { expect, it } from 'vitest';
import { conversationMarkdown, markdownText } from '../../../src/assessment/conversation_markdown.ts';

it('a conversation is a document with its probabilities, contradictions and sources', () => {
  const text = conversationMarkdown(
    ['harbour_1.mp4'],
    [
      {
        question: 'Is this compression?',
        about: '3.0–5.0 s',
        text: 'No.',
        options: [
          { text: 'Yes', probability: 0.131 },
          { text: 'No', probability: 0.869 },
        ],
        contradictions: ['The record has compression there.'],
        basis: ['omnivqa-nano on cpu'],
      },
    ],
  );
  expect(text).toBe(
    [
      '# harbour\\_1.mp4',
      '## Is this compression? (3.0–5.0 s)',
      'No.',
      '- Yes: 13 %\n- No: 87 %',
      '> The record says otherwise: The record has compression there.',
      '*omnivqa-nano on cpu*\n',
    ].join('\n\n'),
  );
});

it.each([
  ['<img src=x> &lt;', '&lt;img src=x> &amp;lt;'],
  ['[a](command:x) ![b](y)', '\\[a\\](command:x) !\\[b\\](y)'],
  ['https://example.org www.example.org a@b.c', 'https\\://example.org www\\.example.org a\\@b.c'],
  ['# a\n- b\n1. c\n> d\n    code\n---', '\\# a\n\n\\- b\n\n1\\. c\n\n\\> d\n\ncode\n\n\\---'],
  ['`x` *y* _z_ | ~', '\\`x\\` \\*y\\* \\_z\\_ \\| \\~'],
  ['at 3.0–5.0 s, 87 %', 'at 3.0–5.0 s, 87 %'],
  ['\u202e\u0000', '\\\\u{202e}\\\\u{0}'],
])('%j is written so that it is shown as it is', (given, written) => {
  expect(markdownText(given)).toBe(written);
});
