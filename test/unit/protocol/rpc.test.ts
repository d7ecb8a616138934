import { PassThrough } from 'node:stream';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { OmniError } from '../../../src/protocol/errors.ts';
import { type Connection, type ConnectOptions, connect, type Port } from '../../../src/protocol/rpc.ts';

type Calculator = {
  requests: {
    add(params: { a: number; b: number }): number;
    fail(params: { how: 'typed' | 'plain' | 'value' | 'uncloneable' }): unknown;
    wait(params: { name: string }): string;
  };
  notifications: { progress: { done: number }; event: string };
};
type Nothing = { requests: Record<never, never>; notifications: Record<never, never> };

/** Two ports joined in memory: data is cloned as every real wire does, and arrives later, in order. */
function wire() {
  const end = () => ({
    receive: new Set<(message: unknown) => void>(),
    ended: new Set<(reason: string) => void>(),
  });
  const ends = [end(), end()] as const;
  const log: unknown[] = [];
  const port = (mine: 0 | 1): Port => ({
    post(message) {
      const copy = structuredClone(message);
      log.push(copy);
      queueMicrotask(() => {
        for (const receive of ends[mine === 0 ? 1 : 0].receive) receive(copy);
      });
    },
    listen(receive, ended) {
      ends[mine].receive.add(receive);
      ends[mine].ended.add(ended);
      return () => ends[mine].receive.delete(receive);
    },
  });
  return {
    a: port(0),
    b: port(1),
    log,
    inject: (end: 0 | 1, message: unknown) => {
      for (const receive of ends[end].receive) receive(message);
    },
    end: (reason: string) => {
      for (const { ended } of ends) for (const tell of ended) tell(reason);
    },
  };
}

/** Polls a condition; the limit only ends a test that has failed. */
const until = (check: () => void) => vi.waitFor(check, { interval: 2, timeout: 30_000 });

const open: { dispose(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.dispose();
});

const waits = new Map<string, { finish: (value: string) => void; signal: AbortSignal }>();

function serve(port: Port, options: Partial<ConnectOptions<Calculator>> = {}): Connection<Nothing> {
  const connection = connect<Calculator, Nothing>(port, {
    version: 1,
    handlers: {
      add: ({ a, b }) => a + b,
      fail({ how }) {
        if (how === 'typed') throw new OmniError('disk_full', 'No space.', 'Free some.', { path: '/x' });
        if (how === 'plain') throw new TypeError('x is not a function');
        if (how === 'uncloneable') return () => 1;
        throw 'just text';
      },
      wait: ({ name }, { signal }) =>
        new Promise((finish, reject) => {
          waits.set(name, { finish, signal });
          signal.addEventListener('abort', () => reject(new Error('stopped')));
        }),
    },
    listeners: { progress: () => {}, event: () => {} },
    ...options,
  });
  open.push(connection);
  return connection;
}

function call(port: Port, options: Partial<ConnectOptions<Nothing>> = {}): Connection<Calculator> {
  const connection = connect<Nothing, Calculator>(port, {
    version: 1,
    handlers: {},
    listeners: {},
    ...options,
  });
  open.push(connection);
  return connection;
}

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    (value) => {
      throw new Error(`resolved to ${JSON.stringify(value)}`);
    },
    (error: OmniError) => error,
  );

describe('requests', () => {
  it('answer with the value, many at a time, each with its own', async () => {
    const { a, b } = wire();
    serve(a);
    const client = call(b);
    const sums = await Promise.all(
      Array.from({ length: 50 }, (_, i) => client.request('add', { a: i, b: 1 })),
    );
    expect(sums).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
  });

  it('work whichever end comes up first', async () => {
    const early = wire();
    const first = call(early.b).request('add', { a: 1, b: 1 });
    serve(early.a);
    expect(await first).toBe(2);
  });

  it('keep the code, cause, next step and detail of a typed error', async () => {
    const { a, b } = wire();
    serve(a);
    const error = await rejection(call(b).request('fail', { how: 'typed' }));
    expect(OmniError.is(error, 'disk_full')).toBe(true);
    expect(error).toMatchObject({ message: 'No space.', next: 'Free some.', detail: { path: '/x' } });
  });

  it.each(['plain', 'value', 'uncloneable'] as const)(
    'turn a handler that throws (%s) into a typed error',
    async (how) => {
      const { a, b } = wire();
      serve(a);
      const error = await rejection(call(b).request('fail', { how }));
      expect(OmniError.is(error)).toBe(true);
      expect(['internal_error', 'disconnected']).toContain(error.code);
    },
  );

  it('name a request that the other end does not know', async () => {
    const { a, b } = wire();
    serve(a);
    const client = call(b) as unknown as Connection<{
      requests: { toString(params: null): string };
      notifications: Record<never, never>;
    }>;
    const error = await rejection(client.request('toString', null));
    expect(error.code).toBe('protocol_mismatch');
    expect(error.message).toContain('toString');
  });

  it('fail alone when their parameters can not be sent', async () => {
    const { a, b } = wire();
    serve(a);
    const client = call(b);
    const bad = { a: 1, b: (() => 1) as unknown as number };
    expect((await rejection(client.request('add', bad))).code).toBe('disconnected');
    expect(await client.request('add', { a: 2, b: 2 })).toBe(4);
    expect((await rejection(client.request('add', bad))).code).toBe('disconnected');
  });
});

describe('cancelling', () => {
  it('rejects at once and aborts the handler', async () => {
    const { a, b } = wire();
    serve(a);
    const client = call(b);
    const controller = new AbortController();
    const promise = rejection(client.request('wait', { name: 'c' }, { signal: controller.signal }));
    await until(() => expect(waits.has('c')).toBe(true));
    controller.abort();
    expect((await promise).code).toBe('cancelled');
    await until(() => expect(waits.get('c')?.signal.aborted).toBe(true));
  });

  it('before the handshake never sends the request', async () => {
    const { a, b, log } = wire();
    const client = call(b);
    const controller = new AbortController();
    const promise = rejection(client.request('wait', { name: 'never' }, { signal: controller.signal }));
    controller.abort();
    expect((await promise).code).toBe('cancelled');
    serve(a);
    expect(await client.request('add', { a: 1, b: 2 })).toBe(3);
    expect(JSON.stringify(log)).not.toContain('never');
  });

  it('with a signal that is already aborted sends nothing', async () => {
    const { a, b } = wire();
    serve(a);
    const error = await rejection(call(b).request('add', { a: 1, b: 1 }, { signal: AbortSignal.abort() }));
    expect(error.code).toBe('cancelled');
  });

  it('from the handler itself is a cancellation, not an error', async () => {
    const { a, b } = wire();
    serve(a, {
      handlers: {
        add() {
          throw new OmniError('cancelled', 'The job was cancelled.', 'Start it again.');
        },
        fail: () => 0,
        wait: () => '',
      },
    });
    expect((await rejection(call(b).request('add', { a: 1, b: 1 }))).code).toBe('cancelled');
  });
});

describe('an end that goes away', () => {
  it('rejects every request when this end is disposed', async () => {
    const { a, b } = wire();
    serve(a);
    const client = call(b);
    const all = ['x', 'y'].map((name) => rejection(client.request('wait', { name })));
    await until(() => expect(waits.has('y')).toBe(true));
    client.dispose();
    for (const error of await Promise.all(all)) expect(error.code).toBe('disconnected');
    await until(() => expect(waits.get('x')?.signal.aborted).toBe(true));
    expect((await rejection(client.request('add', { a: 1, b: 1 }))).code).toBe('disconnected');
    client.notify('event', 'ignored');
    client.update('progress', { done: 1 });
    client.dispose();
  });

  it('rejects every request when the other end is disposed', async () => {
    const { a, b } = wire();
    const server = serve(a);
    const onLost = vi.fn();
    const client = call(b, { onLost });
    const promise = rejection(client.request('wait', { name: 'gone' }));
    await until(() => expect(waits.has('gone')).toBe(true));
    server.dispose();
    expect((await promise).code).toBe('disconnected');
    expect(onLost).toHaveBeenCalledOnce();
    expect((await rejection(client.request('add', { a: 1, b: 1 }))).code).toBe('disconnected');
  });

  it('rejects every request when the wire ends', async () => {
    const line = wire();
    serve(line.a);
    const client = call(line.b);
    const promise = rejection(client.request('wait', { name: 'cut' }));
    await until(() => expect(waits.has('cut')).toBe(true));
    line.end('The engine was killed (SIGKILL).');
    expect(await promise).toMatchObject({
      code: 'disconnected',
      message: 'The engine was killed (SIGKILL).',
    });
  });

  it('rejects a request that was never answered by a hello', async () => {
    const { b } = wire();
    const error = await rejection(call(b, { patience: 0 }).request('add', { a: 1, b: 1 }));
    expect(error.code).toBe('disconnected');
  });

  it('that comes back as a new one is greeted, asked and never handed old replies', async () => {
    const { a, b, log } = wire();
    const onPeer = vi.fn();
    serve(a, { onPeer });
    const before = call(b);
    const lost = rejection(before.request('wait', { name: 'old' }));
    await until(() => expect(waits.has('old')).toBe(true));
    // A reloaded webview: its predecessor says nothing, the new one listens at the same place.
    const after = call(b);
    expect(await after.request('add', { a: 20, b: 1 })).toBe(21);
    expect(onPeer).toHaveBeenCalledTimes(2);
    expect(waits.get('old')?.signal.aborted).toBe(true);
    before.dispose();
    expect((await lost).code).toBe('disconnected');
    expect(JSON.stringify(log)).not.toContain('stopped');
  });
});

describe('versions', () => {
  it('that differ are told to both ends, with both numbers', async () => {
    const { a, b } = wire();
    const onLost = vi.fn();
    serve(a, { version: 2, onLost });
    const client = call(b);
    const error = await rejection(client.request('add', { a: 1, b: 1 }));
    expect(error.code).toBe('protocol_mismatch');
    expect(error.message).toMatch(/version 1.*version 2/);
    await until(() => expect(onLost.mock.calls[0]?.[0]).toMatchObject({ code: 'protocol_mismatch' }));
  });

  it('that agree again after a reload work again', async () => {
    const { a, b } = wire();
    serve(a, { version: 2 });
    const old = call(b);
    await rejection(old.request('add', { a: 1, b: 1 }));
    expect(await call(b, { version: 2 }).request('add', { a: 1, b: 1 })).toBe(2);
  });
});

describe('notifications', () => {
  it('each arrive, in order, also those sent before the handshake', async () => {
    const { a, b } = wire();
    const client = call(b);
    client.notify('event', 'one');
    const seen: string[] = [];
    serve(a, { listeners: { progress: () => {}, event: (text) => void seen.push(text) } });
    client.notify('event', 'two');
    client.notify('event', 'three');
    await until(() => expect(seen).toEqual(['one', 'two', 'three']));
  });

  it('of a state: a slow listener gets the first and the newest, nothing in between', async () => {
    const { a, b, log } = wire();
    const seen: number[] = [];
    let release = () => {};
    serve(a, {
      listeners: {
        event: () => {},
        progress: async ({ done }) => {
          seen.push(done);
          await new Promise<void>((resolve) => {
            release = resolve;
          });
        },
      },
    });
    const client = call(b);
    await client.request('add', { a: 0, b: 0 });
    for (let done = 1; done <= 1000; done += 1) client.update('progress', { done });
    await until(() => expect(seen).toEqual([1]));
    release();
    await until(() => expect(seen).toEqual([1, 1000]));
    release();
    expect(log.filter((message) => (message as { rpc: string }).rpc === 'update')).toHaveLength(2);
  });

  it('of a state are kept apart by key and reach an end that was replaced', async () => {
    const { a, b } = wire();
    const client = call(b);
    client.update('progress', { done: 1 }, 'first clip');
    client.update('progress', { done: 2 }, 'second clip');
    client.update('progress', { done: 3 }, 'second clip');
    const stuck: number[] = [];
    serve(a, {
      listeners: {
        event: () => {},
        progress: ({ done }) => {
          stuck.push(done);
          return new Promise(() => {});
        },
      },
    });
    await until(() => expect(stuck).toEqual([1, 3]));
    const seen: number[] = [];
    serve(a, { listeners: { event: () => {}, progress: ({ done }) => void seen.push(done) } });
    await until(() => expect(seen).toEqual([1, 3]));
  });

  it('whose listener throws, or that nobody knows, are reported and stop nothing', async () => {
    const { a, b } = wire();
    const onProblem = vi.fn();
    serve(a, {
      onProblem,
      listeners: {
        progress: () => {
          throw new Error('no');
        },
        event: () => {},
      },
    });
    const client = call(b);
    await client.request('add', { a: 0, b: 0 });
    client.update('progress', { done: 1 });
    client.update('progress', { done: 2 });
    (client as unknown as Connection<{ requests: Record<never, never>; notifications: { x: 1 } }>).notify(
      'x',
      1,
    );
    await until(() => expect(onProblem).toHaveBeenCalledTimes(3));
    expect(await client.request('add', { a: 1, b: 1 })).toBe(2);
  });
});

describe('messages that are not ours', () => {
  const strays: unknown[] = [
    null,
    undefined,
    7,
    'hello',
    [],
    {},
    { rpc: 1 },
    { rpc: 'constructor' },
    { rpc: 'hello' },
    { rpc: 'hello', version: '1', session: 'x', answer: false },
    { rpc: 'request', id: 3 },
    { rpc: 'request', id: 'x', method: '__proto__' },
    { rpc: 'request', id: 'x', method: 'fail', params: undefined },
    { rpc: 'value', id: 'nobody asked', value: 1 },
    { rpc: 'error', id: 'nobody asked', error: null },
    { rpc: 'error', id: 'nobody asked', error: { code: 1 } },
    { rpc: 'cancel', id: 'nobody asked' },
    { rpc: 'notify', topic: 'hasOwnProperty' },
    { rpc: 'update', topic: 'unknown', key: '' },
    { rpc: 'taken', topic: 'unknown', key: '' },
    { type: 'webpackOk' },
  ];

  it.each(strays.map((stray) => [JSON.stringify(stray), stray]))('%s is ignored', async (_, stray) => {
    const line = wire();
    serve(line.a);
    const client = call(line.b);
    line.inject(0, stray);
    expect(await client.request('add', { a: 1, b: 1 })).toBe(2);
    line.inject(0, stray);
    line.inject(1, stray);
    expect(await client.request('add', { a: 2, b: 2 })).toBe(4);
  });

  it('an unreadable error is still an error', async () => {
    const line = wire();
    serve(line.a);
    const client = call(line.b);
    await client.request('add', { a: 0, b: 0 });
    const promise = rejection(client.request('wait', { name: 'odd' }));
    const { id } = line.log.at(-1) as { id: string };
    line.inject(1, { rpc: 'error', id, error: { surprise: true } });
    expect((await promise).code).toBe('internal_error');
  });
});

describe('real wires', () => {
  it('a MessagePort', async () => {
    const { port1, port2 } = new MessageChannel();
    const adapt = (one: MessagePort): Port => ({
      post: (message) => one.postMessage(message),
      listen(receive, ended) {
        one.on('message', receive);
        one.on('close', () => ended('The port was closed.'));
        return () => one.close();
      },
    });
    serve(adapt(port1));
    const client = call(adapt(port2));
    expect(await client.request('add', { a: 3, b: 4 })).toBe(7);
  });

  it('two streams of JSON lines', async () => {
    const streams = [new PassThrough(), new PassThrough()];
    const adapt = (out: PassThrough, into: PassThrough): Port => ({
      post: (message) => out.write(`${JSON.stringify(message)}\n`),
      listen(receive, ended) {
        let rest = '';
        into.setEncoding('utf8').on('data', (chunk: string) => {
          const lines = (rest + chunk).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) receive(JSON.parse(line));
        });
        into.on('end', () => ended('The stream ended.'));
        return () => into.destroy();
      },
    });
    serve(adapt(streams[0]!, streams[1]!));
    const client = call(adapt(streams[1]!, streams[0]!));
    expect(await client.request('add', { a: 5, b: 6 })).toBe(11);
  });
});
