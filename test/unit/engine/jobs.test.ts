import { describe, expect, it } from 'vitest';
import type { Assessment } from '../../../src/assessment/record.ts';
import { cancelled } from '../../../src/engine/content.ts';
import { JobQueue, type JobResult, type JobWork } from '../../../src/engine/jobs.ts';
import type { WindowResult } from '../../../src/engine/windows.ts';
import type { AssessRequest, JobUpdate } from '../../../src/protocol/engine.ts';
import { OmniError } from '../../../src/protocol/errors.ts';
import { eventually } from '../../support/engine_process.ts';
import { recordOf } from '../assessment/records.ts';

const request = (path: string, changes: Partial<AssessRequest> = {}): AssessRequest => ({
  path,
  model: 'nano',
  provider: 'auto',
  priority: 0,
  fresh: false,
  teamFolder: null,
  ...changes,
});

const whole = (path: string): JobResult => ({
  record: recordOf({ video: { ...recordOf().video, path } }),
  kept: false,
  error: null,
});

interface Attempt {
  readonly work: JobWork;
  readonly end: (result: JobResult | 'busy') => void;
  readonly fail: (error: Error) => void;
}

/** A queue whose work is done by the test. As the real work, an attempt ends when its signal aborts. */
function queue() {
  const updates: JobUpdate<Assessment>[] = [];
  const attempts: Attempt[] = [];
  const idle: boolean[] = [];
  const jobs = new JobQueue({
    work: (work) =>
      new Promise((end, fail) => {
        work.signal.addEventListener('abort', () => fail(cancelled()));
        attempts.push({ work, end, fail });
      }),
    onUpdate: (update) => updates.push(update),
    onIdle: (is) => idle.push(is),
    patience: 0,
  });
  const attempt = async (count: number) => {
    await eventually(() => attempts.length >= count);
    return attempts[count - 1]!;
  };
  const over = async (job: string) => {
    await eventually(() => updates.some((update) => update.job === job && update.state === null));
    return updates.find((update) => update.job === job && update.state === null)!;
  };
  return { jobs, updates, attempts, idle, attempt, over };
}

const step = (windows: readonly Partial<WindowResult>[], record: Assessment | null = null) => ({
  windows: windows as WindowResult[],
  current: { start: 8, end: 9 },
  record: () => record,
});

describe('JobQueue', () => {
  it('runs one job at a time, the most urgent first, equals in order', async () => {
    const { jobs, attempts, attempt, idle, over } = queue();
    const ids = [
      jobs.add(request('/a')),
      jobs.add(request('/b')),
      jobs.add(request('/c', { priority: 2 })),
      jobs.add(request('/d', { priority: 1 })),
    ];
    for (let count = 1; count <= 4; count++) {
      const { work, end } = await attempt(count);
      expect(attempts).toHaveLength(count);
      end(whole(work.request.path));
    }
    await Promise.all(ids.map(over));
    expect(attempts.map(({ work }) => work.request.path)).toEqual(['/c', '/d', '/a', '/b']);
    expect(idle).toEqual([false, true]);
    expect(jobs.size).toBe(0);
  });

  it('has one job for a clip and model, of the higher priority', async () => {
    const { jobs, attempts, attempt } = queue();
    const first = jobs.add(request('/a'));
    expect(jobs.add(request('/x/../a', { priority: 3 }))).toBe(first);
    expect(jobs.add(request('/a', { model: '/other' }))).not.toBe(first);
    expect(jobs.add(request('/a', { provider: 'cpu' }))).not.toBe(first);
    const { work, end } = await attempt(1);
    expect(work.request.path).toBe('/a');
    end(whole('/a'));
    await attempt(2);
    expect(attempts.map(({ work: { request } }) => [request.model, request.provider])).toEqual([
      ['nano', 'auto'],
      ['/other', 'auto'],
    ]);
  });

  it('lets a more urgent job take over at the end of a window, and goes on after it', async () => {
    const { jobs, attempt, updates, over } = queue();
    const slow = jobs.add(request('/slow', { fresh: true }));
    const first = await attempt(1);
    first.work.began(false);
    first.work.step(step([]));
    jobs.add(request('/same', { priority: 0 }));
    jobs.prioritise('/same', 4, 5);
    await eventually(() => updates.some(({ path }) => path === '/same'));
    expect(first.work.signal.aborted).toBe(false);
    first.work.step(step([{ index: 0, start: 0, end: 1, frames: 10 }]));
    expect(first.work.signal.aborted).toBe(true);
    const urgent = await attempt(2);
    expect(urgent.work.request.path).toBe('/same');
    expect(urgent.work.playhead()).toBe(4);
    urgent.end(whole('/same'));
    const again = await attempt(3);
    // What was begun afresh is gone on with.
    expect(again.work.request).toMatchObject({ path: '/slow', fresh: false });
    again.work.began(true);
    again.end(whole('/slow'));
    expect(await over(slow)).toMatchObject({ outcome: 'complete', resumed: true });
  });

  it('has a second model wait for the first results of all clips, whatever is looked at', async () => {
    const { jobs, updates, attempt, over } = queue();
    const refine = { model: '/second', windows: 3 };
    const second = jobs.add(request('a', { priority: -10, refine }));
    const refining = await attempt(1);
    refining.work.step(step([{ index: 0, start: 0, end: 1, frames: 10 }]));
    const first = jobs.add(request('b'));
    expect(jobs.add(request('a', { priority: -10, refine }))).toBe(second);
    jobs.prioritise('a', 0, 20);
    // It is asked to stop after its window.
    await eventually(() => {
      if (!refining.work.signal.aborted)
        refining.work.step(step([{ index: 0, start: 0, end: 1, frames: 10 }]));
      return refining.work.signal.aborted;
    });
    const next = await attempt(2);
    expect(next.work.request.path).toBe('b');
    next.end(whole('b'));
    expect((await over(first)).state).toBeNull();
    const again = await attempt(3);
    expect(again.work.request).toMatchObject({ path: 'a', refine });
    again.end(whole('a'));
    expect((await over(second)).outcome).toBe('complete');
    const states = updates.flatMap(({ job, state }) => (state ? [[job, state.refining ?? false]] : []));
    for (const [job, is] of states) expect(is).toBe(job === second);
  });

  it('waits for a clip that another process has, and does others meanwhile', async () => {
    const { jobs, attempt, over } = queue();
    const held = jobs.add(request('/held'));
    jobs.add(request('/free'));
    (await attempt(1)).end('busy');
    const paths: string[] = [];
    for (let count = 2; paths.length < 2; count++) {
      const { work, end } = await attempt(count);
      paths.push(work.request.path);
      end(whole(work.request.path));
    }
    expect(paths.sort()).toEqual(['/free', '/held']);
    expect((await over(held)).outcome).toBe('complete');
  });

  it('cancels a job that waits, and one that runs, and resolves when it is over', async () => {
    const { jobs, attempt, over } = queue();
    const [running, waiting] = [jobs.add(request('/a')), jobs.add(request('/b'))];
    const { work } = await attempt(1);
    const partial = recordOf({ status: 'partial' });
    work.step(step([{ index: 0, start: 0, end: 1, frames: 10 }], partial));
    await jobs.cancel(waiting);
    expect(await over(waiting)).toMatchObject({ outcome: 'cancelled', record: null, error: null });
    await jobs.cancel(running);
    expect(await over(running)).toMatchObject({ outcome: 'cancelled', record: partial });
    await jobs.cancel('unknown');
    await jobs.cancel(running);
    expect(jobs.size).toBe(0);
  });

  it('asked for a clip whose job is being cancelled starts another', async () => {
    const { jobs, attempt, over } = queue();
    const first = jobs.add(request('/a'));
    await attempt(1);
    const gone = jobs.cancel(first);
    const second = jobs.add(request('/a'));
    expect(second).not.toBe(first);
    await gone;
    (await attempt(2)).end(whole('/a'));
    expect((await over(second)).outcome).toBe('complete');
  });

  it('says why a job failed, and why one ended early', async () => {
    const { jobs, attempt, over } = queue();
    const [one, two, three] = ['/a', '/b', '/c'].map((path) => jobs.add(request(path))) as [
      string,
      string,
      string,
    ];
    (await attempt(1)).fail(new OmniError('disk_full', 'No room.', 'Make some.'));
    expect(await over(one)).toMatchObject({ outcome: 'failed', error: { code: 'disk_full' }, record: null });
    (await attempt(2)).fail(new TypeError('x is not a function'));
    expect(await over(two)).toMatchObject({ outcome: 'failed', error: { code: 'internal_error' } });
    const error = new OmniError('ffmpeg_failed', 'It failed.', 'Look.');
    (await attempt(3)).end({ record: recordOf({ status: 'partial' }), kept: false, error });
    expect(await over(three)).toMatchObject({ outcome: 'partial', error: { code: 'ffmpeg_failed' } });
  });

  it('tells how far a job is: windows, spans, progress; composing a record once a window', async () => {
    const { jobs, attempt, updates } = queue();
    jobs.add(request('/a'));
    const { work } = await attempt(1);
    let composed = 0;
    const windows = [
      { index: 0, start: 0, end: 1, frames: 10 },
      { index: 1, start: 1, end: 2.5, frames: 10 },
      { index: 4, start: 4, end: 5, frames: 10 },
    ];
    work.progress({ frames: 30, total: 100 });
    work.step({
      ...step(windows),
      record: () => {
        composed++;
        return recordOf();
      },
    });
    work.progress({ frames: 50, total: 100 });
    await eventually(() => updates.at(-1)?.state?.finished.length === 2);
    const { state } = updates.at(-1)!;
    expect(state).toMatchObject({
      phase: 'running',
      progress: 0.4,
      finished: [
        { start: 0, end: 2.5 },
        { start: 4, end: 5 },
      ],
      current: { start: 8, end: 9 },
    });
    expect(jobs.recordOf('/a', 'nano')).toEqual(recordOf());
    expect(jobs.recordOf('/b', 'nano')).toBeNull();
    expect(composed).toBe(1);
    // A thousand frames are not a thousand updates.
    const before = updates.length;
    for (let frames = 0; frames < 1000; frames++) work.progress({ frames: 50 + frames / 20, total: 100 });
    expect(updates.length).toBe(before);
  });

  it('is silent once it is closed, and has ended what ran', async () => {
    const { jobs, attempt, updates } = queue();
    jobs.add(request('/a'));
    jobs.add(request('/b'));
    const { work } = await attempt(1);
    const before = updates.length;
    await jobs.close();
    expect(work.signal.aborted).toBe(true);
    expect(updates.length).toBe(before);
  });
});
