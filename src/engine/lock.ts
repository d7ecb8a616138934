import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { besides } from './files.ts';
import { parseJson } from './results.ts';

/** How often a lock says that its owner lives, and after which silence it is taken over, ms. */
const beat = 2_000;
const longestSilence = 15_000;

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Of this lock alone: a process may have several, one after the other. */
  readonly token: string;
}

/** One process at a time for one result: a file that its owner touches as long as it lives. */
export class Lock {
  readonly #file: string;
  readonly #token: string;
  readonly #beating: NodeJS.Timeout;

  private constructor(file: string, token: string) {
    this.#file = file;
    this.#token = token;
    this.#beating = setInterval(() => {
      const now = new Date();
      void utimes(file, now, now).catch(() => undefined);
    }, beat);
    this.#beating.unref();
  }

  /**
   * Takes a lock, also one whose owner is dead or silent. `taken`: another process has it. `unlockable`: no file can be
   * written there; nobody can keep anything there either, so there is nothing to guard.
   */
  static async take(file: string): Promise<Lock | 'taken' | 'unlockable'> {
    const owner: Owner = { pid: process.pid, host: hostname(), token: randomBytes(12).toString('hex') };
    // Written beside and linked: a lock is never seen without its owner.
    const written = besides(file, 'new');
    try {
      await mkdir(dirname(file), { recursive: true });
      const handle = await open(written, 'wx');
      await handle.writeFile(JSON.stringify(owner)).finally(() => handle.close());
      for (;;) {
        try {
          await link(written, file);
          return new Lock(file, owner.token);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
        if (!(await removeAbandoned(file))) return 'taken';
      }
    } catch {
      return 'unlockable';
    } finally {
      await rm(written, { force: true }).catch(() => undefined);
    }
  }

  /** Gives it back, unless somebody took it over. */
  async release(): Promise<void> {
    clearInterval(this.#beating);
    if ((await ownerOf(this.#file))?.token === this.#token) {
      await rm(this.#file, { force: true }).catch(() => undefined);
    }
  }
}

async function ownerOf(file: string): Promise<Owner | null> {
  const owner = parseJson(await readFile(file, 'utf8').catch(() => '')) as Partial<Owner> | null | undefined;
  const whole =
    typeof owner?.pid === 'number' && typeof owner.host === 'string' && typeof owner.token === 'string';
  return whole ? (owner as Owner) : null;
}

/** Removes a lock whose owner is gone. Returns false where it has one. */
async function removeAbandoned(file: string): Promise<boolean> {
  const owner = await ownerOf(file);
  const touched = await stat(file).catch(() => null);
  if (!touched) return true;
  const silent = Date.now() - touched.mtimeMs > longestSilence;
  if (owner && !silent && !(owner.host === hostname() && !isAlive(owner.pid))) return false;
  if (!owner && !silent) return false;
  // Of several processes that see this one moves it; whoever moved a fresh lock puts it back.
  const moved = besides(file, 'abandoned');
  try {
    await rename(file, moved);
  } catch {
    return true;
  }
  const found = await ownerOf(moved);
  if (found && found.token !== owner?.token) await link(moved, file).catch(() => undefined);
  await rm(moved, { force: true });
  return true;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
