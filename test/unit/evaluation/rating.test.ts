import { describe, expect, it } from 'vitest';
import { type RatedClip, rateAgreement, ratingTables } from '../../../src/evaluation/rating.ts';
import { mulberry32 } from '../../../src/evaluation/statistics.ts';
import { markdownTables, textTables } from '../../../src/evaluation/tables.ts';

const random = mulberry32(5);
const clips: RatedClip[] = Array.from({ length: 40 }, (_, i) => {
  const score = 100 * random();
  return {
    path: `${i}.mp4`,
    content: `content ${i % 8}`,
    distortion: i % 3 === 0 ? null : ['blur', 'x264|crf'][i % 2]!,
    // A curve that only the logistic straightens.
    label: 1 + 4 / (1 + Math.exp(-(score - 50) / 8)),
    score,
    levels: [0.2, 0.2, 0.2, 0.2, 0.2],
  };
});
const options = { scale: 'mos', logistic: false, draws: 50 } as const;

describe('rateAgreement', () => {
  it('has rank correlations of 1 where the order is right, with and without the logistic', () => {
    const [raw] = rateAgreement(clips, options).rows;
    expect([raw!.clips, raw!.contents, raw!.srcc.value, raw!.krcc.value]).toEqual([40, 8, 1, 1]);
    expect(raw!.plcc.value).toBeLessThan(0.99);
    const [mapped] = rateAgreement(clips, { ...options, logistic: true }).rows;
    expect(mapped!.plcc.value).toBeCloseTo(1, 6);
    expect(mapped!.rmse.value).toBeCloseTo(0, 4);
    expect(mapped!.logistic!.middle).toBeCloseTo(3, 3);
  });

  it('adds a row per distortion or content', () => {
    const names = (group: 'distortion' | 'content') =>
      rateAgreement(clips, { ...options, group }).rows.map(({ name, clips: n }) => [name, n]);
    expect(names('distortion').map(([name]) => name)).toEqual(['all', 'blur', 'not said', 'x264|crf']);
    expect(names('content')).toEqual([
      ['all', 40],
      ...Array.from({ length: 8 }, (_, i) => [`content ${i}`, 5]),
    ]);
  });

  it('measures within each content', () => {
    const turned = clips.map((clip) =>
      clip.content === 'content 0' ? { ...clip, label: -clip.label } : clip,
    );
    expect(rateAgreement(turned, options).withinContent).toEqual({ contents: 8, median: 1, lowest: -1 });
    expect(rateAgreement(clips.slice(0, 8), options).withinContent).toBeNull();
  });

  it('prints no figure where there is none', () => {
    const text = textTables(ratingTables(rateAgreement(clips.slice(0, 1), options)));
    expect(text).toMatch(/all {2,}1 +1 +– +– +–/);
    expect(text).not.toContain('NaN');
  });

  it('keeps the syntax of Markdown out of names', () => {
    const text = markdownTables(ratingTables(rateAgreement(clips, { ...options, group: 'distortion' })));
    expect(text).toContain('| x264&#124;crf | ');
    for (const line of text
      .split('\n')
      .filter((one) => one.startsWith('| all') || one.startsWith('| x264'))) {
      expect(line.split(' | ').length).toBe(7);
    }
  });
});
