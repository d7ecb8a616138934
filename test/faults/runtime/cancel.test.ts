import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChatSession } from '../../../src/model/chatter.ts';
import { compileCheckpoint } from '../../../src/model/compiler/compile.ts';
import { rateClip, rateSpans } from '../../../src/model/rater.ts';
import { loadModel, type OmniModel } from '../../../src/model/runtime/model.ts';
import type { ClipTokens } from '../../../src/model/sequence.ts';
import { type Case, openCase, temporaryDirectory } from '../../parity/cases.ts';

const cancelled = { code: 'cancelled' };

describe('work that is stopped half-way', () => {
  let temporary: { path: string; remove(): Promise<void> };
  let source: Case;
  let model: OmniModel;
  let clip: ClipTokens;

  beforeAll(async () => {
    temporary = await temporaryDirectory();
    source = await openCase('separate-patch');
    const compiled = await compileCheckpoint(source.directory, join(temporary.path, 'compiled'), {
      precision: { decoder: 'fp32', vision: 'fp32' },
    });
    // The least memory: every batch is one frame, every prompt goes in by small steps.
    model = await loadModel(compiled, { provider: 'cpu', threads: 1, memory: 1 });
    const { keyFrames, motionFrames } = source.facts;
    clip = {
      key: source.float('vision.tokens'),
      keyFrames,
      motion: source.float('motion.tokens'),
      motionFrames,
    };
  });

  afterAll(async () => {
    await model.dispose();
    await temporary.remove();
  });

  it('stops between key frames', async () => {
    const controller = new AbortController();
    const done: number[] = [];
    const run = model.vision(source.bytes('pixels.key'), source.facts.keyFrames, {
      signal: controller.signal,
      onProgress: (frames) => {
        done.push(frames);
        controller.abort();
      },
    });
    await expect(run).rejects.toMatchObject(cancelled);
    expect(done).toEqual([1]);
  });

  it('stops between chunks of motion frames', async () => {
    const controller = new AbortController();
    const { motionFrames } = source.facts;
    const pixels = source
      .bytes('pixels.motion')
      .subarray(0, motionFrames * model.config.motion!.imageSize ** 2 * 3);
    const done: number[] = [];
    const run = model.motion(pixels, motionFrames, {
      signal: controller.signal,
      onProgress: (frames) => {
        done.push(frames);
        controller.abort();
      },
    });
    await expect(run).rejects.toMatchObject(cancelled);
    expect(done).toHaveLength(1);
  });

  it('stops before it begins', async () => {
    const signal = AbortSignal.abort();
    await expect(rateClip(model, clip, { signal })).rejects.toMatchObject(cancelled);
    await expect(rateSpans(model, [clip, clip], { signal })).rejects.toMatchObject(cancelled);
    await expect(ChatSession.open(model, clip, { signal })).rejects.toMatchObject(cancelled);
  });

  it('stops in the middle of a prompt', async () => {
    const controller = new AbortController();
    const rating = rateClip(model, clip, { signal: controller.signal });
    setImmediate(() => controller.abort());
    await expect(rating).rejects.toMatchObject(cancelled);
    expect((await rateClip(model, clip))!.score).toBeCloseTo(source.float('rating.score')[0]!, 3);
  });

  it('leaves a conversation as it was before the question', async () => {
    const { chat } = source.facts;
    const question = chat!.question;
    const untouched = await ChatSession.open(model, clip);
    const expected = await untouched.ask(question, { maxNewTokens: 40 });

    const session = await ChatSession.open(model, clip);
    const prefilled = session.prefilledTokens;
    const controller = new AbortController();
    let heard = '';
    const asked = session.ask('Another one, which is forgotten?', {
      maxNewTokens: 400,
      signal: controller.signal,
      onText: (text) => {
        heard += text;
        controller.abort();
      },
    });
    await expect(session.ask('At the same time?')).rejects.toMatchObject({ code: 'bad_usage' });
    await expect(asked).rejects.toMatchObject(cancelled);
    expect(heard).not.toBe('');
    expect(session.history).toEqual([]);
    expect(session.prefilledTokens).toBe(prefilled);

    expect(await session.ask(question, { maxNewTokens: 40 })).toEqual(expected);
    expect(session.prefilledTokens).toBe(untouched.prefilledTokens);
    session.dispose();
    untouched.dispose();
  });

  it('refuses a question that does not fit, and goes on', async () => {
    const session = await ChatSession.open(model, clip);
    const endless = 'Where is the blur? '.repeat(model.config.maxPositionEmbeddings / 4);
    await expect(session.ask(endless)).rejects.toMatchObject({
      code: 'context_too_long',
      next: expect.stringContaining('shorter question'),
    });
    const { question } = source.facts.chat!;
    const answer = await session.ask(question, { maxNewTokens: 4 });
    expect(session.history).toEqual([{ question, answer: answer.text }]);
    session.dispose();
  });
});
