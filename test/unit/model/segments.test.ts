import { describe, expect, it } from 'vitest';
import type { Region, StepProbes } from '../../../src/model/localizer.ts';
import {
  asksDetails,
  candidates,
  mergeProbes,
  type ProbedStep,
  type Thresholds,
} from '../../../src/model/segments.ts';

const whole: Region = { x: 0, y: 0, width: 1, height: 1 };
const corner: Region = { x: 0, y: 0, width: 0.5, height: 0.5 };
const near: Region = { x: 0.25, y: 0, width: 0.5, height: 0.5 };
const far: Region = { x: 0.5, y: 0.5, width: 0.5, height: 0.5 };
const clean: StepProbes = {
  none: 0.97,
  types: { blur: 0.01, noise: 0.01, overexposure: 0, underexposure: 0, compression: 0.01 },
  severity: null,
  places: null,
  stutter: 0.02,
};
const blurred = (sure: number, region: Region = corner, severity = 1): StepProbes => ({
  ...clean,
  none: 1 - sure,
  types: { ...clean.types, blur: sure },
  severity: [0, 1, 2].map((i) => (i === severity ? 0.8 : 0.1)) as [number, number, number],
  places: [
    { region, probability: 0.8 },
    { region: region === near ? corner : near, probability: 0.15 },
  ],
});
const noisy = (sure: number): StepProbes => ({
  ...blurred(sure),
  types: { ...clean.types, noise: sure },
});
const stuttering: StepProbes = { ...clean, stutter: 0.9 };
const at = (...said: readonly StepProbes[]): ProbedStep[] =>
  said.map((probes, i) => ({ start: i, end: i + 1, probes }));
const thresholds = { spatial: 0.5, temporal: 0.5 };
const short = (steps: readonly ProbedStep[]) =>
  mergeProbes(steps, thresholds).map(
    ({ type, start, end, region, severity }) => `${type} ${start}-${end} ${region.x},${region.y} ${severity}`,
  );

describe('mergeProbes', () => {
  it.each<[string, ProbedStep[], string[]]>([
    ['nothing', at(clean, clean), []],
    ['one second', at(clean, blurred(0.9), clean), ['blur 1-2 0,0 relatively severe']],
    ['a run', at(blurred(0.9), blurred(0.8), clean), ['blur 0-2 0,0 relatively severe']],
    [
      'a run that is unsure in between',
      at(blurred(0.9), blurred(0.3), blurred(0.9)),
      ['blur 0-3 0,0 relatively severe'],
    ],
    ['never sure enough', at(blurred(0.4), blurred(0.4)), []],
    [
      'another type ends it',
      at(blurred(0.9), noisy(0.9)),
      ['blur 0-1 0,0 relatively severe', 'noise 1-2 0,0 relatively severe'],
    ],
    [
      'another place ends it',
      at(blurred(0.9), blurred(0.9, far)),
      ['blur 0-1 0,0 relatively severe', 'blur 1-2 0.5,0.5 relatively severe'],
    ],
    [
      'a place nearby is the same one, where most evidence is',
      at(blurred(0.9), blurred(0.9, near), blurred(0.9)),
      ['blur 0-3 0,0 relatively severe'],
    ],
    [
      'the mean severity',
      at(blurred(0.9, corner, 2), blurred(0.9, corner, 2), blurred(0.9, corner, 0)),
      ['blur 0-3 0,0 severe'],
    ],
    ['the whole frame', at(blurred(0.9, whole)), ['blur 0-1 0,0 relatively severe']],
    [
      'stutter beside a blur',
      at({ ...blurred(0.9), stutter: 0.9 }),
      ['blur 0-1 0,0 relatively severe', 'stutter 0-1 0,0 noticeable'],
    ],
    [
      'stutter is as severe as it is long',
      at(stuttering, stuttering, clean, stuttering, stuttering, stuttering),
      ['stutter 0-2 0,0 relatively severe', 'stutter 3-6 0,0 severe'],
    ],
  ])('%s', (_, steps, wanted) => expect(short(steps)).toEqual(wanted));

  it('does not join steps between which something was not assessed', () => {
    const [first, second] = at(blurred(0.9), blurred(0.9));
    const apart = [first!, { ...second!, start: 11, end: 12 }];
    expect(short(apart)).toHaveLength(2);
  });
});

/** As a fit gives them: mostly how sure a run is, then where it lies and how long it is. */
const segments = {
  threshold: 0.3,
  bias: -7,
  weights: { mean: 1, contrast: 0.5, edge: 0.5, alone: 1, local: 2, length: 2 },
};
const judged = (steps: readonly ProbedStep[], over: Partial<Thresholds> = {}) =>
  mergeProbes(steps, { ...thresholds, segments, ...over }).map(
    ({ type, start, end, region, score }) =>
      `${type} ${start}-${end} ${region.x},${region.y} ${score.toFixed(2)}`,
  );
/** What is bright all the time, and so that it seems overexposed. */
const bright = (sure: number): StepProbes => ({
  ...blurred(sure, whole),
  types: { ...clean.types, overexposure: sure },
});
/** The same in a second in which a corner is blurred as well, hardly less likely. */
const brightAndBlurred: StepProbes = {
  ...blurred(0.92),
  types: { ...clean.types, overexposure: 0.47, blur: 0.45 },
};

describe('mergeProbes, where runs are judged', () => {
  it('nothing is nothing', () => expect(judged(at(clean, clean))).toEqual([]));

  it('a short run stands out against what is around it', () => {
    const apart = judged(at(clean, blurred(0.9), clean), { segments: { ...segments, threshold: 0 } });
    const [run] = candidates(at(clean, blurred(0.9), clean), 1e-3);
    expect(apart[0]).toMatch(/^blur 1-2 /);
    expect(run!.features.contrast).toBeGreaterThan(4);
    expect(run!.features.edge).toBe(3);
    expect(run!.features.length).toBe(0);
  });

  it('what a content is taken for all the time does not hide what happens for a second', () => {
    const steps = at(bright(0.6), bright(0.6), brightAndBlurred, bright(0.6), bright(0.6));
    const types = candidates(steps, 1e-3).map(
      ({ distortion: { type, start, end } }) => `${type} ${start}-${end}`,
    );
    expect(types).toContain('blur 2-3');
    expect(types).toContain('overexposure 0-2');
  });

  it('a run has the probability that its features give, whatever its steps had', () => {
    const [said] = mergeProbes(at(blurred(0.9), blurred(0.9)), { ...thresholds, segments });
    // Nothing is around it: mean log odds ln 9, all of it, in a part (no probability for the whole), two steps.
    const sum = -7 + Math.log(0.9 / 0.1) + 1 + 2 + 2 * Math.log(2);
    expect(said!.score).toBeCloseTo(1 / (1 + Math.exp(-sum)), 6);
  });

  it('of candidates that overlap the likeliest is reported', () => {
    const found = judged(at(blurred(0.95), blurred(0.95), blurred(0.4), clean), {
      segments: { ...segments, threshold: 0.01 },
    });
    expect(found.filter((one) => one.startsWith('blur'))).toHaveLength(1);
  });

  it('steps that do not touch are no run', () => {
    const [first, second] = at(blurred(0.9), blurred(0.9));
    const apart = [first!, { ...second!, start: 11, end: 12 }];
    expect(candidates(apart, 1e-3).every(({ from, to }) => to - from === 1)).toBe(true);
  });

  it('another place is another run', () => {
    const found = candidates(at(blurred(0.9), blurred(0.9, far)), 1e-3);
    expect(found.map(({ from, to }) => [from, to])).toEqual([
      [0, 1],
      [1, 2],
    ]);
  });

  it('stutter is judged by its seconds', () => {
    expect(judged(at(stuttering, clean))).toEqual(['stutter 0-1 0,0 0.90']);
  });
});

describe('asksDetails', () => {
  it.each([
    [0.29, 0.95, false],
    [0.31, 0.95, true],
    [0.26, 0.5, true],
    [0.24, 0.5, false],
  ])('a step that is %d sure, where %d is reported: %s', (sure, spatial, asked) => {
    expect(asksDetails({ none: 1 - sure }, { spatial, temporal: 0.5 })).toBe(asked);
  });
});
