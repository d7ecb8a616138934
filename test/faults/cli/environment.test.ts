import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Assessment } from '../../../src/assessment/record.ts';
import { locateFfmpeg } from '../../../src/video/ffmpeg.ts';
import { bundle, omnivqa, removeBundle, start } from '../../support/cli.ts';
import { smallModel, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

removeBundle();

const clipIn = (folder: string) => writeClip(join(folder, 'clip.mp4'), { seconds: 1 });

/** A program that stands in for another, as a shell script. */
function script(path: string, body: string): string {
  writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  return path;
}

describe('a cache that can not be used', () => {
  it('read-only: costs a note, not the result, and nothing is left behind', async () => {
    const folder = temporaryDirectory();
    // A file where the directory would be refuses root too, which permissions do not.
    writeFileSync(join(folder, 'cache'), '');
    temporaryCache(join(folder, 'cache'));
    const { status, stdout, stderr } = await omnivqa([
      ...['assess', clipIn(folder), '--format', 'json'],
      ...smallModel,
    ]);
    expect(status).toBe(0);
    expect((JSON.parse(stdout) as Assessment).status).toBe('complete');
    expect(stderr).toMatch(/^Note: The compiled model can not be kept for next time: /m);
    expect(stderr).toMatch(/^Note: The result could not be kept for next time: /m);
    expect(readdirSync(folder).sort()).toEqual(['cache', 'clip.mp4']);
  });

  it('a disk without room for compiling: the model is compiled nowhere, and says so', async () => {
    const folder = temporaryDirectory();
    const run = await limited(8, ['model', 'compile', 'nano', '-o', join(folder, 'compiled')]);
    expect(run.status).toBe(3);
    expect(run.stderr).toMatch(/\[disk_full\]\n {2}next: /);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('a damaged entry is moved aside and computed again', async () => {
    const cache = temporaryCache();
    const call = ['assess', clipIn(temporaryDirectory()), '--format', 'json', ...smallModel];
    const first = await omnivqa(call);
    const results = readdirSync(join(cache, 'results'), { recursive: true, encoding: 'utf8' });
    const entry = join(cache, 'results', results.find((name) => name.endsWith('.json'))!);
    writeFileSync(entry, readFileSync(entry, 'utf8').slice(0, 100));
    const second = await omnivqa(call);
    expect(second.status).toBe(0);
    expect(second.stderr).toMatch(/^Note: A stored result was damaged; it was moved to /);
    const [one, two] = [first, second].map(({ stdout }) => JSON.parse(stdout) as Assessment);
    expect({ ...two, timing: null }).toEqual({ ...one, timing: null });
    expect((await omnivqa(call)).stderr).toBe('');
  });

  it('is neither read nor written with --no-cache', async () => {
    const cache = temporaryCache();
    const call = ['assess', clipIn(temporaryDirectory()), ...smallModel];
    expect((await omnivqa([...call, '--no-cache'])).status).toBe(0);
    expect(existsSync(join(cache, 'results'))).toBe(false);
  });
});

/** Runs the command line in a shell that lets no file grow over so many blocks of 1024 bytes (EFBIG). */
async function limited(blocks: number, args: readonly string[]) {
  const command = `ulimit -f ${blocks}; exec "$0" "$@"`;
  return start('bash', ['-c', command, process.execPath, await bundle(), ...args]).finished;
}

describe('a result that can not be written', () => {
  it('is an error, and the file that was there stays', async () => {
    const cache = temporaryCache();
    const folder = temporaryDirectory();
    const clip = clipIn(folder);
    const call = ['assess', clip, '--format', 'html', ...smallModel];
    expect((await omnivqa(call)).status).toBe(0);
    const output = join(folder, 'report.html');
    writeFileSync(output, 'before');
    const run = await limited(2, [...call, '-o', output]);
    expect(run.stderr).toMatch(/There is no room left to write .*report\.html \(EFBIG\)\. \[disk_full\]/);
    expect(run.status).toBe(3);
    expect(readFileSync(output, 'utf8')).toBe('before');
    expect(readdirSync(folder).sort()).toEqual(['clip.mp4', 'report.html']);
    expect(readdirSync(cache).sort()).toEqual(['models', 'results']);
  });

  it.runIf(existsSync('/dev/full'))('a full device says so and stays a device', async () => {
    temporaryCache();
    const call = ['assess', clipIn(temporaryDirectory()), ...smallModel, '-o', '/dev/full'];
    const { status, stderr } = await omnivqa(call);
    expect(stderr).toContain('[disk_full]');
    expect(status).toBe(3);
    expect(readdirSync('/dev')).toContain('full');
  });

  it('a folder that can not be written is known before the work', async () => {
    const folder = temporaryDirectory();
    temporaryCache(join(folder, 'cache'));
    const call = ['assess', clipIn(folder), ...smallModel, '-o', join(folder, 'clip.mp4', 'out.json')];
    const { status, stdout, stderr } = await omnivqa(call);
    expect(stderr).toContain('[not_writable]');
    expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
    expect(readdirSync(folder)).toEqual(['clip.mp4']);
  });
});

describe('ffmpeg', () => {
  /** Replaces ffmpeg and ffprobe of this process by what is in a folder. */
  function only(folder: string): void {
    const { PATH, OMNIVQA_FFMPEG } = process.env;
    process.env.PATH = folder;
    delete process.env.OMNIVQA_FFMPEG;
    onTestFinished(() => {
      process.env.PATH = PATH;
      if (OMNIVQA_FFMPEG !== undefined) process.env.OMNIVQA_FFMPEG = OMNIVQA_FFMPEG;
    });
  }

  it('missing: every clip is an error that says how to install it', async () => {
    temporaryCache();
    const folder = temporaryDirectory();
    const clip = clipIn(folder);
    mkdirSync(join(folder, 'bin'));
    only(join(folder, 'bin'));
    const { status, stdout, stderr } = await omnivqa(['assess', clip, '--format', 'json', ...smallModel]);
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ path: clip, error: { code: 'ffmpeg_missing' } });
    expect(stderr).toMatch(/\[ffmpeg_missing\]\n {2}next: .*nstall/);
  });

  it('that dies in the middle: what was finished is kept and called partial, the next clip is assessed', async () => {
    temporaryCache();
    const folder = temporaryDirectory();
    const { ffmpeg, ffprobe } = await locateFfmpeg();
    const [first, second] = [join(folder, 'a.mp4'), join(folder, 'b.mp4')];
    writeClip(first, { seconds: 30, size: '64x48' });
    writeClip(second, { seconds: 1, size: '64x48' });
    mkdirSync(join(folder, 'bin'));
    symlinkSync(ffprobe, join(folder, 'bin', 'ffprobe'));
    // The first decode gets half of what it would have sent, and then a signal.
    script(
      join(folder, 'bin', 'ffmpeg'),
      [
        `case "$*" in *a.mp4*) ;; *) exec '${ffmpeg}' "$@" ;; esac`,
        `'${ffmpeg}' "$@" | head -c 1500000`,
        'kill -SEGV $$',
      ].join('\n'),
    );
    only([join(folder, 'bin'), '/usr/bin', '/bin'].join(delimiter));
    const call = ['assess', first, second, '--format', 'json', ...smallModel];
    const { status, stdout } = await omnivqa(call);
    const [cut, whole] = JSON.parse(stdout) as [Assessment, Assessment];
    expect(cut.status).toBe('partial');
    expect(cut.problems.map(({ code }) => code)).toContain('stopped_early');
    expect(cut.coverage[0]![1]).toBeLessThan(29);
    expect(whole.status).toBe('complete');
    expect(status).toBe(0);
  });
});
