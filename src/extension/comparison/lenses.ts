import * as vscode from 'vscode';
import type { FileEncode } from '../../comparison/encodes.ts';
import { Owner } from '../disposables.ts';
import { byLine, type EncodeDocuments, selector } from './documents.ts';
import type { EncodeResults } from './results.ts';
import type { EncodeRuns } from './runs.ts';
import { staleText } from './words.ts';

/** Above every command and rung: assess it, compare it, and what was found. */
export class EncodeLenses extends Owner implements vscode.CodeLensProvider {
  readonly #documents: EncodeDocuments;
  readonly #results: EncodeResults;
  readonly #runs: EncodeRuns;
  readonly #changed = this.own(new vscode.EventEmitter<void>());
  readonly onDidChangeCodeLenses = this.#changed.event;

  constructor(documents: EncodeDocuments, results: EncodeResults, runs: EncodeRuns) {
    super();
    this.#documents = documents;
    this.#results = results;
    this.#runs = runs;
    this.own(results.onDidChange(() => this.#changed.fire()));
    this.own(runs.onDidChange(() => this.#changed.fire()));
    this.own(vscode.workspace.onDidGrantWorkspaceTrust(() => this.#changed.fire()));
    this.own(
      vscode.workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration('omnivqa')) this.#changed.fire();
      }),
    );
    this.own(vscode.languages.registerCodeLensProvider(selector, this));
  }

  async provideCodeLenses(document: vscode.TextDocument): Promise<vscode.CodeLens[]> {
    if (!isShown(document.uri)) return [];
    const { encodes } = await this.#documents.of(document);
    const lenses: vscode.CodeLens[] = [];
    for (const [line, here] of byLine(document, encodes)) {
      const range = new vscode.Range(line, 0, line, 0);
      const add = (title: string, command: string, ...args: unknown[]) =>
        lenses.push(new vscode.CodeLens(range, { title, command, arguments: [document.uri, ...args] }));
      const ids = here.map(({ id }) => id);
      const run = this.#runs.state(document.uri, ids);
      if (run) {
        add(`$(sync~spin) ${run}`, 'omnivqa.encodes.show', ids);
        add(vscode.l10n.t('Cancel'), 'omnivqa.encodes.cancel');
      } else if (vscode.workspace.isTrusted) {
        add(
          here.length > 1 ? vscode.l10n.t('Assess {0} encodes', here.length) : vscode.l10n.t('Assess'),
          'omnivqa.encodes.assess',
          ids,
        );
        if (here.some(({ crfSearch }) => crfSearch))
          add(vscode.l10n.t('Find CRF…'), 'omnivqa.encodes.findCrf', ids);
        if (encodes.length > here.length) {
          add(vscode.l10n.t('Compare with…'), 'omnivqa.encodes.compareWith', ids);
          if (line === document.positionAt(encodes[0]?.start ?? 0).line)
            add(vscode.l10n.t('Compare all {0}', encodes.length), 'omnivqa.encodes.compareAll');
        }
      }
      if (line === document.positionAt(encodes[0]?.start ?? 0).line && this.#results.has(document.uri))
        add(vscode.l10n.t('Show the comparison'), 'omnivqa.encodes.plot');
      const said = await this.#lastResult(document.uri, here);
      if (said) add(said, 'omnivqa.encodes.show', ids);
    }
    return lenses;
  }

  async #lastResult(document: vscode.Uri, encodes: readonly FileEncode[]): Promise<string | null> {
    const found = await Promise.all(encodes.map((one) => this.#results.of(document, one)));
    const known = found.filter((one) => one !== null);
    if (known.length === 0) return null;
    const scores = known.map(({ result }) => result.mos.toFixed(2));
    const stale = known.find((one) => one.stale !== null)?.stale;
    return [
      `MOS ${scores.slice(0, 6).join(', ')}${scores.length > 6 ? ', …' : ''}`,
      ...(stale ? [staleText(stale)] : []),
    ].join(', ');
  }
}

/** Whether lenses and results are wanted in this document. */
export const isShown = (document: vscode.Uri): boolean =>
  vscode.workspace.getConfiguration('omnivqa', document).get<boolean>('encodes.inline', true);
