import type { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAssessment } from '../../../src/assessment/record.ts';
import { bundle, Collected, omnivqa, removeBundle, start, startOmnivqa } from '../../support/cli.ts';
import { checkpointWith, smallModel, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

removeBundle();

/** A clip of a minute in windows of a second: long enough to be in the middle of. */
function longRun(): { clip: string; folder: string; args: string[] } {
  const folder = temporaryDirectory();
  const clip = writeClip(join(folder, 'long.mp4'), { seconds: 60, size: '640x360', rate: '30' });
  const model = checkpointWith({ window_seconds: 1 });
  return { clip, folder, args: ['--model', model, '--provider', 'cpu', '--threads', '1'] };
}

describe('Ctrl+C', () => {
  it.runIf(existsSync('/proc/self/stat')).each(['SIGINT', 'SIGTERM'] as const)(
    'ends the work, keeps what is finished and leaves nothing else behind (%s)',
    async (signal) => {
      const { clip, folder, args } = longRun();
      const cache = temporaryDirectory();
      const output = join(folder, 'out.json');
      const run = await startOmnivqa(['assess', clip, '--format', 'json', '-o', output, ...args], {
        env: { OMNIVQA_CACHE: cache },
      });
      await framesAreRead(run.child);
      run.child.kill(signal);
      const { status, stdout, stderr } = await run.finished;
      expect(stderr).toMatch(/^Interrupted: 0 of 1 finished\.$/m);
      expect({ status, stdout }).toEqual({ status: 130, stdout: '' });
      const entry: unknown = JSON.parse(readFileSync(output, 'utf8'));
      const { value } = parseAssessment(entry);
      if (value) expect(value.status).toBe('cancelled');
      else expect(entry).toMatchObject({ path: clip, error: { code: 'cancelled' } });
      expect(readdirSync(folder).sort()).toEqual(['long.mp4', 'out.json']);
      // Only a whole result is kept for next time.
      expect(readdirSync(cache)).toEqual(['models']);
      expect(children(run.child.pid!)).toEqual([]);
    },
  );

  it('keeps the clips before it', async () => {
    temporaryCache();
    const folder = temporaryDirectory();
    for (const name of ['a.mp4', 'b.mp4', 'c.mp4']) writeClip(join(folder, name), { seconds: 0.5 });
    const controller = new AbortController();
    const call = ['assess', folder, '--format', 'ndjson', ...smallModel];
    const stdout = new Collected();
    const write = stdout._write.bind(stdout);
    stdout._write = (chunk, encoding, done) => {
      write(chunk, encoding, done);
      controller.abort();
    };
    const { status, stderr } = await omnivqa(call, { signal: controller.signal, stdout });
    expect(status).toBe(130);
    expect(stderr).toBe('Interrupted: 1 of 3 finished.\n');
    const entries = stdout.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { status?: string });
    expect(entries[0]?.status).toBe('complete');
    expect(entries).toHaveLength(2);
    expect(entries[1]).toMatchObject({ error: { code: 'cancelled' } });
  });

  it('while compiling leaves no half of a model', async () => {
    const cache = temporaryCache();
    const controller = new AbortController();
    const stderr = new Collected({ isTTY: true });
    const write = stderr._write.bind(stderr);
    stderr._write = (chunk, encoding, done) => {
      write(chunk, encoding, done);
      controller.abort();
    };
    const { status } = await omnivqa(['model', 'compile', 'nano'], { signal: controller.signal, stderr });
    expect(status).toBe(130);
    expect(stderr.text).toContain('Compiling');
    expect(existsSync(join(cache, 'models')) ? readdirSync(join(cache, 'models')) : []).toEqual([]);
  });
});

describe('nobody reads the output any more', () => {
  it('ends the work without a word', async () => {
    const cache = temporaryDirectory();
    const folder = temporaryDirectory();
    for (let i = 0; i < 6; i += 1) writeClip(join(folder, `${i}.mp4`), { seconds: 0.5 + i / 10 });
    const call = ['assess', folder, '--format', 'ndjson', ...smallModel];
    const run = start(
      'bash',
      ['-c', 'set -o pipefail; "$0" "$@" | head -n 1', process.execPath, await bundle(), ...call],
      {
        env: { OMNIVQA_CACHE: cache },
      },
    );
    const { status, stdout, stderr } = await run.finished;
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ status: 'complete' });
  });
});

describe('a file that changes while it is read', () => {
  it('is an error, and the next one is assessed', async () => {
    temporaryCache();
    const { clip, folder, args } = longRun();
    const second = writeClip(join(folder, 'second.mp4'), { seconds: 0.5 });
    // A terminal shows progress: its first line is the moment to write.
    const stderr = new Collected({ isTTY: true });
    const write = stderr._write.bind(stderr);
    stderr._write = (chunk, encoding, done) => {
      if (chunk.toString().includes('long.mp4') && chunk.toString().includes('frames/s')) {
        writeFileSync(clip, 'another file');
      }
      write(chunk, encoding, done);
    };
    const { status, stdout } = await omnivqa(['assess', clip, second, '--format', 'json', ...args], {
      stderr,
    });
    const [changed, next] = JSON.parse(stdout) as [unknown, unknown];
    expect(changed).toMatchObject({ path: clip, error: { code: 'file_replaced' } });
    expect(next).toMatchObject({ status: 'complete' });
    expect(status).toBe(3);
  });
});

/** Processes that a process started and that still run. */
function children(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        // Field 4 is the parent; the second may hold spaces, in brackets.
        const fields = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
        return Number(fields[1]) === pid && fields[0] !== 'Z';
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Waits until the process has ffmpeg decode, or has ended. */
async function framesAreRead(parent: ChildProcess): Promise<void> {
  const decodes = () =>
    children(parent.pid!).some((child) => {
      try {
        return readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('filter_complex');
      } catch {
        return false;
      }
    });
  while (parent.exitCode === null && !decodes()) await new Promise(setImmediate);
}
