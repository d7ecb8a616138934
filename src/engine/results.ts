import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Assessment, parseAssessment } from '../assessment/record.ts';
import { schemaId } from '../assessment/vocabulary.ts';
import type { Problem } from '../protocol/errors.ts';
import { moveAside, writeWhole } from './files.ts';
import type { EngineModel } from './models.ts';

/** What decides a result, beside the clip's content. */
export type ResultKey = Pick<EngineModel, 'revision' | 'precision' | 'compiler'> & {
  readonly provider: string;
  /** Rated as closely as encodes that are compared; left out where it is not. */
  readonly closely?: true;
};

export const resultKey = (
  { revision, precision, compiler, omni, config }: EngineModel,
  closely = false,
): ResultKey => ({
  revision,
  precision,
  compiler,
  provider: omni.choice.provider,
  ...wayOf(config, closely),
});

/** How closely a model looks. */
export type Way = Pick<ResultKey, 'closely'>;

/** Nothing where it looks no closer at encodes than at other clips. */
export const wayOf = ({ omnivqa }: EngineModel['config'], closely: boolean): Way =>
  closely && omnivqa.comparisonKeyFrames > 1 ? { closely } : {};

/** A file name for what depends on a content and a key: two letters for the folder, a slash, and the rest. */
export function resultName(
  sha256: string,
  { revision, precision, compiler, provider, closely }: ResultKey,
): string {
  const parts = [schemaId, sha256, revision, precision, compiler, provider, ...(closely ? ['closely'] : [])];
  const key = JSON.stringify(parts);
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
