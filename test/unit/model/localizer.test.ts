import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Localization, spatialTypes } from '../../../src/model/checkpoint/localization.ts';
import { compileCheckpoint } from '../../../src/model/compiler/compile.ts';
import { askSpans } from '../../../src/model/localizer.ts';
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
