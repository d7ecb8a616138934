import { basename } from 'node:path';
import * as vscode from 'vscode';
import { markdownText } from '../../assessment/conversation_markdown.ts';
import { isVideoName } from '../../protocol/video_names.ts';
import { untrusted } from '../clips.ts';
import { activeVideo } from '../videos.ts';
import { momentName, spanText } from '../words.ts';
import type { Answered, Answers } from './answers.ts';

/** Identifier of the participant, as package.json names it. */
export const participantId = 'omnivqa.chat';

/** Buttons to places in the timeline under one answer. */
const mostButtons = 5;

/** The video that a request is about: what is attached to it, otherwise what the editor shows. */
function clipOf({ references }: vscode.ChatRequest): vscode.Uri | undefined {
  for (const { value } of references) {
    const uri = value instanceof vscode.Location ? value.uri : value;
    if (uri instanceof vscode.Uri && uri.scheme === 'file' && isVideoName(uri.path)) return uri;
  }
  return activeVideo();
}

/** An answer as the editor's chat shows it: what the model wrote is text, what can be pressed is ours. */
function show(stream: vscode.ChatResponseStream, answer: Answered): void {
  stream.markdown(new vscode.MarkdownString(markdownText(answer.text)));
  for (const { text, probability, chosen } of answer.options) {
    const line = `${markdownText(text)}: ${Math.round(probability * 100)} %`;
    stream.markdown(new vscode.MarkdownString(`\n- ${chosen ? `**${line}**` : line}`));
  }
  for (const { verdict, because } of answer.claims) {
    if (verdict === 'contradicts') {
      const words = vscode.l10n.t('The record says otherwise: {0}', because);
      stream.markdown(new vscode.MarkdownString(`\n\n> ${markdownText(words)}`));
    }
  }
  const shown = new Set<string>();
  for (const { place } of answer.links) {
    const moment = { ...place.span, kind: place.type ?? 'quality', severity: null, mos: null };
    const title =
      place.type === null ? spanText(place.span) : `${momentName(moment)}, ${spanText(place.span)}`;
    if (shown.has(title) || shown.size >= mostButtons) continue;
    shown.add(title);
    stream.button({
      command: 'omnivqa.openMoment',
      title,
      arguments: [vscode.Uri.file(place.path), moment],
    });
  }
}

/** Answers `@omnivqa` in the editor's chat, about the attached video or the one in the editor. */
export function registerParticipant(answers: Answers): vscode.Disposable[] {
  // A workbench without a chat has no such function.
  if (typeof vscode.chat?.createChatParticipant !== 'function') return [];
  const participant = vscode.chat.createChatParticipant(
    participantId,
    async (request, _context, stream, token): Promise<vscode.ChatResult> => {
      const uri = clipOf(request);
      if (!uri) {
        stream.markdown(
          vscode.l10n.t('Attach a video, or open one, and ask about it: what is wrong, where and when.'),
        );
        return {};
      }
      if (!vscode.workspace.isTrusted) {
        const { message, next } = untrusted();
        return { errorDetails: { message: `${message} ${next}` } };
      }
      stream.progress(vscode.l10n.t('Looking at {0}', basename(uri.fsPath)));
      try {
        show(stream, await answers.once(uri.fsPath, request.prompt, token));
        return { metadata: { path: uri.fsPath } };
      } catch (error) {
        if (token.isCancellationRequested) return {};
        return { errorDetails: { message: error instanceof Error ? error.message : String(error) } };
      }
    },
  );
  participant.iconPath = new vscode.ThemeIcon('device-camera-video');
  participant.followupProvider = {
    async provideFollowups({ metadata }) {
      const path: unknown = metadata?.path;
      if (typeof path !== 'string') return [];
      const questions = await answers.suggestions(path).catch(() => []);
      return questions.slice(0, 3).map((prompt) => ({ prompt }));
    },
  };
  return [participant];
}
