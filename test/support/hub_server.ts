import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export interface Asked {
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** Answers a request in place of the server: true when it did. */
export type Misbehaviour = (request: IncomingMessage, response: ServerResponse, path: string) => boolean;

export interface HubServer {
  readonly endpoint: string;
  readonly asked: Asked[];
  /** The published files, by name; a test may change them. */
  readonly files: Map<string, Buffer>;
  /** The commit that `main` is at. */
  commit: string;
  /** Further entries of the listing. */
  extra: Record<string, unknown>[];
  card: Record<string, unknown>;
  misbehave: Misbehaviour | undefined;
}

export const hubId = 'q-future/VQA-Assistant-llava-qwen-enhanced';

/** Sends a file as the hub does: whole, or the part that is asked for. */
export function sendFile(request: IncomingMessage, response: ServerResponse, content: Buffer): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (request.headers.range && from >= content.length) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
    return;
  }
  response.writeHead(request.headers.range ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': content.length - from,
    ...(request.headers.range
      ? { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }
      : {}),
  });
  response.end(content.subarray(from));
}

/** Listens on the loopback interface until the test ends. */
export async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A hub with one model, the checkpoint of a directory, that speaks the hub's protocol. */
export async function hubServer(directory: string): Promise<HubServer> {
  const names = readdirSync(directory).filter((name) => !/^(case|expected)\./.test(name));
  const files = new Map(names.map((name) => [name, readFileSync(join(directory, name))]));
  const asked: Asked[] = [];
  const json = (response: ServerResponse, value: unknown, headers = {}) =>
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
  const endpoint = await listen((request, response) => {
    const { pathname: path } = new URL(request.url ?? '', 'http://hub');
    asked.push({ path, range: request.headers.range, authorization: request.headers.authorization });
    if (hub.misbehave?.(request, response, path)) return;
    if (path.startsWith(`/api/models/${hubId}/revision/`)) {
      const known = path.endsWith('/revision/main') || path.endsWith(`/revision/${hub.commit}`);
      if (!known) response.writeHead(404).end();
      else json(response, { _id: '1', id: hubId, sha: hub.commit, gated: false, cardData: hub.card });
    } else if (path === `/api/models/${hubId}/tree/${hub.commit}`) {
      const listed = [...files].map(([name, content]) => ({
        type: 'file',
        path: name,
        size: content.length,
        oid: createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex'),
        ...(name.endsWith('.safetensors')
          ? { lfs: { oid: createHash('sha256').update(content).digest('hex'), size: content.length } }
          : {}),
      }));
      json(response, [...listed, ...hub.extra]);
    } else {
      const name = new RegExp(`^/${hubId}/resolve/[0-9a-f]{40}/(.+)$`).exec(path)?.[1];
      const content = files.get(name ?? '');
      if (content) sendFile(request, response, content);
      else response.writeHead(404).end();
    }
  });
  const hub: HubServer = {
    endpoint,
    asked,
    files,
    commit: 'c0ffee'.padEnd(40, '0'),
    extra: [],
    card: { license: 'apache-2.0' },
    misbehave: undefined,
  };
  return hub;
}
