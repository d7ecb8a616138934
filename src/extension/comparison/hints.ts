import * as vscode from 'vscode';
import { Owner } from '../disposables.ts';
import { byLine, type EncodeDocuments, isRead } from './documents.ts';
import { isShown } from './lenses.ts';
import { missedTarget, targetOf } from './problems.ts';
import type { EncodeResults } from './results.ts';
import { ageText, resultText, staleText } from './words.ts';

/** How often the ages of the results that show are written anew, ms. */
const aging = 60_000;

/** At the end of every command's and rung's first line: what it was last measured to be. */
export class EncodeHints extends Owner {
  readonly #documents: EncodeDocuments;
  readonly #results: EncodeResults;
  readonly #fresh = this.#style('editorCodeLens.foreground', 'normal');
  readonly #missed = this.#style('editorWarning.foreground', 'normal');
  readonly #stale = this.#style('disabledForeground', 'italic');
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(documents: EncodeDocuments, results: EncodeResults) {
    super();
    this.#documents = documents;
    this.#results = results;
    this.own(vscode.window.onDidChangeVisibleTextEditors(() => this.#showAll()));
    this.own(results.onDidChange(() => this.#showAll()));
    this.own(
      vscode.workspace.onDidChangeTextDocument(({ document }) => {
        if (results.has(document.uri)) this.#showAll(document.uri);
      }),
    );
    this.own(
      vscode.workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration('omnivqa')) this.#showAll();
      }),
    );
    this.own(new vscode.Disposable(() => clearTimeout(this.#timer)));
    this.#showAll();
  }

  #style(color: string, fontStyle: string): vscode.TextEditorDecorationType {
    return this.own(
      vscode.window.createTextEditorDecorationType({
        rangeBehavior: vscode.DecorationRangeBehavior.ClosedOpen,
        after: { margin: '0 0 0 3ch', color: new vscode.ThemeColor(color), fontStyle },
      }),
    );
  }

  #showAll(only?: vscode.Uri): void {
    for (const editor of vscode.window.visibleTextEditors) {
      if (!only || editor.document.uri.toString() === only.toString()) void this.#show(editor);
    }
  }

  async #show(editor: vscode.TextEditor): Promise<void> {
    const { document } = editor;
    if (!isRead(document)) return;
    const styles = [this.#fresh, this.#missed, this.#stale] as const;
    const options = new Map<vscode.TextEditorDecorationType, vscode.DecorationOptions[]>(
      styles.map((style) => [style, []]),
    );
    // A document that nothing is known of is not read for this.
    if (this.#results.has(document.uri) && isShown(document.uri)) {
      const { version } = document;
      const { encodes } = await this.#documents.of(document);
      for (const [line, here] of byLine(document, encodes)) {
        const found = await Promise.all(here.map((one) => this.#results.of(document.uri, one)));
        const known = found.flatMap((one, index) => (one ? [{ ...one, encode: here[index] }] : []));
        const [first, ...more] = known;
        if (!first) continue;
        const stale = known.find((one) => one.stale !== null)?.stale ?? null;
        const missed = known.some(({ result, encode }) => {
          const target = encode ? targetOf(document.uri, encode) : null;
          return target !== null && missedTarget(result, target) !== null;
        });
        const text = [
          ...(more.length > 0
            ? [`MOS ${known.map(({ result }) => result.mos.toFixed(1)).join(', ')}`]
            : [resultText(first.result)]),
          stale ? staleText(stale) : ageText(first.result.measuredAt),
        ].join(' · ');
        const end = document.lineAt(line).range.end;
        options.get(stale ? this.#stale : missed ? this.#missed : this.#fresh)?.push({
          range: new vscode.Range(end, end),
          renderOptions: { after: { contentText: text } },
        });
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#showAll(), aging);
      }
      // What was read is of an older text: the change that made it so shows the newer.
      if (document.version !== version) return;
    }
    if (this.disposed) return;
    for (const [style, some] of options) editor.setDecorations(style, some);
  }
}
