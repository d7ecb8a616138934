/**
 * The one place where a view meets what hosts it: VS Code's message API where there is one, otherwise the page
 * that embeds the view in an iframe and hands it a MessagePort. Everything else talks through the connection.
 */
import {
  type Connection,
  type ConnectOptions,
  connect,
  type Port,
  type Service,
} from '../src/protocol/rpc.ts';

interface CodeApi {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
}

declare global {
  /** Defined by VS Code inside its webviews; may be called once per page. */
  var acquireVsCodeApi: (() => CodeApi) | undefined;
}

/** What the embedding page posts to the iframe, with one port to transfer. */
export const portOffer = 'omnivqa:port';

export interface Host<Remote extends Service> {
  readonly connection: Connection<Remote>;
  /** What {@link Host.save} was last given, also after the view was closed and opened again; or undefined. */
  readonly saved: unknown;
  /** Keeps small plain data for the next time this view is shown. */
  save(state: unknown): void;
}

function codePort(api: CodeApi): Port {
  return {
    post: (message) => api.postMessage(message),
    listen(receive) {
      const listener = (event: MessageEvent) => receive(event.data);
      window.addEventListener('message', listener);
      return () => window.removeEventListener('message', listener);
    },
  };
}

/** Waits for the embedder's port; what is posted before it comes is kept in order. */
function embeddedPort(): Port {
  let port: MessagePort | undefined;
  const waiting: unknown[] = [];
  return {
    post(message) {
      if (port) port.postMessage(message);
      else waiting.push(message);
    },
    listen(receive) {
      const listener = (event: MessageEvent) => {
        if (event.source !== window.parent || event.data !== portOffer || !event.ports[0]) return;
        port?.close();
        port = event.ports[0];
        port.onmessage = ({ data }) => receive(data);
        for (const message of waiting.splice(0)) port.postMessage(message);
      };
      window.addEventListener('message', listener);
      return () => {
        window.removeEventListener('message', listener);
        port?.close();
      };
    },
  };
}

/** Connects this page to its host. Call once. The connection ends with the page. */
export function connectHost<Local extends Service, Remote extends Service>(
  options: ConnectOptions<Local>,
): Host<Remote> {
  const api = globalThis.acquireVsCodeApi?.();
  const connection = connect<Local, Remote>(api ? codePort(api) : embeddedPort(), options);
  window.addEventListener('pagehide', () => connection.dispose());
  return {
    connection,
    saved: api?.getState(),
    save: (state) => api?.setState(state),
  };
}
