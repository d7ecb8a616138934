import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import * as vscode from 'vscode';

/**
 * Plays large clips in workbenches that run in a browser. There, a webview's own resources go through a service worker
 * that reads a file to its end for every seek, so a large clip takes seconds each time. This server answers ranges, on
 * the loopback interface alone, and only for addresses that nobody can guess.
 */
export class MediaServer implements vscode.Disposable {
  /** Unguessable name → file. */
  readonly #files = new Map<string, string>();
  #listening: Promise<Server> | undefined;

  dispose(): void {
    void this.#listening?.then((server) => {
      server.close();
      server.closeAllConnections();
    });
    this.#listening = undefined;
    this.#files.clear();
  }

  /** An address of the file as the window's browser can reach it, and what ends it again. */
  async serve(path: string): Promise<{ readonly url: vscode.Uri; readonly end: vscode.Disposable }> {
    this.#listening ??= this.#listen();
    const { port } = (await this.#listening).address() as AddressInfo;
    const name = randomBytes(24).toString('base64url');
    this.#files.set(name, path);
    const url = await vscode.env.asExternalUri(vscode.Uri.parse(`http://127.0.0.1:${port}/${name}`));
    return { url, end: new vscode.Disposable(() => this.#files.delete(name)) };
  }

  #listen(): Promise<Server> {
    const server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve(server));
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = this.#files.get((request.url ?? '').slice(1));
    const file = path === undefined ? undefined : await stat(path).catch(() => undefined);
    if (path === undefined || !file?.isFile() || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404).end();
      return;
    }
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const start = range ? Number(range[1]) : 0;
    const end = range?.[2] ? Math.min(Number(range[2]), file.size - 1) : file.size - 1;
    if (range && start > end) {
      response.writeHead(416, { 'content-range': `bytes */${file.size}` }).end();
      return;
    }
    response.writeHead(range ? 206 : 200, {
      'accept-ranges': 'bytes',
      'cache-control': 'no-store',
      'content-length': end - start + 1,
      'content-type': 'application/octet-stream',
      'cross-origin-resource-policy': 'cross-origin',
      ...(range ? { 'content-range': `bytes ${start}-${end}/${file.size}` } : {}),
    });
    if (request.method === 'HEAD') response.end();
    else await pipeline(createReadStream(path, { start, end }), response);
  }
}
