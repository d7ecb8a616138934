import * as vscode from 'vscode';
import { Conversations } from './chat/conversations.ts';
import { registerMcp } from './chat/mcp.ts';
import { registerParticipant } from './chat/participant.ts';
import { registerProvider } from './chat/provider.ts';
import { registerTools } from './chat/tools.ts';
import { ChatViews } from './chat/views.ts';
import { Clips } from './clips.ts';
import { commandTable, showFailure } from './commands.ts';
import { Comparison } from './comparison/comparison.ts';
import { Feedback } from './feedback.ts';
import { JobsView } from './jobs_view.ts';
import { MediaServer } from './media_server.ts';
import { RecordDocuments } from './records.ts';
import { ResultsView } from './results_view.ts';
import { Timelines } from './timelines.ts';

/** Registers everything and starts nothing: the engine comes with the first clip. */
export function activate(context: vscode.ExtensionContext): void {
  const begun = performance.now();
  const log = vscode.window.createOutputChannel('OmniVQA', { log: true });
  const clips = new Clips(context, log);
  const media = new MediaServer();
  const timelines = new Timelines(clips, media);
  const results = new ResultsView(clips);
  const conversations = new Conversations(clips);
  const chat = new ChatViews(clips, timelines, conversations);
  const comparison = new Comparison(clips, timelines);
  context.subscriptions.push(
    log,
    clips,
    media,
    timelines,
    results,
    conversations,
    chat,
    comparison,
    new JobsView(clips),
    new Feedback(clips),
    vscode.workspace.registerTextDocumentContentProvider(RecordDocuments.scheme, new RecordDocuments(clips)),
    ...registerTools(clips),
    ...registerMcp(context),
    ...registerParticipant(conversations.answers),
    ...registerProvider(conversations.answers),
  );
  const commands = { ...commandTable({ clips, timelines, results, chat }), ...comparison.commands() };
  for (const [name, run] of Object.entries(commands)) {
    context.subscriptions.push(
      vscode.commands.registerCommand(name, async (...args: unknown[]) => {
        try {
          return await run(...args);
        } catch (error) {
          void showFailure(error, log);
          return undefined;
        }
      }),
    );
  }
  // For the bench, which runs in the same process: something else may activate us before it looks.
  performance.measure('omnivqa.activate', { start: begun });
}
