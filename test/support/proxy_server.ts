import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { onTestFinished } from 'vitest';

export interface ProxyServer {
  readonly address: string;
  /** What it was asked for: hosts, with the credentials that were given. */
  readonly asked: { readonly host: string; readonly credentials: string | undefined }[];
  /** Answers every request with 407. */
  denies: boolean;
}

/** An HTTP proxy (RFC 9110, sections 7.6 and 9.3.6) whose world is one server: every host name leads there. */
export async function proxyServer(world: string): Promise<ProxyServer> {
  const { hostname, port } = new URL(world);
  const asked: ProxyServer['asked'] = [];
  const noted = (host: string, incoming: IncomingMessage) =>
    asked.push({ host, credentials: incoming.headers['proxy-authorization'] });
  const server: Server = createServer((incoming, response) => {
    const url = new URL(incoming.url ?? '');
    noted(url.host, incoming);
    if (proxy.denies) {
      response.writeHead(407).end();
      return;
    }
    const { 'proxy-authorization': _, ...headers } = incoming.headers;
    request({ hostname, port, path: `${url.pathname}${url.search}`, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    }).end();
  });
  server.on('connect', (incoming, socket) => {
    noted(incoming.url ?? '', incoming);
    if (proxy.denies) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      return;
    }
    const tunnel = connect(Number(port), hostname, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      tunnel.pipe(socket).pipe(tunnel);
    });
    const end = () => {
      tunnel.destroy();
      socket.destroy();
    };
    for (const one of [tunnel, socket]) one.on('error', end).on('close', end);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const proxy: ProxyServer = {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    denies: false,
  };
  return proxy;
}
