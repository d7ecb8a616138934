import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChatSession } from '../../../src/model/chatter.ts';
import { compileCheckpoint } from '../../../src/model/compiler/compile.ts';
import { rateClip, rateSpans } from '../../../src/model/rater.ts';
import { loadModel, type OmniModel } from '../../../src/model/runtime/model.ts';
import {
  type ClipTokens,
  chatOpening,
  embedPieces,
  nextTurn,
  type Piece,
  pieceTokens,
} from '../../../src/model/sequence.ts';
import { type Case, largestDifference, openCase, temporaryDirectory } from '../../parity/cases.ts';

let temporary: { path: string; remove(): Promise<void> };
let source: Case;
let model: OmniModel;
let clip: ClipTokens;

beforeAll(async () => {
  temporary = await temporaryDirectory();
  source = await openCase('doubled-patch');
  const compiled = await compileCheckpoint(source.directory, join(temporary.path, 'compiled'), {
    precision: { decoder: 'fp32', vision: 'fp32' },
  });
  model = await loadModel(compiled, { provider: 'cpu', threads: 1 });
  const { keyFrames, motionFrames } = source.facts;
  const [key, motion] = [source.float('vision.tokens'), source.float('motion.tokens')];
  clip = { key, keyFrames, motion, motionFrames };
});

afterAll(async () => {
  await model.dispose();
  await temporary.remove();
});

describe('rater', () => {
  it('weighs the softmax of the five levels', async () => {
    const rating = await rateClip(model, clip);
    expect(rating!.levels).toHaveLength(5);
    expect(rating!.levels.reduce((sum, level) => sum + level, 0)).toBeCloseTo(1, 6);
    const weights = model.config.omnivqa.levelWeights;
    const weighted = rating!.levels.map((level, i) => level * weights[i]!);
    expect(rating!.score).toBeCloseTo(
      weighted.reduce((sum, one) => sum + one, 0),
      6,
    );
    expect(rating!.problems).toEqual([]);
  });

  it('reads a branch from the same five levels, and none that was not trained', async () => {
    expect(model.config.omnivqa.branches).toEqual(['technical']);
    const technical = await rateClip(model, clip, { branch: 'technical' });
    expect(technical!.levels).toHaveLength(5);
    expect(technical!.score).not.toBe((await rateClip(model, clip))!.score);
    expect(await rateClip(model, clip, { branch: 'aesthetic' })).toBeNull();
    expect(await rateSpans(model, [clip, clip], { branch: 'aesthetic' })).toEqual([null, null]);
  });

  it('rates no spans', async () => expect(await rateSpans(model, [])).toEqual([]));
});

describe('a conversation', () => {
  /** The whole conversation in one prompt, as if nothing had been kept. */
  async function fullForward(pieces: readonly Piece[]): Promise<Float32Array> {
    const context = await model.newContext();
    const { logits } = await context.append(embedPieces(model, pieces), pieceTokens(pieces));
    context.dispose();
    return logits;
  }

  it('continues as one long prompt would', async () => {
    const questions = ['Is it blurred?', 'Where?', 'Since when, and how much?'];
    const session = await ChatSession.open(model, clip);
    let pieces: readonly Piece[] = chatOpening(model, clip, '').prefix;
    let prefilled = session.prefilledTokens;
    expect(prefilled).toBe(pieceTokens(pieces));
    for (const [turn, question] of questions.entries()) {
      const asked: readonly Piece[] =
        turn === 0 ? chatOpening(model, clip, question).question : nextTurn(model, question);
      pieces = [...pieces, ...asked];
      const answer = await session.ask(question, { maxNewTokens: 6 });
      expect(session.prefilledTokens - prefilled).toBe(pieceTokens(asked));
      prefilled = session.prefilledTokens;

      const ids: number[] = [];
      while (ids.length < 6) {
        const logits = await fullForward([...pieces, { ids }]);
        const best = logits.indexOf(Math.max(...logits));
        if (model.stopIds.has(best)) break;
        ids.push(best);
      }
      expect(answer).toEqual({
        text: model.tokenizer.decode(ids),
        tokens: ids.length,
        ended: ids.length < 6 ? 'stop' : 'length',
      });
      pieces = [...pieces, { ids }];
    }
    expect(session.history.map(({ question }) => question)).toEqual(questions);
    session.dispose();
  });

  it('samples the same with the same seed', async () => {
    const answers: string[] = [];
    for (const seed of [5, 5, 6]) {
      const session = await ChatSession.open(model, clip);
      const sampling = { temperature: 1.5, topK: 50, topP: 0.95, seed };
      answers.push((await session.ask('Is it blurred?', { sampling, maxNewTokens: 12 })).text);
      session.dispose();
    }
    expect(answers[0]).toBe(answers[1]);
    expect(answers[0]).not.toBe(answers[2]);
  });

  it('can go on beside another one and beside ratings', async () => {
    const alone = await ChatSession.open(model, clip);
    const expected = [
      await alone.ask('Is it blurred?', { maxNewTokens: 8 }),
      await alone.ask('Where?', { maxNewTokens: 8 }),
    ];
    const rating = await rateClip(model, clip);
    const [one, two] = [await ChatSession.open(model, clip), await ChatSession.open(model, clip)];
    const [first, , between] = await Promise.all([
      one.ask('Is it blurred?', { maxNewTokens: 8 }),
      two.ask('Something else?', { maxNewTokens: 8 }),
      rateClip(model, clip),
    ]);
    expect(first).toEqual(expected[0]);
    expect(largestDifference(between!.levels, rating!.levels)).toBe(0);
    expect(await one.ask('Where?', { maxNewTokens: 8 })).toEqual(expected[1]);
    for (const session of [alone, one, two]) session.dispose();
  });
});
