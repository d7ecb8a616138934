import { statSync, utimesSync, watch } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Assessment } from '../../../src/assessment/record.ts';
import {
  eventually,
  filesIn,
  nanoWith,
  removeBundles,
  startEngine,
  timeless,
} from '../../support/engine_process.ts';
import { sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

removeBundles();

const cache = sharedDirectory();
const model = nanoWith(1);
const clip = join(sharedDirectory(), 'clip.mp4');
const windows = 3;
let undisturbed: Assessment;

beforeAll(async () => {
  writeClip(clip, { seconds: windows, size: '128x72', filter: 'noise=alls=20' });
  // What a file holds is remembered only where nobody wrote to it just now.
  utimesSync(clip, 1e9, 1e9);
});

it('nothing happens: the reference', async () => {
  const store = temporaryDirectory();
  const engine = await startEngine(store, cache, model);
  const { record, outcome, kept, resumed } = await engine.assess({ path: clip });
  expect({ outcome, kept, resumed }).toEqual({ outcome: 'complete', kept: false, resumed: false });
  undisturbed = record!;
  expect(undisturbed.timeline).toHaveLength(windows);
  expect(engine.crashes).toEqual([]);
  // The journal has done its duty.
  expect(filesIn(store).map((file) => file.split('/')[0])).toEqual(['contents', 'results']);
});

describe('killed', () => {
  it('at every change of its files: the job goes on by itself to the same record', {
    timeout: 600_000,
  }, async () => {
    let lives = 0;
    let resumed = 0;
    for (let change = 1; ; change++) {
      const store = temporaryDirectory();
      const engine = await startEngine(store, cache, model);
      const pid = await engine.pid();
      const seen = new Set<string>();
      const watcher = watch(store, { recursive: true }, (_, name) => {
        const found = statSync(join(store, name ?? ''), { throwIfNoEntry: false });
        if (found?.isDirectory()) return;
        const before = seen.size;
        seen.add(`${name} ${found?.size}`);
        if (before < change && seen.size === change) process.kill(pid, 'SIGKILL');
      });
      const update = await engine.assess({ path: clip });
      watcher.close();
      expect(update.outcome).toBe('complete');
      expect(timeless(update.record)).toEqual(timeless(undisturbed));
      expect(engine.crashes.length).toBeLessThanOrEqual(1);
      if (update.resumed) resumed++;
      await engine.client.dispose();
      expect(filesIn(store).filter((file) => /\.(lock|jsonl)$/.test(file))).toEqual([]);
      lives++;
      if (engine.crashes.length === 0) break;
    }
    // Contents, lock, the journal's lines, result.
    expect(lives).toBeGreaterThan(windows + 3);
    expect(resumed).toBeGreaterThan(0);
  });

  it('after every finished window: each engine goes on where the last one was', async () => {
    const store = temporaryDirectory();
    const finished: number[] = [];
    for (;;) {
      const engine = await startEngine(store, cache, model);
      const done = engine.assess({ path: clip });
      const before = finished.at(-1) ?? 0;
      const update = await engine.until(
        ({ state, record }) => state === null || (record?.timeline.length ?? 0) > before,
      );
      if (update.state === null) {
        expect(timeless(update.record)).toEqual(timeless(undisturbed));
        break;
      }
      finished.push(update.record!.timeline.length);
      process.kill(await engine.pid(), 'SIGKILL');
      await eventually(() => engine.crashes.length > 0);
      await engine.client.dispose();
      void done;
    }
    expect(finished).toEqual([...new Set(finished)]);
    expect(finished.length).toBeLessThanOrEqual(windows);
  });

  it('three times by the same clip: that job fails, and the others are done', async () => {
    const store = temporaryDirectory();
    const engine = await startEngine(store, cache, model);
    const other = writeClip(join(temporaryDirectory(), 'other.mp4'), { seconds: 1, size: '64x48' });
    const done = engine.assess({ path: clip });
    const afterwards = engine.assess({ path: other });
    for (let kills = 1; kills <= 3; kills++) {
      const pid = await engine.pid();
      await engine.until(() => {
        const last = engine.updates.filter(({ path }) => path === clip).at(-1);
        return last?.state?.phase === 'starting' || last?.state?.phase === 'running';
      });
      process.kill(pid, 'SIGKILL');
      await eventually(() => engine.crashes.length === kills);
    }
    const { outcome, error } = await done;
    expect({ outcome, code: error?.code }).toEqual({ outcome: 'failed', code: 'engine_crashed' });
    expect((await afterwards).outcome).toBe('complete');
    expect(engine.crashes.map(({ willRestart }) => willRestart)).toEqual([true, true, true]);
  });
});
