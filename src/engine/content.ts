import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { OmniError } from '../protocol/errors.ts';

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
