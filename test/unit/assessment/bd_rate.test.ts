import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  type BdResult,
  bdQuality,
  bdRate,
  cheapestFor,
  convexHull,
  qualityAtRate,
  type RatePoint,
  rateForQuality,
} from '../../../src/assessment/bd_rate.ts';

type Pairs = readonly (readonly [number, number])[];

const fixture = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../../fixtures/bd_rate/${name}`, import.meta.url), 'utf8'));

const vmaf = fixture<{
  curves: Record<string, Pairs>;
  calculator: { test: string; value: number }[];
  vmaf: { test: string; value: number }[];
  at: { test: string; percent: number; value: number }[];
  shifted: { scale: number; add: number; value: number }[];
  jctvc: { anchor: Pairs; test: Pairs; value: number }[];
}>('vmaf.json');

const scipy =
  fixture<{ anchor: Pairs; test: Pairs; rate: Record<string, number>; quality: Record<string, number> }[]>(
    'scipy.json',
  );

const points = (pairs: Pairs): RatePoint[] => pairs.map(([rate, quality]) => ({ rate, quality }));
const value = (result: BdResult): number => ('refusal' in result ? Number.NaN : result.value);
const a = points(vmaf.curves.a!);

describe('published numbers', () => {
  it.each(vmaf.jctvc)('JCTVC-E137: $value', ({ anchor, test, value: expected }) => {
    expect(Math.abs(value(bdRate(points(anchor), points(test))) - expected)).toBeLessThan(1e-6);
  });

  it.each(vmaf.calculator)('VMAF’s calculator: $test', ({ test, value: expected }) => {
    expect(Math.abs(value(bdRate(a, points(vmaf.curves[test]!))) - expected)).toBeLessThan(1e-6);
  });

  it.each(vmaf.vmaf)('VMAF’s tool, its 100 samples: $test', ({ test, value: expected }) => {
    const result = bdRate(a, points(vmaf.curves[test]!), { integration: 'sampled' });
    expect(Math.abs(value(result) - expected)).toBeLessThan(1e-8);
  });

  it.each(vmaf.shifted)('VMAF’s tool: rate × $scale + $add', ({ scale, add, value: expected }) => {
    const test = a.map(({ rate, quality }) => ({ rate: rate * scale + add, quality }));
    expect(Math.abs(value(bdRate(a, test, { integration: 'sampled' })) - expected)).toBeLessThan(1e-8);
  });

  it.each(vmaf.at)('VMAF’s tool: $test at $percent %', ({ test, percent, value: expected }) => {
    const other = points(vmaf.curves[test]!);
    const whole = bdRate(a, other);
    if ('refusal' in whole) throw new Error(whole.message);
    const at = whole.range[0] + ((whole.range[1] - whole.range[0]) * percent) / 100;
    expect(Math.abs(rateForQuality(other, at)! / rateForQuality(a, at)! - 1 - expected)).toBeLessThan(1e-8);
  });

  it('exact and sampled integrals differ by less than 0.5 % of a rate', () => {
    for (const { test } of vmaf.vmaf) {
      const other = points(vmaf.curves[test]!);
      const sampled = value(bdRate(a, other, { integration: 'sampled' }));
      expect(Math.abs(value(bdRate(a, other)) - sampled)).toBeLessThan(0.005);
    }
  });
});

describe('curves of our own encodes', () => {
  const own =
    fixture<
      { source: string; metric: string; anchor: Pairs; test: Pairs; value?: number; refusal?: string }[]
    >('own.json');
  const refusals: Readonly<Record<string, string>> = { BdRateNonMonotonicException: 'not_monotonic' };

  it.each(own)('$source by $metric: as VMAF’s tool', ({ anchor, test, value: expected, refusal }) => {
    const result = bdRate(points(anchor), points(test));
    if (refusal) expect(result).toMatchObject({ refusal: refusals[refusal] });
    else expect(Math.abs(value(result) - expected!)).toBeLessThan(0.005);
  });
});

describe('scipy and numpy', () => {
  it.each(scipy.map((one, index) => ({ ...one, index })))(
    'curve $index',
    ({ anchor, test, rate, quality }) => {
      const pair = [points(anchor), points(test)] as const;
      for (const [name, options] of [
        ['exact', {}],
        ['sampled', { integration: 'sampled' }],
        ['cubic', { method: 'cubic' }],
      ] as const) {
        expect(value(bdRate(...pair, options))).toBeCloseTo(rate[name]!, 9);
        expect(value(bdQuality(...pair, options))).toBeCloseTo(quality[name]!, 9);
      }
    },
  );
});

describe('directions', () => {
  const [{ anchor, test }] = scipy as [(typeof scipy)[0]];
  const pair = [points(anchor), points(test)] as const;

  it('the other way round the rates are each other’s inverse, the qualities opposite', () => {
    const there = value(bdRate(pair[0], pair[1]));
    const back = value(bdRate(pair[1], pair[0]));
    expect((1 + there) * (1 + back)).toBeCloseTo(1, 12);
    expect(value(bdQuality(pair[0], pair[1]))).toBeCloseTo(-value(bdQuality(pair[1], pair[0])), 12);
  });

  it('a curve against itself is nothing; in any order and unit the same', () => {
    expect(value(bdRate(a, a))).toBeCloseTo(0, 12);
    const kilo = (some: readonly RatePoint[]) =>
      [...some].reverse().map(({ rate, quality }) => ({ rate: rate / 1000, quality }));
    expect(value(bdRate(kilo(pair[0]), kilo(pair[1])))).toBeCloseTo(value(bdRate(...pair)), 9);
  });

  it('says over what it averages', () => {
    const result = bdRate(
      points([
        [1, 1],
        [2, 2],
        [3, 3],
        [4, 4],
      ]),
      points([
        [1, 2],
        [2, 3],
        [3, 4],
        [4, 5],
      ]),
    );
    expect(result).toMatchObject({ range: [2, 4], overlap: 0.5 });
  });
});

describe('refusals', () => {
  const good: Pairs = [
    [1, 1],
    [2, 2],
    [3, 3],
    [4, 4],
  ];
  it.each<[string, Pairs, Pairs, string]>([
    ['three points', good, good.slice(1), 'too_few_points'],
    ['none', [], good, 'too_few_points'],
    ['a rate of zero', good, [[0, 1], ...good.slice(1)], 'zero_rate'],
    ['a negative rate', good, [[-1, 0], ...good], 'zero_rate'],
    ['no number', good, [[Number.NaN, 1], ...good.slice(1)], 'not_finite'],
    ['an infinite rate', good, [...good.slice(1), [Number.POSITIVE_INFINITY, 9]], 'not_finite'],
    [
      'more bits, less quality',
      good,
      [
        [1, 1],
        [2, 3],
        [3, 2],
        [4, 4],
      ],
      'not_monotonic',
    ],
    [
      'more bits, the same quality',
      good,
      [
        [1, 1],
        [2, 2],
        [3, 2],
        [4, 4],
      ],
      'not_monotonic',
    ],
    [
      'the same encode twice',
      good,
      [
        [1, 1],
        [1, 1],
        [3, 2],
        [4, 4],
      ],
      'not_monotonic',
    ],
    [
      'nothing in common',
      good,
      [
        [1, 5],
        [2, 6],
        [3, 7],
        [4, 8],
      ],
      'no_overlap',
    ],
    [
      'one point in common',
      good,
      [
        [1, 4],
        [2, 6],
        [3, 7],
        [4, 8],
      ],
      'no_overlap',
    ],
  ])('%s', (_, anchor, test, refusal) => {
    expect(bdRate(points(anchor), points(test))).toMatchObject({ refusal });
    expect(bdRate(points(test), points(anchor))).toMatchObject({ refusal });
  });

  it('a BD-quality is over rates', () => {
    expect(
      bdQuality(
        points(good),
        points([
          [5, 1],
          [6, 2],
          [7, 3],
          [8, 4],
        ]),
      ),
    ).toMatchObject({ refusal: 'no_overlap' });
    expect(
      value(
        bdQuality(
          points(good),
          points([
            [1, 5],
            [2, 6],
            [3, 7],
            [4, 8],
          ]),
        ),
      ),
    ).toBeCloseTo(4, 12);
  });

  it('infinite quality counts as 100, as VMAF’s tools have it', () => {
    const lossless: Pairs = [
      [1, 40],
      [2, 50],
      [3, 60],
      [4, Number.POSITIVE_INFINITY],
    ];
    expect(bdRate(points(lossless), points(lossless))).toMatchObject({ range: [40, 100] });
  });
});

describe('single points of a curve', () => {
  const curve = points([
    [1000, 2],
    [2000, 3],
    [4000, 4],
    [8000, 4.5],
  ]);
  it('rates and qualities answer each other at the points', () => {
    for (const { rate, quality } of curve) {
      expect(rateForQuality(curve, quality)).toBeCloseTo(rate, 9);
      expect(qualityAtRate(curve, rate)).toBeCloseTo(quality, 12);
    }
    expect(rateForQuality(curve, 1.9)).toBeNull();
    expect(rateForQuality(curve, 4.6)).toBeNull();
    expect(qualityAtRate(curve, 9000)).toBeNull();
    expect(
      qualityAtRate(
        points([
          [1, 2],
          [2, 1],
        ]),
        1.5,
      ),
    ).toBeNull();
    expect(rateForQuality(curve, Number.NaN)).toBeNull();
  });
});

describe('the convex hull', () => {
  it('keeps what no mix beats, by rising rate', () => {
    const all = points([
      [4, 4],
      [1, 1],
      [2, 3],
      [3, 3.2],
      [5, 3.9],
      [2, 2],
      [6, 4.1],
    ]);
    expect(convexHull(all).map(({ rate }) => rate)).toEqual([1, 2, 4, 6]);
    expect(convexHull([])).toEqual([]);
    expect(
      convexHull(
        points([
          [1, 2],
          [1, 3],
          [2, 3],
        ]),
      ),
    ).toEqual(points([[1, 3]]));
    expect(
      convexHull(
        points([
          [1, 1],
          [2, 2],
          [3, 3],
        ]),
      ).map(({ rate }) => rate),
    ).toEqual([1, 3]);
  });

  it('is above every point', () => {
    const all = a.map(({ rate, quality }, index) => ({ rate, quality: quality - (index % 3) * 2 }));
    const hull = convexHull(all);
    for (const { rate, quality } of all) {
      const at = hull.findIndex((one) => one.rate >= rate);
      if (at < 0) continue;
      const [low, high] = [hull[Math.max(0, at - 1)]!, hull[at]!];
      const share = high.rate === low.rate ? 1 : (rate - low.rate) / (high.rate - low.rate);
      expect(quality).toBeLessThanOrEqual(low.quality + share * (high.quality - low.quality) + 1e-9);
    }
  });
});

describe('the cheapest setting for a target', () => {
  const crfs = [
    { setting: 20, rate: 8000, quality: 4.6 },
    { setting: 26, rate: 4000, quality: 4.2 },
    { setting: 32, rate: 2000, quality: 3.6 },
    { setting: 38, rate: 1000, quality: 2.8 },
  ];
  const bitrates = crfs.map(({ rate, quality }) => ({ setting: rate, rate: rate * 1.02, quality }));

  it('is the highest CRF that reaches it', () => {
    const result = cheapestFor(crfs, 4);
    expect(result).toMatchObject({ setting: 28, basis: 'interpolated', between: [32, 26] });
    if ('refusal' in result) throw new Error(result.message);
    expect(result.quality).toBeGreaterThanOrEqual(4);
    const next = cheapestFor(crfs, result.quality + 1e-6);
    expect(next).toMatchObject({ setting: 27 });
    expect(result.rate).toBeGreaterThan(2000);
    expect(result.rate).toBeLessThan(4000);
  });

  it('is the lowest bit rate that reaches it', () => {
    const result = cheapestFor(bitrates, 4, 50);
    expect(result).toMatchObject({ basis: 'interpolated', between: [2000, 4000] });
    if ('refusal' in result) throw new Error(result.message);
    expect(result.setting % 50).toBe(0);
    expect(result.quality).toBeGreaterThanOrEqual(4);
  });

  it('is what was measured where it hits a measured one', () => {
    expect(cheapestFor(crfs, 3.6)).toMatchObject({
      setting: 32,
      basis: 'measured',
      quality: 3.6,
      rate: 2000,
    });
    expect(cheapestFor(crfs, 4.6)).toMatchObject({ setting: 20, basis: 'measured' });
    expect(cheapestFor(crfs, 4.59)).toMatchObject({ setting: 20, basis: 'measured' });
  });

  it('takes the safe side where noise crosses the target twice', () => {
    const noisy = crfs.map((one) => (one.setting === 26 ? { ...one, quality: 3.5 } : one));
    const result = cheapestFor(noisy, 3.55);
    expect(result).toMatchObject({ between: [26, 20] });
  });

  it.each([
    ['too_few_points', crfs.slice(1, 2), 4],
    ['out_of_reach', crfs, 4.7],
    ['below_range', crfs, 2.5],
    ['not_monotonic', [crfs[0]!, { ...crfs[1]!, setting: 40 }, crfs[2]!], 4],
    ['not_monotonic', [crfs[0]!, { ...crfs[1]!, rate: 8000 }], 4.5],
  ])('refuses: %s', (refusal, some, target) => {
    expect(cheapestFor(some, target)).toMatchObject({ refusal });
  });
});
