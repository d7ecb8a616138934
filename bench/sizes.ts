import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join, parse } from 'node:path';
import { median, runFfmpeg, runNode, type Section } from './support.ts';

/** x264 CRFs: visible but good, poor, bad. */
const rates = [24, 34, 44];

/**
 * Whether a degraded clip is judged alike at 540 and at 1080 lines. Sources are encoded at their own size; both versions of
 * each are that picture scaled (Lanczos) and kept nearly lossless.
 *
 * @param sources Folder with clips.
 */
export async function benchSizes(root: string, work: string, sources: string): Promise<readonly Section[]> {
  mkdirSync(work, { recursive: true });
  const folder = mkdtempSync(join(work, 'sizes-'));
  try {
    const pairs: [string, string][] = [];
    for (const name of readdirSync(sources).filter((file) => /\.(mp4|mkv|webm)$/.test(file))) {
      for (const rate of rates) {
        const coded = join(folder, `${parse(name).name}-${rate}.mp4`);
        const input = ['-t', '3', '-i', `file:${join(sources, name)}`];
        const crop = 'crop=trunc(iw/2)*2:trunc(ih/2)*2,format=yuv420p';
        await runFfmpeg([
          ...input,
          '-an',
          '-vf',
          crop,
          '-c:v',
          'libx264',
          '-crf',
          String(rate),
          `file:${coded}`,
        ]);
        const [small, large] = [540, 1080].map((lines) =>
          join(folder, `${parse(name).name}-${rate}-${lines}.mp4`),
        );
        for (const [lines, scaled] of [
          [540, small],
          [1080, large],
        ]) {
          const scale = `scale='trunc(iw*${lines}/ih/2)*2':${lines}:flags=lanczos`;
          const kept = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '8'];
          await runFfmpeg(['-i', `file:${coded}`, '-an', '-vf', scale, ...kept, `file:${scaled}`]);
        }
        pairs.push([small!, large!]);
      }
    }
    if (pairs.length === 0) throw new Error(`There are no clips in ${sources}.`);
    const cli = [
      join(root, 'dist', 'cli.mjs'),
      'assess',
      '--no-cache',
      '--format',
      'json',
      '--provider',
      'cpu',
    ];
    const run = await runNode([...cli, ...pairs.flat()], { env: { OMNIVQA_CACHE: join(work, 'cache') } });
    const moses = (JSON.parse(run.stdout) as { mos: number }[]).map(({ mos }) => mos);
    const gaps = pairs.map((_, index) => Math.abs(moses[2 * index]! - moses[2 * index + 1]!));
    return [
      {
        title: 'sizes: the same degraded clip at 540 and at 1080 lines',
        text: `${pairs.length} pairs: 3 s of ${pairs.length / rates.length} clips, x264 at CRF ${rates.join(', ')}.`,
        figures: [
          {
            name: 'mean difference',
            value: gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length,
            unit: 'MOS',
            note: 'limit 0.25',
          },
          { name: 'median', value: median(gaps), unit: 'MOS' },
          { name: 'largest', value: Math.max(...gaps), unit: 'MOS' },
        ],
      },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
