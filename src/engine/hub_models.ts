import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  describeModel,
  freeBytes,
  type HubModel,
  type PullCall,
  type PullProgress,
  parseHubName,
  pullModel,
} from '../model/checkpoint/hub.ts';
import { proxiesOf } from '../model/checkpoint/proxy.ts';
import type { HubChoice, HubOffer } from '../protocol/engine.ts';
import { OmniError } from '../protocol/errors.ts';
import { Lock } from './lock.ts';
import { cacheDirectory } from './paths.ts';

const root = () => join(cacheDirectory(), 'hub');
const home = (id: string) => join(root(), id.replace('/', '--'));
/** Says which commit a revision was at when it was pulled. */
const reference = (id: string, revision: string) => join(home(id), 'refs', encodeURIComponent(revision));

/** Where a published model belongs: `<cache>/hub/<owner>--<name>/<commit>`. */
export const pulledDirectory = ({ id, commit }: Pick<HubModel, 'id' | 'commit'>): string =>
  join(home(id), commit);

/**
 * Pulls a model to its place in the cache, where `owner/name[@revision]` finds it without a connection.
 *
 * @param revision As the user named it; it stands for this commit from now on.
 * @throws OmniError those of `pullModel`, `bad_usage` while another process pulls the same.
 */
export async function pullToCache(model: HubModel, revision: string, call: PullCall = {}): Promise<string> {
  const directory = pulledDirectory(model);
  // Two that write the same files would spoil them.
  const lock = await Lock.take(`${directory}.lock`);
  if (lock === 'taken') {
    throw new OmniError(
      'bad_usage',
      `Another process is fetching ${model.id} at this commit.`,
      'Wait for it to end: pulled again, the model is there at once.',
      { path: directory },
    );
  }
  try {
    // The model was compiled in place of its checkpoint: there is nothing to fetch.
    if (!existsSync(join(directory, 'manifest.json'))) await pullModel(model, directory, call);
  } finally {
    if (lock !== 'unlockable') await lock.release();
  }
  const file = reference(model.id, revision);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.${process.pid}`, model.commit);
  await rename(`${file}.${process.pid}`, file);
  return directory;
}

/**
 * What pulling a model would mean.
 *
 * @throws OmniError those of `describeModel`.
 */
export async function offerOf(choice: HubChoice, signal?: AbortSignal): Promise<HubOffer> {
  const { id, revision } = named(choice.name);
  const model = await describeModel(id, { revision, ...connectionOf(choice, signal) });
  const directory = pulledDirectory(model);
  const { commit, licence, gated, family, bytes } = model;
  const free = await freeBytes(directory);
  return { commit, licence, gated, family, bytes, free, directory, pulled: existsSync(directory) };
}

/**
 * Pulls what was offered: the files of that commit, whatever its revision has become since.
 *
 * @throws OmniError those of `describeModel` and `pullModel`.
 */
export async function pullOffered(
  choice: HubChoice & { readonly commit: string },
  signal: AbortSignal,
  onProgress: (progress: PullProgress) => void,
): Promise<void> {
  const { id, revision } = named(choice.name);
  const connection = connectionOf(choice, signal);
  const model = await describeModel(id, { revision: choice.commit, ...connection });
  await pullToCache(model, revision, { ...connection, onProgress });
}

function named(name: string): { readonly id: string; readonly revision: string } {
  const parsed = parseHubName(name);
  if (!parsed) {
    throw new OmniError('bad_usage', `${name} is no hub id.`, 'Name a model as owner/name[@revision].');
  }
  return { id: parsed.id, revision: parsed.revision ?? 'main' };
}

const connectionOf = ({ endpoint, token, proxy }: HubChoice, signal: AbortSignal | undefined) => ({
  endpoint: endpoint ?? (process.env.HF_ENDPOINT || undefined),
  token: token ?? (process.env.HF_TOKEN || undefined),
  proxies: proxy
    ? { http: proxy.address, https: proxy.address, none: proxy.none.join(',') || undefined }
    : proxiesOf(process.env),
  signal,
});

/**
 * The directory of a pulled model; null where the name is no hub id. Without a revision it is `main`.
 *
 * @throws OmniError `model_not_found` for one that was not pulled, or not to its end.
 */
export function findPulled(name: string): string | null {
  const parsed = parseHubName(name);
  if (!parsed) return null;
  const { id, revision } = parsed;
  const file = reference(id, revision ?? 'main');
  const commits = existsSync(home(id))
    ? readdirSync(home(id)).filter((one) => /^[0-9a-f]{40}$/.test(one))
    : [];
  const named = existsSync(file)
    ? commits.find((commit) => commit === readFileSync(file, 'utf8').trim())
    : // A beginning of a commit that fits one alone; a single pull of another revision needs no name.
      onlyOne(commits.filter((commit) => revision === null || commit.startsWith(revision)));
  if (named) return join(home(id), named);
  const begun = existsSync(home(id)) && readdirSync(home(id)).some((one) => one.endsWith('.partial'));
  throw new OmniError(
    'model_not_found',
    begun
      ? `${name} was not pulled to its end.`
      : `There is no directory ${name}, and no model of that name was pulled.`,
    `Pull it with: omnivqa model pull ${name}`,
    { path: name },
  );
}

const onlyOne = (commits: readonly string[]) => (commits.length === 1 ? commits[0] : undefined);

/** The pulled models, as `--model` takes them: by id where `main` was pulled, with the revision otherwise. */
export function listPulled(): { readonly name: string; readonly directory: string }[] {
  const found = new Map<string, string>();
  const entries = (path: string) =>
    statSync(path, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(path).sort() : [];
  for (const folder of entries(root())) {
    const id = folder.replace('--', '/');
    for (const ref of entries(join(root(), folder, 'refs'))) {
      const revision = decodeURIComponent(ref);
      const name = revision === 'main' ? id : `${id}@${revision}`;
      try {
        const directory = findPulled(name);
        // One commit by several names is one model.
        if (directory && (!found.has(directory) || revision === 'main')) found.set(directory, name);
      } catch (error) {
        // A reference whose commit was removed is none.
        if (!OmniError.is(error, 'model_not_found')) throw error;
      }
    }
  }
  return [...found].map(([directory, name]) => ({ name, directory }));
}
