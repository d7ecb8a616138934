import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import type { FileEncode } from '../../comparison/encodes.ts';
import { serialized } from '../clips.ts';
import { Owner } from '../disposables.ts';
import { type EncodeDocuments, isLadder, ladderGlob, rangeOf } from './documents.ts';
import { missedTarget, targetOf } from './problems.ts';
import type { EncodeRuns } from './runs.ts';
import { resultText } from './words.ts';

const mostLadders = 1000;

/** Ladders in the Test Explorer: a rung passes when it reaches its target. */
export class LadderTests extends Owner {
  readonly #documents: EncodeDocuments;
  readonly #runs: EncodeRuns;
  readonly #controller = this.own(
    vscode.tests.createTestController('omnivqa.ladders', vscode.l10n.t('OmniVQA ladders')),
  );
  #watching = false;

  constructor(documents: EncodeDocuments, runs: EncodeRuns) {
    super();
    this.#documents = documents;
    this.#runs = runs;
    this.#controller.resolveHandler = async (item) => {
      if (item) await this.#readRungs(item);
      else await this.#findLadders();
    };
    this.#controller.refreshHandler = () => this.#findLadders();
    this.#controller.createRunProfile(
      vscode.l10n.t('Assess'),
      vscode.TestRunProfileKind.Run,
      (request, token) => this.#run(request, token),
      true,
    );
    this.own(
      vscode.workspace.onDidOpenTextDocument((document) => {
        if (isLadder(document)) void this.#readRungs(this.#itemOf(document.uri));
      }),
    );
    this.own(
      vscode.workspace.onDidSaveTextDocument((document) => {
        if (isLadder(document)) void this.#readRungs(this.#itemOf(document.uri));
      }),
    );
    for (const document of vscode.workspace.textDocuments) {
      if (isLadder(document)) void this.#readRungs(this.#itemOf(document.uri));
    }
  }

  #itemOf(uri: vscode.Uri): vscode.TestItem {
    const known = this.#controller.items.get(uri.toString());
    if (known) return known;
    const item = this.#controller.createTestItem(uri.toString(), basename(uri.path), uri);
    item.canResolveChildren = true;
    const place = dirname(vscode.workspace.asRelativePath(uri));
    if (place !== '.') item.description = place;
    this.#controller.items.add(item);
    return item;
  }

  async #findLadders(): Promise<void> {
    if (!this.#watching) {
      this.#watching = true;
      const watcher = this.own(vscode.workspace.createFileSystemWatcher(ladderGlob));
      this.own(watcher.onDidCreate((uri) => this.#itemOf(uri)));
      this.own(watcher.onDidDelete((uri) => this.#controller.items.delete(uri.toString())));
    }
    const found = await vscode.workspace.findFiles(ladderGlob, '**/node_modules/**', mostLadders);
    for (const uri of found) this.#itemOf(uri);
  }

  async #readRungs(item: vscode.TestItem): Promise<readonly FileEncode[]> {
    if (!item.uri) return [];
    const document = await Promise.resolve(vscode.workspace.openTextDocument(item.uri)).catch(() => null);
    const encodes = document ? (await this.#documents.of(document)).encodes : [];
    item.children.replace(
      encodes.map((encode) => {
        const rung = this.#controller.createTestItem(`${item.id}#${encode.id}`, encode.label, item.uri);
        if (document) rung.range = rangeOf(document, encode);
        const target = document && targetOf(document.uri, encode);
        rung.description = target
          ? vscode.l10n.t('target {0}', target.toFixed(1))
          : vscode.l10n.t('no target');
        return rung;
      }),
    );
    return encodes;
  }

  async #run(request: vscode.TestRunRequest, token: vscode.CancellationToken): Promise<void> {
    const chosen = request.include ?? [...this.#controller.items].map(([, item]) => item);
    const excluded = new Set(request.exclude?.map(({ id }) => id));
    const ladders = new Map<string, vscode.TestItem>();
    for (const item of chosen) {
      const ladder = item.parent ?? item;
      if (!excluded.has(ladder.id)) ladders.set(ladder.id, ladder);
    }
    const run = this.#controller.createTestRun(request);
    try {
      for (const ladder of ladders.values()) {
        if (token.isCancellationRequested) break;
        const encodes = await this.#readRungs(ladder);
        const wanted = (id: string) =>
          !excluded.has(id) && chosen.some((item) => item.id === id || item.id === ladder.id);
        const rungs = encodes.flatMap((encode) => {
          const item = ladder.children.get(`${ladder.id}#${encode.id}`);
          return item && wanted(item.id) ? [{ encode, item }] : [];
        });
        if (ladder.uri && rungs.length > 0) await this.#runLadder(run, ladder.uri, rungs, token);
      }
    } finally {
      run.end();
    }
  }

  async #runLadder(
    run: vscode.TestRun,
    uri: vscode.Uri,
    rungs: readonly { readonly encode: FileEncode; readonly item: vscode.TestItem }[],
    token: vscode.CancellationToken,
  ): Promise<void> {
    for (const { item } of rungs) run.started(item);
    const begun = Date.now();
    const fail = (text: string) => {
      for (const { item } of rungs) run.errored(item, new vscode.TestMessage(text), Date.now() - begun);
    };
    try {
      const outcomes = await this.#runs.run(
        uri,
        rungs.map(({ encode }) => encode),
        token,
      );
      for (const { encode, item } of rungs) {
        const outcome = outcomes.find(({ id }) => id === encode.id);
        const took = Date.now() - begun;
        if (!outcome || outcome.kind === 'cancelled') run.skipped(item);
        else if (outcome.kind === 'failed') {
          const { message, next } = outcome.error;
          run.errored(item, new vscode.TestMessage(`${message} ${next}`), took);
        } else {
          const { result } = outcome;
          const target = targetOf(uri, encode);
          run.appendOutput(`${encode.label}: ${resultText(result)}\r\n`, undefined, item);
          const missed = target === null ? null : missedTarget(result, target);
          if (missed === null) run.passed(item, took);
          else {
            const message = new vscode.TestMessage(missed);
            if (item.range) message.location = new vscode.Location(uri, item.range);
            run.failed(item, message, took);
          }
        }
      }
    } catch (error) {
      const { message, next } = serialized(error);
      fail(`${message} ${next}`);
    }
  }
}
