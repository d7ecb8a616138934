import { appendFileSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Assessment } from '../../../src/assessment/record.ts';
import { start } from '../../support/cli.ts';
import {
  bundled,
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
const windows = 10;
let undisturbed: Assessment;

beforeAll(() => {
  writeClip(clip, { seconds: windows, size: '320x180', filter: 'noise=alls=10' });
  utimesSync(clip, 1e9, 1e9);
});

it('nothing happens: the reference', async () => {
  const engine = await startEngine(temporaryDirectory(), cache, model);
  const { record, outcome } = await engine.assess({ path: clip });
  expect(outcome).toBe('complete');
  undisturbed = record!;
});

/** A store in which a clip is finished in part, as an engine left it that was told to end. */
async function interrupted(): Promise<{ store: string; journal: string }> {
  const store = temporaryDirectory();
  const engine = await startEngine(store, cache, model);
  void engine.assess({ path: clip });
  await aWindowIsKept(store);
  await engine.client.dispose();
  return { store, journal: journalIn(store)! };
}

function journalIn(store: string): string | undefined {
  const journals = filesIn(store).filter((file) => file.endsWith('.jsonl'));
  return journals[0] && join(store, journals[0]);
}

const windowsIn = (journal: string) => readFileSync(journal, 'utf8').split(' {"window":').length - 1;

/** Sooner than the client is told of it: a short clip might be over by then. */
function aWindowIsKept(store: string): Promise<void> {
  return eventually(() => {
    const journal = journalIn(store);
    return journal !== undefined && windowsIn(journal) > 0;
  });
}

describe('a window that is reloaded in the middle of a job', () => {
  it('goes on at the last finished window', async () => {
    const { store, journal } = await interrupted();
    const kept = windowsIn(journal);
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(windows);
    const engine = await startEngine(store, cache, model);
    const choice = { path: clip, model, provider: 'cpu' as const, teamFolder: null };
    const { record } = await engine.client.request('lookup', choice);
    expect(record).toMatchObject({ status: 'partial', coverage: [[0, kept]] });
    const update = await engine.assess({ path: clip });
    expect(update).toMatchObject({ outcome: 'complete', kept: false, resumed: true });
    expect(timeless(update.record)).toEqual(timeless(undisturbed));
    // The windows that were kept are shown from the first moment on.
    const first = engine.updates.find(({ record: shown }) => shown !== null)!;
    expect(first.record!.timeline.length).toBeGreaterThanOrEqual(kept);
    expect((await engine.client.request('lookup', choice)).record).toEqual(update.record);
  });

  it('that was killed takes its engine along, and the next one goes on', async () => {
    const store = temporaryDirectory();
    const host = start(
      process.execPath,
      [await bundled('test/support/engine_host.ts'), await bundled(), store, clip, model],
      { env: { OMNIVQA_CACHE: cache } },
    );
    let said = '';
    host.child.stdout!.on('data', (text: string) => {
      said += text;
    });
    await aWindowIsKept(store);
    host.child.kill('SIGKILL');
    await host.finished;
    const pid = Number(/engine (\d+)/.exec(said)![1]);
    await eventually(() => ended(pid));
    expect(filesIn(store).filter((file) => file.endsWith('.lock'))).toEqual([]);
    const engine = await startEngine(store, cache, model);
    const update = await engine.assess({ path: clip });
    expect(update).toMatchObject({ outcome: 'complete', resumed: true });
    expect(timeless(update.record)).toEqual(timeless(undisturbed));
  });
});

describe('a journal', () => {
  it('whose last line is cut off loses that window alone', async () => {
    const { store, journal } = await interrupted();
    truncateSync(journal, statSync(journal).size - 5);
    const left = windowsIn(journal);
    const engine = await startEngine(store, cache, model);
    const update = await engine.assess({ path: clip });
    expect(update).toMatchObject({ outcome: 'complete', resumed: left > 1 });
    expect(timeless(update.record)).toEqual(timeless(undisturbed));
  });

  it('that is damaged is moved aside, and the clip assessed from the start', async () => {
    const { store, journal } = await interrupted();
    const text = readFileSync(journal, 'utf8');
    const damaged = text.replace(/"score":0\.(\d)/, (_, digit: string) => `"score":0.${9 - Number(digit)}`);
    expect(damaged).not.toBe(text);
    writeFileSync(journal, damaged);
    const engine = await startEngine(store, cache, model);
    const update = await engine.assess({ path: clip });
    expect(update).toMatchObject({ outcome: 'complete', resumed: false });
    const problems = update.record!.problems.filter(({ code }) => code === 'journal_corrupt');
    expect(problems).toHaveLength(1);
    expect(timeless({ ...update.record!, problems: [] })).toEqual(timeless({ ...undisturbed, problems: [] }));
    const aside = filesIn(store).filter((file) => file.includes('.corrupt-'));
    expect(aside.map((file) => readFileSync(join(store, file), 'utf8'))).toEqual([damaged]);
    expect(problems[0]!.message).toContain(aside[0]!);
  });
});

describe('a clip that is replaced in the middle of a job', () => {
  it('is an error; nothing of it is kept, and the new one is assessed from the start', async () => {
    const store = temporaryDirectory();
    const path = join(temporaryDirectory(), 'clip.mp4');
    writeFileSync(path, readFileSync(clip));
    const engine = await startEngine(store, cache, model);
    const done = engine.assess({ path });
    await aWindowIsKept(store);
    appendFileSync(path, 'more');
    const { outcome, error } = await done;
    expect({ outcome, code: error?.code }).toEqual({ outcome: 'failed', code: 'file_replaced' });
    expect(filesIn(store).filter((file) => /\.(lock|jsonl)$/.test(file))).toEqual([]);
    const again = await engine.assess({ path });
    expect(again).toMatchObject({ outcome: 'complete', resumed: false });
    expect(again.record!.video.sha256).not.toBe(undisturbed.video.sha256);
  });
});

/** Whether a process is gone, or only waits for its parent to notice (proc(5): Z). */
function ended(pid: number): boolean {
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}
