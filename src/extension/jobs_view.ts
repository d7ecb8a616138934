import * as vscode from 'vscode';
import type { ClipState, Clips, EncodeJob } from './clips.ts';
import { Owner } from './disposables.ts';
import { encodeText, jobText } from './words.ts';

type Job = ClipState | EncodeJob;

/** The jobs view: encodes that are made, and clips that are assessed; what runs, then what waits. */
export class JobsView extends Owner implements vscode.TreeDataProvider<Job> {
  readonly #clips: Clips;
  readonly #changed = this.own(new vscode.EventEmitter<undefined>());
  readonly onDidChangeTreeData = this.#changed.event;
  readonly view: vscode.TreeView<Job>;
  #count = 0;

  constructor(clips: Clips) {
    super();
    this.#clips = clips;
    this.view = this.own(vscode.window.createTreeView('omnivqa.jobs', { treeDataProvider: this }));
    this.own(clips.onDidChange(() => this.#refresh()));
    this.own(clips.onDidEncode(() => this.#changed.fire(undefined)));
  }

  getChildren(node?: Job): Job[] {
    return node ? [] : [...this.#clips.encodes, ...this.#clips.jobs];
  }

  getTreeItem(node: Job): vscode.TreeItem {
    if (!('uri' in node)) return encodeItem(node);
    const { uri, job } = node;
    const name = this.#clips.nameOf(uri);
    const state = job?.state;
    const item = new vscode.TreeItem(name);
    item.id = uri.fsPath;
    const text = state ? jobText(state) : '';
    const speed = state?.framesPerSecond;
    item.description = speed ? `${text} · ${vscode.l10n.t('{0} frames/s', Math.round(speed))}` : text;
    item.iconPath = new vscode.ThemeIcon(state?.phase === 'queued' ? 'clock' : 'sync~spin');
    item.contextValue = 'job';
    item.tooltip = uri.fsPath;
    item.command = {
      command: 'omnivqa.openTimeline',
      title: vscode.l10n.t('Open the Timeline'),
      arguments: [uri],
    };
    item.accessibilityInformation = { label: `${name}, ${text}` };
    return item;
  }

  #refresh(): void {
    const count = this.#clips.jobs.length;
    if (count !== this.#count) {
      this.#count = count;
      void vscode.commands.executeCommand('setContext', 'omnivqa.busy', count > 0);
      this.view.badge =
        count > 0 ? { value: count, tooltip: vscode.l10n.t('{0} clips to assess', count) } : undefined;
    } else if (count === 0) return;
    this.#changed.fire(undefined);
  }
}

function encodeItem({ id, label, source, state }: EncodeJob): vscode.TreeItem {
  const item = new vscode.TreeItem(label);
  const text = encodeText(state);
  item.id = id;
  item.description = text;
  item.iconPath = new vscode.ThemeIcon(state.phase === 'waiting' ? 'clock' : 'sync~spin');
  item.contextValue = 'encode';
  item.tooltip = source;
  item.accessibilityInformation = { label: `${label}, ${text}` };
  return item;
}
