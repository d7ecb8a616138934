/** The shipped model gives the same record on every provider: the whole road, from a file on. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import type { Assessment } from '../../src/assessment/record.ts';
import { assessVideo } from '../../src/engine/assess.ts';
import { loadEngineModel } from '../../src/engine/models.ts';
import { ffmpeg, temporaryDirectory } from '../support/media.ts';
import { requireVulkan } from './vulkan.ts';

const sample = fileURLToPath(new URL('../../media/sample.mp4', import.meta.url));

it('gives the same record of a clip on WebGPU as on the CPU', { timeout: 300_000 }, async () => {
  requireVulkan();
  const clip = join(temporaryDirectory(), 'clip.mp4');
  // 2 s to 6 s: a blur comes and goes.
  ffmpeg('-ss', '2', '-t', '4', '-i', sample, '-vf', 'scale=640:360', '-c:v', 'libx264', '-crf', '30', clip);
  const encode = join(temporaryDirectory(), 'encode.mp4');
  ffmpeg('-t', '1', '-i', clip, '-c:v', 'libx264', '-crf', '38', encode);
  const records: Assessment[] = [];
  const encodes: Assessment[] = [];
  for (const provider of ['cpu', 'webgpu'] as const) {
    const model = await loadEngineModel('nano', { provider });
    try {
      expect(model.omni.choice.provider).toBe(provider);
      records.push(await assessVideo(clip, model));
      encodes.push(await assessVideo(encode, model, { closely: true }));
    } finally {
      await model.dispose();
    }
  }
  expect(Math.abs(encodes[0]!.score! - encodes[1]!.score!)).toBeLessThan(0.01);
  expect(encodes[0]!.model.comparison).toBe(encodes[1]!.model.comparison);
  const [cpu, gpu] = records as [Assessment, Assessment];
  expect(Math.abs(gpu.score! - cpu.score!)).toBeLessThan(0.01);
  expect(gpu.timeline.length).toBe(cpu.timeline.length);
  gpu.timeline.forEach(({ score }, index) => {
    expect(Math.abs(score - cpu.timeline[index]!.score)).toBeLessThan(0.01);
  });
  const what = ({ distortions }: Assessment) =>
    distortions?.map(({ type, start, end, region, severity }) => ({ type, start, end, region, severity }));
  expect(what(gpu)).toEqual(what(cpu));
});
