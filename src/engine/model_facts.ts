/** What there is to know of models without loading them, for the editor's list of them. */
import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { openCheckpoint } from '../model/checkpoint/checkpoint.ts';
import { openCompiled } from '../model/compiler/manifest.ts';
import type { ModelFacts } from '../protocol/engine.ts';
import { serializeError } from '../protocol/rpc.ts';
import { newestFigures } from './model_figures.ts';
import {
  checkpointBytes,
  compiledBytes,
  type EngineModel,
  findIdentity,
  listModels,
  modelDirectory,
  precisionOf,
  revisionOf,
} from './models.ts';
import { cacheDirectory } from './paths.ts';

interface Described {
  readonly facts: ModelFacts;
  /** null where it is not compiled, or can not be read. */
  readonly revision: string | null;
}

/**
 * The embedded model, those that are named, and the others that lie compiled in the cache. One that can not be read
 * says why.
 *
 * @param names What settings name: `nano`, directories of checkpoints or compiled models.
 * @param loaded The model that is loaded, which is told where it runs.
 */
export async function modelFacts(
  names: readonly string[],
  loaded: EngineModel | null,
): Promise<ModelFacts[]> {
  const wanted = new Map(['nano', ...names].map((name) => [name === 'nano' ? name : resolve(name), name]));
  const described = await Promise.all([...wanted.values()].map((name) => describe(name, loaded)));
  const known = new Set(described.map(({ revision }) => revision));
  for (const { name } of await listModels()) {
    if (wanted.has(name === 'nano' ? name : resolve(name))) continue;
    const other = await describe(name, loaded);
    // The compiled form of a checkpoint that is named is not another model.
    if (other.revision !== null && known.has(other.revision)) continue;
    described.push(other);
  }
  return described.map(({ facts }) => facts);
}

async function describe(name: string, loaded: EngineModel | null): Promise<Described> {
  const label = name === 'nano' ? 'OmniVQA-Nano' : basename(resolve(name));
  try {
    const directory = modelDirectory(name);
    const compiled = existsSync(join(directory, 'manifest.json')) ? await openCompiled(directory) : null;
    const { omnivqa } = compiled?.config ?? openCheckpoint(directory).config;
    const identity = compiled ? null : await findIdentity(name);
    const revision = compiled ? revisionOf(compiled) : (identity?.revision ?? null);
    const cached = dirname(directory) === join(cacheDirectory(), 'models');
    const runs = loaded !== null && revision === loaded.revision ? loaded : null;
    const bytes = compiled ? compiledBytes(compiled) : checkpointBytes(directory);
    const facts: ModelFacts = {
      name,
      directory,
      // A directory of the cache is named by a sum, which says nothing.
      label: cached ? omnivqa.family : label,
      family: omnivqa.family,
      precision: compiled ? precisionOf(compiled.manifest) : (identity?.precision ?? null),
      chats: omnivqa.converses,
      finds: omnivqa.localization !== null,
      bytes,
      loaded: runs && placeOf(runs),
      measured: revision === null ? null : await newestFigures(revision),
      problem: null,
    };
    return { facts, revision };
  } catch (error) {
    const { message, next } = serializeError(error);
    const unknown = { family: '', precision: null, chats: false, finds: false, bytes: 0 };
    const nothing = { directory: null, loaded: null, measured: null };
    return { facts: { name, label, ...unknown, ...nothing, problem: `${message} ${next}` }, revision: null };
  }
}

/** Where a loaded model runs, and why there. */
export function placeOf({ omni, precision, loadSeconds }: EngineModel): NonNullable<ModelFacts['loaded']> {
  const { provider, reason } = omni.choice;
  return { provider, reason, precision, seconds: loadSeconds };
}
