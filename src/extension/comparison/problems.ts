import * as vscode from 'vscode';
import { betterForLess, type CrfAdvice, cheapestCrf } from '../../comparison/advice.ts';
import type { FileEncode } from '../../comparison/encodes.ts';
import { Owner } from '../disposables.ts';
import { settingsFor } from '../settings.ts';
import { type EncodeDocuments, isLadder, isRead, rangeOf, selector } from './documents.ts';
import { isShown } from './lenses.ts';
import { type EncodeResult, type EncodeResults, isSameFile } from './results.ts';

/** How long typing rests before a document is looked at again, ms. */
const rest = 400;

/** In Problems: encodes that miss their target, rungs that are no better than a cheaper one, ladders with mistakes. */
export class EncodeProblems extends Owner implements vscode.CodeActionProvider {
  readonly #documents: EncodeDocuments;
  readonly #results: EncodeResults;
  readonly #problems = this.own(vscode.languages.createDiagnosticCollection('omnivqa.encodes'));
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(documents: EncodeDocuments, results: EncodeResults) {
    super();
    this.#documents = documents;
    this.#results = results;
    this.own(vscode.workspace.onDidOpenTextDocument((document) => this.#check(document)));
    this.own(
      vscode.workspace.onDidChangeTextDocument(({ document }) => {
        const name = document.uri.toString();
        clearTimeout(this.#timers.get(name));
        this.#timers.set(
          name,
          setTimeout(() => this.#check(document), rest),
        );
      }),
    );
    this.own(
      vscode.workspace.onDidCloseTextDocument(({ uri }) => {
        clearTimeout(this.#timers.get(uri.toString()));
        this.#timers.delete(uri.toString());
        this.#problems.delete(uri);
      }),
    );
    this.own(results.onDidChange(() => this.#checkAll()));
    this.own(
      vscode.workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration('omnivqa')) this.#checkAll();
      }),
    );
    this.own(
      new vscode.Disposable(() => {
        for (const timer of this.#timers.values()) clearTimeout(timer);
      }),
    );
    this.own(
      vscode.languages.registerCodeActionsProvider(selector, this, {
        providedCodeActionKinds: [vscode.CodeActionKind.QuickFix],
      }),
    );
    this.#checkAll();
  }

  async provideCodeActions(
    document: vscode.TextDocument,
    range: vscode.Range,
    { diagnostics }: vscode.CodeActionContext,
  ): Promise<vscode.CodeAction[]> {
    if (!isShown(document.uri) || !this.#results.has(document.uri)) return [];
    const { encodes } = await this.#documents.of(document);
    const actions: vscode.CodeAction[] = [];
    for (const encode of encodes) {
      const where = rangeOf(document, encode);
      const target = targetOf(document.uri, encode);
      if (!where.intersection(range) || target === null || !encode.crfRange) continue;
      const known = await this.#results.of(document.uri, encode);
      const advice =
        known?.stale === null
          ? adviceFor(this.#results.like(document.uri, known.result), known.result, target)
          : null;
      if (!known || !advice || advice.crf === encode.output.video?.crf) continue;
      const crf = String(advice.crf);
      const reached = target.toFixed(1);
      const action = new vscode.CodeAction(
        advice.basis === 'measured'
          ? vscode.l10n.t('Use crf {0}: cheapest measured that reaches MOS {1}', crf, reached)
          : vscode.l10n.t('Use crf {0}: cheapest that reaches MOS {1}, by interpolation', crf, reached),
        vscode.CodeActionKind.QuickFix,
      );
      action.edit = new vscode.WorkspaceEdit();
      action.edit.replace(document.uri, rangeOf(document, encode.crfRange), crf);
      action.diagnostics = diagnostics.filter(
        (one) => one.source === 'OmniVQA' && one.range.intersection(where) !== undefined,
      );
      action.isPreferred = action.diagnostics.length > 0;
      actions.push(action);
    }
    return actions;
  }

  #checkAll(): void {
    for (const document of vscode.workspace.textDocuments) this.#check(document);
  }

  #check(document: vscode.TextDocument): void {
    if (!isRead(document)) return;
    // A document that nothing is known of, and that is no ladder, is not read for this.
    if (!isShown(document.uri) || (!this.#results.has(document.uri) && !isLadder(document))) {
      if (this.#problems.has(document.uri)) this.#problems.delete(document.uri);
      return;
    }
    void this.#findings(document).then((found) => {
      if (!this.disposed && !document.isClosed) this.#problems.set(document.uri, found);
    });
  }

  async #findings(document: vscode.TextDocument): Promise<vscode.Diagnostic[]> {
    const { encodes, problems } = await this.#documents.of(document);
    const found = problems.map((problem) =>
      finding(
        firstLine(document, rangeOf(document, problem)),
        problem.message,
        'ladder',
        problem.code === 'assumed'
          ? vscode.DiagnosticSeverity.Information
          : vscode.DiagnosticSeverity.Warning,
      ),
    );
    const valid: { readonly encode: FileEncode; readonly result: EncodeResult }[] = [];
    for (const encode of encodes) {
      const known = await this.#results.of(document.uri, encode);
      if (known?.stale === null) valid.push({ encode, result: known.result });
    }
    for (const { encode, result } of valid) {
      const range = encode.crfRange
        ? rangeOf(document, encode.crfRange)
        : firstLine(document, rangeOf(document, encode));
      const target = targetOf(document.uri, encode);
      const missed = target === null ? null : missedTarget(result, target);
      if (missed !== null) found.push(finding(range, `${encode.label}: ${missed}`, 'misses-target'));
      if (encode.ladder === null || !result.aligned) continue;
      const others = valid.filter(
        (other) => other.encode.ladder === encode.ladder && other.encode !== encode && other.result.aligned,
      );
      const same = others.filter((other) => isSameFile(other.result.source, result.source));
      const better = betterForLess(
        result,
        same.map((other) => ({ ...other.result, name: other.encode.label })),
      );
      if (!better) continue;
      found.push(
        finding(
          range,
          vscode.l10n.t(
            '{0} is not better than {1}, which has a lower rate: MOS {2} and {3}.',
            encode.label,
            better.name,
            result.mos.toFixed(2),
            better.mos.toFixed(2),
          ),
          'wasted-rate',
        ),
      );
    }
    return found;
  }
}

/** The MOS that an encode should reach: what its file says, otherwise the user's target. */
export const targetOf = (document: vscode.Uri, encode: FileEncode): number | null =>
  encode.targetMos ?? settingsFor(document).threshold;

/**
 * Why a result does not count as meeting a target, in words; null: it does. The MOS of an encode of other frames than its
 * source's is held against nothing, also where it is high.
 */
export function missedTarget({ mos, aligned, problems }: EncodeResult, target: number): string | null {
  if (!aligned) {
    return vscode.l10n.t(
      'It is held against no target, as it is not frame for frame its source. {0}',
      problems.at(-1) ?? '',
    );
  }
  return mos < target
    ? vscode.l10n.t('MOS {0} misses the target of {1}.', mos.toFixed(2), target.toFixed(1))
    : null;
}

/** The cheapest CRF by what was measured of the encodes that differ from this one in nothing else. */
function adviceFor(measured: readonly EncodeResult[], like: EncodeResult, target: number): CrfAdvice | null {
  const family = familyOf(like.settings);
  const points = measured.flatMap(({ aligned, crf, mos, bitrate, settings }) =>
    aligned && crf !== null && familyOf(settings) === family ? [{ crf, mos, bitrate }] : [],
  );
  return cheapestCrf(points, target);
}

/** Settings without their CRF. */
function familyOf(settings: string): string {
  const args = JSON.parse(settings) as string[];
  const at = args.indexOf('-crf');
  return JSON.stringify(at < 0 ? args : args.toSpliced(at, 2));
}

function finding(
  range: vscode.Range,
  message: string,
  code: string,
  severity = vscode.DiagnosticSeverity.Warning,
): vscode.Diagnostic {
  const diagnostic = new vscode.Diagnostic(range, message, severity);
  diagnostic.source = 'OmniVQA';
  diagnostic.code = code;
  return diagnostic;
}

/** A rung of many lines is not underlined as a whole. */
const firstLine = (document: vscode.TextDocument, range: vscode.Range): vscode.Range =>
  range.isSingleLine ? range : new vscode.Range(range.start, document.lineAt(range.start.line).range.end);
