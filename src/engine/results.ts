import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Assessment, parseAssessment, schemaId } from '../assessment/record.ts';
import type { Problem } from '../protocol/errors.ts';
import type { EngineModel } from './models.ts';

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
  async get(path: string, sha256: string, model: EngineModel): Promise<Assessment | undefined> {
    const file = this.#file(sha256, model);
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
    const aside = `${file}.corrupt-${randomBytes(4).toString('hex')}`;
    await rename(file, aside).catch(() => undefined);
    this.problems.push({
      code: 'cache_corrupt',
      message: `A stored result was damaged; it was moved to ${aside} and is computed again.`,
    });
    return undefined;
  }

  /** Keeps a complete record. Failing to is a problem, not an error: the record is there all the same. */
  async put(record: Assessment, model: EngineModel): Promise<void> {
    if (record.status !== 'complete' || record.video.sha256 === null) return;
    const file = this.#file(record.video.sha256, model);
    const partial = `${file}.${process.pid}-${randomBytes(4).toString('hex')}`;
    try {
      await mkdir(dirname(file), { recursive: true });
      await writeFile(partial, JSON.stringify(record));
      await rename(partial, file);
    } catch (error) {
      await rm(partial, { force: true }).catch(() => undefined);
      this.problems.push({
        code: 'cache_not_written',
        message: `The result could not be kept for next time: ${(error as Error).message}.`,
      });
    }
  }

  #file(sha256: string, { revision, precision, compiler, omni }: EngineModel): string {
    const key = JSON.stringify([schemaId, sha256, revision, precision, compiler, omni.choice.provider]);
    const name = createHash('sha256').update(key).digest('hex');
    return join(this.#root, name.slice(0, 2), `${name}.json`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
