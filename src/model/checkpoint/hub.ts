import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OmniError } from '../../protocol/errors.ts';
import { families } from './families.ts';
import { fetchThrough, type Proxies } from './proxy.ts';

/** A file of a published checkpoint, with the sum that the hub gives for it. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** Of what the hub keeps as a large file. */
  readonly sha256: string | null;
  /** Of what lies in git itself: SHA-1 over `blob <size>\0` and the content. */
  readonly gitSha1: string | null;
}

/** A published checkpoint at one commit. Texts are the publisher's: untrusted. */
export interface HubModel {
  /** `owner/name`. */
  readonly id: string;
  readonly commit: string;
  /** As its card names it, `apache-2.0` say. */
  readonly licence: string | null;
  /** Whether the hub hands it out only to accounts that were let in. */
  readonly gated: boolean;
  /** What of it is needed to compile it. */
  readonly files: readonly HubFile[];
  readonly bytes: number;
  /** By its name; a config may say another. */
  readonly family: string | null;
}

export interface HubConnection {
  /** The hub or a mirror of it. */
  readonly endpoint?: string | undefined;
  /** Sent to the endpoint's origin and to no other. */
  readonly token?: string | undefined;
  /** Default: none, every host is asked directly. */
  readonly proxies?: Proxies | null | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without a byte after which a connection is given up. */
  readonly stall?: number | undefined;
}

export interface PullProgress {
  /** Bytes that are there, and in all. */
  readonly done: number;
  readonly total: number;
  readonly file: string;
}

export interface PullCall extends HubConnection {
  /** Files that are fetched at a time; default 4. */
  readonly parallel?: number | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

const publicHub = 'https://huggingface.co';
const defaultStall = 60_000;
/** Largest answer to a question about a model, bytes, and most pages and entries of a listing. */
const [answerLimit, pageLimit, entryLimit] = [16 * 2 ** 20, 50, 10_000];
const redirectLimit = 5;
/** How often one file may be cut off. */
const cutLimit = 50;

const weights = /^[\w-][\w.-]*\.safetensors$/;
const others = new Set([
  'config.json',
  'generation_config.json',
  'model.safetensors.index.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
]);

const hubId = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/** Splits `owner/name[@revision]`; null for what is no such name. */
export function parseHubName(name: string): { readonly id: string; readonly revision: string | null } | null {
  const at = name.indexOf('@');
  const id = at < 0 ? name : name.slice(0, at);
  const revision = at < 0 ? null : name.slice(at + 1);
  // The hub has no such names; folders are told apart by these dashes.
  if (!hubId.test(id) || id.includes('--') || (revision !== null && !/^[A-Za-z0-9][\w./-]*$/.test(revision)))
    return null;
  return { id, revision };
}

/**
 * What a published checkpoint consists of, at the commit that a revision is at now.
 *
 * @throws OmniError `bad_usage` for an id or endpoint that is none, `model_not_found` where it is no checkpoint,
 *   `hub_unreachable`, `hub_not_found`, `hub_access_denied`, `hub_answer_refused`, `cancelled`.
 */
export async function describeModel(
  id: string,
  { revision = 'main', ...connection }: HubConnection & { readonly revision?: string | undefined } = {},
): Promise<HubModel> {
  if (parseHubName(`${id}@${revision}`) === null) {
    throw new OmniError(
      'bad_usage',
      `${id}@${revision} is not a hub id.`,
      'Name it as owner/name[@revision].',
    );
  }
  const hub = new Hub(connection);
  const { describeRevision, listRevision } = await import('./hub_listing.ts');
  const ask = hub.fetcher(id);
  try {
    const { commit, gated, card } = await describeRevision(id, revision, hub.endpoint, ask);
    if (typeof commit !== 'string' || !/^[0-9a-f]{40}$/.test(commit)) {
      throw refused(id, 'its answer names no commit');
    }
    const files: HubFile[] = [];
    let entries = 0;
    for await (const entry of listRevision(id, commit, hub.endpoint, ask)) {
      entries += 1;
      if (entries > entryLimit) throw refused(id, `it lists more than ${entryLimit} files`);
      const file = parseEntry(id, entry);
      if (file) files.push(file);
    }
    const paths = new Set(files.map(({ path }) => path));
    if (paths.size < files.length) throw refused(id, 'it lists a file twice');
    if (!paths.has('config.json') || ![...paths].some((path) => weights.test(path))) {
      throw new OmniError(
        'model_not_found',
        `${id} holds no checkpoint: there is no config.json with *.safetensors beside it.`,
        'Name a checkpoint of the OmniVQA family in the safetensors layout.',
      );
    }
    const family = Object.entries(families).find(([, { pattern }]) => pattern.test(id))?.[0] ?? null;
    const licence = (card as { license?: unknown } | null | undefined)?.license;
    return {
      id,
      commit,
      licence: typeof licence === 'string' ? licence : null,
      gated: gated !== false && gated !== undefined && gated !== null,
      files,
      bytes: files.reduce((sum, { size }) => sum + size, 0),
      family,
    };
  } catch (error) {
    // What the package makes of an answer that is JSON but not of the hub's form.
    if (OmniError.is(error)) throw error;
    throw refused(id, (error as Error).message, error);
  }
}

/** A file that is needed; null for one that is not. */
function parseEntry(id: string, entry: unknown): HubFile | null {
  const { type, path, size, oid, lfs } = (entry ?? {}) as Record<string, unknown>;
  if (typeof path !== 'string') throw refused(id, 'an entry of its listing has no name');
  if (/^[/\\]|\\|\0|^[A-Za-z]:/.test(path) || path.split('/').some((part) => part === '..' || part === '.')) {
    throw refused(id, `it lists a file outside of its folder, ${path}`);
  }
  if (type !== 'file' || !(weights.test(path) || others.has(path))) return null;
  const large = (lfs ?? null) as { oid?: unknown } | null;
  const sum = (value: unknown, digits: number) =>
    typeof value === 'string' && value.length === digits && /^[0-9a-f]+$/.test(value) ? value : null;
  const sha256 = large && sum(large.oid, 64);
  const gitSha1 = large ? null : sum(oid, 40);
  if (!Number.isSafeInteger(size) || (size as number) < 0 || (!sha256 && !gitSha1)) {
    throw refused(id, `its listing gives no size or no sum for ${path}`);
  }
  return { path, size: size as number, sha256, gitSha1 };
}

/**
 * Fetches a checkpoint into `directory`. Everything is collected in `<directory>.partial`, each file checked against
 * its sum before it gets its name, and the whole is renamed at the end: a directory is there complete or not at all.
 * What was fetched by an earlier call that was cut off, cancelled or killed is not fetched again.
 *
 * @returns the directory.
 * @throws OmniError `hub_unreachable`, `hub_not_found`, `hub_access_denied`, `hub_answer_refused`,
 *   `download_checksum`, `disk_full`, `not_writable`, `cancelled`; what was fetched stays for the next call.
 */
export async function pullModel(
  model: HubModel,
  directory: string,
  { parallel = 4, onProgress, ...connection }: PullCall = {},
): Promise<string> {
  const hub = new Hub(connection);
  const partial = `${directory}.partial`;
  const stop = new AbortController();
  const stopAll = () => stop.abort();
  hub.signal.addEventListener('abort', stopAll);
  try {
    if (hub.signal.aborted) throw stopped();
    if (existsSync(directory)) {
      if (await allRight(model, directory, hub.signal)) return directory;
      // Damaged: its good files are taken over, the others fetched again.
      if (!existsSync(partial)) await rename(directory, partial);
      else await rm(directory, { recursive: true });
    }
    await mkdir(partial, { recursive: true });
    const have = new Map<string, number>();
    for (const { path } of model.files) {
      have.set(
        path,
        (await sizeOf(join(partial, path))) ?? (await sizeOf(join(partial, `${path}.partial`))) ?? 0,
      );
    }
    const done = () => [...have.values()].reduce((sum, size) => sum + size, 0);
    const free = await freeBytes(partial);
    if (free < model.bytes - done()) throw noRoom(directory, model.bytes - done(), free);
    const queue = [...model.files].sort((a, b) => b.size - a.size);
    const work = async () => {
      for (let file = queue.shift(); file; file = queue.shift()) {
        const { path } = file;
        await pullFile(model, file, join(partial, path), hub.during(stop.signal), (size) => {
          have.set(path, size);
          onProgress?.({ done: done(), total: model.bytes, file: path });
        });
      }
    };
    let failure: unknown;
    await Promise.all(
      Array.from({ length: Math.max(1, parallel) }, () =>
        work().catch((error: unknown) => {
          // The first failure is the one to tell of: it stops the others.
          failure ??= error;
          stopAll();
        }),
      ),
    );
    if (failure) throw failure;
    await rename(partial, directory);
    return directory;
  } catch (error) {
    throw diskError(error, directory);
  } finally {
    hub.signal.removeEventListener('abort', stopAll);
  }
}

/** Whether every file of a model lies in a directory, with the right content. */
async function allRight(model: HubModel, directory: string, signal: AbortSignal): Promise<boolean> {
  for (const file of model.files) {
    const path = join(directory, file.path);
    if ((await sizeOf(path)) !== file.size || !(await sumsMatch(path, file, signal))) return false;
  }
  return true;
}

/** Fetches one file, beginning where `<target>.partial` ends. */
async function pullFile(
  model: HubModel,
  file: HubFile,
  target: string,
  hub: Hub,
  onSize: (size: number) => void,
): Promise<void> {
  const there = await sizeOf(target);
  if (there === file.size && (await sumsMatch(target, file, hub.signal))) {
    onSize(file.size);
    return;
  }
  await rm(target, { force: true });
  const partial = `${target}.partial`;
  const name = file.path.split('/').map(encodeURIComponent).join('/');
  const address = new URL(`${hub.endpoint}/${model.id}/resolve/${model.commit}/${name}`);
  const handle = await open(partial, existsSync(partial) ? 'r+' : 'wx+');
  try {
    let size = (await handle.stat()).size;
    if (size > file.size) {
      await handle.truncate(0);
      size = 0;
    }
    for (let cuts = 0; size < file.size; cuts += 1) {
      const from = size;
      try {
        await hub.stream(address, from, file, async (chunk, at) => {
          if (at + chunk.length > file.size) throw refused(file.path, 'it sent more than the file has');
          // An answer from the start in place of the rest: what was there is written again.
          await writeAll(handle, chunk, at);
          size = at + chunk.length;
          onSize(size);
        });
        if (size < file.size) throw cutOff(address, 'the connection ended before the file');
      } catch (error) {
        // Only a connection that brought something is worth another.
        const again = OmniError.is(error, 'hub_unreachable') && size > from && cuts < cutLimit;
        if (!again) throw error;
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (!(await sumsMatch(partial, file, hub.signal))) {
    await rm(partial, { force: true });
    throw new OmniError(
      'download_checksum',
      `${file.path} of ${model.id} is not what the hub says it is: its sum is another.`,
      'Pull again: the file is fetched from its start. If it stays so, a proxy or mirror changes it.',
      { path: target },
    );
  }
  await rename(partial, target);
  onSize(file.size);
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, at: number): Promise<void> {
  let done = 0;
  while (done < chunk.length) {
    const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, at + done);
    done += bytesWritten;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

/** The sum that the hub gives, over a file on the disk. */
async function sumsMatch(path: string, file: HubFile, signal: AbortSignal): Promise<boolean> {
  const hash = createHash(file.sha256 ? 'sha256' : 'sha1');
  if (!file.sha256) hash.update(`blob ${file.size}\0`);
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    hash.update(chunk as Buffer);
    if (signal.aborted) throw stopped();
  }
  return hash.digest('hex') === (file.sha256 ?? file.gitSha1);
}

/** Bytes that are free where a directory is, or would be made. */
export async function freeBytes(directory: string): Promise<number> {
  for (let at = directory; ; at = dirname(at)) {
    if (!existsSync(at) && dirname(at) !== at) continue;
    const { bavail, bsize } = await statfs(at);
    return bavail * bsize;
  }
}

/** A hub as it is spoken to: redirects by hand, the token for its own origin, a limit on silence. */
class Hub {
  readonly endpoint: string;
  readonly signal: AbortSignal;
  readonly #connection: HubConnection;
  readonly #origin: string;
  readonly #stall: number;
  #fetch: Promise<typeof fetch> | undefined;

  constructor(connection: HubConnection) {
    const text = connection.endpoint || publicHub;
    const url = URL.canParse(text) ? new URL(text) : null;
    if (!url || !['http:', 'https:'].includes(url.protocol) || url.username || url.search || url.hash) {
      throw new OmniError(
        'bad_usage',
        `${text} is not the address of a hub.`,
        'Name one such as https://hub.example.org with --endpoint or HF_ENDPOINT.',
      );
    }
    this.endpoint = url.href.replace(/\/+$/, '');
    this.signal = connection.signal ?? new AbortController().signal;
    this.#connection = connection;
    this.#origin = url.origin;
    this.#stall = connection.stall ?? defaultStall;
  }

  /** The same, stopped by another signal. */
  during(signal: AbortSignal): Hub {
    const hub = new Hub({ ...this.#connection, signal });
    hub.#fetch = this.#through();
    return hub;
  }

  /** A fetch for questions about a model: answers are whole, of a bounded size, and none is an error or a page. */
  fetcher(id: string): typeof fetch {
    let pages = 0;
    return async (input) => {
      pages += 1;
      if (pages > pageLimit) throw refused(id, `its listing has more than ${pageLimit} pages`);
      const parts: Uint8Array[] = [];
      let size = 0;
      const response = await this.#exchange(
        new URL(String(input)),
        { accept: 'application/json' },
        async (chunk) => {
          size += chunk.length;
          if (size > answerLimit) throw refused(id, `it answers with more than ${answerLimit} bytes`);
          parts.push(chunk);
        },
      );
      const { status, headers } = response;
      return new Response(Buffer.concat(parts), { status, headers });
    };
  }

  /** Streams a file from a position on; where the server sends it from its start, positions begin there. */
  async stream(
    address: URL,
    from: number,
    file: HubFile,
    onChunk: (chunk: Uint8Array, at: number) => Promise<void>,
  ): Promise<void> {
    let at = from;
    await this.#exchange(
      address,
      // A packed answer would have other positions.
      { 'accept-encoding': 'identity', ...(from > 0 ? { range: `bytes=${from}-` } : {}) },
      async (chunk) => {
        await onChunk(chunk, at);
        at += chunk.length;
      },
      ({ status, headers }) => {
        if (status === 206) {
          const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '');
          const right = range && Number(range[1]) === from && ['*', String(file.size)].includes(range[2]!);
          if (!right) throw refused(file.path, 'it sent another part than was asked for');
          return;
        }
        const length = headers.get('content-length');
        if (length !== null && Number(length) !== file.size) {
          throw refused(file.path, `it sent ${length} bytes, its listing says ${file.size}`);
        }
        at = 0;
      },
    );
  }

  /** One request with its redirects, and the whole body of the answer. */
  async #exchange(
    address: URL,
    headers: Readonly<Record<string, string>>,
    onChunk: (chunk: Uint8Array) => Promise<void>,
    onHead: (response: Response) => void = () => undefined,
  ): Promise<Response> {
    // Node 20 may collect what a signal is to reach while it is waited for (AbortSignal.any, the request of an answer that
    // is being read), and the wait would never end: what waits is told as well.
    const ended = new AbortController();
    let interrupt: (reason: Error) => void = () => undefined;
    const end = () => {
      ended.abort();
      interrupt(new Error('stopped'));
    };
    let silent = false;
    const request = await this.#through();
    const timer = setTimeout(() => {
      silent = true;
      end();
    }, this.#stall);
    if (this.signal.aborted) end();
    this.signal.addEventListener('abort', end);
    /** What goes wrong on the connection; what the callers throw goes through as it is. */
    const onLine = async <T>(step: Promise<T>): Promise<T> => {
      try {
        return await new Promise<T>((resolve, reject) => {
          interrupt = reject;
          step.then(resolve, reject);
          if (ended.signal.aborted) reject(new Error('stopped'));
        });
      } catch (error) {
        if (this.signal.aborted) throw stopped();
        if (silent) throw cutOff(address, `nothing came for ${this.#stall / 1000} s`);
        throw cutOff(address, reasonOf(error), error);
      }
    };
    let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
    try {
      let url = address;
      for (let hops = 0; ; hops += 1) {
        const own = url.origin === this.#origin && this.#connection.token;
        const response = await onLine(
          request(url, {
            redirect: 'manual',
            headers: { ...headers, ...(own ? { authorization: `Bearer ${this.#connection.token}` } : {}) },
            signal: ended.signal,
          }),
        );
        timer.refresh();
        const location = response.headers.get('location');
        if ([301, 302, 303, 307, 308].includes(response.status) && location !== null) {
          response.body?.cancel().catch(() => undefined);
          url = this.#redirected(url, location, hops);
          continue;
        }
        checkAnswer(response, address);
        onHead(response);
        reader = response.body?.getReader();
        for (;;) {
          const part = reader && (await onLine(reader.read()));
          if (!part || part.done) return response;
          await onChunk(part.value);
          timer.refresh();
        }
      }
    } finally {
      clearTimeout(timer);
      this.signal.removeEventListener('abort', end);
      // Closes a connection whose answer is not wanted any more.
      reader?.cancel().catch(() => undefined);
      end();
    }
  }

  #through(): Promise<typeof fetch> {
    const { proxies } = this.#connection;
    this.#fetch ??= proxies ? fetchThrough(proxies) : Promise.resolve(fetch);
    return this.#fetch;
  }

  #redirected(from: URL, location: string, hops: number): URL {
    if (hops >= redirectLimit) throw refused(from.href, 'it redirects in circles');
    const to = URL.canParse(location, from.href) ? new URL(location, from) : null;
    const safe = to && (to.protocol === 'https:' || (to.protocol === 'http:' && from.protocol === 'http:'));
    if (!safe) throw refused(from.href, 'it redirects to an address that is not https');
    return to;
  }
}

/** Turns an answer that is not the wanted thing into an error. */
function checkAnswer({ status, headers }: Response, address: URL): void {
  const { origin, pathname } = address;
  const place = `${origin}${pathname}`;
  if (status === 404) {
    throw new OmniError(
      'hub_not_found',
      `${place} does not exist, or is private.`,
      'Check the id and the revision; for a private model, set HF_TOKEN to a token that may read it.',
    );
  }
  if (status === 401 || status === 403) {
    throw new OmniError(
      'hub_access_denied',
      `${place} is not handed out to you (status ${status}).`,
      "Accept the model's terms on the hub, and set HF_TOKEN to a token that may read it.",
    );
  }
  if (status === 407) throw cutOff(address, 'the proxy asks for a user and a password (status 407)');
  if (status >= 500 || status === 429) {
    throw new OmniError(
      'hub_unreachable',
      `${origin} can not answer now (status ${status}).`,
      'Pull again later: what was fetched is kept.',
    );
  }
  if (status !== 200 && status !== 206) throw refused(place, `it answers with status ${status}`);
  if (/^\s*text\/html/i.test(headers.get('content-type') ?? '')) {
    throw refused(place, 'it sent a web page in place of the file');
  }
}

/** What is at the bottom of an error of fetch: the system's code, or the words of the HTTP client. */
function reasonOf(error: unknown): string {
  const { cause, code, message } = error as { cause?: unknown; code?: unknown; message: string };
  if (cause) return reasonOf(cause);
  return typeof code === 'string' && !code.startsWith('UND_') ? code : message;
}

const refused = (what: string, why: string, cause?: unknown) =>
  new OmniError(
    'hub_answer_refused',
    `What the hub sent for ${what} can not be used: ${why}.`,
    'Check the endpoint, and whether a proxy or a sign-in page of your network answers in its place.',
    {},
    { cause },
  );

const cutOff = ({ origin }: URL, why: string, cause?: unknown) =>
  new OmniError(
    'hub_unreachable',
    `The connection to ${origin} failed: ${why}.`,
    'Check the network and pull again: what was fetched is kept. Behind a proxy, name it in HTTPS_PROXY, or in ' +
      'http.proxy in the editor; a mirror can be named with HF_ENDPOINT, or omnivqa.hub.endpoint.',
    {},
    { cause },
  );

const stopped = () =>
  new OmniError('cancelled', 'The download was stopped.', 'Pull again to go on where it stopped.');

const noRoom = (directory: string, needed: number, free: number) =>
  new OmniError(
    'disk_full',
    `${(needed / 1e9).toFixed(2)} GB are to be fetched into ${directory}, and ${(free / 1e9).toFixed(2)} GB are free.`,
    'Free some space, or set OMNIVQA_CACHE to a directory on a larger disk; what was fetched is kept.',
    { path: directory },
  );

/** What the disk says, as an error that says what to do. */
function diskError(error: unknown, directory: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    return new OmniError(
      'disk_full',
      `There is no room left for ${directory} (${code}).`,
      'Free some space and pull again: what was fetched is kept. OMNIVQA_CACHE can name a larger disk.',
      { path: directory },
      { cause: error },
    );
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ENOTDIR') {
    return new OmniError(
      'not_writable',
      `${directory} can not be written (${code}).`,
      'Set OMNIVQA_CACHE to a directory that you may write to.',
      { path: directory },
      { cause: error },
    );
  }
  return error;
}
