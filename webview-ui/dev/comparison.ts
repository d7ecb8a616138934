/**
 * A plain page that hosts the comparison as VS Code does, in an iframe with the same strict policy. What is compared
 * is what the test says. For tests, never shipped.
 */
import './harness.css';
import {
  type ComparisonHost,
  type ComparisonSnapshot,
  type ComparisonView,
  comparisonViewProtocol,
} from '../../src/protocol/comparison_view.ts';
import { type Connection, connect } from '../../src/protocol/rpc.ts';
import { portOffer } from '../host.ts';
import type { ComparisonHarness } from './comparison_control.ts';
import type { ThemeName } from './control.ts';
import { applyTheme } from './themes.ts';

class Page implements ComparisonHarness {
  readonly log: { name: string; params: unknown }[] = [];
  #connection: Connection<ComparisonView> | undefined;

  async open(snapshot: ComparisonSnapshot, theme: ThemeName): Promise<void> {
    const frame = document.createElement('iframe');
    frame.title = 'Comparison';
    frame.src = '/comparison.html';
    document.body.append(frame);
    await new Promise((resolve) => {
      frame.addEventListener('load', resolve, { once: true });
    });
    if (frame.contentDocument) applyTheme(frame.contentDocument, theme);
    const { port1, port2 } = new MessageChannel();
    this.#connection = connect<ComparisonHost, ComparisonView>(
      {
        post: (message) => port1.postMessage(message),
        listen(receive) {
          port1.onmessage = ({ data }) => receive(data);
          return () => port1.close();
        },
      },
      {
        version: comparisonViewProtocol,
        handlers: {
          cancel: () => {
            this.log.push({ name: 'cancel', params: {} });
          },
          open: (params) => {
            this.log.push({ name: 'open', params });
          },
        },
        listeners: {},
        onPeer: () => this.send(snapshot),
        onProblem: (problem) => console.error(problem),
      },
    );
    frame.contentWindow?.postMessage(portOffer, location.origin, [port2]);
  }

  send(snapshot: ComparisonSnapshot): void {
    this.#connection?.update('snapshot', snapshot);
  }
}

globalThis.comparison = new Page();
