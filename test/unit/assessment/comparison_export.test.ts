import { describe, expect, it } from 'vitest';
import {
  comparisonCsv,
  comparisonHtml,
  comparisonJson,
  comparisonStyle,
  comparisonSvg,
  type ExportedEncode,
} from '../../../src/assessment/comparison_export.ts';

const encode = (codec: string, step: number, changes: Partial<ExportedEncode> = {}): ExportedEncode => ({
  id: `["-crf","${step}"]`,
  label: `${codec} crf ${step}`,
  codec,
  bitrate: (codec === 'x' ? 1 : 0.5) * 2 ** (5 - step) * 1e5,
  aligned: true,
  mos: 5 - step,
  vmaf: null,
  ssim: null,
  psnr: null,
  bytes: 1_000_000,
  speed: 2,
  windows: [
    { start: 0, end: 2, mos: 5 - step },
    { start: 2, end: 4, mos: 4.5 - step },
  ],
  problems: [],
  ...changes,
});
const encodes = ['x', 'y'].flatMap((codec) => [1, 2, 3, 4].map((step) => encode(codec, step)));
const comparison = { source: 'harbour.mov', encodes };
const drawing = { metric: 'mos', logarithmic: true } as const;
const hostile = {
  source: '</title><script>alert(1)</script>"\n🎬.mp4',
  encodes: [
    encode('=cmd()', 1, { label: '=1+1,"<img src=x onerror=alert(1)>\n', problems: ['<b>&"\'\u0007'] }),
  ],
};

describe('a comparison as a file', () => {
  it('is a drawing with every point, the curves and the hull', () => {
    const svg = comparisonSvg(comparison, drawing);
    expect(svg.split('<title>')).toHaveLength(encodes.length + 2);
    // Two curves, the hull, and the hull's entry in the legend.
    expect(svg.split('<polyline')).toHaveLength(5);
    expect(svg).toContain('Convex hull');
    expect(svg).toContain('x crf 2: MOS 3.00 at 800 kb/s');
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    for (const none of [
      comparisonSvg({ source: 'a', encodes: [] }, drawing),
      comparisonSvg({ ...comparison }, { ...drawing, metric: 'vmaf' }),
    ]) {
      expect(none).toMatch(/No encode has a (MOS|VMAF)\./);
      expect(none).not.toMatch(/NaN|Infinity|undefined/);
    }
    expect(
      comparisonSvg({ source: 'a', encodes: [encodes[0]!] }, { metric: 'mos', logarithmic: false }),
    ).not.toMatch(/NaN|Infinity/);
  });

  it('has a legend of as many rows as it needs', () => {
    const many = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].flatMap((codec) => [encode(codec, 1), encode(codec, 2)]);
    const heights = [encodes, many].map((shown) =>
      Number(/viewBox="0 0 900 (\d+)"/.exec(comparisonSvg({ source: 'a', encodes: shown }, drawing))![1]),
    );
    expect(heights[1]! - heights[0]!).toBe(20);
    const left = [...comparisonSvg({ source: 'a', encodes: many }, drawing).matchAll(/<text x="(\d+)"/g)];
    expect(Math.max(...left.map(([, x]) => Number(x)))).toBeLessThan(800);
  });

  it('is drawn in the colours of its page, and alone on white', () => {
    expect(comparisonSvg(comparison, drawing)).toContain('fill="#ffffff"');
    expect(comparisonSvg(comparison, drawing)).not.toContain('var(');
    expect(comparisonHtml(comparison, drawing, 'sha256-x')).not.toContain('#ffffff');
  });

  it('is a page with the drawing, the table and the deltas, which runs nothing', () => {
    const page = comparisonHtml(comparison, drawing, 'sha256-x');
    expect(page).toContain(`<style>${comparisonStyle}</style>`);
    expect(page).toContain("default-src 'none'; style-src 'sha256-x'");
    expect(page).toContain('<td>-50.0 %</td>');
    expect(page).not.toMatch(/<script|style="|href=|src=/);
  });

  it('leaves what is not frame for frame its source out of the curves, and says so', () => {
    const other = {
      ...comparison,
      encodes: encodes.map((one, i) => (i === 0 ? { ...one, aligned: false } : one)),
    };
    expect(comparisonSvg(other, drawing).split('<title>')).toHaveLength(encodes.length + 1);
    const page = comparisonHtml(other, drawing, 'sha256-x');
    expect(page).toContain('Not frame for frame its source');
    expect(page).toContain('at least four');
    expect(comparisonCsv(other).split('\r\n')[1]).toContain(',no,');
  });

  it('is a table of a line each', () => {
    const lines = comparisonCsv(comparison).split('\r\n');
    expect(lines).toHaveLength(encodes.length + 2);
    expect(lines[1]).toBe('x crf 1,x,4,,,,1600000,1000000,2,2,4,3.5,yes,');
  });

  it('is JSON with the deltas of every measure', () => {
    const json = JSON.parse(comparisonJson(comparison)) as {
      schema: string;
      encodes: { settings: string }[];
      curves: { measure: string; anchor: string; bdRate: { value: number } }[];
    };
    expect(json.schema).toBe('omnivqa/comparison-table@1');
    expect(json.encodes.map(({ settings }) => settings)).toEqual(encodes.map(({ id }) => id));
    expect(json.curves[0]).toMatchObject({
      measure: 'mos',
      anchor: 'x',
      bdRate: { value: expect.closeTo(-0.5, 6) },
    });
  });

  it('keeps hostile names text', () => {
    for (const text of [comparisonSvg(hostile, drawing), comparisonHtml(hostile, drawing, 'sha256-x')]) {
      expect(text).not.toMatch(/<script|<img|<b>/);
      expect(text).not.toContain('\u0007');
      expect(text).toContain('&lt;');
    }
    const [, line] = comparisonCsv(hostile).split('\r\n');
    expect(line).toMatch(/^"'=1\+1,""/);
    expect(comparisonCsv(hostile).split('\r\n')).toHaveLength(3);
    expect(JSON.parse(comparisonJson(hostile))).toHaveProperty('source', hostile.source);
  });
});
