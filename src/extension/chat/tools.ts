import { basename, isAbsolute, resolve } from 'node:path';
import * as vscode from 'vscode';
import { assessmentBrief, distortionBrief, encodeBrief, momentBrief } from '../../assessment/brief.ts';
import type { Assessment } from '../../assessment/record.ts';
import { printable } from '../../assessment/text.ts';
import { OmniError } from '../../protocol/errors.ts';
import { isVideoName } from '../../protocol/video_names.ts';
import { type Clips, priorities, untrusted } from '../clips.ts';

interface ClipInput {
  readonly path: string;
}

/** What a tool does with the record of the clip that it was called with. */
interface RecordTool<I extends ClipInput> {
  readonly name: string;
  /** Shown while it runs. */
  doing(name: string): string;
  /** Title of the question before it runs. */
  title(name: string): string;
  text(record: Assessment, input: I): string;
}

const assessVideo: RecordTool<ClipInput> = {
  name: 'omnivqa_assess_video',
  doing: (name) => vscode.l10n.t('Assessing {0}', name),
  title: (name) => vscode.l10n.t('Assess the quality of {0}?', name),
  text: assessmentBrief,
};

const listDistortions: RecordTool<ClipInput & { readonly type?: string }> = {
  name: 'omnivqa_list_distortions',
  doing: (name) => vscode.l10n.t('Listing the distortions of {0}', name),
  title: (name) => vscode.l10n.t('Look for distortions in {0}?', name),
  text: (record, { type }) => distortionBrief(record, type),
};

const describeMoment: RecordTool<ClipInput & { readonly start: number; readonly end?: number }> = {
  name: 'omnivqa_describe_moment',
  doing: (name) => vscode.l10n.t('Looking at a moment of {0}', name),
  title: (name) => vscode.l10n.t('Look at a moment of {0}?', name),
  text: (record, { start, end }) =>
    momentBrief(record, { start, end: Math.max(end ?? start + 1, start + 0.04) }),
};

/**
 * The file that a tool was told of: absolute, or relative to a folder of the workspace.
 *
 * @throws OmniError where it is no video of this machine.
 */
async function videoAt(path: string): Promise<vscode.Uri> {
  const folders = vscode.workspace.workspaceFolders?.filter(({ uri }) => uri.scheme === 'file') ?? [];
  const candidates = isAbsolute(path)
    ? [vscode.Uri.file(path)]
    : folders.map(({ uri }) => vscode.Uri.file(resolve(uri.fsPath, path)));
  for (const uri of candidates) {
    const found = await Promise.resolve(vscode.workspace.fs.stat(uri)).catch(() => undefined);
    if (found && found.type & vscode.FileType.File && isVideoName(uri.path)) return uri;
  }
  throw new OmniError(
    'file_not_found',
    vscode.l10n.t('There is no video “{0}” in the workspace.', path),
    vscode.l10n.t('Give its path relative to a folder of the workspace, or its absolute path.'),
  );
}

/** What a model may be told of a failure: the cause and the next step. */
const told = (error: unknown) => (OmniError.is(error) ? new Error(`${error.message} ${error.next}`) : error);

/** The record of a clip: the stored one, otherwise it is assessed. `listed` as for {@link Clips.assess}. */
async function recordOf(
  clips: Clips,
  uri: vscode.Uri,
  token: vscode.CancellationToken,
  listed = true,
): Promise<Assessment> {
  if (!vscode.workspace.isTrusted) throw untrusted();
  const cancelling = token.onCancellationRequested(() => void clips.cancel(uri));
  try {
    const { record, error, outcome } = await clips.assess(uri, {
      priority: priorities.asked,
      fresh: false,
      listed,
    });
    if (record && outcome !== 'cancelled') return record;
    if (outcome === 'cancelled') throw new vscode.CancellationError();
    throw new OmniError(
      error?.code ?? 'internal_error',
      error?.message ?? vscode.l10n.t('The clip could not be assessed.'),
      error?.next ?? '',
    );
  } finally {
    cancelling.dispose();
  }
}

/** Offers a tool to the editor's own models. It asks before it runs the model on a file. */
function register<I extends ClipInput>(clips: Clips, tool: RecordTool<I>): vscode.Disposable {
  return vscode.lm.registerTool<I>(tool.name, {
    async prepareInvocation({ input }) {
      const name = basename(input.path);
      const uri = await videoAt(input.path).catch(() => undefined);
      const stored = uri !== undefined && clips.summary(uri)?.status === 'complete';
      const inside = uri !== undefined && vscode.workspace.getWorkspaceFolder(uri) !== undefined;
      const message = new vscode.MarkdownString();
      message.appendText(
        `${uri?.fsPath ?? input.path}\n\n${
          inside
            ? vscode.l10n.t(
                'The model on this machine looks at every second of it. Nothing is sent anywhere.',
              )
            : vscode.l10n.t('This file is outside the workspace. The model on this machine looks at it.')
        }`,
      );
      return {
        invocationMessage: tool.doing(name),
        // A stored result of the workspace's own file is only read.
        ...(stored && inside ? {} : { confirmationMessages: { title: tool.title(name), message } }),
      };
    },
    async invoke({ input }, token) {
      try {
        const record = await recordOf(clips, await videoAt(input.path), token);
        return new vscode.LanguageModelToolResult([
          new vscode.LanguageModelTextPart(tool.text(record, input)),
        ]);
      } catch (error) {
        throw told(error);
      }
    },
  });
}

interface CompareInput extends ClipInput {
  /** ffmpeg's output options, one encode each. */
  readonly settings: readonly string[];
}

const compareEncodes = 'omnivqa_compare_encodes';

/** Encodes a clip in several ways, one after the other, and says how good and how large each is. */
function registerCompare(clips: Clips): vscode.Disposable {
  return vscode.lm.registerTool<CompareInput>(compareEncodes, {
    async prepareInvocation({ input: { path, settings } }) {
      const uri = await videoAt(path).catch(() => undefined);
      const message = new vscode.MarkdownString();
      message.appendText(
        [
          uri?.fsPath ?? path,
          ...settings.map((one, index) => `${index + 1}. ${one}`),
          vscode.l10n.t(
            'ffmpeg encodes it with these settings, on every core, into the extension’s own storage.',
          ),
        ].join('\n\n'),
      );
      return {
        invocationMessage: vscode.l10n.t('Encoding {0} in {1} ways', basename(path), settings.length),
        confirmationMessages: { title: vscode.l10n.t('Compare encodes of {0}?', basename(path)), message },
      };
    },
    async invoke({ input: { path, settings } }, token) {
      if (!vscode.workspace.isTrusted) throw told(untrusted());
      const abort = new AbortController();
      const cancelling = token.onCancellationRequested(() => abort.abort());
      try {
        const source = await videoAt(path);
        const lines: string[] = [];
        for (const [index, words] of settings.entries()) {
          const facts = await clips.request(
            'encode',
            { path: source.fsPath, options: words.trim().split(/\s+/) },
            { signal: abort.signal },
          );
          const record = await recordOf(clips, vscode.Uri.file(facts.file), token, false);
          lines.push(encodeBrief(index + 1, facts, record));
        }
        lines.push(`[encodes of ${printable(source.fsPath)}, the picture alone]`);
        return new vscode.LanguageModelToolResult([new vscode.LanguageModelTextPart(lines.join('\n'))]);
      } catch (error) {
        throw told(error);
      } finally {
        cancelling.dispose();
      }
    },
  });
}

/** Registers the tools; nothing runs before one is called. */
export function registerTools(clips: Clips): vscode.Disposable[] {
  // A workbench without language models has no such function.
  if (typeof vscode.lm?.registerTool !== 'function') return [];
  return [
    register(clips, assessVideo),
    register(clips, listDistortions),
    register(clips, describeMoment),
    registerCompare(clips),
  ];
}
