import { randomUUID } from 'node:crypto';
import { basename, isAbsolute, resolve } from 'node:path';
import * as vscode from 'vscode';
import { printableLines } from '../../assessment/text.ts';
import { isVideoName, videoExtensions } from '../../protocol/video_names.ts';
import { untrusted } from '../clips.ts';
import { settingsFor } from '../settings.ts';
import { activeVideo } from '../videos.ts';
import type { Answers } from './answers.ts';
import { toolFor } from './tool_choice.ts';

/** Name of the provider, as package.json names it. */
export const vendor = 'omnivqa';

/** Characters of English text that a token has, roughly; nothing is decided by it but what the editor shows. */
const charactersPerToken = 4;

const textOf = ({ content }: vscode.LanguageModelChatRequestMessage) =>
  content.map((part) => (part instanceof vscode.LanguageModelTextPart ? part.value : '')).join('');

/** A file of this machine that a text names, in quotes or without. */
async function clipIn(text: string): Promise<vscode.Uri | undefined> {
  const folders = vscode.workspace.workspaceFolders?.filter(({ uri }) => uri.scheme === 'file') ?? [];
  const name = new RegExp(
    `["'\`“]([^"'\`“”\\n]+)["'\`”]|(\\S+\\.(?:${videoExtensions.join('|')}))\\b`,
    'giu',
  );
  for (const match of text.matchAll(name)) {
    const path = (match[1] ?? match[2] ?? '').replace(/^@|^#file:/, '');
    if (!isVideoName(path)) continue;
    const places = isAbsolute(path) ? [path] : folders.map(({ uri }) => resolve(uri.fsPath, path));
    for (const place of places) {
      const uri = vscode.Uri.file(place);
      const found = await Promise.resolve(vscode.workspace.fs.stat(uri)).catch(() => undefined);
      if (found && found.type & vscode.FileType.File) return uri;
    }
  }
  return undefined;
}

/** The local model among the editor's language models: it answers about the video that a message names. */
export function registerProvider(answers: Answers): vscode.Disposable[] {
  // Older workbenches, and forks of VS Code, have no such function.
  if (typeof vscode.lm?.registerLanguageModelChatProvider !== 'function') return [];
  const changed = new vscode.EventEmitter<void>();
  const provider: vscode.LanguageModelChatProvider = {
    onDidChangeLanguageModelChatInformation: changed.event,
    provideLanguageModelChatInformation: () => {
      if (!vscode.workspace.isTrusted) return [];
      const { chatModel: model } = settingsFor();
      const name = model === 'nano' ? 'OmniVQA-Nano' : `OmniVQA (${model})`;
      return [
        {
          id: model,
          name,
          family: 'omnivqa',
          version: '1',
          tooltip: vscode.l10n.t(
            'Answers about the quality of a video on this machine; nothing is sent anywhere.',
          ),
          maxInputTokens: 4096,
          maxOutputTokens: 1024,
          capabilities: { toolCalling: true },
        },
      ];
    },
    async provideLanguageModelChatResponse(_model, messages, { tools }, progress, token) {
      if (!vscode.workspace.isTrusted) throw untrusted();
      const results = (messages.at(-1)?.content ?? []).filter(
        (part) => part instanceof vscode.LanguageModelToolResultPart,
      );
      if (results.length > 0) {
        // What a tool of ours says is an answer already, with what it rests on.
        const said = results.flatMap(({ content }) =>
          content.flatMap((part) => (part instanceof vscode.LanguageModelTextPart ? [part.value] : [])),
        );
        progress.report(new vscode.LanguageModelTextPart(printableLines(said.join('\n'))));
        return;
      }
      const asked = messages.filter(({ role }) => role === vscode.LanguageModelChatMessageRole.User);
      const question = asked.at(-1) ? textOf(asked.at(-1)!) : '';
      // The newest message that names a clip decides; otherwise it is the one that the editor shows.
      let clip: vscode.Uri | undefined;
      for (const message of asked.toReversed()) clip ??= await clipIn(textOf(message));
      clip ??= activeVideo();
      if (!clip) {
        progress.report(
          new vscode.LanguageModelTextPart(
            vscode.l10n.t('Name a video file of the workspace: this model answers about one clip.'),
          ),
        );
        return;
      }
      const offered = new Set((tools ?? []).map(({ name }) => name));
      // The clip's own name is not part of what is asked.
      const choice = toolFor(question.replaceAll(basename(clip.fsPath), ''), clip.fsPath, offered);
      if (choice) {
        progress.report(new vscode.LanguageModelToolCallPart(randomUUID(), choice.name, choice.input));
        return;
      }
      const { text, options } = await answers.once(clip.fsPath, question, token);
      const chances = options.map((one) => `${one.text}: ${Math.round(one.probability * 100)} %`);
      progress.report(new vscode.LanguageModelTextPart(printableLines([text, ...chances].join('\n'))));
    },
    provideTokenCount: async (_model, text) =>
      Math.ceil((typeof text === 'string' ? text : textOf(text)).length / charactersPerToken),
  };
  return [
    changed,
    vscode.workspace.onDidGrantWorkspaceTrust(() => changed.fire()),
    vscode.workspace.onDidChangeConfiguration((change) => {
      const ours = ['omnivqa.model', 'omnivqa.chatModel'];
      if (ours.some((name) => change.affectsConfiguration(name))) changed.fire();
    }),
    vscode.lm.registerLanguageModelChatProvider(vendor, provider),
  ];
}
