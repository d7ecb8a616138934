import { describe, expect, it } from 'vitest';
import { fromScale, guessScale, onScale, parseLabels } from '../../../src/evaluation/labels.ts';

describe('parseLabels', () => {
  it.each([
    ['video and mos', [{ video: 'a.mp4', mos: 3 }], { path: 'a.mp4', score: 3 }],
    ['Q-Align', [{ image: 'b/a.mp4', gt_score: 61.5 }], { path: 'b/a.mp4', score: 61.5 }],
    ['img_path and mos', [{ img_path: 'a.mp4', mos: '2.5' }], { path: 'a.mp4', score: 2.5 }],
    ['path and score', { labels: [{ path: 'a.mp4', score: 0 }] }, { path: 'a.mp4', score: 0 }],
  ])('reads %s', (_, value, expected) => {
    expect(parseLabels(value)).toEqual({
      value: [{ ...expected, content: expected.path, distortion: null }],
      problems: [],
    });
  });

  it('reads what a clip shows and what was done to it', () => {
    const { value } = parseLabels([{ video: 'a.mp4', mos: 3, source: 'park', type: 'blur' }]);
    expect([value[0]!.content, value[0]!.distortion]).toEqual(['park', 'blur']);
  });

  it('leaves out what is no label, and the second of two', () => {
    const { value, problems } = parseLabels([
      { video: 'a', mos: 1 },
      { video: 'a', mos: 2 },
      { video: 'b', mos: null },
      { mos: 3 },
      null,
      'c',
    ]);
    expect(value.map(({ path, score }) => [path, score])).toEqual([['a', 1]]);
    expect(problems.map(({ code, message }) => [code, message[0]])).toEqual([
      ['label_incomplete', '4'],
      ['label_twice', '1'],
    ]);
  });

  it.each([null, {}, [], { labels: 3 }, [{ a: 1 }], 'x'])('refuses %j', (value) => {
    expect(() => parseLabels(value)).toThrow(/no label/);
  });
});

describe('the scale of labels', () => {
  it.each([
    [[0.1, 0.9], 'unit'],
    [[1.2, 4.8], 'mos'],
    [[3, 62], 'score'],
    [[0.5, 4], 'score'],
  ] as const)('of %j is %s', (scores, scale) => expect(guessScale(scores)).toBe(scale));

  it.each(['mos', 'score', 'unit'] as const)('is the same there and back: %s', (scale) => {
    expect(fromScale(onScale(60, scale), scale)).toBeCloseTo(60, 12);
  });

  it('has 1 + 4·score/100 as the MOS', () => expect(onScale(60.5, 'mos')).toBeCloseTo(3.42, 12));
});
