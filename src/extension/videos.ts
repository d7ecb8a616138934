import * as vscode from 'vscode';
import { isVideoName } from '../protocol/video_names.ts';

/** How many videos of a folder are taken without asking. */
const manyVideos = 50;
/** Folders that are never looked into. */
const skipped = new Set(['node_modules', '.git', '.omnivqa']);

/** What a command was called on: the Explorer gives the clicked item and the whole selection. */
export function chosenUris(clicked: unknown, selection: unknown): vscode.Uri[] {
  const several = Array.isArray(selection) ? selection.filter((one) => one instanceof vscode.Uri) : [];
  if (several.length > 0) return several;
  if (clicked instanceof vscode.Uri) return [clicked];
  const active = activeVideo();
  return active ? [active] : [];
}

/** The video in the active editor tab, whichever editor shows it. */
export function activeVideo(): vscode.Uri | undefined {
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  const uri =
    input instanceof vscode.TabInputCustom || input instanceof vscode.TabInputText ? input.uri : undefined;
  return uri?.scheme === 'file' && isVideoName(uri.path) ? uri : undefined;
}

/**
 * The local video files that are meant: folders become the videos in them and in their folders, by name.
 *
 * @returns null where the user changed his mind about a large folder.
 */
export async function videosIn(uris: readonly vscode.Uri[]): Promise<vscode.Uri[] | null> {
  const found = new Map<string, vscode.Uri>();
  for (const uri of uris) {
    if (uri.scheme !== 'file') continue;
    const stat = await Promise.resolve(vscode.workspace.fs.stat(uri)).catch(() => undefined);
    if (stat && stat.type & vscode.FileType.Directory) {
      for (const video of await walk(uri)) found.set(video.fsPath, video);
    } else found.set(uri.fsPath, uri);
  }
  const videos = [...found.values()];
  if (videos.length <= manyVideos) return videos;
  const go = vscode.l10n.t('Assess {0} videos', videos.length);
  const answer = await vscode.window.showWarningMessage(
    vscode.l10n.t('There are {0} videos in this selection. Assess them all?', videos.length),
    { modal: true },
    go,
  );
  return answer === go ? videos : null;
}

async function walk(folder: vscode.Uri): Promise<vscode.Uri[]> {
  const entries = await Promise.resolve(vscode.workspace.fs.readDirectory(folder)).catch(() => []);
  const videos: vscode.Uri[] = [];
  for (const [name, type] of entries.sort(([a], [b]) => a.localeCompare(b, undefined, { numeric: true }))) {
    const uri = vscode.Uri.joinPath(folder, name);
    // A link to a folder may lead back up: only files are followed.
    if (type === vscode.FileType.Directory) {
      if (!skipped.has(name)) videos.push(...(await walk(uri)));
    } else if (type & vscode.FileType.File && isVideoName(name) && !/\.ts$/i.test(name)) videos.push(uri);
  }
  return videos;
}
