import { parse } from 'node:path';
import * as vscode from 'vscode';
import type { ExportFormat, Span } from '../protocol/timeline.ts';
import type { Clips } from './clips.ts';
import { settingsFor, teamFolder } from './settings.ts';

/** Where reports go; by extension. */
const suffixes = { json: '.omnivqa.json', csv: '.omnivqa.csv', html: '.omnivqa.html' } as const;

/**
 * Asks where to, and writes a clip's report there.
 *
 * @returns the path, or null where the user chose none.
 * @throws OmniError as the engine's `report`.
 */
export async function exportReport(
  clips: Clips,
  uri: vscode.Uri,
  format: ExportFormat,
  span: Span | null,
): Promise<string | null> {
  const filters = {
    json: { [vscode.l10n.t('Assessment record (JSON)')]: ['json'] },
    csv: { [vscode.l10n.t('Timeline (CSV)')]: ['csv'] },
    html: { [vscode.l10n.t('Report (HTML)')]: ['html'] },
  }[format];
  const name = `${parse(uri.fsPath).name}${suffixes[format]}`;
  const target = await vscode.window.showSaveDialog({
    defaultUri: vscode.Uri.joinPath(uri, '..', name),
    filters,
    title: vscode.l10n.t('Export the assessment'),
  });
  if (!target) return null;
  const { model, provider } = settingsFor(uri);
  await clips.request('report', {
    path: uri.fsPath,
    model,
    provider,
    teamFolder: teamFolder(uri),
    format,
    span,
    target: target.fsPath,
  });
  return target.fsPath;
}
