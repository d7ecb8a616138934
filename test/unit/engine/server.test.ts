import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Assessment, parseAssessment } from '../../../src/assessment/record.ts';
import { type EngineOptions, serveEngine } from '../../../src/engine/server.ts';
import {
  type AssessRequest,
  type EngineClient,
  type EngineService,
  engineProtocol,
} from '../../../src/protocol/engine.ts';
import { connect, type Port } from '../../../src/protocol/rpc.ts';
import { addComparison } from '../../support/checkpoints.ts';
import { checkpointWith, temporaryCache } from '../../support/engine.ts';
import { eventually, filesIn, type Update } from '../../support/engine_process.ts';
import { sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

const clip = join(sharedDirectory(), 'clip.mp4');

beforeAll(() => {
  writeClip(clip, { seconds: 3 });
  utimesSync(clip, 1e9, 1e9);
});

/** Two ends of a wire in this process; what arrives was copied, as between processes. */
function wire(): [Port, Port] {
  const ends = [new Set<(message: unknown) => void>(), new Set<(message: unknown) => void>()] as const;
  const port = (own: 0 | 1): Port => ({
    post(message) {
      const copy: unknown = structuredClone(message);
      setImmediate(() => {
        for (const receive of ends[1 - own]!) receive(copy);
      });
    },
    listen(receive) {
      ends[own].add(receive);
      return () => ends[own].delete(receive);
    },
  });
  return [port(0), port(1)];
}

/** An engine in this process, and a client of it; its model has these fields in the `omnivqa` section of its config. */
function engine(options: Partial<EngineOptions> = {}, fields: Readonly<Record<string, unknown>> = {}) {
  temporaryCache();
  const store = options.store ?? temporaryDirectory();
  const [here, there] = wire();
  const close = serveEngine(there, { store, ...options });
  onTestFinished(close);
  const updates: Update[] = [];
  const encodes: string[] = [];
  const connection = connect<EngineClient<Assessment>, EngineService<Assessment>>(here, {
    version: engineProtocol,
    handlers: { sound: () => undefined },
    listeners: {
      chatText: () => undefined,
      pull: () => undefined,
      encode: ({ id, state }) => void encodes.push(`${id} ${state.phase}`),
      device: () => undefined,
      job: (update) => void updates.push(update),
      log: () => {},
    },
  });
  onTestFinished(() => connection.dispose());
  const choice = {
    model: checkpointWith({ window_seconds: 1, ...fields }),
    provider: 'cpu' as const,
    teamFolder: null,
  };
  const assess = async (changes: Partial<AssessRequest> = {}) => {
    const { job } = await connection.request('assess', {
      ...{ path: clip, priority: 0, fresh: false },
      ...choice,
      ...changes,
    });
    await eventually(() => updates.some((update) => update.job === job && update.state === null));
    return updates.find((update) => update.job === job && update.state === null)!;
  };
  return { connection, store, updates, encodes, choice, assess };
}

it('a model that takes more memory than it may is not loaded', async () => {
  const { assess } = engine({ memory: 50e6 });
  const { outcome, error } = await assess();
  expect(outcome).toBe('failed');
  expect(error).toMatchObject({ code: 'out_of_memory', message: expect.stringContaining('50 MB to spare') });
});

it('who asks for an encode by a name is told where it stands, and a cancelled one leaves nothing', async () => {
  const { connection, encodes, store } = engine();
  const options = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '30'];
  const abort = new AbortController();
  const cancelled = connection.request(
    'encode',
    { path: clip, options: [...options, '-g', '5'], id: 'b' },
    { signal: abort.signal },
  );
  abort.abort();
  await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
  const { file } = await connection.request('encode', { path: clip, options, id: 'a' });
  expect(encodes).toContain('a encoding');
  expect(filesIn(join(store, 'encodes')).map((name) => join(store, 'encodes', name))).toEqual([
    file,
    `${file}.json`,
  ]);
});

describe('results', () => {
  it('are looked up, found again, assessed afresh and forgotten', async () => {
    const { connection, choice, assess, store } = engine();
    const place = { path: clip, ...choice };
    expect(await connection.request('lookup', place)).toEqual({ record: null, problems: [] });
    const first = await assess();
    expect(first).toMatchObject({ outcome: 'complete', kept: false, error: null });
    expect(parseAssessment(first.record).problems).toEqual([]);
    expect((await connection.request('lookup', place)).record).toEqual(first.record);
    // Whatever the provider is called: this is where it was computed.
    expect((await assess({ provider: 'auto' })).record).toEqual(first.record);
    expect((await assess()).kept).toBe(true);
    const fresh = await assess({ fresh: true });
    expect(fresh).toMatchObject({ outcome: 'complete', kept: false, resumed: false });
    expect(fresh.record!.score).toBe(first.record!.score);
    await connection.request('forget', place);
    expect(await connection.request('lookup', place)).toEqual({ record: null, problems: [] });
    expect(filesIn(store).map((file) => file.split('/')[0])).toEqual(['contents']);
  });

  it('of what is compared are kept beside those of clips, and shown where there is no other', async () => {
    const { connection, choice, assess, store } = engine({}, { comparison_key_frames: 2 });
    const place = { path: clip, ...choice };
    const close = await assess({ closely: true });
    expect(close.record!.model.closely).toBe(true);
    expect((await connection.request('lookup', place)).record).toEqual(close.record);
    const plain = await assess();
    expect(plain).toMatchObject({ outcome: 'complete', kept: false });
    expect((await connection.request('lookup', place)).record).toEqual(plain.record);
    const again = await assess({ closely: true });
    expect(again.kept).toBe(true);
    expect(again.record).toEqual(close.record);
    await connection.request('forget', place);
    expect(filesIn(store).map((file) => file.split('/')[0])).toEqual(['contents']);
  });

  it('of what is compared are those of the weights that it is compared with', async () => {
    const { connection, choice, assess } = engine();
    addComparison(choice.model);
    const place = { path: clip, ...choice };
    const close = await assess({ closely: true });
    const { comparison, revision } = close.record!.model;
    expect([close.record!.model.closely, comparison]).toEqual([true, expect.not.stringContaining(revision)]);
    expect((await connection.request('lookup', place)).record).toEqual(close.record);
    const plain = await assess();
    expect(plain).toMatchObject({ kept: false, record: { model: { revision } } });
    expect(plain.record!.score).not.toBe(close.record!.score);
    expect(plain.record!.model).not.toHaveProperty('comparison');
    expect(await assess({ closely: true })).toMatchObject({ kept: true, record: close.record });
    await connection.request('forget', place);
    expect((await connection.request('lookup', place)).record).toBe(null);
  });

  it.each([
    ['that', false],
    ['that compares', true],
  ])('of a job %s and was cancelled are there in part, and gone on with', async (_, closely) => {
    const { connection, choice, assess, updates } = engine({}, { comparison_key_frames: 2 });
    const path = writeClip(join(temporaryDirectory(), 'long.mp4'), { seconds: 90 });
    const done = assess({ path, closely });
    await eventually(() => updates.some(({ record }) => record !== null));
    await connection.request('cancel', { job: updates[0]!.job });
    const update = await done;
    expect(update.outcome).toBe('cancelled');
    const { record } = await connection.request('lookup', { path, ...choice });
    expect(record!.status).toBe('partial');
    expect(record!.timeline).toEqual(update.record!.timeline);
    expect(parseAssessment(record).problems).toEqual([]);
    expect(record!.model.closely).toBe(closely || undefined);
    expect(await assess({ path, closely })).toMatchObject({ outcome: 'complete', resumed: true });
  });

  it('of a clip that was cut are found again although they are partial', async () => {
    const { connection, choice, assess } = engine();
    const path = writeClip(join(temporaryDirectory(), 'cut.mkv'), { seconds: 6, size: '320x180' });
    const data = readFileSync(path);
    writeFileSync(path, data.subarray(0, data.length / 2));
    const { outcome, record, error } = await assess({ path });
    expect({ outcome, error }).toEqual({ outcome: 'partial', error: null });
    const again = (await connection.request('lookup', { path, ...choice })).record!;
    expect({ ...again, timing: null }).toEqual({ ...record!, timing: null });
  });

  it.each([
    ['missing.mp4', 'file_not_found'],
    ['package.json', 'not_a_video'],
  ])('of %s: the error says what it is', async (path, code) => {
    const { connection, choice, assess } = engine();
    expect(await assess({ path })).toMatchObject({ outcome: 'failed', error: { code }, record: null });
    if (code === 'file_not_found') {
      await expect(connection.request('lookup', { path, ...choice })).rejects.toMatchObject({ code });
    }
  });

  it('of a model: where it runs, and what there is of it', async () => {
    const { connection, choice } = engine();
    const names = [choice.model];
    expect((await connection.request('models', { names }))[1]).toMatchObject({ loaded: null, problem: null });
    const { model, provider } = choice;
    const place = await connection.request('load', { model, provider });
    expect(place).toMatchObject({ provider: 'cpu', precision: 'fp32' });
    expect((await connection.request('models', { names }))[1]!.loaded).toEqual(place);
    const missing = connection.request('load', { model: '/nowhere', provider });
    await expect(missing).rejects.toMatchObject({ code: 'model_not_found' });
  });

  it('of a model that is not there', async () => {
    const { assess } = engine();
    const { outcome, error } = await assess({ model: '/nowhere' });
    expect({ outcome, code: error?.code }).toEqual({ outcome: 'failed', code: 'model_not_found' });
  });
});

describe('pictures', () => {
  it('of a moment, and many small ones', async () => {
    const { connection } = engine();
    const still = await connection.request('still', { path: clip, time: 1.55, width: 80 });
    expect(still.time).toBeCloseTo(1.5, 3);
    expect(still.bytes.subarray(0, 2)).toEqual(Uint8Array.of(0xff, 0xd8));
    const strip = await connection.request('filmstrip', { path: clip, times: [0, 1, 99], height: 24 });
    expect(strip.map((one) => one?.mime ?? null)).toEqual(['image/jpeg', 'image/jpeg', null]);
  });

  it('follow the file when it is replaced', async () => {
    const { connection } = engine();
    const path = writeClip(join(temporaryDirectory(), 'a.mp4'), { seconds: 1 });
    const before = await connection.request('media', { path });
    expect(await connection.request('media', { path })).toEqual(before);
    writeClip(path, { seconds: 2, size: '64x48' });
    const after = await connection.request('media', { path });
    expect(after.revision).not.toBe(before.revision);
    const still = await connection.request('still', { path, time: 1.9, width: 640 });
    expect(still.time).toBeCloseTo(1.9, 3);
  });
});

describe('reports', () => {
  it.each(['json', 'csv', 'html'] as const)('%s, of the whole and of a span', async (format) => {
    const { connection, choice, assess } = engine();
    await assess();
    const target = join(temporaryDirectory(), `“report” 'x'.${format}`);
    const place = { path: clip, ...choice, format, target };
    await connection.request('report', { ...place, span: null });
    const whole = readFileSync(target, 'utf8');
    await connection.request('report', { ...place, span: { start: 1, end: 2 } });
    const part = readFileSync(target, 'utf8');
    expect(part).not.toBe(whole);
    if (format === 'json') {
      expect(parseAssessment(JSON.parse(whole)).value!.status).toBe('complete');
      const { value, problems } = parseAssessment(JSON.parse(part));
      expect(problems).toEqual([]);
      expect(value!.timeline.map(({ start, end }) => [start, end])).toEqual([[1, 2]]);
      expect(value!.problems.map(({ code }) => code)).toEqual(['excerpt']);
    }
  });

  it('of what was never assessed, or to where nothing can be written, are errors', async () => {
    const { connection, choice, assess } = engine();
    const target = join(temporaryDirectory(), 'report.json');
    const place = { path: clip, ...choice, format: 'json', span: null } as const;
    await expect(connection.request('report', { ...place, target })).rejects.toMatchObject({
      code: 'bad_usage',
    });
    await assess();
    await expect(connection.request('report', { ...place, target: join(clip, 'x') })).rejects.toMatchObject({
      code: 'not_writable',
    });
    await expect(
      connection.request('report', { ...place, target, span: { start: 90, end: 91 } }),
    ).rejects.toMatchObject({ code: 'bad_usage' });
  });
});

describe('rest', () => {
  it('frees the model when nothing needs it, and says when nothing was asked for long', async () => {
    const onIdle = vi.fn();
    const { connection, assess } = engine({ unloadAfter: 0, idleAfter: 0, onIdle });
    expect((await assess()).outcome).toBe('complete');
    await eventually(() => onIdle.mock.calls.length > 0);
    const loaded = async () => (await connection.request('facts', {})).loaded.length;
    while ((await loaded()) > 0);
    expect((await assess({ fresh: true })).outcome).toBe('complete');
  });

  it('does not free what is used for the next clip', async () => {
    const { connection, assess } = engine();
    await assess();
    const { loaded, ffmpeg } = await connection.request('facts', {});
    expect(loaded).toEqual([{ id: expect.any(String), provider: 'cpu', reason: expect.any(String) }]);
    expect(ffmpeg).toMatchObject({ version: expect.any(String) });
  });
});
