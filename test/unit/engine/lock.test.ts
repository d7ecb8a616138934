import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Lock } from '../../../src/engine/lock.ts';
import { temporaryDirectory } from '../../support/media.ts';

async function take(file: string): Promise<Lock> {
  const lock = await Lock.take(file);
  if (!(lock instanceof Lock)) throw new Error(lock);
  onTestFinished(() => lock.release());
  return lock;
}

/** Of a process that was there. */
const dead = spawnSync(process.execPath, ['-e', '']).pid;
const owned = (pid: number, host = hostname()) => JSON.stringify({ pid, host, token: 'x' });

describe('Lock', () => {
  it('is one at a time', async () => {
    const file = join(temporaryDirectory(), 'locks', 'a.lock');
    const lock = await take(file);
    expect(await Lock.take(file)).toBe('taken');
    await lock.release();
    expect(existsSync(file)).toBe(false);
    await take(file);
    expect(readdirSync(join(file, '..'))).toEqual(['a.lock']);
  });

  it.each([
    ['whose process is dead', owned(dead), 0],
    ['that was silent for long', owned(process.pid), 60],
    ['of another machine that was silent for long', owned(1, 'elsewhere'), 60],
    ['that holds nothing, and was silent for long', '', 60],
  ])('%s is taken over, by one of many', async (_, text, seconds) => {
    const file = join(temporaryDirectory(), 'a.lock');
    writeFileSync(file, text);
    const then = Date.now() / 1000 - seconds;
    utimesSync(file, then, then);
    const taken = await Promise.all(Array.from({ length: 8 }, () => Lock.take(file)));
    const locks = taken.filter((one) => one instanceof Lock);
    expect(locks).toHaveLength(1);
    await locks[0]!.release();
    expect(readdirSync(join(file, '..'))).toEqual([]);
  });

  it.each([
    ['of a process that lives', owned(process.pid)],
    ['of another machine', owned(dead, 'elsewhere')],
    ['that is just being written', ''],
  ])('%s is left alone', async (_, text) => {
    const file = join(temporaryDirectory(), 'a.lock');
    writeFileSync(file, text);
    expect(await Lock.take(file)).toBe('taken');
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  it('that was taken over is not given back by who had it', async () => {
    const file = join(temporaryDirectory(), 'a.lock');
    const first = await take(file);
    utimesSync(file, 1, 1);
    await take(file);
    await first.release();
    expect(await Lock.take(file)).toBe('taken');
  });

  it('where no file can be made is none', async () => {
    const folder = temporaryDirectory();
    writeFileSync(join(folder, 'file'), '');
    expect(await Lock.take(join(folder, 'file', 'a.lock'))).toBe('unlockable');
  });
});
