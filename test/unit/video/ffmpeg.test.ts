import { resolve } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  capture,
  composeArguments,
  inputUrl,
  releaseOf,
  Supervised,
  shown,
} from '../../../src/video/ffmpeg.ts';

describe('versions', () => {
  it.each([
    ['5.1.9-0+deb12u1', [5, 1]],
    ['n7.1', [7, 1]],
    ['8.0', [8, 0]],
    ['4', [4, 0]],
    ['N-118000-gabcdef', [Number.POSITIVE_INFINITY, 0]],
    ['git-2020-01-01-abcdef', [Number.POSITIVE_INFINITY, 0]],
    // A build by date has a year where a release has its number; it is newer than the oldest that works.
    ['2024-11-18-git-970d57988d-full_build', [2024, 0]],
  ])('%s', (version, release) => expect(releaseOf(version)).toEqual(release));
});

describe('command lines', () => {
  it('fluent-ffmpeg keeps every argument whole', () => {
    const args = composeArguments({
      inputs: [
        {
          url: inputUrl('/a b/-c "d" $(e).mp4'),
          options: [['-nostdin'], ['-v', 'level+info'], ['-x', 'two words'], ['-flag with space']],
        },
        { url: inputUrl('/second'), options: [['-ss', '1']] },
      ],
      filter: '[0:0]scale=2:2[a]',
      outputOptions: [
        ['-map', '[a]'],
        ['-f', 'nut'],
      ],
      output: 'pipe:1',
    });
    expect(args).toEqual([
      ...['-nostdin', '-v', 'level+info', '-x', 'two words', '-flag with space'],
      ...['-i', 'file:/a b/-c "d" $(e).mp4', '-ss', '1', '-i', `file:${resolve('/second')}`],
      ...['-filter_complex', '[0:0]scale=2:2[a]'],
      ...['-map', '[a]', '-f', 'nut', 'pipe:1'],
    ]);
  });

  it('are shown so that their words can be told apart', () => {
    expect(shown('ffmpeg', ['-i', 'file:/a b.mp4', 'pipe:1'])).toBe('ffmpeg -i "file:/a b.mp4" pipe:1');
  });
});

describe('supervision', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  const silent = [process.execPath, ['-e', 'setInterval(() => {}, 1000)']] as const;

  it('silence is a stall, but not while the reader holds the process back', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const child = new Supervised(...silent, { stallTimeout: 1_000 });
    child.heldBack = true;
    vi.advanceTimersByTime(60_000);
    child.heldBack = false;
    vi.advanceTimersByTime(999);
    const state = await Promise.race([
      child.ended.catch(() => 'failed'),
      new Promise((done) => setImmediate(done)),
    ]);
    expect(state).toBeUndefined();
    vi.advanceTimersByTime(1);
    await expect(child.ended).rejects.toMatchObject({ code: 'ffmpeg_hung' });
  });

  it('stopping ends without an error', async () => {
    const child = new Supervised(...silent);
    child.stop();
    await expect(child.ended).resolves.toMatchObject({ signal: 'SIGTERM' });
  });

  it('a program that does not exist', async () => {
    await expect(capture('/nonexistent/ffmpeg', [])).rejects.toMatchObject({ code: 'ffmpeg_missing' });
  });

  it('keeps the last lines of stderr, with and without a line end', async () => {
    const script = 'for (let i = 0; i < 100; i++) console.error("line " + i); process.stderr.write("last")';
    const { stderr, code } = await capture(process.execPath, ['-e', script]);
    expect(code).toBe(0);
    expect(stderr.split('\n')).toHaveLength(20);
    expect(stderr.endsWith('line 99\nlast')).toBe(true);
  });

  it('a program that prints without end', async () => {
    const endless = 'const more = () => process.stdout.write("x".repeat(65536), more); more()';
    await expect(capture(process.execPath, ['-e', endless], { limit: 1_000_000 })).rejects.toMatchObject({
      code: 'ffmpeg_failed',
    });
  });
});
