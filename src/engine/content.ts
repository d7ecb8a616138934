import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { OmniError } from '../protocol/errors.ts';
import { fingerprint } from '../video/probe.ts';
import { writeWhole } from './files.ts';
import { parseJson } from './results.ts';

/** A file's content, and which file it was found in. */
export interface Content {
  readonly sha256: string;
  /** Of the file before it was hashed; see `fingerprint` in src/video/probe.ts. */
  readonly fingerprint: string;
}

/**
 * SHA-256 of a file, read in pieces.
 *
 * @throws OmniError `cancelled`, `file_unreadable`.
 */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  try {
    const stream = createReadStream(resolve(path), { highWaterMark: 2 ** 20, ...(signal ? { signal } : {}) });
    for await (const chunk of stream) hash.update(chunk as Buffer);
  } catch (error) {
    if (signal?.aborted) throw cancelled();
    throw new OmniError(
      'file_unreadable',
      `${path} can not be read: ${(error as Error).message}.`,
      'Check its permissions and the disk.',
      { path },
      { cause: error },
    );
  }
  return hash.digest('hex');
}

export const cancelled = () =>
  new OmniError('cancelled', 'The work was cancelled.', 'Start it again if needed.');

/** A file that was written to in the last moments may be written to again without a later time of change, ms. */
const settled = 2_000;
/** Bytes that are read in the blink of an eye, or nearly. */
const quicklyRead = 256 * 2 ** 20;

/** Remembers what files hold, so that gigabytes are not read again to find a result that is there. */
export class Contents {
  readonly #root: string;

  /** @param root Directory of its own; it may be lost at any time. */
  constructor(root: string) {
    this.#root = root;
  }

  /**
   * The content of a file, which is read where it is not the one that was seen before.
   *
   * @throws OmniError `cancelled`, `file_unreadable`.
   */
  async of(path: string, signal?: AbortSignal): Promise<Content> {
    const before = await fingerprint(path);
    const known = await this.#find(before);
    if (known) return known;
    const { mtimeMs } = await stat(path);
    const content: Content = { fingerprint: before, sha256: await sha256OfFile(path, signal) };
    const unchanged = (await fingerprint(path).catch(() => null)) === before;
    if (unchanged && Date.now() - mtimeMs > settled) {
      await writeWhole(this.#file(before), JSON.stringify(content)).catch(() => undefined);
    }
    return content;
  }

  /** As {@link of}, but a large file is not read for it: null where it was not seen before. */
  async quick(path: string): Promise<Content | null> {
    const { size } = await stat(path);
    return size <= quicklyRead ? this.of(path) : this.#find(await fingerprint(path));
  }

  async #find(wanted: string): Promise<Content | null> {
    const text = await readFile(this.#file(wanted), 'utf8').catch(() => '');
    const known = parseJson(text) as Partial<Content> | null | undefined;
    return known?.fingerprint === wanted && /^[0-9a-f]{64}$/.test(known.sha256 ?? '')
      ? (known as Content)
      : null;
  }

  #file(wanted: string): string {
    const name = createHash('sha256').update(wanted).digest('hex');
    return join(this.#root, name.slice(0, 2), `${name}.json`);
  }
}
