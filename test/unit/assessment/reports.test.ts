import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { FailedEntry } from '../../../src/assessment/batch.ts';
import { csvReport, timelineCsv } from '../../../src/assessment/report_csv.ts';
import { htmlReport, reportStyle } from '../../../src/assessment/report_html.ts';
import { type Style, textReport } from '../../../src/assessment/report_text.ts';
import { recordOf } from './records.ts';

const evil = '</title><script>alert(1)</script>"\'&\u001b[31m\n=cmd|x';
const named = (path: string) => recordOf({ video: { ...recordOf().video, path } });
const failed: FailedEntry = {
  path: `${evil}.mp4`,
  error: { code: 'not_a_video', message: `${evil} is not a video.`, next: `Play ${evil}.` },
};

describe('the text report', () => {
  it('says what it is worth, where it is worst and what it ran on', () => {
    expect(textReport(recordOf())).toBe(`shots/clip.mp4
  1920×1080 · 25 fps · h264 · 8.2 Mb/s · 0:04

  MOS 3.33  Fair   58.3 of 100

  high         Excellent  ███···························  11 %
  good         Good       ███████████···················  38 %
  fair         Fair       ███████████···················  36 %
  poor         Poor       ████··························  12 %
  low          Bad        █·····························   3 %

  over time    ▆▅▃▆
  worst        0:02–0:03, MOS 2.40
  distortions  this model rates; it was not trained to find single distortions
  measured     1 scene cut
  model        omnivqa-nano 01234567, fp32, cpu
  time         1.5 s (frames 0.9, vision 0.3, motion 0.2, language 0.1)
`);
  });

  it('says what was found, measured and not covered', () => {
    const text = textReport(
      recordOf({
        status: 'partial',
        coverage: [
          [0, 1],
          [2.5, 4],
        ],
        distortions: [
          {
            type: 'blur',
            start: 1,
            end: 2,
            region: { x: 0.6, y: 0.7, width: 0.3, height: 0.2 },
            severity: 'severe',
            score: 0.9,
          },
          {
            type: 'noise',
            start: 0,
            end: 4,
            region: { x: 0, y: 0, width: 1, height: 1 },
            severity: 'noticeable',
            score: 0.6,
          },
        ],
        signals: {
          ...recordOf().signals,
          freezes: Array.from({ length: 7 }, (_, i) => ({ start: i, end: i + 0.5 })),
          black: [{ start: 0, end: 0.2 }],
        },
        problems: [{ code: 'truncated', message: 'The file ends at 4 s of 9 s.', start: 4, end: 9 }],
      }),
    );
    expect(text).toContain('PARTIAL: only 0:00–0:01, 0:02.5–0:04 was assessed');
    expect(text).toContain('0:01–0:02  severe blur, lower right');
    expect(text).toContain('0:00–0:04  noticeable noise, whole frame');
    expect(text).toContain('frozen 0:00–0:00.5, 0:01–0:01.5');
    expect(text).toContain('and 2 more');
    expect(text).toContain('black 0:00–0:00.2');
    expect(text).toContain('The file ends at 4 s of 9 s. (at 0:04)');
  });

  it('fits a long timeline into a narrow terminal, showing the worst of what it joins', () => {
    const timeline = Array.from({ length: 1000 }, (_, i) => ({
      start: i,
      end: i + 1,
      score: i === 500 ? 0 : 95,
    }));
    const line = textReport(recordOf({ timeline }), undefined, 60)
      .split('\n')
      .find((text) => text.includes('over time'))!;
    expect([...line].length).toBeLessThanOrEqual(60);
    expect(line).toContain('▁');
  });

  it('marks with the given style only', () => {
    const style: Style = {
      bold: (text) => `<b>${text}</b>`,
      dim: (text) => text,
      quality: (text, score) => `[${score.toFixed(0)}:${text}]`,
    };
    expect(textReport(recordOf(), style)).toContain('<b>[58:MOS 3.33]</b>');
    expect(textReport(recordOf(), style)).toContain('[35:▃]');
  });

  it('lets no text of a file reach the terminal as a command', () => {
    const text = textReport(
      recordOf({
        video: { ...recordOf().video, path: evil, codec: evil },
        model: { ...recordOf().model, id: evil },
        problems: [{ code: 'vfr', message: evil }],
      }),
    );
    expect(text).not.toContain('\u001b');
    expect(text.split('\n').length).toBe(textReport(recordOf()).split('\n').length + 1);
  });
});

describe('the CSV report', () => {
  it('has a header, and one line per clip or failure', () => {
    const lines = csvReport([
      recordOf(),
      { path: 'b.mp4', error: { ...failed.error, message: 'no, it is not' } },
    ]).split('\r\n');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^path,status,mos,score,/);
    expect(lines[1]).toMatch(/^shots\/clip\.mp4,complete,3\.33,58\.25,2,3,35,35,/);
    expect(lines[2]).toBe(`b.mp4,${','.repeat(16)},"not_a_video: no, it is not"`);
    expect(lines[3]).toBe('');
  });

  it.each([
    ['=HYPERLINK("http://x")', `"'=HYPERLINK(""http://x"")"`],
    ['+1', `'+1`],
    ['-1.mp4', `'-1.mp4`],
    ['@SUM(A1)', `'@SUM(A1)`],
    ['\t=1', `'\\u{9}=1`],
    ['a,b', `"a,b"`],
    ['a\nb', `a\\u{a}b`],
    ['\u001b[31m', `\\u{1b}[31m`],
  ])('makes %j harmless', (path, cell) => {
    const line = csvReport([named(path)]).split('\r\n')[1]!;
    expect(line.startsWith(`${cell},complete`)).toBe(true);
  });
});

describe('the HTML report', () => {
  const hash = `sha256-${createHash('sha256').update(reportStyle).digest('base64')}`;
  const page = (...entries: Parameters<typeof htmlReport>[0]) => htmlReport(entries, hash);

  it('is one page that needs nothing else and may load nothing', () => {
    const html = page(recordOf(), failed);
    expect(html).toMatch(/^<!doctype html>/);
    expect(html).toContain(`content="default-src 'none'; style-src '${hash}'"`);
    expect(html).toContain(`<style>${reportStyle}</style>`);
    expect(html).not.toMatch(/<(script|link|img|iframe|object)\b|\b(src|href|style|on\w+)=|url\(|@import/i);
    expect(reportStyle).toContain('prefers-color-scheme:dark');
  });

  it('shows the score, the words, the curve and the failure', () => {
    const html = page(recordOf(), { ...failed, path: 'b.mp4' });
    expect(html).toContain('MOS 3.33');
    expect(html).toContain('high (Excellent)');
    expect(html).toContain('aria-label="MOS over time, worst 0:02 to 0:03"');
    expect(html).toContain('<h2>b.mp4</h2>');
    expect(html).toContain('(not_a_video)');
  });

  it.each([
    ['in a name', () => page(named(evil), failed)],
    ['in metadata', () => page(recordOf({ video: { ...recordOf().video, codec: evil } }))],
    ['in the model', () => page(recordOf({ model: { ...recordOf().model, id: evil, revision: evil } }))],
    ['in a problem', () => page(recordOf({ problems: [{ code: 'vfr', message: evil }] }))],
  ])('shows markup as text: %s', (_, make) => {
    const html = make();
    expect(html).not.toContain('<script');
    expect(html).not.toContain('\u001b');
    expect(html).toContain('&lt;script&gt;');
    expect(html.match(/<title>/g)).toHaveLength(1);
  });

  it('opens and closes every element', () => {
    const open: string[] = [];
    for (const [, close, name, rest] of page(recordOf({ distortions: [] }), failed).matchAll(
      /<(\/?)([a-z][a-z0-9]*)\b([^>]*)>/g,
    )) {
      if (close) expect(open.pop()).toBe(name);
      else if (!rest!.endsWith('/') && name !== 'meta') open.push(name!);
    }
    expect(open).toEqual([]);
  });
});

describe('the timeline as CSV', () => {
  it('has a line per span with the severest distortion of each type', () => {
    const region = { x: 0, y: 0, width: 0.5, height: 0.5 };
    const blur = { type: 'blur', region, score: 0.8 } as const;
    const text = timelineCsv(
      recordOf({
        timeline: [
          { start: 0, end: 1, score: 75 },
          { start: 1, end: 2, score: 25 },
        ],
        distortions: [
          { ...blur, start: 0.5, end: 2, severity: 'noticeable' },
          { ...blur, start: 1, end: 2, severity: 'severe' },
        ],
      }),
    );
    expect(text.split('\r\n')).toEqual([
      'start,end,mos,score,blur,noise,overexposure,underexposure,compression,stutter',
      '0,1,4,75,noticeable,,,,,',
      '1,2,2,25,severe,,,,,',
      '',
    ]);
  });
});
