import { statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseAssessment } from '../../../src/assessment/record.ts';
import { type AssessOptions, assessVideo } from '../../../src/engine/assess.ts';
import { sha256OfFile } from '../../../src/engine/content.ts';
import { Journal, type JournalKey } from '../../../src/engine/journal.ts';
import type { EngineModel } from '../../../src/engine/models.ts';
import type { WindowResult } from '../../../src/engine/windows.ts';
import { fingerprint } from '../../../src/video/probe.ts';
import { checkpointWith, loadForTest, temporaryCache } from '../../support/engine.ts';
import { timeless } from '../../support/engine_process.ts';
import { flipBits, sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

const clip = join(sharedDirectory(), 'clip.mp4');
const count = 5;

beforeAll(() => {
  // Black over the edge of two windows, which is a freeze as well, between two cuts.
  writeClip(clip, {
    seconds: count,
    filter: "drawbox=c=black:t=fill:enable='between(t,1.55,2.35)'",
  });
});

async function setUp() {
  temporaryCache();
  const model = await loadForTest(checkpointWith({ window_seconds: 1 }));
  const whole = await assessVideo(clip, model);
  const { sceneCuts, black, freezes } = whole.signals;
  expect([sceneCuts.length, black.length, freezes.length]).toEqual([2, 1, 1]);
  return { model, whole };
}

const key = (sha256: string): JournalKey => ({
  ...{ sha256, revision: 'r', precision: 'fp32', compiler: '1', provider: 'cpu' },
});

/** Assesses the clip with a journal; which windows were computed, in the order in which they were. */
async function assessed(
  model: EngineModel,
  file: string,
  { path = clip, ...options }: AssessOptions & { readonly path?: string } = {},
) {
  const content = { sha256: await sha256OfFile(path), fingerprint: await fingerprint(path) };
  const journal = await Journal.open(file, key(content.sha256));
  const order: number[] = [];
  const add = journal.add.bind(journal);
  journal.add = (window) => {
    order.push(window.index);
    return add(window);
  };
  const record = await assessVideo(path, model, { ...options, content, store: journal });
  await journal.close();
  return { record, order, journal };
}

describe('windows that are kept', () => {
  it.each([[[]], [[0]], [[0, 1]], [[4]], [[1, 3]], [[0, 2, 4]], [[0, 1, 2, 3, 4]]])(
    '%j are not assessed again, and the record is the same',
    async (kept) => {
      const { model, whole } = await setUp();
      const folder = temporaryDirectory();
      const all = (await assessed(model, join(folder, 'all.jsonl'))).journal;
      const some = join(folder, 'some.jsonl');
      const journal = await Journal.open(some, key(whole.video.sha256!));
      await journal.begin(all.clip!);
      for (const index of kept) await journal.add(all.windows.get(index)!);
      await journal.close();
      const { record, order } = await assessed(model, some);
      expect(order).toEqual([0, 1, 2, 3, 4].filter((index) => !kept.includes(index)));
      expect(timeless(record)).toEqual(timeless(whole));
      const { wall, decode, vision, motion, language } = record.timing;
      expect(wall).toBeGreaterThanOrEqual(decode + vision + motion + language);
    },
  );

  it('to the end leave nothing to decode', async () => {
    const { model, whole } = await setUp();
    const file = join(temporaryDirectory(), 'all.jsonl');
    await assessed(model, file);
    let frames = 0;
    const { record, order } = await assessed(model, file, { onProgress: () => frames++ });
    expect({ order, frames }).toEqual({ order: [], frames: 0 });
    expect(timeless(record)).toEqual(timeless(whole));
  });
});

it.each([
  ['is damaged', ['-g', '10', '-bf', '0'], 'decode_errors'],
  [
    'has frames at uneven times',
    ['-g', '10', '-vf', "select='not(eq(mod(n,7),3))'", '-fps_mode', 'vfr'],
    'vfr',
  ],
])('a clip that %s is said to be, whichever window was read when', async (_, output, code) => {
  temporaryCache();
  const model = await loadForTest(checkpointWith({ window_seconds: 1 }));
  const folder = temporaryDirectory();
  const path = writeClip(join(folder, 'clip.mkv'), { seconds: 8, size: '320x180', output });
  if (code === 'decode_errors') {
    const { size } = statSync(path);
    await flipBits(path, Math.round(0.1 * size), Math.round(0.3 * size), 997);
  }
  const whole = await assessVideo(path, model);
  expect(whole.problems.map((problem) => problem.code)).toContain(code);
  // The faults lie before the windows that are left to read.
  const stop = new AbortController();
  const file = join(folder, 'a.jsonl');
  const first = await assessed(model, file, {
    path,
    signal: stop.signal,
    onStep: ({ windows }) => windows.length === 4 && stop.abort(),
  });
  expect(first.order).toEqual([0, 1, 2, 3]);
  const { record, order } = await assessed(model, file, { path });
  expect(order[0]).toBe(4);
  expect(record.status).toBe(whole.status);
  expect(record.problems.map((problem) => problem.code)).toEqual(
    whole.problems.map((problem) => problem.code),
  );
  // What a decoder with several threads conceals a lost slice with depends on what is ready: no two reads are the same.
  const from = code === 'decode_errors' ? 4 : 0;
  expect(record.timeline.slice(from)).toEqual(whole.timeline.slice(from));
  expect(record.video).toEqual(whole.video);
  if (from === 0) expect(record.signals).toEqual(whole.signals);
});

describe('where the user looks', () => {
  it('comes first, then what follows, then what was left out; the record is the same', async () => {
    const { model, whole } = await setUp();
    const { record, order } = await assessed(model, join(temporaryDirectory(), 'a.jsonl'), {
      playhead: () => 3.2,
    });
    expect(order).toEqual([3, 4, 0, 1, 2]);
    expect(timeless(record)).toEqual(timeless(whole));
  });

  it('may change: the window that is worked on is finished first', async () => {
    const { model, whole } = await setUp();
    let looks: number | null = null;
    const steps: number[][] = [];
    const { record, order } = await assessed(model, join(temporaryDirectory(), 'a.jsonl'), {
      playhead: () => looks,
      onStep: ({ windows }) => {
        steps.push(windows.map(({ index }) => index));
        if (windows.length === 1) looks = 4.9;
        if (windows.length === 2) looks = 2;
      },
    });
    expect(order).toEqual([0, 4, 2, 3, 1]);
    expect(timeless(record)).toEqual(timeless(whole));
    for (const indices of steps) expect(indices).toEqual([...indices].sort());
  });

  it.each([
    ['before the clip', -3],
    ['after the clip', 1e6],
  ])('%s changes nothing', async (_, time) => {
    const { model, whole } = await setUp();
    const { record, order } = await assessed(model, join(temporaryDirectory(), 'a.jsonl'), {
      playhead: () => time,
    });
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(timeless(record)).toEqual(timeless(whole));
  });
});

describe('the record of some windows', () => {
  it('is valid, says partial, and covers what is finished', async () => {
    const { model, whole } = await setUp();
    const seen: { indices: number[]; record: ReturnType<typeof parseAssessment> }[] = [];
    await assessed(model, join(temporaryDirectory(), 'a.jsonl'), {
      playhead: () => 2,
      onStep: ({ windows, record }) => {
        const value: unknown = JSON.parse(JSON.stringify(record()));
        if (value) seen.push({ indices: windows.map(({ index }) => index), record: parseAssessment(value) });
      },
    });
    const spans = new Map<string, unknown>();
    for (const { indices, record } of seen) {
      expect(record.problems).toEqual([]);
      const { value } = record;
      spans.set(
        indices.join(),
        value!.coverage.map((span) => span.map(Math.round)),
      );
      expect(value!.timeline).toEqual(indices.map((index) => whole.timeline[index]!));
      expect(value!.video.frames).toBe(indices.length * 10);
      expect(value!.signals.frameTypes).toHaveLength(indices.length * 10);
    }
    expect(Object.fromEntries(spans)).toEqual({
      '2': [[2, 3]],
      '2,3': [[2, 4]],
      '2,3,4': [[2, 5]],
      '0,2,3,4': [
        [0, 1],
        [2, 5],
      ],
      '0,1,2,3,4': [[0, 5]],
    });
    // The bytes of the frames are those that the whole clip's record gives them.
    const { value } = seen.find(({ indices }) => indices.join() === '0,2,3,4')!.record;
    const bytes = whole.signals.frameBytes;
    expect(value!.signals.frameBytes).toEqual([...bytes.slice(0, 10), ...bytes.slice(20)]);
    expect(value!.status).toBe('partial');
  });
});

it('a window is plain JSON', async () => {
  const { model } = await setUp();
  const { journal } = await assessed(model, join(temporaryDirectory(), 'a.jsonl'));
  const windows: WindowResult[] = [...journal.windows.values()];
  expect(JSON.parse(JSON.stringify(windows))).toEqual(windows);
  for (const window of windows)
    expect(JSON.stringify(window).length).toBeLessThan(4_000 + window.frames * 60);
});
