import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { assessVideo } from '../../../src/engine/assess.ts';
import { loadEngineModel } from '../../../src/engine/models.ts';
import { fewestActivations, totalMemory, windowNeed } from '../../../src/model/runtime/memory.ts';
import { omnivqa } from '../../support/cli.ts';
import { checkpointWith, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

const call = { provider: 'cpu', threads: 1 } as const;

it('too little memory for whole windows: shorter ones, and the record says so', async () => {
  temporaryCache();
  const directory = checkpointWith({ window_seconds: 4, step_seconds: 1 });
  const whole = await loadEngineModel(directory, call);
  await whole.dispose();
  expect(whole.memory).toMatchObject({ windowSeconds: 4, problems: [] });
  // Room for the weights as they are, and for windows of 2 s.
  const { weights } = whole.memory.need;
  const { cache, pictures } = windowNeed(whole.config, 2, true);
  const memory = weights + cache + pictures + fewestActivations;
  const model = await loadEngineModel(directory, { ...call, memory });
  onTestFinished(() => model.dispose());
  expect(totalMemory(model.memory.need)).toBeLessThanOrEqual(memory);
  const clip = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 4, size: '64x48' });
  const windows: number[] = [];
  const record = await assessVideo(clip, model, { onStep: (step) => windows.push(step.windows.length) });
  expect(record.status).toBe('complete');
  expect(Math.max(...windows)).toBe(4 / model.memory.windowSeconds);
  expect(model.memory.windowSeconds).toBeLessThan(4);
  expect(record.timeline).toHaveLength(4);
  expect(record.problems).toContainEqual(expect.objectContaining({ code: 'window_shortened' }));
});

it('too little memory for anything: an error that says how much it takes, before anything is compiled', async () => {
  temporaryCache();
  const clip = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 1, size: '64x48' });
  const flags = ['--provider', 'cpu', '--model', checkpointWith({})];
  const { status, stderr } = await omnivqa(['assess', clip, ...flags, '--memory', '0.1']);
  expect(status).toBe(3);
  expect(stderr).toMatch(/needs \d+ MB of memory at least.*this computer has 100 MB to spare/);
  expect(stderr).toContain('smaller model');
});
