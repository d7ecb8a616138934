import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { ProgressLine } from '../../../src/cli/io.ts';
import { AssessingModel } from '../../../src/cli/load.ts';
import { Collected } from '../../support/cli.ts';
import { checkpointWith, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';
import { failingDriver } from '../../support/vulkan_driver.ts';

// In a file, and so a process, of its own: the driver is looked up once.
it.runIf(process.platform === 'linux')(
  'a graphics device that is lost: one command goes on on the CPU, finished windows kept',
  async () => {
    const driver = failingDriver();
    Object.assign(process.env, driver.env);
    temporaryCache();
    const windows = 3;
    const clip = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: windows, size: '64x48' });
    const stderr = new Collected();
    const io = {
      stdin: Readable.from([]),
      stdout: new Collected(),
      stderr,
      env: {},
      signal: new AbortController().signal,
    };
    const flags = { provider: 'webgpu', precision: 'auto', threads: 1 } as const;
    const name = checkpointWith({ window_seconds: 1 });
    const model = await AssessingModel.load(name, flags, io, new ProgressLine(io));
    const seen: number[] = [];
    const { record } = await model.assess(clip, undefined, {
      onStep: ({ windows: { length } }) => {
        seen.push(length);
        if (length === 1) driver.fail('LOST');
      },
    });
    // The window that was finished is not assessed again.
    expect(seen).toEqual([0, 1, 1, 2, 3]);
    expect(record).toMatchObject({ status: 'complete', model: { provider: 'cpu' } });
    expect(record.timeline).toHaveLength(windows);
    expect(record.problems).toEqual(
      expect.arrayContaining([
        { code: 'device_lost', message: expect.stringMatching(/webgpu failed.*on the CPU/) },
        expect.objectContaining({
          code: 'device_changed',
          message: '1 of 3 windows were computed on webgpu; the others on cpu.',
          start: 0,
          end: 1,
        }),
      ]),
    );
    expect(stderr.text.match(/^Note: webgpu failed/gm)).toHaveLength(1);
    // It stays there: the device is not tried again in this process.
    driver.recover();
    const again = await model.assess(clip, undefined, {});
    expect(again.record.model.provider).toBe('cpu');
    await model.dispose();
  },
);
