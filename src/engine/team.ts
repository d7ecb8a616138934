import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { type Assessment, parseAssessment } from '../assessment/record.ts';
import { safeJson } from '../assessment/text.ts';
import type { Problem } from '../protocol/errors.ts';
import { moveAside, writeWhole } from './files.ts';
import { parseJson } from './results.ts';

/** Longest name of a file that every platform takes, bytes. */
const longestName = 255;
const suffix = '.omnivqa.json';

/**
 * The records that a team keeps in its workspace: `clips/a.mp4` has `.omnivqa/clips/a.mp4.omnivqa.json`. A clip from
 * outside the workspace has its place in a folder named after where it lies.
 */
export class TeamFolder {
  readonly #folder: string;
  readonly #workspace: string;
  /** What went wrong without stopping anything. */
  readonly problems: Problem[] = [];

  /** @param folder The workspace's `.omnivqa`. */
  constructor(folder: string) {
    this.#folder = resolve(folder);
    this.#workspace = dirname(this.#folder);
  }

  /** Where the record of a clip belongs. */
  fileOf(path: string): string {
    const inside = this.#inside(path);
    const place = inside ?? join('outside', digest(dirname(resolve(path))), basename(path));
    const name = basename(place);
    const room = longestName - suffix.length;
    const short =
      Buffer.byteLength(name) <= room ? name : `${[...name].slice(0, 48).join('')}-${digest(name)}`;
    return join(this.#folder, dirname(place), `${short}${suffix}`);
  }

  /** The clip's record, of whatever content and model, under the path it has here; null where there is none. */
  async get(path: string): Promise<Assessment | null> {
    const { record } = await this.#read(path);
    return record && { ...record, video: { ...record.video, path } };
  }

  /**
   * Writes a clip's record. One that a newer version wrote is left alone; one that can not be read is moved aside. A
   * whole one of the same content and model stays, unless a second model has refined this one.
   */
  async put(path: string, record: Assessment): Promise<void> {
    const file = this.fileOf(path);
    const { record: before, state } = await this.#read(path);
    if (state === 'newer') return;
    if (state === 'corrupt') {
      const aside = await moveAside(file);
      if (!aside) return;
      this.#found({
        code: 'record_corrupt',
        message: `The record ${file} was damaged; it was moved to ${aside}.`,
      });
    }
    const same =
      before?.video.sha256 === record.video.sha256 && before?.model.revision === record.model.revision;
    if (same && before?.status === 'complete' && !record.refinements) return;
    // A path of this machine says nothing to the others.
    const shown = (this.#inside(path) ?? basename(path)).split(sep).join('/');
    try {
      await writeWhole(file, `${safeJson({ ...record, video: { ...record.video, path: shown } }, 2)}\n`);
    } catch (error) {
      this.#found({
        code: 'record_not_written',
        message: `The workspace's record could not be written: ${(error as Error).message}`,
      });
    }
  }

  /** Forgets a clip's record, unless a newer version wrote it. */
  async remove(path: string): Promise<void> {
    const { state } = await this.#read(path);
    if (state !== 'newer') await rm(this.fileOf(path), { force: true }).catch(() => undefined);
  }

  async #read(path: string): Promise<{
    record: Assessment | null;
    state: 'absent' | 'read' | 'newer' | 'corrupt';
  }> {
    const file = this.fileOf(path);
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch {
      return { record: null, state: 'absent' };
    }
    const { value, problems } = parseAssessment(parseJson(text));
    if (value) return { record: value, state: 'read' };
    const newer = problems.some(({ code }) => code === 'record_newer');
    for (const { code, message } of problems) this.#found({ code, message: `${file}: ${message}` });
    return { record: null, state: newer ? 'newer' : 'corrupt' };
  }

  /** The same thing is met more than once, and said once. */
  #found(problem: Problem): void {
    if (!this.problems.some(({ code }) => code === problem.code)) this.problems.push(problem);
  }

  /** The path below the workspace; null where it is not below it. */
  #inside(path: string): string | null {
    const below = relative(this.#workspace, resolve(path));
    const outside = below === '' || isAbsolute(below) || below === '..' || below.startsWith(`..${sep}`);
    return outside ? null : below;
  }
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);
