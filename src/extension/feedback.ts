import { basename } from 'node:path';
import * as vscode from 'vscode';
import { gradeOf } from '../assessment/pooling.ts';
import type { Clips } from './clips.ts';
import { Owner } from './disposables.ts';
import { settingsFor } from './settings.ts';
import { activeVideo } from './videos.ts';
import { jobText, mosText, spanText } from './words.ts';

/** What the workbench shows of results and jobs outside our own views. */
export class Feedback extends Owner implements vscode.FileDecorationProvider {
  readonly #clips: Clips;
  readonly #item = this.own(
    vscode.window.createStatusBarItem('omnivqa.status', vscode.StatusBarAlignment.Right, 100),
  );
  readonly #problems = this.own(vscode.languages.createDiagnosticCollection('omnivqa'));
  readonly #decorated = this.own(new vscode.EventEmitter<vscode.Uri | undefined>());
  readonly onDidChangeFileDecorations = this.#decorated.event;

  constructor(clips: Clips) {
    super();
    this.#clips = clips;
    this.#item.name = 'OmniVQA';
    this.own(vscode.window.registerFileDecorationProvider(this));
    this.own(clips.onDidChange((uri) => this.#clipChanged(uri)));
    this.own(vscode.workspace.onDidGrantWorkspaceTrust(() => this.#showStatus()));
    this.own(vscode.window.tabGroups.onDidChangeTabs(() => this.#showStatus()));
    this.own(vscode.window.tabGroups.onDidChangeTabGroups(() => this.#showStatus()));
    this.own(
      vscode.workspace.onDidChangeConfiguration((change) => {
        if (!change.affectsConfiguration('omnivqa')) return;
        this.#decorated.fire(undefined);
        this.#checkTargets();
        this.#showStatus();
      }),
    );
    this.#checkTargets();
    this.#showStatus();
  }

  /** The MOS to one decimal fits a badge's two characters without its point: 34 is 3.4. */
  provideFileDecoration(uri: vscode.Uri): vscode.FileDecoration | undefined {
    if (uri.scheme !== 'file' || !settingsFor(uri).mosInExplorer) return undefined;
    const summary = this.#clips.summary(uri);
    if (!summary) return undefined;
    const { threshold } = settingsFor(uri);
    const misses = threshold !== null && summary.mos < threshold;
    return {
      badge: String(Math.round(summary.mos * 10)),
      tooltip: `${mosText(summary.mos)} (${gradeOf(summary.mos)})`,
      ...(misses ? { color: new vscode.ThemeColor('list.errorForeground') } : {}),
    };
  }

  #clipChanged(uri: vscode.Uri): void {
    this.#decorated.fire(uri);
    this.#checkTarget(uri);
    this.#showStatus();
  }

  #checkTargets(): void {
    this.#problems.clear();
    for (const { path } of this.#clips.summaries) this.#checkTarget(vscode.Uri.file(path));
  }

  /** An entry in Problems for a clip that misses its target. */
  #checkTarget(uri: vscode.Uri): void {
    const summary = this.#clips.summary(uri);
    const { threshold } = settingsFor(uri);
    if (!summary || threshold === null || summary.mos >= threshold) {
      if (this.#problems.has(uri)) this.#problems.delete(uri);
      return;
    }
    const worst = summary.moments.find(({ kind }) => kind === 'quality');
    const diagnostic = new vscode.Diagnostic(
      new vscode.Range(0, 0, 0, 0),
      vscode.l10n.t('{0} misses the target of {1}.', mosText(summary.mos), threshold.toFixed(1)) +
        (worst ? ` ${vscode.l10n.t('Lowest at {0} ({1}).', spanText(worst), mosText(worst.mos ?? 1))}` : ''),
      vscode.DiagnosticSeverity.Warning,
    );
    diagnostic.source = 'OmniVQA';
    diagnostic.code = 'below-threshold';
    this.#problems.set(uri, [diagnostic]);
  }

  #showStatus(): void {
    const jobs = this.#clips.jobs;
    const active = activeVideo();
    const summary = active && this.#clips.summary(active);
    const [first] = jobs;
    if (first?.job?.state) {
      const { state } = first.job;
      const more = jobs.length > 1 ? ` (+${jobs.length - 1})` : '';
      this.#item.text = `$(sync~spin) ${withoutIcons(this.#clips.nameOf(first.uri))} ${jobText(state)}${more}`;
      this.#item.tooltip = vscode.l10n.t('OmniVQA assesses {0} clips. Select to see the jobs.', jobs.length);
      this.#item.accessibilityInformation = {
        label: `OmniVQA: ${this.#clips.nameOf(first.uri)}, ${jobText(state)}${more}`,
        role: 'button',
      };
      this.#item.command = 'omnivqa.jobs.focus';
    } else if (active && summary) {
      this.#item.text = `$(device-camera-video) ${mosText(summary.mos)}`;
      this.#item.tooltip = `${basename(active.fsPath)}: ${mosText(summary.mos)} (${gradeOf(summary.mos)})`;
      this.#item.accessibilityInformation = { label: `OmniVQA: ${this.#item.tooltip}`, role: 'button' };
      this.#item.command = {
        command: 'omnivqa.openTimeline',
        title: vscode.l10n.t('Open the Timeline'),
        arguments: [active],
      };
    } else if (active && vscode.workspace.isTrusted) {
      this.#item.text = `$(device-camera-video) ${vscode.l10n.t('Assess quality')}`;
      this.#item.tooltip = vscode.l10n.t('Assess the quality of {0}', basename(active.fsPath));
      this.#item.accessibilityInformation = { label: `OmniVQA: ${this.#item.tooltip}`, role: 'button' };
      this.#item.command = {
        command: 'omnivqa.assess',
        title: vscode.l10n.t('Assess quality'),
        arguments: [active],
      };
    } else {
      this.#item.hide();
      return;
    }
    this.#item.show();
  }
}

/** A file name must not become an icon: `$(x)` is markup in the status bar. */
const withoutIcons = (text: string) => text.replaceAll('$(', '$ (');
