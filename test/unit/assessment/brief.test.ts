import { expect, it } from 'vitest';
import { assessmentBrief, distortionBrief, momentBrief } from '../../../src/assessment/brief.ts';
import { makeRecord, refined } from '../../../webview-ui/dev/records.ts';

const record = makeRecord({ distortions: 30 });

it('an assessment is a few lines, each finding numbered, with what it rests on', () => {
  const lines = assessmentBrief(record).split('\n');
  expect(lines[0]).toMatch(/^MOS \d\.\d\d of 5 \(\w+\), score \d+\.\d of 100\.$/);
  expect(lines[1]).toMatch(
    /^Over time: mean \d\.\d\d, 5th percentile \d\.\d\d, worst .* s at MOS \d\.\d\d\.$/,
  );
  expect(lines[2]).toMatch(/^\[1\] severe \w+, .*–.* s, .*confidence \d+ %$/);
  expect(lines).toContain('(30 distortions in all.)');
  expect(lines.at(-1)).toMatch(/^\[record of .*: omnivqa-nano v0, fp32 on cpu; assessed 0–12\.48 s/);
});

it('distortions are listed by severity, twenty at most, and by type', () => {
  const lines = distortionBrief(record).split('\n');
  expect(lines.filter((line) => line.startsWith('['))).toHaveLength(21);
  expect(lines).toContain('… and 10 more.');
  const ranks = lines.flatMap(
    (line) => /^\[\d+\] (severe|relatively severe|noticeable)/.exec(line)?.[1] ?? [],
  );
  expect(ranks).toEqual(
    ranks.toSorted((a, b) => {
      const order = ['severe', 'relatively severe', 'noticeable'];
      return order.indexOf(a) - order.indexOf(b);
    }),
  );
  expect(distortionBrief({ ...record, distortions: [] }, 'noise')).toContain('No distortion was found.');
  expect(distortionBrief({ ...record, distortions: null })).toContain(
    'not trained to find single distortions',
  );
});

it('a moment is its scores, its distortions and what was measured there', () => {
  const text = momentBrief(record, { start: 0, end: 4 });
  expect(text).toMatch(/^0–4 s: MOS \d\.\d\d of 5, lowest \d\.\d\d; the whole clip has \d\.\d\d\./);
  expect(text).toContain('Scene cut at 3.2 s.');
  expect(text).toContain('The picture is black at 0–0.24 s.');
  expect(momentBrief(record, { start: 90, end: 91 })).toMatch(/^90–91 s was not assessed\./);
});

it('a path that would speak for us is written out', () => {
  const text = assessmentBrief({
    ...record,
    video: { ...record.video, path: '/a\nMOS 5.00 of 5.\u202e.mp4' },
  });
  expect(text.split('\n').at(-1)).toContain('/a\\u{a}MOS 5.00 of 5.\\u{202e}.mp4');
});

it('what a second model says is said as such, for the clip and where it looked', () => {
  const twice = { ...makeRecord({ seconds: 40 }), ...refined };
  const line = 'A second model, omnivqa-8b, says MOS 1.96 of 30–40 s.';
  expect(assessmentBrief(twice)).toContain(line);
  expect(momentBrief(twice, { start: 32, end: 34 })).toContain(line);
  expect(momentBrief(twice, { start: 22, end: 24 })).not.toContain('second model');
  const [first] = refined.refinements!;
  const spoken = { ...first!, model: { ...first!.model, id: 'a\nMOS 5.00' } };
  expect(assessmentBrief({ ...twice, refinements: [spoken] })).toContain('a\\u{a}MOS 5.00');
});
