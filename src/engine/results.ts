import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Assessment, parseAssessment } from '../assessment/record.ts';
import { schemaId } from '../assessment/vocabulary.ts';
import type { Problem } from '../protocol/errors.ts';
import { moveAside, writeWhole } from './files.ts';
import type { EngineModel, ModelIdentity } from './models.ts';

/** How closely a clip is looked at. */
export interface Way {
  /** Rated as closely as encodes that are compared; left out where it is not. */
  readonly closely?: true;
  /** The weights that it is rated with, where those are not the model's own. */
  readonly comparison?: string;
}

/** What decides a result, beside the clip's content. */
export type ResultKey = Pick<EngineModel, 'revision' | 'precision' | 'compiler'> &
  Way & { readonly provider: string };

export const resultKey = (model: EngineModel, closely = false): ResultKey => {
  const { revision, precision, compiler, omni, config } = model;
  return {
    revision,
    precision,
    compiler,
    provider: omni.choice.provider,
    ...(closely ? closeWay(config, model) : {}),
  };
};

/** Nothing where a model looks no closer at encodes than at other clips. */
export function closeWay(
  { omnivqa }: EngineModel['config'],
  { comparison }: Pick<ModelIdentity, 'comparison'>,
): Way {
  if (comparison) return { closely: true, comparison: comparison.revision };
  return omnivqa.comparisonKeyFrames > 1 ? { closely: true } : {};
}

/** A file name for what depends on a content and a key: two letters for the folder, a slash, and the rest. */
export function resultName(
  sha256: string,
  { revision, precision, compiler, provider, closely, comparison }: ResultKey,
): string {
  const way = [...(closely ? ['closely'] : []), ...(comparison ? [comparison] : [])];
  const key = JSON.stringify([schemaId, sha256, revision, precision, compiler, provider, ...way]);
  const name = createHash('sha256').update(key).digest('hex');
  return join(name.slice(0, 2), name);
}

/**
 * Finished records, by what they depend on: the file's content, the model's weights, their precision, the kind of
 * provider and the versions of schema and compiler. A renamed copy of a clip finds its record; a re-encoded one does
 * not.
 */
export class ResultCache {
  readonly #root: string;
  /** What went wrong without stopping anything: a damaged entry, a full disk. */
  readonly problems: Problem[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  /** The record of a file with this content, under the path it has now; undefined where there is none. */
  async get(path: string, sha256: string, key: ResultKey): Promise<Assessment | undefined> {
    const file = this.#file(sha256, key);
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch {
      return undefined;
    }
    const { value } = parseAssessment(parseJson(text));
    if (value?.status === 'complete' && value.video.sha256 === sha256) {
      return { ...value, video: { ...value.video, path } };
    }
    const aside = await moveAside(file);
    this.problems.push({
      code: 'cache_corrupt',
      message: `A stored result was damaged; it ${aside ? `was moved to ${aside}` : 'can not be moved'} and is computed again.`,
    });
    return undefined;
  }

  /**
   * Keeps a complete record. Failing to is a problem, not an error: the record is there all the same.
   *
   * @returns whether it is kept.
   */
  async put(record: Assessment, key: ResultKey): Promise<boolean> {
    if (record.status !== 'complete' || record.video.sha256 === null) return false;
    try {
      await writeWhole(this.#file(record.video.sha256, key), JSON.stringify(record));
      return true;
    } catch (error) {
      this.problems.push({
        code: 'cache_not_written',
        message: `The result could not be kept for next time: ${(error as Error).message}`,
      });
      return false;
    }
  }

  /** Forgets a record. Nothing is said where there is none. */
  async remove(sha256: string, key: ResultKey): Promise<void> {
    await rm(this.#file(sha256, key), { force: true }).catch(() => undefined);
  }

  #file(sha256: string, key: ResultKey): string {
    return join(this.#root, `${resultName(sha256, key)}.json`);
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
