import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Figure, runFfmpeg, runNode, type Section } from './support.ts';

/** CRFs of all scales; the largest is poor in every one. */
const crfs = [20, 26, 32, 38, 44];
const encoders: Readonly<Record<string, readonly string[]>> = {
  x264: ['-c:v', 'libx264', '-preset', 'veryfast'],
  x265: ['-c:v', 'libx265', '-preset', 'veryfast', '-x265-params', 'log-level=error'],
  'SVT-AV1': ['-c:v', 'libsvtav1', '-preset', '8'],
  VP9: ['-c:v', 'libvpx-vp9', '-b:v', '0', '-deadline', 'realtime', '-cpu-used', '6'],
};

/**
 * Whether the MOS falls as the CRF rises: every source is encoded by four encoders at five CRFs and assessed with Nano.
 *
 * @param sources Folder with clips; the first 4 s of each are encoded.
 */
export async function benchMonotone(
  root: string,
  work: string,
  sources: string,
): Promise<readonly Section[]> {
  mkdirSync(work, { recursive: true });
  const folder = mkdtempSync(join(work, 'monotone-'));
  const names = readdirSync(sources)
    .filter((file) => /\.(mp4|mkv|webm|mov|y4m)$/.test(file))
    .sort();
  if (names.length === 0) throw new Error(`There are no clips in ${sources}.`);
  try {
    const clips: string[] = [];
    for (const options of Object.values(encoders)) {
      for (const name of names) {
        for (const crf of crfs) {
          const clip = join(folder, `${clips.length}.mkv`);
          const input = ['-t', '4', '-i', `file:${join(sources, name)}`, '-an'];
          const picture = ['-vf', 'crop=trunc(iw/2)*2:trunc(ih/2)*2,format=yuv420p'];
          await runFfmpeg([...input, ...picture, ...options, '-crf', String(crf), `file:${clip}`]);
          clips.push(clip);
        }
      }
    }
    const assessed = async (options: readonly string[]) => {
      const words = ['assess', '--no-cache', '--format', 'json', '--provider', 'cpu', ...options];
      const run = await runNode([join(root, 'dist', 'cli.mjs'), ...words, ...clips], {
        env: { OMNIVQA_CACHE: join(work, 'cache') },
      });
      const moses = (JSON.parse(run.stdout) as { mos: number }[]).map(({ mos }) => mos);
      return { moses, wall: run.wall };
    };
    const usual = await assessed([]);
    const close = await assessed(['--closely']);
    const ways = [
      {
        title: 'monotone: the MOS over the CRF, as encodes are compared',
        moses: close.moses,
        figures: [{ name: 'time, of that of any clip', value: close.wall / usual.wall, unit: '×' }],
      },
      { title: 'monotone: the MOS over the CRF', moses: usual.moses, figures: [] },
    ];
    return ways.map(({ title, moses, figures }) => {
      const series = (encoder: number, source: number) => {
        const from = (encoder * names.length + source) * crfs.length;
        return moses.slice(from, from + crfs.length);
      };
      return {
        title,
        text: `First 4 s of ${names.length} sources, ${Object.keys(encoders).join(', ')} at CRF ${crfs.join(', ')}.`,
        figures: Object.keys(encoders)
          .flatMap((encoder, at): Figure[] => {
            const all = names.map((_, source) => series(at, source));
            const falling = all.filter((row) => row.every((mos, step) => step === 0 || mos < row[step - 1]!));
            const ends = all.map((row) => row[0]! - row.at(-1)!);
            return [
              {
                name: `${encoder}: sources whose MOS falls at every step`,
                value: falling.length,
                unit: `of ${names.length}`,
                note: 'target: 8 of 10',
              },
              {
                name: `${encoder}: mean fall from CRF ${crfs[0]} to ${crfs.at(-1)}`,
                value: ends.reduce((sum, fall) => sum + fall, 0) / ends.length,
                unit: 'MOS',
              },
            ];
          })
          .concat(figures),
      };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
