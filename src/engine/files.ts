import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OmniError } from '../protocol/errors.ts';

/** A name beside a file that nobody else uses. */
export const besides = (file: string, what: string): string =>
  `${file}.${what}-${process.pid}-${randomBytes(4).toString('hex')}`;

/**
 * Writes a file under its name as a whole or not at all; directories are made.
 *
 * @throws OmniError `disk_full`, `not_writable`; what the file held before is then still there.
 */
export async function writeWhole(file: string, text: string): Promise<void> {
  const partial = besides(file, 'partial');
  try {
    await mkdir(dirname(file), { recursive: true });
    const handle = await open(partial, 'wx');
    try {
      await handle.writeFile(text);
      // A rename that reaches the disk before the text would leave an empty file after a power cut.
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw unwritable(error, file);
  }
}

/** Moves what can not be read out of the way. Returns where to; null where it can not be moved either. */
export async function moveAside(file: string): Promise<string | null> {
  const aside = besides(file, 'corrupt');
  try {
    await rename(file, aside);
    return aside;
  } catch {
    return null;
  }
}

/** What a failed write is to the user. */
export function unwritable(error: unknown, path: string): OmniError {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const full = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code);
  return new OmniError(
    full ? 'disk_full' : 'not_writable',
    full
      ? `There is no room left to write ${path} (${code}).`
      : `${path} can not be written (${code || message}).`,
    full ? 'Free some space on that disk.' : 'Check the permissions of its folder.',
    { path },
    { cause: error },
  );
}

const hour = 3_600_000;
/** Pieces that a killed process left: {@link besides}, but for what was moved aside, which the user may want. */
const piece = /\.(partial|new)-\d+-[0-9a-f]{8}$/;
const journal = /\.jsonl$/;
/** Cuts and encodes of clips, which are large, with what is known of them; whoever uses one touches both. */
const cut = /(^|[\\/])cuts[\\/][0-9a-f]{64}\.mkv(\.json)?$/;
const encode = /(^|[\\/])encodes[\\/][0-9a-f]{64}\.mkv(\.json)?$/;

/**
 * Removes from a store what nobody comes back to: pieces of an hour ago, cuts that nobody asked for in a day, encodes and
 * journals of a month ago. What was measured of an encode is kept elsewhere, and it is made again where it is wanted.
 */
export async function tidy(store: string): Promise<void> {
  for (const name of await readdir(store, { recursive: true }).catch(() => [])) {
    const oldest = piece.test(name)
      ? hour
      : cut.test(name)
        ? 24 * hour
        : journal.test(name) || encode.test(name)
          ? 30 * 24 * hour
          : null;
    if (oldest === null) continue;
    const file = join(store, name);
    const found = await stat(file).catch(() => null);
    if (found && Date.now() - found.mtimeMs > oldest) await rm(file, { force: true }).catch(() => undefined);
  }
}

/** Notes that files are used, for {@link tidy}. */
export async function touch(...files: readonly string[]): Promise<void> {
  const now = new Date();
  for (const one of files) await utimes(one, now, now).catch(() => undefined);
}
