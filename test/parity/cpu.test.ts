import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChatSession } from '../../src/model/chatter.ts';
import { compileCheckpoint } from '../../src/model/compiler/compile.ts';
import { rateClip, rateSpans } from '../../src/model/rater.ts';
import { loadModel, type OmniModel } from '../../src/model/runtime/model.ts';
import {
  type ClipTokens,
  chatOpening,
  embedPieces,
  nextTurn,
  type Piece,
  pieceTokens,
  ratingSequence,
  spanTokens,
} from '../../src/model/sequence.ts';
import { type Case, cases, largestDifference, openCase, temporaryDirectory } from './cases.ts';

/** As the network's stages are compared: float32 on the CPU against PyTorch's float32. */
const tolerance = 1e-4;

const textIds = (pieces: readonly Piece[]) =>
  pieces.flatMap((piece) => ('ids' in piece ? [...piece.ids] : new Array<number>(piece.tokens).fill(-1)));

describe.each(cases)('%s on the CPU', (name) => {
  let temporary: { path: string; remove(): Promise<void> };
  let expected: Case;
  let model: OmniModel;
  /** The clip as the reference's tokens, so that a stage is compared on the reference's input. */
  let clip: ClipTokens;

  beforeAll(async () => {
    temporary = await temporaryDirectory();
    expected = await openCase(name);
    const compiled = await compileCheckpoint(expected.directory, join(temporary.path, 'compiled'), {
      precision: { decoder: 'fp32', vision: 'fp32' },
    });
    model = await loadModel(compiled, { provider: 'cpu', threads: 1 });
    const { keyFrames, motionFrames } = expected.facts;
    clip = {
      key: expected.float('vision.tokens'),
      keyFrames,
      motion: motionFrames > 0 ? expected.float('motion.tokens') : null,
      motionFrames,
    };
  });

  afterAll(async () => {
    await model.dispose();
    await temporary.remove();
  });

  const ourClip = async (): Promise<ClipTokens> => {
    const { keyFrames, frames } = expected.facts;
    const motionFrames = model.motionFrames(frames);
    const { motion } = model.config;
    const pixels = motion
      ? expected.bytes('pixels.motion').subarray(0, motionFrames * motion.imageSize ** 2 * 3)
      : null;
    return {
      key: await model.vision(expected.bytes('pixels.key'), keyFrames),
      keyFrames,
      motion: pixels && (await model.motion(pixels, motionFrames)),
      motionFrames,
    };
  };

  it('takes as many motion frames', () =>
    expect(model.motionFrames(expected.facts.frames)).toBe(expected.facts.motionFrames));

  it('makes the same vision and motion tokens', async () => {
    const ours = await ourClip();
    expect(largestDifference(ours.key, clip.key)).toBeLessThan(tolerance);
    if (clip.motion) expect(largestDifference(ours.motion!, clip.motion)).toBeLessThan(tolerance);
    else expect(ours.motion).toBeNull();
  });

  it('writes the same rating prompt', () => {
    const { prefix, rest, problems } = ratingSequence(model, clip);
    const pieces = [...prefix, ...rest];
    expect(textIds(pieces)).toEqual(Array.from(expected.int('rating.ids'), (id) => (id < 0 ? -1 : id)));
    expect(largestDifference(embedPieces(model, pieces), expected.float('rating.embeddings'))).toBe(0);
    expect(problems).toEqual([]);
  });

  it('gives the same logits and levels', async () => {
    const { prefix, rest } = ratingSequence(model, clip);
    const pieces = [...prefix, ...rest];
    const context = await model.newContext();
    const { logits, levelLogits } = await context.append(embedPieces(model, pieces), pieceTokens(pieces));
    context.dispose();
    expect(largestDifference(logits, expected.float('rating.logits'))).toBeLessThan(tolerance);
    const levels = expected.facts.levelIds.map((id) => expected.float('rating.logits')[id]!);
    expect(largestDifference(levelLogits, levels)).toBeLessThan(tolerance);
  });

  it('scores the same from the pixels on', async () => {
    const rating = await rateClip(model, await ourClip());
    expect(Math.abs(rating!.score - expected.float('rating.score')[0]!)).toBeLessThan(1e-3);
    expect(largestDifference(rating!.levels, expected.float('rating.levels'))).toBeLessThan(1e-3);
  });

  it('rates spans as it rates each of them alone', async () => {
    const { keyFrames, motionFrames } = clip;
    const perKey = motionFrames / keyFrames;
    const spans = Array.from({ length: keyFrames }, (_, key) =>
      spanTokens(clip, [key, key + 1], [Math.floor(key * perKey), Math.floor((key + 1) * perKey)]),
    );
    const together = await rateSpans(model, spans);
    expect(together).toHaveLength(keyFrames);
    for (const [index, span] of spans.entries()) {
      const alone = await rateClip(model, span);
      expect(largestDifference(together[index]!.levels, alone!.levels)).toBeLessThan(1e-5);
    }
    expect(new Set(together.map((rating) => rating!.score)).size).toBe(keyFrames);
  });

  it('gives the same logits however the prompt is cut', async () => {
    const embeddings = expected.float('rating.embeddings');
    const { hiddenSize } = model.config;
    const tokens = embeddings.length / hiddenSize;
    for (const step of [1, 31, 50]) {
      const context = await model.newContext({ capacity: 1 });
      let logits: Float32Array | undefined;
      for (let from = 0; from < tokens; from += step) {
        const to = Math.min(from + step, tokens);
        ({ logits } = await context.append(
          embeddings.subarray(from * hiddenSize, to * hiddenSize),
          to - from,
        ));
      }
      expect(context.length).toBe(tokens);
      context.dispose();
      expect(largestDifference(logits!, expected.float('rating.logits'))).toBeLessThan(tolerance);
    }
  });

  it('forgets what was truncated', async () => {
    const embeddings = expected.float('rating.embeddings');
    const { hiddenSize } = model.config;
    const tokens = embeddings.length / hiddenSize;
    const context = await model.newContext();
    const half = Math.floor(tokens / 2);
    await context.append(embeddings.subarray(0, half * hiddenSize), half);
    await context.append(embeddings.slice(half * hiddenSize).reverse(), tokens - half);
    context.truncate(half);
    const { logits } = await context.append(embeddings.subarray(half * hiddenSize), tokens - half);
    context.dispose();
    expect(largestDifference(logits, expected.float('rating.logits'))).toBeLessThan(tolerance);
  });

  it('computes the same in pieces as in one run', async () => {
    const small = await loadModel(model.compiled, { provider: 'cpu', threads: 1, memory: 1 });
    const { keyFrames, motionFrames } = expected.facts;
    const key = expected.bytes('pixels.key');
    const batches: number[] = [];
    const onProgress = (done: number) => batches.push(done);
    const tokens = await small.vision(key, keyFrames, { onProgress });
    expect(batches).toEqual(Array.from({ length: keyFrames }, (_, frame) => frame + 1));
    expect(largestDifference(tokens, await model.vision(key, keyFrames))).toBeLessThan(1e-5);

    const { motion } = model.config;
    if (motion) {
      const pixels = expected.bytes('pixels.motion').subarray(0, motionFrames * motion.imageSize ** 2 * 3);
      batches.length = 0;
      const chunked = await small.motion(pixels, motionFrames, { onProgress });
      expect(batches.length).toBeGreaterThan(1);
      expect(largestDifference(chunked, await model.motion(pixels, motionFrames))).toBeLessThan(1e-5);
    }
    const [inPieces, whole] = [await rateClip(small, clip), await rateClip(model, clip)];
    expect(largestDifference(inPieces!.levels, whole!.levels)).toBeLessThan(1e-5);
    await small.dispose();
  });

  it('chats as the reference does, and adds only the tokens of each question', async () => {
    const { chat } = expected.facts;
    if (!chat) {
      await expect(ChatSession.open(model, clip)).rejects.toMatchObject({ code: 'bad_usage' });
      return;
    }
    const opening = chatOpening(model, clip, chat.question);
    const pieces = [...opening.prefix, ...opening.question];
    expect(textIds(pieces)).toEqual(Array.from(expected.int('chat.ids'), (id) => (id < 0 ? -1 : id)));
    expect([...model.stopIds]).toEqual(expect.arrayContaining([...expected.facts.stopIds]));

    const session = await ChatSession.open(model, clip);
    expect(session.prefilledTokens).toBe(pieceTokens(opening.prefix));
    const answerIds = Array.from(expected.int('chat.answer')).filter((id) => !model.stopIds.has(id));
    let streamed = '';
    const answer = await session.ask(chat.question, {
      maxNewTokens: chat.maxNewTokens,
      onText: (text) => {
        streamed += text;
      },
    });
    expect(answer.text).toBe(model.tokenizer.decode(answerIds));
    expect(streamed).toBe(answer.text);
    expect(answer.tokens).toBe(answerIds.length);
    expect(session.prefilledTokens).toBe(pieceTokens(pieces));
    await session.ask(chat.nextQuestion, { maxNewTokens: 1 });
    const next = nextTurn(model, chat.nextQuestion);
    expect(textIds(next)).toEqual(Array.from(expected.int('next.ids')));
    expect(session.prefilledTokens).toBe(pieceTokens(pieces) + pieceTokens(next));
    session.dispose();
  });

  it('decodes with the cache as the full forward does', async () => {
    const { chat } = expected.facts;
    if (!chat) return;
    const opening = chatOpening(model, clip, chat.question);
    const pieces = [...opening.prefix, ...opening.question];
    const context = await model.newContext();
    let { logits } = await context.append(embedPieces(model, pieces), pieceTokens(pieces));
    const answer = Array.from(expected.int('chat.answer'));
    const width = model.config.vocabSize;
    for (const [step, id] of answer.entries()) {
      const steps = expected.float('chat.step_logits').subarray(step * width, (step + 1) * width);
      expect(largestDifference(logits, steps)).toBeLessThan(tolerance);
      if (!model.stopIds.has(id)) ({ logits } = await context.append(model.embed([id]), 1));
    }
    const next = Array.from(expected.int('next.ids'));
    ({ logits } = await context.append(model.embed(next), next.length));
    context.dispose();
    expect(largestDifference(logits, expected.float('next.logits'))).toBeLessThan(tolerance);
  });
});
