import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Localization, spatialTypes } from '../../../src/model/checkpoint/localization.ts';
import { compileCheckpoint } from '../../../src/model/compiler/compile.ts';
import {
  askSpans,
  mergeProbes,
  type ProbedStep,
  type Region,
  type StepProbes,
} from '../../../src/model/localizer.ts';
import { rateSpans } from '../../../src/model/rater.ts';
import { loadModel, type OmniModel } from '../../../src/model/runtime/model.ts';
import {
  type ClipTokens,
  embedPieces,
  pieceTokens,
  questionSequence,
  spanTokens,
} from '../../../src/model/sequence.ts';
import { openCase, temporaryDirectory } from '../../parity/cases.ts';
import { copyCheckpoint, editJson } from '../../support/checkpoints.ts';

const letters = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => String.fromCharCode(65 + from + i));

/** Single letters are one token each in every byte-level vocabulary. */
const form: Localization = {
  scope: 'step',
  grid: 4,
  size: 2,
  spatial: {
    question: 'What is wrong here?',
    answer: 'It is ',
    none: 'A',
    types: { blur: 'B', noise: 'C', overexposure: 'D', underexposure: 'E', compression: 'F' },
  },
  severity: { prefix: ', ', levels: ['G', 'H', 'I'] },
  place: {
    prefix: ', ',
    whole: 'W',
    part: 'P',
    columns: letters(9, 3),
    between: '/',
    rows: letters(9, 3),
  },
  temporal: { question: 'Does it stutter?', answer: '', yes: 'Y', no: 'N' },
  calibration: {
    spatial: { temperature: 1.3, threshold: 0.1 },
    temporal: { temperature: 0.7, threshold: 0.5 },
    place: { temperature: 1 },
    severity: { temperature: 1 },
  },
};

let temporary: { path: string; remove(): Promise<void> };
const models: OmniModel[] = [];
let clip: ClipTokens;

/** The random checkpoint, asked in this form; with `chat` in another prompt than the rating's. */
async function load(localization: unknown, chat?: string): Promise<OmniModel> {
  const directory = copyCheckpoint('separate-patch');
  editJson(join(directory, 'config.json'), (json) => {
    const omnivqa = json.omnivqa as { rating: { user: string } } & Record<string, unknown>;
    omnivqa.chat = { user: chat ?? `${omnivqa.rating.user.split('. How')[0]}. {question}` };
    omnivqa.localization = localization;
  });
  const compiled = await compileCheckpoint(directory, join(temporary.path, String(models.length)), {
    precision: { decoder: 'fp32', vision: 'fp32' },
  });
  const model = await loadModel(compiled, { provider: 'cpu', threads: 1 });
  models.push(model);
  return model;
}

beforeAll(async () => {
  temporary = await temporaryDirectory();
  const source = await openCase('separate-patch');
  const { keyFrames, motionFrames } = source.facts;
  clip = {
    key: source.float('vision.tokens'),
    keyFrames,
    motion: source.float('motion.tokens'),
    motionFrames,
  };
});

afterAll(async () => {
  for (const model of models) await model.dispose();
  await temporary.remove();
});

const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

describe('askSpans', () => {
  it('answers on one prefix what separate runs answer, and rates as rateSpans does', async () => {
    const model = await load(form);
    const half = spanTokens(clip, [0, 1], [0, Math.floor(clip.motionFrames / 2)]);
    const said = await askSpans(model, [clip, half], { seconds: [0, 1] });
    const ratings = await rateSpans(model, [clip, half]);
    for (const [i, { rating }] of said.entries()) {
      expect(rating!.score).toBeCloseTo(ratings[i]!.score, 5);
    }
    expect(said[0]!.probes).toBeNull();
    const [probes] = said[1]!.probes!;
    expect(probes!.none + total(Object.values(probes!.types))).toBeCloseTo(1, 5);
    expect(total(probes!.severity!)).toBeCloseTo(1, 5);
    expect(total(probes!.places!.map(({ probability }) => probability))).toBeGreaterThan(0.95);

    const context = await model.newContext();
    const { head, tail } = questionSequence(model, half, form.spatial.question, form.spatial.answer);
    const pieces = [...head, ...tail];
    const { logits } = await context.append(embedPieces(model, pieces), pieceTokens(pieces));
    context.dispose();
    const values = [form.spatial.none, ...spatialTypes.map((type) => form.spatial.types[type])].map((word) =>
      Math.exp(logits[model.tokenizer.encodePlain(word)[0]!]! / 1.3),
    );
    expect(probes!.none).toBeCloseTo(values[0]! / total(values), 5);
  });

  it('asks in the chat prompt where that is another than the rating prompt', async () => {
    const model = await load(
      { ...form, scope: 'window' },
      'You see {K} frames.\n<image>\nIts motion:\n<image>\n{question}',
    );
    const [whole, again] = await askSpans(model, [clip, clip], { seconds: [clip.keyFrames, 0] });
    expect(whole!.probes).toHaveLength(clip.keyFrames);
    const [rating] = await rateSpans(model, [clip]);
    expect(whole!.rating!.score).toBeCloseTo(rating!.score, 5);
    expect(again!.rating!.score).toBeCloseTo(rating!.score, 5);
  });

  it('adds at most half of what the rating of a window and its steps takes, where nothing is found', async () => {
    const none = { ...form.calibration, spatial: { temperature: 1, threshold: 1 } };
    const model = await load({ ...form, calibration: none });
    const steps = Array.from({ length: clip.keyFrames }, (_, i) =>
      spanTokens(
        clip,
        [i, i + 1],
        [
          Math.floor((clip.motionFrames * i) / clip.keyFrames),
          Math.floor((clip.motionFrames * (i + 1)) / clip.keyFrames),
        ],
      ),
    );
    const tail = (question: string, answer: string) =>
      pieceTokens(questionSequence(model, clip, question, answer).tail);
    const asked =
      tail(form.spatial.question, form.spatial.answer) + tail(form.temporal!.question, form.temporal!.answer);
    // 36 key-frame tokens and 30 motion tokens a second are Nano's; the prompt's own text is left out.
    expect(asked).toBeLessThan((2 * (36 + 30)) / 2 + 40);
    expect(await askSpans(model, steps, { seconds: steps.map(() => 1) })).toHaveLength(steps.length);
  });

  it('a cancelled question ends as cancelled', async () => {
    const model = await load(form);
    const signal = AbortSignal.abort();
    await expect(askSpans(model, [clip], { seconds: [1], signal })).rejects.toMatchObject({
      code: 'cancelled',
    });
  });

  it('an option of several tokens is refused', async () => {
    const model = await load({ ...form, spatial: { ...form.spatial, none: 'nothing at all, I would say' } });
    await expect(askSpans(model, [clip], { seconds: [1] })).rejects.toMatchObject({
      code: 'checkpoint_config',
    });
  });

  it('a form that can not be read is a finding of the config', async () => {
    await expect(load({ ...form, scope: 'month' })).rejects.toMatchObject({ code: 'checkpoint_config' });
  });
});

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
