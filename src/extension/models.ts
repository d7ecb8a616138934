import { resolve } from 'node:path';
import * as vscode from 'vscode';
import type { ModelFacts } from '../protocol/engine.ts';
import { pick } from './asking.ts';
import { type Clips, untrusted } from './clips.ts';
import { settingsFor } from './settings.ts';

interface ModelItem extends vscode.QuickPickItem {
  /** null: one that is not here yet. */
  readonly model: ModelFacts | null;
}

interface ActionItem extends vscode.QuickPickItem {
  readonly run: () => Thenable<unknown>;
}

/** Lists the models that there are, with what each can and where it runs, and lets the user choose what for. */
export async function showModels(clips: Clips): Promise<void> {
  if (!vscode.workspace.isTrusted) throw untrusted();
  const { model, refine, chatModel } = settingsFor();
  const names = [model, chatModel, ...(refine ? [refine.model] : [])];
  const chosen = await pick<ModelItem>(
    clips
      .request('models', { names })
      .then((models) => [
        ...models.map(itemOf),
        { model: null, label: vscode.l10n.t('$(cloud-download) Get a model…') },
      ]),
    {
      title: vscode.l10n.t('Models on this machine'),
      placeHolder: vscode.l10n.t('Choose one to use it, or to see where it runs'),
      matchOnDescription: true,
      matchOnDetail: true,
    },
  );
  if (!chosen) return;
  if (!chosen.model) {
    await vscode.commands.executeCommand('omnivqa.getModel');
    return;
  }
  await chooseUse(clips, chosen.model);
}

/** Asks what a model that has just come is to be used for. */
export async function offerUses(clips: Clips, name: string): Promise<void> {
  const models = await clips.request('models', { names: [name] });
  const model = models.find((one) => one.name === name);
  if (model) await chooseUse(clips, model);
}

async function chooseUse(clips: Clips, model: ModelFacts): Promise<void> {
  const title = vscode.l10n.t('{0}: what is it for?', plain(model.label));
  const action = await pick(actionsFor(clips, model), { title });
  await action?.run();
}

const same = (a: string, b: string) => a === b || (a !== 'nano' && b !== 'nano' && resolve(a) === resolve(b));

function itemOf(model: ModelFacts): ModelItem {
  const settings = settingsFor();
  const { name, label, family, precision, chats, finds, bytes, loaded, measured, problem } = model;
  const can = [
    vscode.l10n.t('rates'),
    ...(finds ? [vscode.l10n.t('finds what is wrong')] : []),
    ...(chats ? [vscode.l10n.t('converses')] : []),
  ];
  const uses = [
    ...(same(name, settings.model) ? [vscode.l10n.t('Assesses')] : []),
    ...(same(name, settings.chatModel) ? [vscode.l10n.t('Answers questions')] : []),
    ...(settings.refine && same(name, settings.refine.model)
      ? [vscode.l10n.t('Looks at the worst windows')]
      : []),
  ];
  const place = loaded
    ? vscode.l10n.t('Loaded on {0} in {1} s: {2}', loaded.provider, loaded.seconds.toFixed(1), loaded.reason)
    : '';
  return {
    model,
    label: `$(${problem ? 'warning' : uses.length > 0 ? 'check' : 'circle-outline'}) ${plain(label)}`,
    description: problem
      ? vscode.l10n.t('can not be used')
      : [...can, plain(precision ?? family), sizeText(bytes)].join(' · '),
    detail: [
      uses.join(', '),
      problem ?? place,
      measured ? figuresText(measured) : '',
      name === 'nano' ? '' : name,
    ]
      .filter(Boolean)
      .map(plain)
      .join(' · '),
  };
}

/** What `omnivqa model bench` said, in a line. */
function figuresText(figures: NonNullable<ModelFacts['measured']>): string {
  const { provider, secondsPer10sClip, prefillTokensPerSecond, decodeTokensPerSecond, limits } = figures;
  const percent = (measured: number, limit: number) => Math.round((100 * measured) / limit);
  return vscode.l10n.t(
    'Measured on {0}: loaded in {1} s, 10 s of video in {2} s, {3} tokens/s read and {5} written ({4} % and {6} % of its limits), {7} of memory',
    provider,
    Number(figures.loadSeconds.toPrecision(2)),
    Number(secondsPer10sClip.toPrecision(2)),
    rounded(prefillTokensPerSecond),
    percent(prefillTokensPerSecond, limits.prefillTokensPerSecond),
    rounded(decodeTokensPerSecond),
    percent(decodeTokensPerSecond, limits.decodeTokensPerSecond),
    sizeText(figures.peakMemoryBytes),
  );
}

/** A large model writes one token a second or less. */
const rounded = (rate: number) => (rate < 10 ? Number(rate.toPrecision(2)) : Math.round(rate));

/** What comes from a checkpoint, without what a quick pick would draw as an icon. */
export const plain = (text: string) => text.replaceAll('$(', '$ (');

/** "14.9 MB", "5.2 GB". */
export const sizeText = (bytes: number) =>
  bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;

function actionsFor(
  clips: Clips,
  { name, label, directory, chats, finds, problem }: ModelFacts,
): ActionItem[] {
  const { model, refine, chatModel } = settingsFor();
  const actions: ActionItem[] = [];
  if (!problem && !same(name, model)) {
    actions.push({
      label: vscode.l10n.t('Use for rating'),
      detail: vscode.l10n.t('Clips are assessed with it from now on; earlier results are kept.'),
      run: () => set('model', name, vscode.l10n.t('{0} assesses clips from now on.', label)),
    });
  }
  if (!problem && (chats || finds) && !same(name, chatModel)) {
    actions.push({
      label: vscode.l10n.t('Use for chat'),
      detail: vscode.l10n.t('Questions about a clip are answered by it.'),
      run: () =>
        set(
          'chatModel',
          same(name, model) ? '' : name,
          vscode.l10n.t('{0} answers questions from now on.', label),
        ),
    });
  }
  if (refine && same(name, refine.model)) {
    actions.push({
      label: vscode.l10n.t('Do not use for the worst windows any more'),
      run: () => set('refineModel', '', vscode.l10n.t('No second model looks at clips any more.')),
    });
  } else if (!problem && !same(name, model)) {
    actions.push({
      label: vscode.l10n.t('Use for the worst windows'),
      detail: vscode.l10n.t(
        'After a clip is assessed, it looks at its worst windows; the timeline shows which model said what.',
      ),
      run: () =>
        set('refineModel', name, vscode.l10n.t('{0} looks at the worst windows from now on.', label)),
    });
  }
  if (!problem) {
    actions.push({
      label: vscode.l10n.t('See where it runs'),
      detail: vscode.l10n.t('Loads it, after compiling it where that is needed.'),
      run: () => tryModel(clips, name, label),
    });
  }
  if (name !== 'nano' && directory) {
    actions.push({
      label: vscode.l10n.t('Show its folder'),
      run: () => vscode.commands.executeCommand('revealFileInOS', vscode.Uri.file(directory)),
    });
  }
  return actions;
}

/** Writes a setting where it is set already, otherwise for the user, and says what that means. */
async function set(
  key: 'model' | 'chatModel' | 'refineModel',
  value: string,
  meaning: string,
): Promise<void> {
  const values = vscode.workspace.getConfiguration('omnivqa');
  const inWorkspace = values.inspect(key)?.workspaceValue !== undefined;
  const target = inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await values.update(key, value, target);
  void vscode.window.showInformationMessage(meaning);
}

async function tryModel(clips: Clips, name: string, label: string): Promise<void> {
  const abort = new AbortController();
  const { provider, reason, precision, seconds } = await vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: vscode.l10n.t('Loading {0}', label),
      cancellable: true,
    },
    (_, token) => {
      token.onCancellationRequested(() => abort.abort());
      const choice = { model: name, provider: settingsFor().provider };
      return clips.request('load', choice, { signal: abort.signal });
    },
  );
  void vscode.window.showInformationMessage(
    vscode.l10n.t(
      '{0} runs on {1} in {2}, loaded in {3} s: {4}',
      label,
      provider,
      precision,
      seconds.toFixed(1),
      reason,
    ),
  );
}
