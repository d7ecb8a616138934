import { cpSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type BatchEntry, isFailed } from '../../../src/assessment/batch.ts';
import { parseAssessment } from '../../../src/assessment/record.ts';
import { type Finished, omnivqa } from '../../support/cli.ts';
import { smallModel, temporaryCache } from '../../support/engine.ts';
import { cutFile, ffmpeg, temporaryDirectory, writeClip } from '../../support/media.ts';

/** A folder of 14 clips that play and 6 files that are broken in different ways, and what each of these is called. */
function folderOfTwenty(): { folder: string; broken: Readonly<Record<string, string>> } {
  const folder = temporaryDirectory();
  const at = (name: string) => join(folder, name);
  const one = { seconds: 0.5, size: '64x48' };
  writeClip(at('a clip.mp4'), one);
  for (let i = 1; i <= 8; i += 1) {
    writeClip(at(`clip ${i}.${i % 2 ? 'mp4' : 'mkv'}`), { ...one, seconds: 0.3 + i / 10 });
  }
  writeClip(at('-dash.mp4'), { ...one, rate: '12' });
  writeClip(at("it's $(touch x) `y` %d.mp4"), { ...one, rate: '13' });
  writeClip(at('line\nbreak \u001b[31m.mp4'), { ...one, rate: '14' });
  writeClip(at('🎬 视频.webm'), { ...one, output: ['-c:v', 'libvpx'] });
  writeClip(at('stream.ts'), { ...one, rate: '15' });

  writeFileSync(at('x empty.mp4'), '');
  writeFileSync(
    at('x lfs.mp4'),
    'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n',
  );
  writeFileSync(at('x list.mp4'), `ffconcat version 1.0\nfile '${at('a clip.mp4')}'\n`);
  cpSync(at('clip 1.mp4'), at('x header only.mp4'));
  cutFile(at('x header only.mp4'), 40);
  ffmpeg('-f', 'lavfi', '-i', 'sine=duration=1', '-c:a', 'aac', `file:${at('x sound.m4v')}`);
  writeFileSync(at('x text.mkv'), 'This is not a video.\n'.repeat(100));
  return {
    folder,
    broken: {
      'x empty.mp4': 'file_empty',
      'x header only.mp4': 'not_a_video',
      'x lfs.mp4': 'lfs_pointer',
      'x list.mp4': 'playlist_refused',
      'x sound.m4v': 'no_video_stream',
      'x text.mkv': expect.stringMatching(/^(not_a_video|format_refused)$/) as string,
    },
  };
}

describe('a folder of 20 files of which 6 are broken in different ways', () => {
  it('gives 14 records and 6 errors, in every format, and status 3', async () => {
    temporaryCache();
    const { folder, broken } = folderOfTwenty();
    const args = (format: string) => ['assess', folder, '--format', format, ...smallModel];

    const json = await omnivqa(args('json'));
    const entries = JSON.parse(json.stdout) as BatchEntry[];
    const records = entries.filter((entry) => !isFailed(entry));
    expect(json.status).toBe(3);
    expect(records).toHaveLength(14);
    for (const record of records) expect(parseAssessment(record).problems).toEqual([]);
    const failures = entries
      .filter(isFailed)
      .map(({ path, error }) => [path.replace(`${folder}/`, ''), error.code]);
    expect(Object.fromEntries(failures)).toEqual(broken);
    for (const { error } of entries.filter(isFailed)) {
      expect(error.message).not.toBe('');
      expect(error.next).not.toBe('');
    }
    // The order is that of the names, whatever became of the files.
    const paths = entries.map((entry) => (isFailed(entry) ? entry.path : entry.video.path));
    expect(paths).toEqual([...paths].sort());
    said(json);

    const lines = (await omnivqa(args('ndjson'))).stdout.trimEnd().split('\n');
    const again = lines.map((line) => JSON.parse(line) as BatchEntry);
    expect(again.filter((entry) => !isFailed(entry))).toEqual(records);
    expect(again.filter(isFailed).map(({ path }) => path)).toEqual(
      entries.filter(isFailed).map(({ path }) => path),
    );

    const csv = await omnivqa(args('csv'));
    expect(csv.stdout.split('\r\n')).toHaveLength(22);
    said(csv);

    const text = await omnivqa(args('text'));
    expect(text.stdout.match(/^ {2}MOS /gm)).toHaveLength(14);
    expect(text.stderr).toContain('14 assessed, 6 could not be.\n');
    expect(text.status).toBe(3);
    said(text);

    const output = join(temporaryDirectory(), 'report.html');
    const html = await omnivqa([...args('html'), '-o', output]);
    expect({ status: html.status, stdout: html.stdout }).toEqual({ status: 3, stdout: '' });
    expect(statSync(output).size).toBeGreaterThan(10_000);
  });

  /** Each of the six errors is on stderr with its code and the next step; no name gives the terminal a command. */
  function said({ stdout, stderr }: Finished): void {
    expect(stderr.match(/^ {2}next: /gm)).toHaveLength(6);
    for (const code of ['file_empty', 'lfs_pointer', 'playlist_refused', 'no_video_stream', 'not_a_video']) {
      expect(stderr).toContain(`[${code}]`);
    }
    expect(`${stdout}${stderr}`).not.toContain('\u001b');
  }

  it('a threshold does not hide the failures', async () => {
    temporaryCache();
    const folder = temporaryDirectory();
    writeClip(join(folder, 'a.mp4'), { seconds: 0.5 });
    const call = ['assess', folder, ...smallModel, '--format', 'csv'];
    expect(await omnivqa([...call, '--fail-below', '1'])).toMatchObject({ status: 0, stderr: '' });
    const missed = await omnivqa([...call, '--fail-below', '5']);
    expect(missed.status).toBe(1);
    expect(missed.stderr).toMatch(/a\.mp4: MOS \d\.\d\d is below 5\.\n/);
    writeFileSync(join(folder, 'b.mp4'), '');
    const both = await omnivqa([...call, '--fail-below', '5']);
    expect(both.status).toBe(3);
    expect(both.stderr).toMatch(/is below 5\.\n/);
  });
});
