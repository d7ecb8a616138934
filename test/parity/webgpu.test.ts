import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChatSession } from '../../src/model/chatter.ts';
import { compileCheckpoint } from '../../src/model/compiler/compile.ts';
import { rateClip, rateSpans } from '../../src/model/rater.ts';
import { loadModel, type OmniModel } from '../../src/model/runtime/model.ts';
import { type ClipTokens, spanTokens } from '../../src/model/sequence.ts';
import { type Case, cases, largestDifference, openCase, temporaryDirectory } from './cases.ts';
import { requireVulkan } from './vulkan.ts';

const tolerance = 1e-3;

describe.each(cases)('%s on WebGPU', (name) => {
  let temporary: { path: string; remove(): Promise<void> };
  let expected: Case;
  let cpu: OmniModel;
  let gpu: OmniModel;
  let clip: ClipTokens;

  beforeAll(async () => {
    requireVulkan();
    temporary = await temporaryDirectory();
    expected = await openCase(name);
    const compiled = await compileCheckpoint(expected.directory, join(temporary.path, 'compiled'), {
      precision: { decoder: 'fp32', vision: 'fp32' },
    });
    cpu = await loadModel(compiled, { provider: 'cpu', threads: 1 });
    gpu = await loadModel(compiled, { provider: 'webgpu', threads: 1 });
    const { keyFrames, motionFrames } = expected.facts;
    clip = {
      key: expected.float('vision.tokens'),
      keyFrames,
      motion: motionFrames > 0 ? expected.float('motion.tokens') : null,
      motionFrames,
    };
  });

  afterAll(async () => {
    await gpu?.dispose();
    await cpu?.dispose();
    await temporary?.remove();
  });

  it('passed the self-test', () => {
    expect(gpu.choice.provider).toBe('webgpu');
    expect(gpu.choice.reason).toMatch(/webgpu/);
    if (gpu.choice.attention === 'chunked') expect(gpu.choice.maxPrefill).toBeLessThanOrEqual(31);
  });

  it('makes the same vision and motion tokens', async () => {
    const { keyFrames, motionFrames } = expected.facts;
    const key = expected.bytes('pixels.key');
    expect(
      largestDifference(await gpu.vision(key, keyFrames), await cpu.vision(key, keyFrames)),
    ).toBeLessThan(tolerance);
    const { motion } = gpu.config;
    if (!motion) return;
    const pixels = expected.bytes('pixels.motion').subarray(0, motionFrames * motion.imageSize ** 2 * 3);
    const whole = await cpu.motion(pixels, motionFrames);
    expect(largestDifference(await gpu.motion(pixels, motionFrames), whole)).toBeLessThan(tolerance);
  });

  it('gives the same logits after a prompt of more than 100 tokens', async () => {
    const embeddings = expected.float('rating.embeddings');
    const tokens = embeddings.length / gpu.config.hiddenSize;
    expect(tokens).toBeGreaterThan(100);
    const context = await gpu.newContext({ capacity: tokens });
    const { logits, levelLogits } = await context.append(embeddings, tokens);
    context.dispose();
    expect(largestDifference(logits, expected.float('rating.logits'))).toBeLessThan(tolerance);
    const levels = expected.facts.levelIds.map((id) => expected.float('rating.logits')[id]!);
    expect(largestDifference(levelLogits, levels)).toBeLessThan(tolerance);
  });

  // Each new shape costs SwiftShader a second of compiling: what does not depend on the network is tried on one.
  it.runIf(name === 'separate-patch')('gives the same logits with a cache that grows', async () => {
    const embeddings = expected.float('rating.embeddings');
    const { hiddenSize } = gpu.config;
    const tokens = embeddings.length / hiddenSize;
    const context = await gpu.newContext({ capacity: 1 });
    const small = context.capacity;
    expect(small).toBeLessThan(tokens);
    await context.append(embeddings.subarray(0, small * hiddenSize), small);
    const rest = tokens - small;
    const { logits } = await context.append(embeddings.subarray(small * hiddenSize), rest);
    expect(context.capacity).toBeGreaterThanOrEqual(tokens);
    context.truncate(small);
    const again = await context.append(embeddings.subarray(small * hiddenSize), rest);
    context.dispose();
    expect(largestDifference(logits, expected.float('rating.logits'))).toBeLessThan(tolerance);
    expect(largestDifference(again.logits, logits)).toBeLessThan(1e-5);
  });

  it('scores the same', async () => {
    const rating = await rateClip(gpu, clip);
    expect(Math.abs(rating!.score - expected.float('rating.score')[0]!)).toBeLessThan(tolerance);
    const spans = [spanTokens(clip, [0, 1], [0, 4]), spanTokens(clip, [1, 2], [4, 8])];
    const ours = await rateSpans(gpu, spans);
    const theirs = await rateSpans(cpu, spans);
    ours.forEach((one, index) => {
      expect(largestDifference(one!.levels, theirs[index]!.levels)).toBeLessThan(tolerance);
    });
  });

  it.runIf(name === 'separate-patch')('chats the same', async () => {
    const { chat } = expected.facts;
    if (!chat) return;
    const answers = [];
    for (const model of [gpu, cpu]) {
      const session = await ChatSession.open(model, clip);
      answers.push([
        (await session.ask(chat.question, { maxNewTokens: chat.maxNewTokens })).text,
        session.prefilledTokens,
      ]);
      session.dispose();
    }
    expect(answers[0]).toEqual(answers[1]);
  });
});
