import { basename, dirname, isAbsolute, join, relative } from 'node:path';
import * as vscode from 'vscode';
import type { FileEncode } from '../../comparison/encodes.ts';
import { videoExtensions } from '../../protocol/video_names.ts';
import { pick } from '../asking.ts';

/** What was chosen for a document. */
interface Choice {
  readonly path: string;
  /** Whether it is for all encodes, or only for those whose own clip is not there. */
  readonly forAll: boolean;
}

const key = 'omnivqa.encodes.sources';
const mostOffered = 500;
/** `.ts` is TypeScript more often than a transport stream. */
const videoGlob = `**/*.{${videoExtensions.filter((one) => one !== 'ts').join(',')}}`;

/** Which clip stands in for the input of a command or a ladder. */
export class Sources {
  readonly #memory: vscode.Memento;

  constructor(memory: vscode.Memento) {
    this.#memory = memory;
  }

  /**
   * The clip that an encode is tried on: the one chosen for all of its document, its own where that is a file of the
   * workspace, or what was chosen when one was missing.
   *
   * @returns null where somebody has to be asked.
   */
  async of(document: vscode.Uri, encode: FileEncode): Promise<vscode.Uri | null> {
    const chosen = this.#choices()[document.toString()];
    const remembered = chosen && (await isFile(vscode.Uri.file(chosen.path))) ? chosen : null;
    if (remembered?.forAll) return vscode.Uri.file(remembered.path);
    const own = await ownSource(document, encode.source);
    return own ?? (remembered ? vscode.Uri.file(remembered.path) : null);
  }

  /** Asks for the clip of a document, among those of the workspace, and remembers it. Null: none was chosen. */
  async choose(document: vscode.Uri, forAll: boolean, named: string | null): Promise<vscode.Uri | null> {
    const found = await vscode.workspace.findFiles(videoGlob, '**/{node_modules,.omnivqa}/**', mostOffered);
    const videos = found.sort((a, b) => a.path.localeCompare(b.path, undefined, { numeric: true }));
    const browse = { label: vscode.l10n.t('Browse…'), iconPath: new vscode.ThemeIcon('folder-opened') };
    const picked = await pick<vscode.QuickPickItem & { uri?: vscode.Uri }>(
      [
        ...videos.map((uri) => ({
          label: basename(uri.path),
          description: dirname(vscode.workspace.asRelativePath(uri)),
          iconPath: new vscode.ThemeIcon('device-camera-video'),
          uri,
        })),
        browse,
      ],
      {
        title: vscode.l10n.t('Source clip for {0}', basename(document.path)),
        placeHolder: named
          ? vscode.l10n.t('{0} is not in this workspace. Which clip shall be encoded?', named)
          : vscode.l10n.t('Which clip shall be encoded?'),
        matchOnDescription: true,
      },
    );
    if (!picked) return null;
    const [uri] =
      'uri' in picked && picked.uri
        ? [picked.uri]
        : ((await vscode.window.showOpenDialog({ title: vscode.l10n.t('Source clip') })) ?? []);
    if (!uri) return null;
    const choice: Choice = { path: uri.fsPath, forAll };
    await this.#memory.update(key, { ...this.#choices(), [document.toString()]: choice });
    return uri;
  }

  #choices(): Readonly<Record<string, Choice>> {
    return this.#memory.get<Record<string, Choice>>(key, {});
  }
}

/** The file that a command or ladder names, beside its document or from the top of the workspace; never outside it. */
async function ownSource(document: vscode.Uri, source: string | null): Promise<vscode.Uri | null> {
  if (source === null || source.includes('\0')) return null;
  const name = source.replace(/^file:/, '');
  const folders = (vscode.workspace.workspaceFolders ?? []).filter(({ uri }) => uri.scheme === 'file');
  const bases = [
    ...(document.scheme === 'file' ? [dirname(document.fsPath)] : []),
    ...folders.map(({ uri }) => uri.fsPath),
  ];
  for (const path of isAbsolute(name) ? [name] : bases.map((base) => join(base, name))) {
    const inside = folders.some(({ uri }) => {
      const way = relative(uri.fsPath, path);
      return way !== '' && !way.startsWith('..') && !isAbsolute(way);
    });
    if (inside && (await isFile(vscode.Uri.file(path)))) return vscode.Uri.file(path);
  }
  return null;
}

async function isFile(uri: vscode.Uri): Promise<boolean> {
  const stat = await Promise.resolve(vscode.workspace.fs.stat(uri)).catch(() => null);
  return stat !== null && (stat.type & vscode.FileType.File) !== 0;
}
