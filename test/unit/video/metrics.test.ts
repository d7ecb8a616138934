import { join } from 'node:path';
import { expect, test } from 'vitest';
import { referenceMetrics, resultOf } from '../../../src/video/metrics.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { ffmpeg, temporaryDirectory, writeClip } from '../../support/media.ts';

test('metrics fall with the CRF, at another size too, and an equal encode is perfect', async () => {
  const folder = temporaryDirectory();
  const source = writeClip(join(folder, 'source.mp4'), { seconds: 1, output: ['-crf', '5'] });
  const info = async (path: string) => (await probeVideo(path)).value;
  const measured = async (...options: string[]) => {
    const path = join(folder, `${options.join('_').replaceAll(/[^\w]/g, '')}.mkv`);
    ffmpeg('-i', source, '-c:v', 'libx264', ...options, path);
    return referenceMetrics(await info(source), await info(path));
  };
  const equal = await measured('-c', 'copy');
  expect([equal.ssim, equal.psnr]).toEqual([1, 100]);
  const series = [
    await measured('-crf', '20'),
    await measured('-crf', '35'),
    await measured('-crf', '35', '-vf', 'scale=80:48'),
  ];
  const values = (name: 'ssim' | 'psnr') => series.map((one) => one[name]!);
  for (const name of ['ssim', 'psnr'] as const) {
    expect(values(name)).toEqual(values(name).toSorted((a, b) => b - a));
    expect(new Set(values(name)).size).toBe(3);
  }
});

test.each([
  [
    '[Parsed_ssim_4 @ 0x55d0] SSIM Y:0.987654 (19.1) U:1.0 (inf) V:1.0 (inf) All:0.99 (20.0)',
    'ssim',
    0.987654,
  ],
  ['[Parsed_psnr_5 @ 0x55d0] PSNR y:38.210000 u:40 v:41 average:39.1 min:37 max:42', 'psnr', 38.21],
  ['[Parsed_psnr_5 @ 0x55d0] PSNR y:inf u:inf v:inf average:inf min:inf max:inf', 'psnr', 100],
  ['[Parsed_libvmaf_6 @ 0x55d0] VMAF score: 93.663925', 'vmaf', 93.663925],
])('what a filter says: %s', (line, metric, value) => {
  expect(resultOf(line)).toEqual({ metric, value });
});

test('other lines of ffmpeg are no results', () => {
  expect(resultOf('Stream #0:0 -> #0:0 (VMAF score: 3)')).toBeNull();
});
