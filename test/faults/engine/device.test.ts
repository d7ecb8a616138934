import { utimesSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { DeviceLimit } from '../../../src/protocol/engine.ts';
import { checkpointWith } from '../../support/engine.ts';
import {
  eventually,
  filesIn,
  removeBundles,
  type StartedEngine,
  startEngine,
} from '../../support/engine_process.ts';
import { sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';
import { type FailingDriver, failingDriver } from '../../support/vulkan_driver.ts';

removeBundles();

const windows = 4;
const clip = join(sharedDirectory(), 'clip.mp4');
const cache = sharedDirectory();

/** An engine that finds the driver under a name that does not tell what it is: a graphics card like any other. */
async function engineOn(driver: FailingDriver, onChatText?: () => void) {
  driver.recover();
  const limits: DeviceLimit[] = [];
  const store = temporaryDirectory();
  const model = checkpointWith({ window_seconds: 1 });
  const engine = await startEngine(store, cache, model, {
    env: driver.env,
    onDeviceFailed: (limit) => limits.push(limit),
    ...(onChatText ? { onChatText } : {}),
  });
  return { engine, limits, store, model };
}

const finished = (engine: StartedEngine, count: number) =>
  engine.until(({ record }) => (record?.timeline.length ?? 0) >= count);

describe.runIf(process.platform === 'linux')('a graphics device', () => {
  let driver: FailingDriver;

  beforeAll(() => {
    writeClip(clip, { seconds: windows, size: '64x48', filter: 'noise=alls=20' });
    // What a file holds is remembered only where nobody wrote to it just now.
    utimesSync(clip, 1e9, 1e9);
    driver = failingDriver();
  });

  it('that is lost, and then out of memory: less at a time, then the CPU, finished windows kept', async () => {
    const { engine, limits, store } = await engineOn(driver);
    const done = engine.assess({ path: clip, provider: 'auto' });
    const { record: first } = await finished(engine, 1);
    expect(first!.model.provider).toBe('webgpu');
    const pids = [await engine.pid()];

    driver.fail('LOST');
    await eventually(() => limits.length === 1);
    driver.recover();
    expect(limits[0]).toMatchObject({ step: 'smaller', code: 'device_lost' });
    const { record: second } = await finished(engine, 2);
    expect(second!.model.provider).toBe('webgpu');
    expect(second!.timeline[0]).toEqual(first!.timeline[0]);
    pids.push(await engine.pid());

    driver.fail('FULL');
    await eventually(() => limits.length === 2);
    expect(limits[1]).toMatchObject({ step: 'cpu', code: 'out_of_memory' });
    const { outcome, error, record, resumed } = await done;
    expect({ outcome, error, resumed }).toEqual({ outcome: 'complete', error: null, resumed: true });
    expect(record!.model.provider).toBe('cpu');
    expect(record!.timeline).toHaveLength(windows);
    expect(record!.timeline[0]).toEqual(first!.timeline[0]);
    pids.push(await engine.pid());
    expect(new Set(pids).size).toBe(3);

    // The record says what happened and which windows were computed where; the user was told of each step once.
    const said = (code: string) => record!.problems.find((problem) => problem.code === code);
    expect(said('out_of_memory')?.message).toMatch(/OUT_OF_DEVICE_MEMORY.*went on on the CPU/);
    expect(said('device_changed')).toMatchObject({ start: 0 });
    expect(said('device_changed')?.message).toMatch(/^[23] of 4 windows were computed on webgpu/);
    expect(limits).toHaveLength(2);
    expect(engine.crashes).toEqual([]);
    expect(filesIn(store).map((file) => file.split('/')[0])).toEqual(['contents', 'results']);
    expect((await engine.assess({ path: clip, provider: 'auto' })).kept).toBe(true);

    // Nothing is kept of what the device computed while it failed.
    const elsewhere = await engine.assess({ path: clip, provider: 'cpu', fresh: true });
    for (const [i, { score }] of elsewhere.record!.timeline.entries()) {
      expect(Math.abs(record!.timeline[i]!.score - score)).toBeLessThan(0.1);
    }
  });

  it('whose driver takes the process with it is tried once more, with less at a time', async () => {
    const { engine } = await engineOn(driver);
    const done = engine.assess({ path: clip, provider: 'auto' });
    const { record: first } = await finished(engine, 1);
    process.kill(await engine.pid(), 'SIGKILL');
    // It does not come back.
    driver.fail('LOST');
    const { outcome, record } = await done;
    expect(engine.crashes).toHaveLength(1);
    expect(outcome).toBe('complete');
    expect(record!.model.provider).toBe('cpu');
    expect(record!.timeline[0]).toEqual(first!.timeline[0]);
    const codes = record!.problems.map(({ code }) => code);
    expect(codes).toEqual(expect.arrayContaining(['engine_crashed', 'device_changed']));
  });

  it('that is lost in the middle of an answer: the question fails in words, the next one is answered', async () => {
    const { engine, limits, model } = await engineOn(driver, () => driver.fail('LOST'));
    const choice = { model, provider: 'auto', teamFolder: null } as const;
    const { chat } = await engine.client.request('chatOpen', { path: clip, span: null, ...choice });
    const ask = (turn: string) =>
      engine.client.request('ask', {
        ...{ chat, turn, question: 'Tell me about it.' },
        ...{ span: null, attachments: [] },
      });
    await expect(ask('1')).rejects.toMatchObject({
      code: 'device_lost',
      next: expect.stringContaining('fresh process'),
    });
    expect(await ask('2')).toMatchObject({ kind: 'written' });
    expect(limits).toMatchObject([{ step: 'smaller', code: 'device_lost' }]);
    expect(engine.crashes).toEqual([]);
  });
});
