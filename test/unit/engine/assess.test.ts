import { appendFileSync, copyFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { type Assessment, parseAssessment } from '../../../src/assessment/record.ts';
import { assessCached, assessVideo } from '../../../src/engine/assess.ts';
import { clipTokens, evenKeys } from '../../../src/engine/clip.ts';
import { sha256OfFile } from '../../../src/engine/content.ts';
import { ResultCache } from '../../../src/engine/results.ts';
import { families } from '../../../src/model/checkpoint/families.ts';
import { OmniError } from '../../../src/protocol/errors.ts';
import { addComparison, copyCheckpoint } from '../../support/checkpoints.ts';
import { checkpointWith, loadForTest, temporaryCache } from '../../support/engine.ts';
import { cutFile, temporaryDirectory, writeClip } from '../../support/media.ts';

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

describe('assessVideo', () => {
  it('gives a whole record of a clip in several windows', async () => {
    temporaryCache();
    const model = await loadForTest(checkpointWith({ window_seconds: 2 }));
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 5, rate: '10' });
    const seen: number[] = [];
    const record = await assessVideo(path, model, {
      onProgress: ({ frames, total }) => {
        seen.push(frames);
        expect(total).toBe(50);
      },
    });
    expect(parseAssessment(JSON.parse(JSON.stringify(record)))).toEqual({ value: record, problems: [] });
    expect(record).toMatchObject({
      status: 'complete',
      coverage: [[0, expect.closeTo(5, 5)]],
      video: {
        path,
        sha256: await sha256OfFile(path),
        frames: 50,
        width: 160,
        height: 96,
        fps: 10,
        vfr: false,
      },
      model: { revision: model.revision, provider: 'cpu', precision: 'fp32' },
      distortions: null,
      problems: [],
    });
    expect(record.timeline.map(({ start, end }) => [start, end])).toEqual(
      [0, 1, 2, 3, 4].map((second) => [expect.closeTo(second, 5), expect.closeTo(second + 1, 5)]),
    );
    expect(record.signals.frameTypes).toHaveLength(50);
    expect(sum(record.signals.frameBytes)).toBeLessThan(statSync(path).size);
    expect(sum(Object.values(record.levels))).toBeCloseTo(1, 6);
    expect(record.mos).toBeCloseTo(1 + record.score / 25, 9);
    const { wall, ...stages } = record.timing;
    expect(sum(Object.values(stages))).toBeLessThanOrEqual(wall);
    expect(seen.at(-1)).toBe(50);
  });

  it('weighs windows by their length, and their steps are those of the timeline', async () => {
    temporaryCache();
    const folder = temporaryDirectory();
    const whole = writeClip(join(folder, 'whole.mp4'), { seconds: 3, rate: '10' });
    const [byTwo, byTen] = [
      await assessVideo(whole, await loadForTest(checkpointWith({ window_seconds: 2, step_seconds: 2 }))),
      await assessVideo(whole, await loadForTest(checkpointWith({ window_seconds: 10, step_seconds: 10 }))),
    ];
    // Steps as long as the windows: the windows' own scores are the timeline.
    expect(byTwo.timeline.map(({ end }) => Math.round(end))).toEqual([2, 3]);
    expect(byTwo.score).toBeCloseTo((2 * byTwo.timeline[0]!.score + byTwo.timeline[1]!.score) / 3, 6);
    expect(byTen.timeline).toEqual([{ start: 0, end: expect.closeTo(3, 5), score: byTen.score }]);
  });

  it('has the figures of the one branch a model knows, and asks one that knows several', async () => {
    temporaryCache();
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 2 });
    const one = await assessVideo(path, await loadForTest(checkpointWith({ branches: ['technical'] })));
    const { mos, score, levels, pooling } = one;
    expect(one.branches).toEqual({ technical: { mos, score, levels, pooling }, aesthetic: null });

    const both = await assessVideo(
      path,
      await loadForTest(checkpointWith({ branches: ['technical', 'aesthetic'] })),
    );
    expect(both.score).toBeCloseTo(score, 6);
    const scores = [both.score, both.branches.technical!.score, both.branches.aesthetic!.score];
    expect(new Set(scores).size).toBe(3);
  });

  it.each([
    ['a single frame', { seconds: 0.1, rate: '10' }, 1],
    ['fewer frames than the motion branch takes', { seconds: 0.3, rate: '10' }, 3],
    ['a second and a frame', { seconds: 1.1, rate: '10' }, 11],
    ['a frame a second', { seconds: 3, rate: '1' }, 3],
  ])('takes a clip of %s', async (_, options, frames) => {
    temporaryCache();
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), options);
    const record = await assessVideo(path, await loadForTest(copyCheckpoint()));
    expect(parseAssessment(JSON.parse(JSON.stringify(record))).problems).toEqual([]);
    expect(record).toMatchObject({ status: 'complete', video: { frames } });
    expect(record.timeline.at(-1)!.end).toBeCloseTo(record.coverage[0]![1], 9);
  });

  it('says partial, with the span, of a file that was cut', async () => {
    temporaryCache();
    const path = writeClip(join(temporaryDirectory(), 'cut.mkv'), { seconds: 6, size: '320x180' });
    cutFile(path, Math.floor(statSync(path).size / 2));
    const record = await assessVideo(path, await loadForTest(copyCheckpoint()));
    expect(record.status).toBe('partial');
    expect(record.problems.map(({ code }) => code)).toContain('truncated');
    expect(record.coverage[0]![1]).toBeLessThan(5.5);
    expect(record.video.duration).toBeGreaterThan(5.5);
  });

  it('says partial, once and over all of them, where windows do not fit the context', async () => {
    temporaryCache();
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 6 });
    const narrow = checkpointWith(
      { window_seconds: 3 },
      { name: 'joined-patch', tokenizer_model_max_length: 150 },
    );
    const record = await assessVideo(path, await loadForTest(narrow));
    expect(record.status).toBe('partial');
    expect(record.problems).toEqual([
      expect.objectContaining({ code: 'clip_truncated', start: 0, end: expect.closeTo(6, 1) }),
    ]);
  });

  it('takes shorter windows where the motion branch has no positions for longer ones', async () => {
    temporaryCache();
    const model = await loadForTest(checkpointWith({ step_seconds: 10 }));
    const most = model.config.motion!.maxPositions;
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 5, rate: '30', size: '64x64' });
    const { status, timeline, problems } = await assessVideo(path, model);
    expect({ status, problems }).toEqual({ status: 'complete', problems: [] });
    expect(timeline[0]!.end).toBeCloseTo(Math.floor(most / 30), 5);
  });

  it('keeps finished windows when it is cancelled', async () => {
    temporaryCache();
    const model = await loadForTest(checkpointWith({ window_seconds: 1 }));
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 6 });
    const controller = new AbortController();
    const record = await assessVideo(path, model, {
      signal: controller.signal,
      // The reader is at most two windows of ten frames ahead: the first ones are rated by then.
      onProgress: ({ frames }) => frames >= 50 && controller.abort(),
    });
    expect(record.status).toBe('cancelled');
    expect(parseAssessment(JSON.parse(JSON.stringify(record))).problems).toEqual([]);
    expect(record.coverage[0]![1]).toBeLessThan(6);
    expect(record.timeline.length).toBeGreaterThan(0);
    expect(record.video.frames).toBe(record.timeline.length * 10);
  });

  it.each([
    ['before it begins', 0],
    ['before the first window', 1],
  ])('has nothing to keep when it is cancelled %s', async (_, frames) => {
    temporaryCache();
    const model = await loadForTest(copyCheckpoint());
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 4 });
    const controller = new AbortController();
    if (frames === 0) controller.abort();
    const done = assessVideo(path, model, {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(done).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('keeps finished windows when the model fails after them', async () => {
    temporaryCache();
    const model = await loadForTest(checkpointWith({ window_seconds: 1 }));
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 4 });
    let windows = 0;
    const omni = new Proxy(model.omni, {
      get(target, name) {
        if (name === 'vision' && windows++ > 0)
          throw new OmniError('out_of_memory', 'No memory.', 'Buy some.');
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const record = await assessVideo(path, { ...model, omni });
    expect(record.status).toBe('partial');
    expect(record.timeline).toHaveLength(1);
    expect(record.problems).toEqual([
      expect.objectContaining({
        code: 'stopped_early',
        message: 'No memory. (out_of_memory) The windows before it are kept.',
      }),
    ]);
  });

  it('rates the frames between the key frames too, where it is to look closely', async () => {
    temporaryCache();
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 2.3, rate: '10' });
    const model = await loadForTest(checkpointWith({ comparison_key_frames: 4 }));
    const [plain, close, again] = [
      await assessVideo(path, model),
      await assessVideo(path, model, { closely: true }),
      await assessVideo(path, model, { closely: true }),
    ];
    expect(parseAssessment(JSON.parse(JSON.stringify(close))).problems).toEqual([]);
    expect([plain.model.closely, close.model.closely]).toEqual([undefined, true]);
    expect(close.score).not.toBe(plain.score);
    expect(again.score).toBe(close.score);
    // The same seconds, the last of which is shorter than the distance of most of its frames.
    const spans = ({ timeline }: Assessment) => timeline.map(({ start, end }) => [start, end]);
    expect(spans(close)).toEqual(spans(plain));
    const usual = await loadForTest(checkpointWith({}));
    expect((await assessVideo(path, usual, { closely: true })).score).toBe(plain.score);
  });

  it('rates closely with the weights for comparisons, and finds what is wrong with its own', async () => {
    temporaryCache();
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 2.3, rate: '10' });
    const { localization, chat } = families.assistant!;
    const calibration = { ...localization!.calibration, spatial: { temperature: 1, threshold: 0.01 } };
    const directory = checkpointWith({ chat, localization: { ...localization, calibration } });
    const folder = addComparison(directory, { comparison_key_frames: 2 });
    const [model, rater] = [await loadForTest(directory), await loadForTest(folder)];
    const own = await assessVideo(path, model);
    const close = await assessVideo(path, model, { closely: true });
    const rated = await assessVideo(path, rater, { closely: true });
    expect(parseAssessment(JSON.parse(JSON.stringify(close))).problems).toEqual([]);
    expect([close.mos, close.levels, close.timeline]).toEqual([rated.mos, rated.levels, rated.timeline]);
    expect(close.distortions).toEqual(own.distortions);
    expect(own.distortions!.length).toBeGreaterThan(0);
    expect(close.mos).not.toBe(own.mos);
    const { revision } = rater;
    expect([own.model.comparison, close.model.comparison]).toEqual([undefined, revision]);
    expect(close.model.revision).toBe(own.model.revision);
  });

  it('refuses to mix two files under one name', async () => {
    temporaryCache();
    const model = await loadForTest(checkpointWith({ window_seconds: 1 }));
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 4 });
    const done = assessVideo(path, model, {
      onProgress: ({ frames }) => frames === 10 && appendFileSync(path, 'more'),
    });
    await expect(done).rejects.toMatchObject({ code: 'file_replaced' });
  });
});

describe('assessCached', () => {
  it('assesses the same content once, whatever its name', async () => {
    temporaryCache();
    const model = await loadForTest(copyCheckpoint());
    const folder = temporaryDirectory();
    const path = writeClip(join(folder, 'a.mp4'));
    const cache = new ResultCache(join(folder, 'results'));
    const first = await assessCached(path, model, cache);
    copyFileSync(path, join(folder, 'b.mp4'));
    const second = await assessCached(join(folder, 'b.mp4'), model, cache);
    expect([first.kept, second.kept]).toEqual([false, true]);
    expect(second.record).toEqual({
      ...first.record,
      video: { ...first.record.video, path: join(folder, 'b.mp4') },
    });
    appendFileSync(path, 'x');
    expect((await assessCached(path, model, cache)).kept).toBe(false);
    expect(cache.problems).toEqual([]);
  });

  it('keeps what was looked at closely beside what was not', async () => {
    temporaryCache();
    const model = await loadForTest(checkpointWith({ comparison_key_frames: 2 }));
    const folder = temporaryDirectory();
    const path = writeClip(join(folder, 'a.mp4'), { rate: '10' });
    const cache = new ResultCache(join(folder, 'results'));
    const ways = [{ closely: true }, {}, { closely: true }, {}];
    const found = [];
    for (const way of ways) found.push(await assessCached(path, model, cache, way));
    expect(found.map(({ kept }) => kept)).toEqual([false, false, true, true]);
    expect(found.map(({ record }) => record.model.closely)).toEqual([true, undefined, true, undefined]);
  });

  it.each([
    ['missing.mp4', 'file_not_found'],
    ['.', 'file_unreadable'],
    ['/dev/null', 'file_unreadable'],
  ])('says what is wrong with %s before it reads it', async (path, code) => {
    temporaryCache();
    const model = await loadForTest(copyCheckpoint());
    const cache = new ResultCache(temporaryDirectory());
    await expect(assessCached(path, model, cache)).rejects.toMatchObject({ code });
  });
});

test.each([
  [4, 24, 4],
  [4, 23.976, 4],
  [4, 25, 5],
  [4, 29.97, 5],
  [4, 23, 1],
  [8, 30, 6],
  [1, 30, 1],
])('%i key frames a second at %f frames a second: %i', (wanted, fps, keys) => {
  expect(evenKeys(wanted, fps)).toBe(keys);
});

describe('clipTokens', () => {
  it('reads as much of a clip as the context holds', async () => {
    temporaryCache();
    const path = writeClip(join(temporaryDirectory(), 'clip.mp4'), {
      seconds: 14,
      rate: '30',
      size: '64x64',
    });
    const wide = await clipTokens(path, await loadForTest(copyCheckpoint('frames-statistics')));
    expect(wide.clip.keyFrames).toBe(14);
    expect(wide.problems).toEqual([]);
    expect(wide.span).toBeCloseTo(14, 5);
    const narrow = await clipTokens(path, await loadForTest(copyCheckpoint('joined-patch')));
    expect(narrow.clip.keyFrames).toBeLessThan(14);
    expect(narrow.problems.map(({ code }) => code)).toContain('only_beginning');
  });
});
