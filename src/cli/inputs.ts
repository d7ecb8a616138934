import { closeSync, openSync, readSync } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { OmniError } from '../protocol/errors.ts';
import { isVideoName } from '../protocol/video_names.ts';

export interface Inputs {
  readonly files: readonly string[];
  /** Whether a folder or more than one path was named: the answer is then a list, however long. */
  readonly several: boolean;
}

/**
 * The files that are meant: folders become the videos in them, by name; a file named twice is meant once, under the
 * name that came first. A path that does not exist stays, to be reported with the others.
 *
 * @throws OmniError `bad_usage` where nothing is left, `file_unreadable` for a folder that can not be listed.
 */
export async function expandInputs(paths: readonly string[], recursive: boolean): Promise<Inputs> {
  const files: string[] = [];
  let folders = 0;
  for (const path of paths) {
    if (!(await stat(path).catch(() => undefined))?.isDirectory()) files.push(path);
    else {
      folders += 1;
      files.push(...(await videosIn(path, recursive)));
    }
  }
  const seen = new Set<string>();
  const unique: string[] = [];
  for (const file of files) {
    const real = await realpath(file).catch(() => resolve(file));
    if (!seen.has(real)) unique.push(file);
    seen.add(real);
  }
  if (unique.length === 0) {
    throw new OmniError(
      'bad_usage',
      `There is no video in ${paths.join(', ')}.`,
      recursive
        ? 'Name videos, or a folder that has some.'
        : 'Name videos, or a folder that has some; --recursive looks into its folders too.',
    );
  }
  return { files: unique, several: folders > 0 || paths.length > 1 };
}

async function videosIn(folder: string, recursive: boolean): Promise<string[]> {
  let entries: Awaited<ReturnType<typeof list>>;
  try {
    entries = await list(folder);
  } catch (error) {
    throw new OmniError(
      'file_unreadable',
      `The folder ${folder} can not be listed (${(error as NodeJS.ErrnoException).code}).`,
      'Check its permissions.',
      { path: folder },
      { cause: error },
    );
  }
  const videos: string[] = [];
  for (const { name, directory, special } of entries) {
    const path = join(folder, name);
    if (name.startsWith('.') || special) continue;
    if (directory) videos.push(...(recursive ? await videosIn(path, true) : []));
    else if (isVideoName(name) && !isTypeScript(path)) videos.push(path);
  }
  return videos;
}

/** Links count as what they point to, but folders are not followed through links: those may run in circles. */
async function list(folder: string) {
  const entries = await readdir(folder, { withFileTypes: true });
  return Promise.all(
    entries
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(async (entry) => {
        const target = entry.isSymbolicLink()
          ? await stat(join(folder, entry.name)).catch(() => undefined)
          : entry;
        // A link that leads nowhere stays: it is reported like any file that is not there.
        const special = target !== undefined && !target.isFile() && !entry.isDirectory();
        return { name: entry.name, directory: entry.isDirectory(), special };
      }),
  );
}

/** .ts is MPEG-TS or TypeScript: the first has its sync byte at the start of every packet (ISO/IEC 13818-1). */
function isTypeScript(path: string): boolean {
  if (extname(path).toLowerCase() !== '.ts') return false;
  const packets = Buffer.alloc(192 + 4 + 1);
  try {
    const file = openSync(path, 'r');
    try {
      readSync(file, packets, 0, packets.length, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
  const synced = (packet: number, prefix: number) =>
    packets[prefix] === 0x47 && packets[prefix + packet] === 0x47;
  return !synced(188, 0) && !synced(192, 4);
}
