import * as vscode from 'vscode';
import { safeJson } from '../assessment/text.ts';
import type { Clips } from './clips.ts';

/** Shows a clip's record as read-only JSON, under a name that the published schema applies to. */
export class RecordDocuments implements vscode.TextDocumentContentProvider {
  static readonly scheme = 'omnivqa-record';
  readonly #clips: Clips;

  constructor(clips: Clips) {
    this.#clips = clips;
  }

  static uriFor(clip: vscode.Uri): vscode.Uri {
    return clip.with({ scheme: RecordDocuments.scheme, path: `${clip.path}.omnivqa.json`, query: clip.path });
  }

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    const clip = vscode.Uri.file(uri.query);
    if (!this.#clips.state(clip).record) {
      const watching = this.#clips.watch(clip);
      await this.#clips.lookUp(clip);
      watching.dispose();
    }
    const { record } = this.#clips.state(clip);
    return record ? `${safeJson(record, 2)}\n` : '';
  }
}
