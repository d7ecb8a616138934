/** A hub on the loopback interface that serves one checkpoint directory of any size, as `@huggingface/hub` asks for it. */
import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

export interface Hub {
  readonly endpoint: string;
  readonly id: string;
  close(): void;
}

const commit = '0123456789'.repeat(4);

/** @param id `owner/name` under which the directory is published. */
export async function serveHub(directory: string, id: string): Promise<Hub> {
  const listing: object[] = [];
  for (const path of readdirSync(directory)) {
    const { size } = statSync(join(directory, path));
    const large = path.endsWith('.safetensors');
    const hash = createHash(large ? 'sha256' : 'sha1');
    if (!large) hash.update(`blob ${size}\0`);
    await pipeline(createReadStream(join(directory, path)), hash);
    const oid = hash.digest('hex');
    listing.push({
      type: 'file',
      path,
      size,
      oid: large ? commit : oid,
      ...(large ? { lfs: { oid, size, pointerSize: 135 } } : {}),
    });
  }
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://hub');
    const json = (value: unknown) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(value));
    };
    if (pathname.startsWith(`/api/models/${id}/tree/`)) return json(listing);
    if (pathname.startsWith(`/api/models/${id}`)) {
      return json({
        _id: '1',
        id,
        sha: commit,
        private: false,
        gated: false,
        downloads: 0,
        likes: 0,
        lastModified: '2026-01-01T00:00:00.000Z',
        tags: [],
        cardData: { license: 'random weights' },
      });
    }
    const name = decodeURIComponent(pathname.split('/').at(-1)!);
    const known = listing.find((entry) => (entry as { path: string }).path === name) as
      | { size: number }
      | undefined;
    if (!known) {
      response.statusCode = 404;
      return response.end();
    }
    const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (from > 0) {
      response.statusCode = 206;
      response.setHeader('content-range', `bytes ${from}-${known.size - 1}/${known.size}`);
    }
    response.setHeader('content-type', 'application/octet-stream');
    response.setHeader('content-length', known.size - from);
    // Who hangs up has what it wanted.
    return void pipeline(createReadStream(join(directory, name), { start: from }), response).catch(
      () => undefined,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    id,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
