import { randomBytes } from 'node:crypto';
import type * as vscode from 'vscode';
import { Owner } from './disposables.ts';

/** How long a view may take to answer before its document is given to it again, ms. */
const patience = [15_000, 30_000, 60_000];

/**
 * The document of a webview. A browser that is busy at times loads it without its script, and it stays empty: the requests
 * of several views that open at once time out in VS Code's own worker. One that does not answer is loaded again.
 */
export class Page extends Owner {
  readonly #webview: vscode.Webview;
  readonly #write: (nonce: string) => string;
  #timer: NodeJS.Timeout | undefined;

  /** @param write The document; scripts with the nonce run in it. */
  constructor(webview: vscode.Webview, write: (nonce: string) => string) {
    super();
    this.#webview = webview;
    this.#write = write;
    const answered = () => clearTimeout(this.#timer);
    this.own(webview.onDidReceiveMessage(answered));
    this.own({ dispose: answered });
    this.#load(0);
  }

  #load(attempt: number): void {
    // Fresh every time: a document that is the same would not be loaded.
    this.#webview.html = this.#write(randomBytes(16).toString('base64'));
    const limit = patience[attempt];
    if (limit !== undefined) this.#timer = setTimeout(() => this.#load(attempt + 1), limit);
  }
}
