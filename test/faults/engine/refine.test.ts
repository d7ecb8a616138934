import { utimesSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseAssessment } from '../../../src/assessment/record.ts';
import { checkpointWith } from '../../support/engine.ts';
import { filesIn, removeBundles, type StartedEngine, startEngine } from '../../support/engine_process.ts';
import { sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

removeBundles();

const cache = sharedDirectory();
const clip = join(sharedDirectory(), 'clip.mp4');

beforeAll(() => {
  writeClip(clip, { seconds: 4, size: '128x72', filter: 'noise=alls=20' });
  utimesSync(clip, 1e9, 1e9);
});

/** Two random models: one that assesses, and another one for some of its windows. */
function models() {
  return {
    model: checkpointWith({ window_seconds: 2, step_seconds: 1 }),
    second: checkpointWith({ window_seconds: 1 }, { name: 'joined-patch' }),
  };
}

const refine = (engine: StartedEngine, model: string, windows = 2) =>
  engine.assess({ path: clip, priority: -1, refine: { model, windows } });

describe('a second model', () => {
  it('says something of the worst windows; what the first said stays', async () => {
    const { model, second } = models();
    const engine = await startEngine(temporaryDirectory(), cache, model);
    const first = (await engine.assess({ path: clip })).record!;
    const { outcome, kept, record, error } = await refine(engine, second);
    expect({ outcome, kept, error }).toEqual({ outcome: 'complete', kept: false, error: null });
    const { refinements, ...rest } = record!;
    expect(rest).toEqual(first);
    expect(parseAssessment(record)).toEqual({ value: record, problems: [] });
    const worst = first.timeline.toSorted((a, b) => a.score - b.score).slice(0, 2);
    const said = refinements!.map(({ start, end }) => ({ start, end }));
    expect(said).toEqual(worst.map(({ start, end }) => ({ start, end })).sort((a, b) => a.start - b.start));
    expect(new Set(refinements!.map(({ model }) => model.id))).toEqual(new Set(['joined-patch']));
    expect(refinements![0]!.model.revision).not.toBe(first.model.revision);
    expect(engine.updates.some(({ state }) => state?.refining)).toBe(true);

    // It is kept with the record, and asked for again nothing is computed.
    const place = { path: clip, model, provider: 'cpu', teamFolder: null } as const;
    expect((await engine.client.request('lookup', place)).record).toEqual(record);
    expect(await refine(engine, second)).toMatchObject({ kept: true, record: record! });
    const more = (await refine(engine, second, 3)).record!;
    expect(more.refinements).toHaveLength(3);
    expect(more.refinements).toEqual(expect.arrayContaining(refinements!));
  });

  it('says of a window the same as where it assesses the whole clip', async () => {
    const { model, second } = models();
    const engine = await startEngine(temporaryDirectory(), cache, model);
    await engine.assess({ path: clip });
    const { refinements } = (await refine(engine, second, 4)).record!;
    // The whole assessment goes on from those windows; on another store it begins anew.
    const resumed = await engine.assess({ path: clip, model: second });
    expect(resumed.resumed).toBe(true);
    const anew = await startEngine(temporaryDirectory(), cache, second);
    const { record } = await anew.assess({ path: clip });
    expect(resumed.record!.timeline).toEqual(record!.timeline);
    expect(refinements!.map(({ start, end, score }) => ({ start, end, score }))).toEqual(record!.timeline);
  });

  it('that is not there: the record stays, and a problem says why', async () => {
    const { model } = models();
    const engine = await startEngine(temporaryDirectory(), cache, model);
    const first = (await engine.assess({ path: clip })).record!;
    const { outcome, record, error } = await refine(engine, join(temporaryDirectory(), 'nothing'));
    expect({ outcome, error }).toEqual({ outcome: 'complete', error: null });
    const { problems, ...rest } = record!;
    expect({ ...rest, problems: first.problems }).toEqual(first);
    expect(problems.at(-1)).toMatchObject({
      code: 'not_refined',
      message: expect.stringContaining('There is no directory'),
    });
    const place = { path: clip, model, provider: 'cpu', teamFolder: null } as const;
    expect((await engine.client.request('lookup', place)).record).toEqual(first);
  });

  it('for a clip that was never assessed: the error says what to do first', async () => {
    const { model, second } = models();
    const engine = await startEngine(temporaryDirectory(), cache, model);
    expect(await refine(engine, second)).toMatchObject({
      outcome: 'failed',
      error: { code: 'bad_usage', next: 'Assess the clip first.' },
    });
  });

  it('killed after a window: the next engine goes on with the others', async () => {
    const { model, second } = models();
    const store = temporaryDirectory();
    const engine = await startEngine(store, cache, model);
    await engine.assess({ path: clip });
    const pid = await engine.pid();
    const done = refine(engine, second, 4);
    await engine.until(({ record }) => (record?.refinements?.length ?? 0) > 0);
    process.kill(pid, 'SIGKILL');
    const { outcome, record } = await done;
    expect(outcome).toBe('complete');
    expect(record!.refinements).toHaveLength(4);
    await engine.client.dispose();
    expect(filesIn(store).filter((file) => file.endsWith('.lock'))).toEqual([]);
  });

  it('cancelled: what it said so far is kept with the record', async () => {
    const { model, second } = models();
    const long = writeClip(join(temporaryDirectory(), 'long.mp4'), { seconds: 60, size: '128x72' });
    const engine = await startEngine(temporaryDirectory(), cache, model);
    await engine.assess({ path: long });
    const { job } = await engine.client.request('assess', {
      ...{ path: long, model, provider: 'cpu', priority: -1, fresh: false, teamFolder: null },
      refine: { model: second, windows: 60 },
    });
    await engine.until(({ record }) => (record?.refinements?.length ?? 0) > 0);
    await engine.client.request('cancel', { job });
    const place = { path: long, model, provider: 'cpu', teamFolder: null } as const;
    const { record } = await engine.client.request('lookup', place);
    expect(record!.status).toBe('complete');
    expect(record!.refinements!.length).toBeGreaterThan(0);
    expect(record!.refinements!.length).toBeLessThan(60);
  });
});
