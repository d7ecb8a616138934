import * as vscode from 'vscode';
import type { ModelChoice, RefineChoice } from '../protocol/engine.ts';

/** The user's settings, read at the moment they are needed: none is kept. */
export interface Settings extends ModelChoice {
  /** MOS below which a clip misses its target; null: none set. */
  readonly threshold: number | null;
  /** The second model for the windows that matter most; null: none. */
  readonly refine: RefineChoice | null;
  /** The model that is asked about clips: `model`, unless there is one for it alone. */
  readonly chatModel: string;
  /** Binary or directory; empty: PATH. */
  readonly ffmpeg: string;
  /** Node binary for the engine; empty: looked for. */
  readonly node: string;
  /** Hub that models come from, or a mirror; null: the public one. */
  readonly hubEndpoint: string | null;
  /** GB that a model may take; null: what is free. */
  readonly memory: number | null;
  /** Seconds of a source that are encoded in its place; null: all. */
  readonly excerpt: number | null;
  readonly mosInExplorer: boolean;
  /** Whether records are kept in the workspace's `.omnivqa` folder too. */
  readonly inWorkspace: boolean;
}

/** Settings as they apply to a file: a folder of a workspace may have its own. */
export function settingsFor(uri?: vscode.Uri): Settings {
  const values = vscode.workspace.getConfiguration('omnivqa', uri ?? null);
  const threshold = values.get<number | null>('threshold', null);
  const model = values.get<string>('model', 'nano').trim() || 'nano';
  const second = values.get<string>('refineModel', '').trim();
  const memory = values.get<number>('memory', 0);
  const excerpt = values.get<number>('encodes.excerpt', 0);
  const windows = Math.round(values.get<number>('refineWindows', 3));
  return {
    model,
    refine: second && second !== model && windows >= 1 ? { model: second, windows } : null,
    chatModel: values.get<string>('chatModel', '').trim() || model,
    provider: values.get<Settings['provider']>('provider', 'auto'),
    threshold: typeof threshold === 'number' && threshold >= 1 && threshold <= 5 ? threshold : null,
    ffmpeg: values.get<string>('ffmpegPath', '').trim(),
    node: values.get<string>('nodePath', '').trim(),
    hubEndpoint: values.get<string>('hub.endpoint', '').trim() || null,
    memory: typeof memory === 'number' && memory > 0 ? memory : null,
    excerpt: typeof excerpt === 'number' && excerpt >= 1 ? excerpt : null,
    mosInExplorer: values.get<boolean>('explorer.showMos', false),
    inWorkspace: values.get<boolean>('results.inWorkspace', false),
  };
}

/** The team's folder for the results of a file; null where they are kept on this machine alone. */
export function teamFolder(uri: vscode.Uri): string | null {
  if (!settingsFor(uri).inWorkspace) return null;
  const folder = vscode.workspace.getWorkspaceFolder(uri);
  return folder?.uri.scheme === 'file' ? vscode.Uri.joinPath(folder.uri, '.omnivqa').fsPath : null;
}
