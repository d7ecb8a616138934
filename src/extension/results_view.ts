import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import { gradeOf } from '../assessment/pooling.ts';
import type { Clips } from './clips.ts';
import { Owner } from './disposables.ts';
import { settingsFor } from './settings.ts';
import type { ClipSummary, Moment } from './summary.ts';
import { momentName, mosText, spanText } from './words.ts';

export type ResultNode =
  | { readonly kind: 'clip'; readonly uri: vscode.Uri; readonly summary: ClipSummary }
  | { readonly kind: 'moment'; readonly uri: vscode.Uri; readonly moment: Moment };

const orders = ['worst', 'best', 'name', 'newest'] as const;
export type Order = (typeof orders)[number];

/** The results view: clips with their worst moments. */
export class ResultsView extends Owner implements vscode.TreeDataProvider<ResultNode> {
  readonly #clips: Clips;
  readonly #changed = this.own(new vscode.EventEmitter<undefined>());
  readonly onDidChangeTreeData = this.#changed.event;
  readonly view: vscode.TreeView<ResultNode>;
  #text = '';
  #missesOnly = false;

  constructor(clips: Clips) {
    super();
    this.#clips = clips;
    this.view = this.own(
      vscode.window.createTreeView('omnivqa.results', {
        treeDataProvider: this,
        showCollapseAll: true,
        canSelectMany: true,
      }),
    );
    this.own(clips.onDidChange(() => this.refresh()));
    this.own(vscode.workspace.onDidChangeConfiguration(() => this.refresh()));
    this.refresh();
  }

  get order(): Order {
    const stored = this.#clips.context.workspaceState.get<Order>('omnivqa.order');
    return stored && orders.includes(stored) ? stored : 'worst';
  }

  async setOrder(order: Order): Promise<void> {
    await this.#clips.context.workspaceState.update('omnivqa.order', order);
    this.refresh();
  }

  get filter(): { readonly text: string; readonly missesOnly: boolean } {
    return { text: this.#text, missesOnly: this.#missesOnly };
  }

  setFilter(text: string, missesOnly: boolean): void {
    this.#text = text;
    this.#missesOnly = missesOnly;
    void vscode.commands.executeCommand('setContext', 'omnivqa.filtered', text !== '' || missesOnly);
    this.refresh();
  }

  refresh(): void {
    const shown = this.#shown();
    const all = this.#clips.summaries.length;
    this.view.message =
      all > 0 && shown.length < all ? vscode.l10n.t('{0} of {1} clips', shown.length, all) : '';
    this.#changed.fire(undefined);
  }

  getChildren(node?: ResultNode): ResultNode[] {
    if (!node) return this.#shown();
    if (node.kind === 'moment') return [];
    return node.summary.moments.map((moment) => ({ kind: 'moment', uri: node.uri, moment }));
  }

  getParent(node: ResultNode): ResultNode | undefined {
    const summary = node.kind === 'moment' ? this.#clips.summary(node.uri) : undefined;
    return summary && { kind: 'clip', uri: node.uri, summary };
  }

  async getTreeItem(node: ResultNode): Promise<vscode.TreeItem> {
    if (node.kind === 'moment') {
      const { moment, uri } = node;
      const item = new vscode.TreeItem(momentName(moment));
      item.id = `${uri.fsPath}#${moment.kind}@${moment.start}-${moment.end}`;
      item.description = [spanText(moment), moment.mos === null ? '' : mosText(moment.mos)]
        .filter(Boolean)
        .join('  ');
      item.iconPath = new vscode.ThemeIcon(moment.kind === 'quality' ? 'arrow-down' : 'warning');
      item.contextValue = 'moment';
      item.command = {
        command: 'omnivqa.openMoment',
        title: vscode.l10n.t('Show in the Timeline'),
        arguments: [uri, moment],
      };
      item.accessibilityInformation = {
        label: `${momentName(moment)}, ${spanText(moment)}`,
      };
      return item;
    }
    const { uri, summary } = node;
    const item = new vscode.TreeItem(basename(uri.fsPath), vscode.TreeItemCollapsibleState.Collapsed);
    item.id = uri.fsPath;
    const folder = folderName(uri);
    const file = await stat(uri.fsPath).catch(() => undefined);
    const stale =
      summary.file && file && (file.size !== summary.file.size || file.mtimeMs !== summary.file.mtime);
    const note = !file
      ? vscode.l10n.t('file is gone')
      : stale
        ? vscode.l10n.t('changed since')
        : summary.status === 'partial'
          ? vscode.l10n.t('partial')
          : '';
    item.description = [mosText(summary.mos), note, folder].filter(Boolean).join(' · ');
    const { threshold } = settingsFor(uri);
    const misses = threshold !== null && summary.mos < threshold;
    item.iconPath = new vscode.ThemeIcon(
      misses ? 'error' : 'device-camera-video',
      misses ? new vscode.ThemeColor('list.errorForeground') : undefined,
    );
    item.contextValue = 'clip';
    item.tooltip = tooltip(uri, summary, note);
    item.command = {
      command: 'omnivqa.openTimeline',
      title: vscode.l10n.t('Open the Timeline'),
      arguments: [uri],
    };
    item.accessibilityInformation = {
      label: [basename(uri.fsPath), mosText(summary.mos), gradeOf(summary.mos), note]
        .filter(Boolean)
        .join(', '),
    };
    return item;
  }

  #shown(): ResultNode[] {
    const text = this.#text.toLowerCase();
    const chosen = this.#clips.summaries.filter(({ path, mos }) => {
      if (!path.toLowerCase().includes(text)) return false;
      if (!this.#missesOnly) return true;
      const { threshold } = settingsFor(vscode.Uri.file(path));
      return threshold !== null && mos < threshold;
    });
    const byName = (a: ClipSummary, b: ClipSummary) =>
      a.path.localeCompare(b.path, undefined, { numeric: true });
    const compare = {
      worst: (a: ClipSummary, b: ClipSummary) => a.mos - b.mos || byName(a, b),
      best: (a: ClipSummary, b: ClipSummary) => b.mos - a.mos || byName(a, b),
      name: byName,
      newest: (a: ClipSummary, b: ClipSummary) => b.assessedAt - a.assessedAt || byName(a, b),
    }[this.order];
    return [...chosen]
      .sort(compare)
      .map((summary) => ({ kind: 'clip', uri: vscode.Uri.file(summary.path), summary }));
  }
}

/** The folder of a clip as seen from the workspace; empty where it lies at its top. */
function folderName(uri: vscode.Uri): string {
  const folder = dirname(uri.fsPath);
  const several = (vscode.workspace.workspaceFolders?.length ?? 0) > 1;
  const top = vscode.workspace.workspaceFolders?.some((one) => one.uri.fsPath === folder) ?? false;
  if (top && !several) return '';
  return vscode.workspace.asRelativePath(folder, several);
}

function tooltip(uri: vscode.Uri, summary: ClipSummary, note: string): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  text.appendText(`${uri.fsPath}\n\n`);
  text.appendText(`${mosText(summary.mos)} (${gradeOf(summary.mos)})${note ? `, ${note}` : ''}\n\n`);
  const found =
    summary.distortions === null
      ? vscode.l10n.t('This model does not look for distortions.')
      : vscode.l10n.t('{0} distortions found', summary.distortions);
  text.appendText(`${found}\n\n${vscode.l10n.t('Model')}: ${summary.model}\n\n`);
  text.appendText(new Date(summary.assessedAt).toLocaleString(vscode.env.language));
  return text;
}
