import { basename } from 'node:path';
import * as vscode from 'vscode';
import type { Assessment } from '../assessment/record.ts';
import type { EngineFacts, JobUpdate } from '../protocol/engine.ts';
import { OmniError } from '../protocol/errors.ts';
import type { ExportFormat } from '../protocol/timeline.ts';
import { askText, pick } from './asking.ts';
import type { ChatViews } from './chat/views.ts';
import { type Clips, forEditor, priorities, serialized, untrusted } from './clips.ts';
import { exportReport } from './export.ts';
import { getModel } from './get_model.ts';
import { showModels } from './models.ts';
import type { Order, ResultNode, ResultsView } from './results_view.ts';
import type { Moment } from './summary.ts';
import type { Timelines } from './timelines.ts';
import { chosenUris, videosIn } from './videos.ts';
import { jobText, mosText } from './words.ts';

export interface Parts {
  readonly clips: Clips;
  readonly timelines: Timelines;
  readonly results: ResultsView;
  readonly chat: ChatViews;
}

/** Everything the user can call, by identifier. A command that fails says so with its cause and the next step. */
export function commandTable({ clips, timelines, results, chat }: Parts): Record<string, Command> {
  const uriOf = (clicked: unknown, selection?: unknown) =>
    isNode(clicked) ? clicked.uri : chosenUris(clicked, selection)[0];
  const urisOf = (clicked: unknown, selection: unknown) => {
    const nodes = Array.isArray(selection) ? selection.filter(isNode) : [];
    if (nodes.length > 0) return [...new Map(nodes.map(({ uri }) => [uri.fsPath, uri])).values()];
    return isNode(clicked) ? [clicked.uri] : chosenUris(clicked, selection);
  };

  const assess = async (uris: readonly vscode.Uri[], fresh: boolean) => {
    if (!vscode.workspace.isTrusted) throw untrusted();
    const videos = await videosIn(uris);
    if (videos === null) return [];
    if (videos.length === 0) {
      void vscode.window.showInformationMessage(
        uris.length === 0
          ? vscode.l10n.t('Select a video in the Explorer, or open one, to assess it.')
          : vscode.l10n.t('There is no video in this selection.'),
      );
      return [];
    }
    const [only] = videos;
    return videos.length === 1 && only
      ? [await assessOne(clips, timelines, only, fresh)]
      : assessSeveral(clips, videos, fresh);
  };

  return {
    'omnivqa.assess': (clicked, selection) => assess(urisOf(clicked, selection), false),
    'omnivqa.assessAgain': (clicked, selection) => assess(urisOf(clicked, selection), true),
    'omnivqa.assessFolder': async (clicked, selection) => {
      const chosen = urisOf(clicked, selection);
      const folders = vscode.workspace.workspaceFolders?.map(({ uri }) => uri) ?? [];
      return assess(chosen.length > 0 && isUriOrNode(clicked) ? chosen : folders, false);
    },
    'omnivqa.openTimeline': async (clicked, selection) => {
      const uri = uriOf(clicked, selection);
      if (uri) await timelines.show(uri);
      else
        void vscode.window.showInformationMessage(
          vscode.l10n.t('Select a video in the Explorer to open its timeline.'),
        );
    },
    'omnivqa.openMoment': async (uri, moment) => {
      if (!(uri instanceof vscode.Uri)) return;
      const { start, end } = moment as Moment;
      await timelines.show(uri, { time: start, span: { start, end } });
    },
    'omnivqa.ask': async (clicked, selection) => {
      const uri = uriOf(clicked, selection);
      if (uri) await chat.ask(uri);
      else
        void vscode.window.showInformationMessage(
          vscode.l10n.t('Select a video in the Explorer, or open one, to ask about it.'),
        );
    },
    'omnivqa.clearConversations': async () => {
      const clear = vscode.l10n.t('Clear');
      const answer = await vscode.window.showWarningMessage(
        vscode.l10n.t('Clear every conversation about the clips of this workspace?'),
        { modal: true },
        clear,
      );
      if (answer === clear) await chat.conversations.clearAll();
    },
    'omnivqa.cancel': async (clicked) => {
      const uri = uriOf(clicked);
      if (uri && clips.state(uri).job) await clips.cancel(uri);
      else await Promise.all(clips.jobs.map(({ uri }) => clips.cancel(uri)));
    },
    'omnivqa.cancelAll': () => Promise.all(clips.jobs.map(({ uri }) => clips.cancel(uri))),
    'omnivqa.export': async (clicked) => {
      const uri = uriOf(clicked);
      if (!uri) return;
      const formats: (vscode.QuickPickItem & { format: ExportFormat })[] = [
        {
          format: 'html',
          label: vscode.l10n.t('Report (HTML)'),
          detail: vscode.l10n.t('One self-contained page that opens offline'),
        },
        {
          format: 'json',
          label: vscode.l10n.t('Assessment record (JSON)'),
          detail: vscode.l10n.t('Everything, for other tools; its schema is published'),
        },
        {
          format: 'csv',
          label: vscode.l10n.t('Timeline (CSV)'),
          detail: vscode.l10n.t('One row per second, for a spreadsheet'),
        },
      ];
      const chosen = await pick(formats, {
        title: vscode.l10n.t('Export the assessment of {0}', basename(uri.fsPath)),
      });
      const path = chosen && (await exportReport(clips, uri, chosen.format, null));
      if (!path) return;
      const open = vscode.l10n.t('Open');
      const answer = await vscode.window.showInformationMessage(
        vscode.l10n.t('Exported to {0}.', basename(path)),
        open,
      );
      if (answer === open) await vscode.env.openExternal(vscode.Uri.file(path));
    },
    'omnivqa.deleteResult': async (clicked, selection) => {
      const uris = urisOf(clicked, selection);
      const remove = vscode.l10n.t('Delete');
      const answer = await vscode.window.showWarningMessage(
        uris.length === 1 && uris[0]
          ? vscode.l10n.t('Delete the result of {0}? The video itself stays.', basename(uris[0].fsPath))
          : vscode.l10n.t('Delete {0} results? The videos themselves stay.', uris.length),
        { modal: true },
        remove,
      );
      if (answer === remove) for (const uri of uris) await clips.forget(uri);
    },
    'omnivqa.results.sort': async () => {
      const orders: (vscode.QuickPickItem & { order: Order })[] = [
        { order: 'worst', label: vscode.l10n.t('Worst first') },
        { order: 'best', label: vscode.l10n.t('Best first') },
        { order: 'name', label: vscode.l10n.t('By name') },
        { order: 'newest', label: vscode.l10n.t('Newest first') },
      ];
      const chosen = await pick(
        orders.map((item) => ({ ...item, picked: item.order === results.order })),
        { title: vscode.l10n.t('Sort the results') },
      );
      if (chosen) await results.setOrder(chosen.order);
    },
    'omnivqa.results.filter': async () => {
      const text = await askText({
        title: vscode.l10n.t('Filter the results'),
        prompt: vscode.l10n.t('Part of a name or folder'),
        value: results.filter.text,
      });
      if (text !== undefined) results.setFilter(text, results.filter.missesOnly);
    },
    'omnivqa.results.missesOnly': () => results.setFilter(results.filter.text, true),
    'omnivqa.results.clearFilter': () => results.setFilter('', false),
    'omnivqa.showLog': () => clips.log.show(),
    'omnivqa.openSettings': () =>
      vscode.commands.executeCommand('workbench.action.openSettings', '@ext:omnivqa.omnivqa'),
    'omnivqa.openWalkthrough': () =>
      vscode.commands.executeCommand('workbench.action.openWalkthrough', 'omnivqa.omnivqa#start', false),
    'omnivqa.showModels': () => showModels(clips),
    'omnivqa.getModel': () => getModel(clips),
    'omnivqa.checkSetup': async () => {
      const facts = await clips.request('facts', {});
      return checkSetup(facts);
    },
  };
}

export type Command = (...args: unknown[]) => unknown;

const isNode = (value: unknown): value is ResultNode =>
  typeof value === 'object' && value !== null && 'uri' in value && value.uri instanceof vscode.Uri;
const isUriOrNode = (value: unknown) => value instanceof vscode.Uri || isNode(value);

/** Opens the timeline, which shows the job as it goes on, and waits for its end. */
async function assessOne(clips: Clips, timelines: Timelines, uri: vscode.Uri, fresh: boolean) {
  const done = clips.assess(uri, { priority: priorities.asked, fresh });
  // The timeline shows a failure itself; here it must not count as unhandled while the editor opens.
  done.catch(() => undefined);
  await timelines.show(uri);
  return outcome(await done);
}

async function assessSeveral(clips: Clips, videos: readonly vscode.Uri[], fresh: boolean) {
  await vscode.commands.executeCommand('omnivqa.results.focus');
  const outcomes = await vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: vscode.l10n.t('Assessing {0} videos', videos.length),
      cancellable: true,
    },
    async (progress, token) => {
      const cancelling = token.onCancellationRequested(() => {
        for (const uri of videos) void clips.cancel(uri);
      });
      let over = 0;
      const report = (increment = 0) => {
        const running = clips.jobs.find(({ job }) => job?.state?.phase === 'running');
        const now = running?.job?.state
          ? ` · ${basename(running.uri.fsPath)}: ${jobText(running.job.state)}`
          : '';
        progress.report({
          increment,
          message: vscode.l10n.t('{0} of {1} done', over, videos.length) + now,
        });
      };
      const following = clips.onDidChange(() => report());
      try {
        return await Promise.all(
          videos.map(async (uri) => {
            const result = await clips
              .assess(uri, { priority: priorities.batch, fresh })
              .then(outcome, (error) => ({ path: uri.fsPath, outcome: 'failed' as const, mos: null, error }));
            over += 1;
            report(100 / videos.length);
            return result;
          }),
        );
      } finally {
        following.dispose();
        cancelling.dispose();
      }
    },
  );
  const failed = outcomes.filter((one) => one.outcome === 'failed');
  const done = outcomes.filter(({ mos }) => mos !== null);
  const [worst] = [...done].sort((a, b) => (a.mos ?? 5) - (b.mos ?? 5));
  const show = vscode.l10n.t('Open the Worst');
  const log = vscode.l10n.t('Show Log');
  const text =
    vscode.l10n.t('{0} of {1} videos assessed.', done.length, videos.length) +
    (worst?.mos
      ? ` ${vscode.l10n.t('The worst is {0}: {1}.', basename(worst.path), mosText(worst.mos))}`
      : '');
  const message = failed.length > 0 ? vscode.window.showWarningMessage : vscode.window.showInformationMessage;
  void message(text, ...(worst ? [show] : []), ...(failed.length > 0 ? [log] : [])).then((answer) => {
    if (answer === show && worst) {
      void vscode.commands.executeCommand('omnivqa.openTimeline', vscode.Uri.file(worst.path));
    } else if (answer === log) clips.log.show();
  });
  return outcomes;
}

/** What a command answers to whoever called it: another extension, a task, a test. */
function outcome({ path, outcome, record, error }: JobUpdate<Assessment>) {
  return { path, outcome: outcome ?? ('failed' as const), mos: record?.mos ?? null, error };
}

function checkSetup(facts: EngineFacts): EngineFacts {
  if ('code' in facts.ffmpeg) {
    const { message, next } = forEditor(facts.ffmpeg);
    void vscode.window.showErrorMessage(`${message} ${next}`);
  } else {
    void vscode.window.showInformationMessage(
      vscode.l10n.t('Ready: {0}, Node {1}.', facts.ffmpeg.version, facts.node),
    );
  }
  return facts;
}

/** Shows a failure with its cause and its next step; the log has the rest. */
export async function showFailure(error: unknown, log: vscode.LogOutputChannel): Promise<void> {
  if (OmniError.is(error, 'cancelled')) return;
  const known = OmniError.is(error);
  log.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  const { message, next } = serialized(error);
  const text = known
    ? `${message} ${next}`
    : vscode.l10n.t('OmniVQA failed: {0}', error instanceof Error ? error.message : String(error));
  const show = vscode.l10n.t('Show Log');
  if ((await vscode.window.showErrorMessage(text, show)) === show) log.show();
}
