import { describe, expect, it } from 'vitest';
import type { Distortion } from '../../../src/assessment/record.ts';
import {
  fineGrainedTables,
  judgedCandidates,
  type LocalisedClip,
  localisationReport,
  matchClip,
  placeIou,
  poissonRate,
  type TrueDistortion,
  timeIou,
} from '../../../src/evaluation/fine_grained.ts';
import { textTables } from '../../../src/evaluation/tables.ts';
import { candidates, type ProbedStep } from '../../../src/model/segments.ts';

const left = { x: 0, y: 0, width: 0.5, height: 0.5 };
const right = { ...left, x: 0.5 };
const whole = { x: 0, y: 0, width: 1, height: 1 };
const said = (
  type: Distortion['type'],
  start: number,
  end: number,
  more: Partial<Distortion> = {},
): Distortion => ({
  type,
  start,
  end,
  region: left,
  severity: 'severe',
  score: 0.9,
  ...more,
});
const truth = (
  type: Distortion['type'],
  start: number,
  end: number,
  more: Partial<TrueDistortion> = {},
): TrueDistortion => ({ type, start, end, region: left, severity: 'severe', ...more });
let made = 0;
const clip = (
  truths: TrueDistortion[],
  found: Distortion[],
  more: Partial<LocalisedClip> = {},
): LocalisedClip => ({
  path: 'clip.mkv',
  content: `content ${made++}`,
  recipe: truths[0]?.type ?? 'pristine',
  duration: 6,
  truth: truths,
  said: found,
  ...more,
});
const report = (...clips: LocalisedClip[]) => localisationReport(clips, 20);

describe('intersection over union', () => {
  it.each([
    [0, 2, 0, 2, 1],
    [0, 2, 1, 3, 1 / 3],
    [0, 2, 2, 3, 0],
    [0, 2.0020000000000002, 2.002, 3, 0],
    [0, 4, 1, 2, 1 / 4],
    [1, 1, 1, 1, 0],
  ])('of %d-%d and %d-%d', (a, b, c, d, iou) =>
    expect(timeIou({ start: a, end: b }, { start: c, end: d })).toBeCloseTo(iou, 12),
  );

  it.each([
    [left, left, 1],
    [left, right, 0],
    [left, whole, 1 / 4],
    [left, { ...left, x: 0.25 }, 1 / 3],
  ])('of %j and %j', (a, b, iou) => expect(placeIou(a, b)).toBeCloseTo(iou, 12));
});

describe('matching', () => {
  it('takes the best time first, then the type, then the place, then the surer', () => {
    const best = (...found: Distortion[]) => matchClip(clip([truth('blur', 1, 3)], found)).matches[0]!.said;
    const wrongType = said('noise', 1, 3);
    expect(best(said('blur', 0, 3), wrongType)).toBe(wrongType);
    const sameType = said('blur', 1, 3, { region: right });
    expect(best(wrongType, sameType)).toBe(sameType);
    const samePlace = said('blur', 1, 3);
    expect(best(sameType, samePlace)).toBe(samePlace);
    const surer = said('blur', 1, 3, { score: 0.95 });
    expect(best(samePlace, surer)).toBe(surer);
  });

  it('is one to one: what is left over is missed, or an alarm', () => {
    const two = clip(
      [truth('blur', 0, 2), truth('noise', 3, 5)],
      [said('blur', 0, 2), said('blur', 0, 1), said('noise', 5, 6)],
    );
    const { matches, alarms } = matchClip(two);
    expect(matches.map(({ said: one }) => one?.start ?? null)).toEqual([0, null]);
    expect(alarms.length).toBe(2);
  });
});

describe('localisationReport', () => {
  it('counts what was missed as wrong', () => {
    const [local] = report(
      clip([truth('blur', 1, 3)], [said('blur', 1, 3)]),
      clip([truth('noise', 1, 3)], []),
      clip([truth('blur', 1, 3)], [said('noise', 2, 3, { region: right })]),
      clip([truth('noise', 0, 1)], [said('noise', 0, 2, { region: whole })]),
    ).rows;
    expect([local!.name, local!.distortions]).toEqual(['local', 4]);
    expect(local!.found.value).toBe(0.75);
    expect(local!.typeAccuracy.value).toBe(0.5);
    expect(local!.placeIou.value).toBeCloseTo((1 + 0 + 0 + 0.25) / 4, 12);
    expect(local!.timeIou.value).toBeCloseTo((1 + 0 + 0.5 + 0.5) / 4, 12);
  });

  it('grades severity by steps, of what was found and has one', () => {
    const graded = (...pairs: [TrueDistortion['severity'], Distortion['severity']][]) =>
      report(
        ...pairs.map(([a, b]) =>
          clip([truth('blur', 0, 2, { severity: a })], [said('blur', 0, 2, { severity: b })]),
        ),
      ).rows;
    const [local] = graded(['severe', 'severe'], ['severe', 'relatively severe'], ['severe', 'noticeable']);
    expect(local!.severityExact.value).toBeCloseTo(1 / 3, 12);
    expect(local!.severityWithinOne.value).toBeCloseTo(2 / 3, 12);
    expect(graded([null, 'severe']).map(({ name }) => name)).toEqual(['whole clip', 'blur']);
  });

  it('finds an event of stutter where half of it is said, in one segment or several', () => {
    const events = [truth('stutter', 1, 2), truth('stutter', 3, 4)];
    const { stutter, rows } = report(
      clip(events, [said('stutter', 1, 4)]),
      clip(events, [said('stutter', 1.4, 2), said('stutter', 3, 3.4)]),
      clip(events, [said('blur', 0, 6)]),
    );
    expect([stutter!.events, stutter!.recall.value]).toEqual([6, 0.5]);
    expect(stutter!.precision).toBeCloseTo((2 + 0.6 + 0.4) / 4, 12);
    expect(rows).toEqual([]);
  });

  it('counts alarms a minute on clips where nothing is wrong, stutter among them', () => {
    const { falseAlarms } = report(
      clip([], [said('stutter', 0, 1), said('blur', 2, 3)]),
      clip([], [], { duration: 114 }),
      clip([truth('blur', 0, 1)], [said('noise', 4, 5)]),
    );
    expect([falseAlarms!.alarms, falseAlarms!.minutes, falseAlarms!.perMinute.value]).toEqual([2, 2, 1]);
    expect(falseAlarms!.byType).toEqual({ stutter: 1, blur: 1 });
  });

  it('lays out what is taken for what', () => {
    const { confusion } = report(
      clip([truth('blur', 1, 3)], [said('noise', 1, 3), said('stutter', 4, 5)]),
      clip([truth('blur', 1, 3)], []),
      clip([truth('stutter', 1, 2)], [said('stutter', 1, 2)]),
      clip([], [said('blur', 1, 3)]),
    );
    const at = (a: string, b: string) =>
      confusion.counts[confusion.names.indexOf(a)]![confusion.names.indexOf(b)];
    expect([at('blur', 'noise'), at('blur', 'none'), at('stutter', 'stutter')]).toEqual([1, 1, 1]);
    expect([at('none', 'blur'), at('none', 'stutter')]).toEqual([1, 1]);
  });

  it('knows whether the model was as sure as right', () => {
    const { calibration } = report(
      clip([truth('blur', 1, 3)], [said('blur', 1, 3, { score: 1 })]),
      clip(
        [truth('stutter', 1, 2)],
        [said('stutter', 1, 2, { score: 1 }), said('noise', 0, 1, { score: 0.3 })],
      ),
    );
    expect([calibration.count, calibration.ece]).toEqual([3, expect.closeTo(0.1, 12)]);
  });

  it('is empty, not wrong, without clips of a kind', () => {
    const { rows, stutter, falseAlarms } = report(clip([truth('blur', 0, 1)], []));
    expect([rows.length, stutter, falseAlarms]).toEqual([2, null, null]);
    expect(textTables(fineGrainedTables(report(clip([], []))))).not.toContain('NaN');
  });
});

describe('poissonRate', () => {
  it.each([
    // scipy.stats.chi2.ppf(.025, 2k)/2 and .ppf(.975, 2k + 2)/2
    [0, 0, 3.6888794541139354],
    [1, 0.025317807984289876, 5.571643390938898],
    [7, 2.8143630515198654, 14.422675361702376],
  ])('of %i has the exact interval', (count, low, high) => {
    expect(poissonRate(count, 2).value).toBe(count / 2);
    expect(poissonRate(count, 1).low).toBeCloseTo(low, 8);
    expect(poissonRate(count, 1).high).toBeCloseTo(high, 8);
  });

  it('holds for thousands', () => expect(poissonRate(2000, 1).low / 2000).toBeCloseTo(0.957, 3));
});

describe('what a judgement is fitted to', () => {
  const second = (blur: number, from: number): ProbedStep => ({
    start: from,
    end: from + 1,
    probes: {
      none: 1 - blur,
      types: { blur, noise: 0, overexposure: 0, underexposure: 0, compression: 0 },
      severity: [0.2, 0.6, 0.2],
      places: [{ region: left, probability: 0.9 }],
      stutter: null,
    },
  });
  const steps = [second(0.05, 0), second(0.9, 1), second(0.9, 2), second(0.05, 3)];
  const judge = (...truths: TrueDistortion[]) =>
    judgedCandidates(clip(truths, []), candidates(steps, 0.05)).candidates;

  it.each<[string, TrueDistortion[], boolean, boolean]>([
    ['at its time and place', [truth('blur', 1, 3)], true, true],
    ['half of its time', [truth('blur', 2, 3)], true, true],
    ['a third of its time', [truth('blur', 2, 4)], false, true],
    ['of another type', [truth('noise', 1, 3)], false, true],
    ['elsewhere', [truth('blur', 1, 3, { region: right })], false, true],
    ['of nothing that has a place', [truth('stutter', 1, 3)], false, false],
    ['at another time', [truth('blur', 3, 4)], false, false],
  ])('a run %s', (_, truths, wanted, near) => {
    expect(judge(...truths)).toMatchObject([{ from: 1, to: 3, right: wanted, near }]);
  });
});
