import { expect, test } from 'vitest';
import { toolFor } from '../../../src/extension/chat/tool_choice.ts';

const all = new Set(['omnivqa_assess_video', 'omnivqa_list_distortions', 'omnivqa_describe_moment']);

test.each([
  ['How good is it?', { name: 'omnivqa_assess_video', input: { path: 'a.mp4' } }],
  ['What is wrong with it?', { name: 'omnivqa_list_distortions', input: { path: 'a.mp4' } }],
  ['Is there any blur?', { name: 'omnivqa_list_distortions', input: { path: 'a.mp4', type: 'blur' } }],
  [
    'What happens between 3 and 5 s?',
    { name: 'omnivqa_describe_moment', input: { path: 'a.mp4', start: 3, end: 5 } },
  ],
  ['Who is in it?', null],
])('%s', (question, choice) => {
  expect(toolFor(question, 'a.mp4', all)).toEqual(choice);
});

test('a tool that is not offered is not called', () => {
  expect(toolFor('How good is it?', 'a.mp4', new Set(['omnivqa_describe_moment']))).toBeNull();
});
