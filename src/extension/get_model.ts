import * as vscode from 'vscode';
import { printable } from '../assessment/text.ts';
import type { HubChoice, HubOffer } from '../protocol/engine.ts';
import { OmniError } from '../protocol/errors.ts';
import { askText, pick } from './asking.ts';
import { type Clips, untrusted } from './clips.ts';
import { offerUses, plain, sizeText } from './models.ts';
import { settingsFor } from './settings.ts';
import { durationText } from './words.ts';

/** Where the access token is kept. */
const secret = 'omnivqa.hub.token';

/** Published checkpoints of this network (arXiv 2505.22543 and its predecessors), and what each was trained for. */
const published: readonly { readonly name: string; readonly about: () => string }[] = [
  { name: 'q-future/VQA-UGC-Scorer-llava_qwen', about: () => vscode.l10n.t('rates videos of people') },
  {
    name: 'q-future/VQA-Streaming-Scorer-llava_qwen',
    about: () => vscode.l10n.t('rates streams and their stalls'),
  },
  { name: 'q-future/VQA-Assistant-llava-qwen-enhanced', about: () => vscode.l10n.t('converses, and rates') },
  { name: 'q-future/VQA-Assistant-llava_qwen', about: () => vscode.l10n.t('converses') },
];

/**
 * Downloads a checkpoint that the user chooses, after saying what that means, and offers to use it. What was fetched is
 * kept when it is stopped; asked for again, it goes on.
 */
export async function getModel(clips: Clips): Promise<void> {
  if (!vscode.workspace.isTrusted) throw untrusted();
  const name = await chooseName();
  if (!name) return;
  const { secrets } = clips.context;
  const choice: HubChoice = {
    name,
    endpoint: settingsFor().hubEndpoint,
    token: (await secrets.get(secret)) ?? null,
    proxy: editorsProxy(),
  };
  const found = await withToken(clips, choice, (one) =>
    vscode.window.withProgress(
      {
        location: vscode.ProgressLocation.Notification,
        title: vscode.l10n.t('Asking the hub about {0}', name),
        cancellable: true,
      },
      (_, token) => clips.request('offer', one, { signal: aborted(token) }),
    ),
  );
  if (!found) return;
  if (!found.result.pulled && !(await agrees(name, found.result))) return;
  if (!found.result.pulled) {
    const { commit } = found.result;
    const done = await withToken(clips, found.choice, (one) => pull(clips, { ...one, commit }));
    if (!done) return;
  }
  await offerUses(clips, name);
}

/** What the editor itself goes through; null where its settings say nothing of it. */
function editorsProxy(): HubChoice['proxy'] {
  const http = vscode.workspace.getConfiguration('http');
  const support = http.get<string>('proxySupport');
  const address = http.get<string>('proxy', '').trim();
  return address && support !== 'off' ? { address, none: http.get<string[]>('noProxy', []) } : null;
}

async function chooseName(): Promise<string | undefined> {
  const other = { label: vscode.l10n.t('$(edit) Another one…'), name: null };
  const chosen = await pick(
    [...published.map(({ name, about }) => ({ label: name, description: about(), name })), other],
    {
      title: vscode.l10n.t('Get a model'),
      placeHolder: vscode.l10n.t('It is downloaded once and runs on this machine alone'),
    },
  );
  if (!chosen || chosen.name) return chosen?.name ?? undefined;
  const typed = await askText({
    title: vscode.l10n.t('Get a model'),
    prompt: vscode.l10n.t('Its id on the hub: owner/name, or owner/name@revision'),
    validateInput: (text) =>
      /^[\w.-]+\/[\w.-]+(@[\w./-]+)?$/.test(text.trim())
        ? undefined
        : vscode.l10n.t('Write it as owner/name, or owner/name@revision.'),
  });
  return typed?.trim();
}

/**
 * Runs what may need an access token: where the hub denies, asks for one and tries again.
 *
 * @returns null where the user gave up.
 */
async function withToken<T>(
  clips: Clips,
  choice: HubChoice,
  work: (choice: HubChoice) => Thenable<T>,
): Promise<{ readonly result: T; readonly choice: HubChoice } | null> {
  for (let current = choice; ; ) {
    try {
      return { result: await work(current), choice: current };
    } catch (error) {
      if (OmniError.is(error, 'cancelled')) return null;
      if (!OmniError.is(error, 'hub_access_denied')) throw error;
      const token = await askText({
        title: vscode.l10n.t('Access token of the hub'),
        prompt: `${plain(error.message)} ${vscode.l10n.t('The token is kept in the secret store of the editor.')}`,
        password: true,
      });
      if (!token) return null;
      await clips.context.secrets.store(secret, token.trim());
      current = { ...current, token: token.trim() };
    }
  }
}

/** Says licence, size and free disk, and asks. */
async function agrees(name: string, offer: HubOffer): Promise<boolean> {
  const { licence, gated, family, bytes, free, directory } = offer;
  const short = free !== null && free < bytes;
  const detail = [
    vscode.l10n.t(
      'Licence: {0}',
      licence ? printable(licence) : vscode.l10n.t('none is named; ask its author'),
    ),
    ...(gated ? [vscode.l10n.t('Its author asks for conditions to be accepted on the hub.')] : []),
    vscode.l10n.t('Kind: {0}', family ?? vscode.l10n.t('known when it is here')),
    free === null
      ? vscode.l10n.t('Download: {0}', sizeText(bytes))
      : vscode.l10n.t('Download: {0}; {1} are free', sizeText(bytes), sizeText(free)),
    vscode.l10n.t('Into: {0}', directory),
    short
      ? vscode.l10n.t('There is not enough room.')
      : vscode.l10n.t(
          'When it is used first, it is compiled for this machine, which takes up to half as much again.',
        ),
  ].join('\n');
  const download = vscode.l10n.t('Download');
  const title = vscode.l10n.t('Download {0}?', name);
  const chosen = await vscode.window.showInformationMessage(
    title,
    { modal: true, detail },
    ...(short ? [] : [download]),
  );
  return chosen === download;
}

async function pull(clips: Clips, choice: HubChoice & { readonly commit: string }): Promise<true> {
  const begun = Date.now();
  let first: number | null = null;
  let shown = 0;
  await vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: vscode.l10n.t('Downloading {0}', choice.name),
      cancellable: true,
    },
    async (progress, token) => {
      const following = clips.onDidPull(({ name, done, total }) => {
        if (name !== choice.name || total === 0) return;
        // What an earlier attempt left says nothing of the pace.
        first ??= done;
        const seconds = (Date.now() - begun) / 1000;
        const left = done > first ? ((total - done) * seconds) / (done - first) : null;
        const message = [
          vscode.l10n.t('{0} of {1}', sizeText(done), sizeText(total)),
          ...(left !== null && seconds > 2 ? [vscode.l10n.t('{0} left', durationText(left))] : []),
        ].join(', ');
        progress.report({ message, increment: Math.max(0, (100 * done) / total - shown) });
        shown = (100 * done) / total;
      });
      try {
        await clips.request('pull', choice, { signal: aborted(token) });
      } finally {
        following.dispose();
      }
    },
  );
  return true;
}

function aborted(token: vscode.CancellationToken): AbortSignal {
  const abort = new AbortController();
  token.onCancellationRequested(() => abort.abort());
  return abort.signal;
}
