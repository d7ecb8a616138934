import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rm, stat, utimes } from 'node:fs/promises';
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
        if (await linked(written, file)) return new Lock(file, owner.token);
        const state = await stateOf(file);
        if (state === 'held') return 'taken';
        if (state === 'absent') continue;
        // Of several processes that see an abandoned lock, one removes it, and looks again before it does.
        const guard = `${file}.takeover`;
        if (!(await linked(written, guard))) {
          if ((await silence(guard)) > longestSilence) await rm(guard, { force: true });
          return 'taken';
        }
        try {
          if ((await stateOf(file)) === 'abandoned') await rm(file, { force: true });
        } finally {
          await rm(guard, { force: true });
        }
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

/** Gives a file a second name; false where there is one of that name. */
async function linked(file: string, name: string): Promise<boolean> {
  try {
    await link(file, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  }
}

/** Milliseconds since a file was touched; -1 where there is none. */
async function silence(file: string): Promise<number> {
  const found = await stat(file).catch(() => null);
  return found ? Math.max(0, Date.now() - found.mtimeMs) : -1;
}

async function stateOf(file: string): Promise<'absent' | 'held' | 'abandoned'> {
  const owner = await ownerOf(file);
  const silent = await silence(file);
  if (silent < 0) return 'absent';
  if (silent > longestSilence) return 'abandoned';
  const gone = owner !== null && owner.host === hostname() && !(await isAlive(owner.pid));
  return gone ? 'abandoned' : 'held';
}

async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  // In a container without an init process the dead stay listed: Z, zombie (proc(5)).
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return !/\) [ZX] /.test(stat);
}
