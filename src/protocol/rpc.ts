/**
 * A small typed RPC over anything that carries messages both ways: the postMessage of a webview, a process's
 * IPC, a MessagePort. Both ends are equal: either may ask the other and either may notify.
 *
 * What it promises: every request ends as a value, a typed error or a cancellation, also when the other end
 * throws, goes away, is replaced or speaks another version; a message that is not one of ours is reported and
 * never thrown on.
 */
import { type ErrorCode, OmniError, type SerializedError } from './errors.ts';

/** What one end offers to the other: requests it answers and notifications it takes. */
export interface Service {
  // biome-ignore lint/suspicious/noExplicitAny: the one place where methods of every parameter type must fit
  readonly requests: Readonly<Record<string, (params: any) => unknown>>;
  readonly notifications: Readonly<Record<string, unknown>>;
}

type Requests<S extends Service> = S['requests'];
type Params<F> = F extends (params: infer P) => unknown ? P : never;
type Result<F> = F extends (params: never) => infer R ? R : never;

/** The wire. Messages must arrive in order; they may be lost only where {@link Port.listen} reports the end. */
export interface Port {
  /** Sends plain data. May throw (not cloneable, port closed): the caller's request then fails, nothing else. */
  post(message: unknown): void;
  /** Delivers everything that arrives until the returned function is called; `ended` says the wire is gone. */
  listen(receive: (message: unknown) => void, ended: (reason: string) => void): () => void;
}

/** What a request handler is told beside its parameters. */
export interface RequestContext {
  /** Aborts when the caller cancels, disappears or is replaced, and when this end is disposed. */
  readonly signal: AbortSignal;
}

export type Handlers<S extends Service> = {
  readonly [M in keyof Requests<S>]: (
    params: Params<Requests<S>[M]>,
    context: RequestContext,
  ) => Result<Requests<S>[M]> | Promise<Result<Requests<S>[M]>>;
};

export type Listeners<S extends Service> = {
  readonly [T in keyof S['notifications']]: (payload: S['notifications'][T]) => void | Promise<void>;
};

export interface ConnectOptions<Local extends Service> {
  /** Raised whenever either end could misread the other. */
  readonly version: number;
  readonly handlers: Handlers<Local>;
  readonly listeners: Listeners<Local>;
  /**
   * Called when another end has said hello in our version: the first time and whenever it was replaced (a
   * webview that was moved, a window that was reloaded). The place to send the present state.
   */
  readonly onPeer?: () => void;
  /** Called when the other end has gone or speaks another version; requests fail at once until {@link onPeer}. */
  readonly onLost?: (error: OmniError) => void;
  /** A malformed or unknown message, or a listener that threw. For a log: nothing needs doing. */
  readonly onProblem?: (problem: string) => void;
  /** How long requests wait for the first hello before they fail, ms. */
  readonly patience?: number;
}

export interface Connection<Remote extends Service> {
  /** Resolves to the handler's value; rejects with an {@link OmniError}, `cancelled` when `signal` aborts. */
  request<M extends keyof Requests<Remote> & string>(
    method: M,
    params: Params<Requests<Remote>[M]>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Result<Requests<Remote>[M]>>;
  /** An event: each one arrives. Kept until the first hello, dropped while the other end is lost. */
  notify<T extends keyof Remote['notifications'] & string>(
    topic: T,
    payload: Remote['notifications'][T],
  ): void;
  /**
   * A state: only the newest matters. At most one per topic and key is on its way; what is sent meanwhile
   * replaces what waits, so a slow or hidden receiver costs one value of memory and never a backlog.
   */
  update<T extends keyof Remote['notifications'] & string>(
    topic: T,
    payload: Remote['notifications'][T],
    key?: string,
  ): void;
  /** Rejects everything that waits with `disconnected`, aborts what runs here, tells the other end. Idempotent. */
  dispose(): void;
}

type Message =
  | { readonly rpc: 'hello'; readonly version: number; readonly session: string; readonly answer: boolean }
  | { readonly rpc: 'request'; readonly id: string; readonly method: string; readonly params: unknown }
  | { readonly rpc: 'cancel'; readonly id: string }
  | { readonly rpc: 'value'; readonly id: string; readonly value: unknown }
  | { readonly rpc: 'error'; readonly id: string; readonly error: SerializedError }
  | { readonly rpc: 'cancelled'; readonly id: string }
  | { readonly rpc: 'notify'; readonly topic: string; readonly payload: unknown }
  | { readonly rpc: 'update'; readonly topic: string; readonly key: string; readonly payload: unknown }
  | { readonly rpc: 'taken'; readonly topic: string; readonly key: string }
  | { readonly rpc: 'bye' };

const fields: Readonly<Record<Message['rpc'], Readonly<Record<string, string>>>> = {
  hello: { version: 'number', session: 'string', answer: 'boolean' },
  request: { id: 'string', method: 'string' },
  cancel: { id: 'string' },
  value: { id: 'string' },
  error: { id: 'string', error: 'object' },
  cancelled: { id: 'string' },
  notify: { topic: 'string' },
  update: { topic: 'string', key: 'string' },
  taken: { topic: 'string', key: 'string' },
  bye: {},
};

function parse(data: unknown): Message | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  const candidate = data as Record<string, unknown>;
  if (typeof candidate.rpc !== 'string' || !Object.hasOwn(fields, candidate.rpc)) return undefined;
  const wanted = fields[candidate.rpc as Message['rpc']];
  for (const [name, type] of Object.entries(wanted)) {
    if (typeof candidate[name] !== type || candidate[name] === null) return undefined;
  }
  return data as Message;
}

const cancelled = () => new OmniError('cancelled', 'The request was cancelled.', 'Start it again if needed.');

const disconnected = (reason: string) =>
  new OmniError('disconnected', reason, 'Try again; if it stays, reload the window.');

/** Any thrown value as plain data, so that it can be answered with or shown. */
export function serializeError(error: unknown): SerializedError {
  if (OmniError.is(error)) return error.serialize();
  return {
    code: 'internal_error',
    message: error instanceof Error ? error.message : String(error),
    next: 'Report it with the log: this is a fault in the extension.',
    ...(error instanceof Error && error.stack ? { findings: error.stack.split('\n').slice(1, 6) } : {}),
  };
}

/** The counterpart of {@link serializeError}; data that is no serialized error becomes `internal_error`. */
export function reviveError(data: unknown): OmniError {
  const { code, message, next, ...detail } = (
    typeof data === 'object' && data !== null ? data : {}
  ) as Partial<SerializedError>;
  if (typeof code !== 'string' || typeof message !== 'string' || typeof next !== 'string') {
    return new OmniError(
      'internal_error',
      'The other end answered with an error that can not be read.',
      'Report it with the log: this is a fault in the extension.',
    );
  }
  return new OmniError(code as ErrorCode, message, next, detail);
}

/**
 * Connects one end. `Local` is what this end offers, `Remote` what it may call. The order in which the two ends
 * come up does not matter: each says hello and answers a hello.
 */
export function connect<Local extends Service, Remote extends Service>(
  port: Port,
  options: ConnectOptions<Local>,
): Connection<Remote> {
  const { version, handlers, listeners, onPeer, onLost, onProblem, patience = 15_000 } = options;
  // Request ids begin with it, so a reply to a predecessor of this end is never taken for one of ours.
  const session = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  let serial = 0;
  let peer: string | undefined;
  /** Why nothing can be sent; undefined while waiting for the first hello and while connected. */
  let lost: OmniError | undefined;
  let disposed = false;

  interface Pending {
    readonly settle: (error: OmniError | undefined, value?: unknown) => void;
  }
  const pending = new Map<string, Pending>();
  const running = new Map<string, AbortController>();
  /** What was said before the first hello, in order. */
  let outbox: Message[] = [];
  interface Slot {
    readonly topic: string;
    readonly key: string;
    /** On its way and not yet taken. */
    sent?: { readonly payload: unknown };
    waiting?: { readonly payload: unknown };
  }
  const slots = new Map<string, Slot>();

  function post(message: Message): OmniError | undefined {
    try {
      port.post(message);
      return undefined;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      onProblem?.(`A ${message.rpc} message could not be sent: ${reason}`);
      return disconnected(`The message could not be sent: ${reason}`);
    }
  }

  function fail(error: OmniError): void {
    for (const { settle } of [...pending.values()]) settle(error);
    for (const controller of [...running.values()]) controller.abort(error);
    running.clear();
    outbox = [];
  }

  function lose(error: OmniError): void {
    peer = undefined;
    lost = error;
    fail(error);
    onLost?.(error);
  }

  function send(slot: Slot): void {
    if (peer === undefined || slot.sent || !slot.waiting) return;
    slot.sent = slot.waiting;
    delete slot.waiting;
    if (post({ rpc: 'update', topic: slot.topic, key: slot.key, payload: slot.sent.payload })) {
      slots.delete(`${slot.topic}\0${slot.key}`);
    }
  }

  function greet(message: Extract<Message, { rpc: 'hello' }>): void {
    if (!message.answer) post({ rpc: 'hello', version, session, answer: true });
    if (message.version !== version) {
      lose(
        new OmniError(
          'protocol_mismatch',
          `This side speaks protocol version ${version}, the other side version ${message.version}.`,
          'Reload the window so that both come from the same release.',
        ),
      );
      return;
    }
    if (message.session === peer) return;
    if (peer !== undefined) fail(disconnected('The other side was restarted.'));
    peer = message.session;
    lost = undefined;
    const waiting = outbox;
    outbox = [];
    for (const one of waiting) {
      const error = post(one);
      if (error && one.rpc === 'request') pending.get(one.id)?.settle(error);
    }
    for (const slot of slots.values()) {
      if (slot.sent && !slot.waiting) slot.waiting = slot.sent;
      delete slot.sent;
      send(slot);
    }
    onPeer?.();
  }

  async function answer({ id, method, params }: Extract<Message, { rpc: 'request' }>): Promise<void> {
    const controller = new AbortController();
    running.set(id, controller);
    let reply: Message;
    try {
      if (!Object.hasOwn(handlers, method)) {
        throw new OmniError(
          'protocol_mismatch',
          `The other side does not know the request “${method}”.`,
          'Reload the window so that both come from the same release.',
        );
      }
      const value = await handlers[method]!(params as never, { signal: controller.signal });
      reply = { rpc: 'value', id, value };
    } catch (error) {
      reply =
        controller.signal.aborted || OmniError.is(error, 'cancelled')
          ? { rpc: 'cancelled', id }
          : { rpc: 'error', id, error: serializeError(error) };
    }
    // Not there any more: the asker has gone or was replaced, nobody waits for this.
    if (!running.delete(id)) return;
    const failed = post(reply);
    if (failed) post({ rpc: 'error', id, error: failed.serialize() });
  }

  async function deliver(topic: string, payload: unknown): Promise<void> {
    if (!Object.hasOwn(listeners, topic)) {
      onProblem?.(`Unknown notification “${topic}”.`);
      return;
    }
    try {
      await listeners[topic]!(payload as never);
    } catch (error) {
      onProblem?.(`The listener for “${topic}” failed: ${error instanceof Error ? error.message : error}`);
    }
  }

  function receive(data: unknown): void {
    if (disposed) return;
    const message = parse(data);
    if (!message) {
      onProblem?.('A message that is not part of the protocol was ignored.');
      return;
    }
    switch (message.rpc) {
      case 'hello':
        greet(message);
        return;
      case 'bye':
        lose(disconnected('The other side was closed.'));
        return;
    }
    // Before a hello of our version nothing can be relied on to mean what it says.
    if (peer === undefined) {
      onProblem?.(`A ${message.rpc} message before the handshake was ignored.`);
      if (message.rpc === 'request' && lost) {
        post({ rpc: 'error', id: message.id, error: lost.serialize() });
      }
      return;
    }
    switch (message.rpc) {
      case 'request':
        void answer(message);
        return;
      case 'cancel':
        running.get(message.id)?.abort(cancelled());
        return;
      case 'value':
        pending.get(message.id)?.settle(undefined, message.value);
        return;
      case 'error':
        pending.get(message.id)?.settle(reviveError(message.error));
        return;
      case 'cancelled':
        pending.get(message.id)?.settle(cancelled());
        return;
      case 'notify':
        void deliver(message.topic, message.payload);
        return;
      case 'update':
        void deliver(message.topic, message.payload).then(() => {
          if (!disposed) post({ rpc: 'taken', topic: message.topic, key: message.key });
        });
        return;
      case 'taken': {
        const name = `${message.topic}\0${message.key}`;
        const slot = slots.get(name);
        if (!slot) return;
        delete slot.sent;
        if (slot.waiting) send(slot);
        else slots.delete(name);
      }
    }
  }

  const stop = port.listen(receive, (reason) => {
    if (!disposed) lose(disconnected(reason));
  });
  post({ rpc: 'hello', version, session, answer: false });

  return {
    request<M extends keyof Requests<Remote> & string>(
      method: M,
      params: Params<Requests<Remote>[M]>,
      { signal }: { readonly signal?: AbortSignal } = {},
    ): Promise<Result<Requests<Remote>[M]>> {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(cancelled());
        if (lost) return reject(lost);
        serial += 1;
        const id = `${session}:${serial}`;
        let timer: ReturnType<typeof setTimeout> | undefined;
        const abort = () => {
          settle(cancelled());
          if (peer === undefined) outbox = outbox.filter((one) => !('id' in one) || one.id !== id);
          else post({ rpc: 'cancel', id });
        };
        const settle: Pending['settle'] = (error, value) => {
          if (!pending.delete(id)) return;
          clearTimeout(timer);
          signal?.removeEventListener('abort', abort);
          if (error) reject(error);
          else resolve(value as Result<Requests<Remote>[M]>);
        };
        pending.set(id, { settle });
        signal?.addEventListener('abort', abort);
        const message: Message = { rpc: 'request', id, method, params };
        if (peer !== undefined) {
          const error = post(message);
          if (error) settle(error);
          return;
        }
        outbox.push(message);
        timer = setTimeout(() => {
          if (peer !== undefined) return;
          outbox = outbox.filter((one) => one !== message);
          settle(disconnected(`The other side did not answer within ${Math.round(patience / 1000)} s.`));
        }, patience);
      });
    },

    notify(topic, payload) {
      if (lost) return;
      const message: Message = { rpc: 'notify', topic, payload };
      if (peer === undefined) outbox.push(message);
      else post(message);
    },

    update(topic, payload, key = '') {
      if (disposed) return;
      const name = `${topic}\0${key}`;
      const slot: Slot = slots.get(name) ?? { topic, key };
      slots.set(name, slot);
      slot.waiting = { payload };
      send(slot);
    },

    dispose() {
      if (disposed) return;
      disposed = true;
      lost = disconnected('The connection was closed.');
      fail(lost);
      slots.clear();
      post({ rpc: 'bye' });
      stop();
    },
  };
}
