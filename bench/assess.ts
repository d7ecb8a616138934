import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { clock, makeClip, median, runFfmpeg, runNode, type Section } from './support.ts';

/** Length of the clip, s, rounds, and the figure that is aimed at. */
const lengths = [
  { seconds: 10, rounds: 7, target: 'target < 2, start and load apart' },
  { seconds: 60, rounds: 3, target: 'limit 1.3, localisation included' },
] as const;

/**
 * `omnivqa assess` with the embedded model, as a user runs it, against ffmpeg's own decode of the same clip. The
 * two alternate, so that whatever else the machine does falls on both.
 */
export async function benchAssess(root: string, work: string): Promise<readonly Section[]> {
  mkdirSync(work, { recursive: true });
  const sections: Section[] = [];
  for (const length of lengths) sections.push(await benchLength(root, work, length));
  return sections;
}

async function benchLength(
  root: string,
  work: string,
  { seconds, rounds, target }: (typeof lengths)[number],
): Promise<Section> {
  const clip = join(work, seconds === 10 ? 'clip-1080p30.mp4' : `clip-1080p30-${seconds}s.mp4`);
  if (!existsSync(clip)) await makeClip(join(root, 'media', 'sample.mp4'), clip, seconds);
  const assess = () =>
    runNode(
      [join(root, 'dist', 'cli.mjs'), 'assess', clip, '--no-cache', '--format', 'json', '--provider', 'cpu'],
      {
        env: { OMNIVQA_CACHE: join(work, 'cache') },
      },
    );
  const decode = () => runFfmpeg(['-i', `file:${clip}`, '-f', 'null', '-']);
  // The first run compiles the model; neither first run counts.
  const first = await clock(assess);
  await decode();

  const decodes: number[] = [];
  const assessments: Record<
    'total' | 'work' | 'load' | 'ratio' | 'peak' | 'decode' | 'vision' | 'motion' | 'language',
    number
  >[] = [];
  for (let i = 0; i < rounds; i += 1) {
    const before = await decode();
    const run = await assess();
    const after = await decode();
    decodes.push(before, after);
    const { timing } = JSON.parse(run.stdout) as {
      timing: { wall: number; decode: number; vision: number; motion: number; language: number };
    };
    assessments.push({
      ...timing,
      total: run.wall,
      work: timing.wall,
      load: run.wall - timing.wall,
      ratio: timing.wall / ((before + after) / 2),
      peak: run.peakBytes,
    });
  }
  const of = (key: keyof (typeof assessments)[number]) => median(assessments.map((one) => one[key]));
  return {
    title: `assess: Nano on ${seconds} s of 1080p30 H.264`,
    text: `Median of ${rounds} rounds of decode, assess, decode. "Start and load" is everything outside the assessment itself: starting Node, opening the compiled model, printing.`,
    figures: [
      {
        name: 'assessment / ffmpeg decode',
        value: of('ratio'),
        unit: '×',
        note: target,
      },
      { name: 'whole command / ffmpeg decode', value: of('total') / median(decodes), unit: '×' },
      { name: 'ffmpeg -i clip -f null -', value: median(decodes), unit: 's' },
      { name: 'assessment', value: of('work'), unit: 's' },
      { name: '… waiting for frames', value: of('decode'), unit: 's' },
      { name: '… vision', value: of('vision'), unit: 's' },
      { name: '… motion', value: of('motion'), unit: 's' },
      { name: '… language', value: of('language'), unit: 's' },
      { name: 'start and load', value: of('load'), unit: 's' },
      { name: 'first run ever (compiles the model)', value: first.wall, unit: 's' },
      { name: 'peak memory of omnivqa, without ffmpeg', value: of('peak') / 2 ** 20, unit: 'MiB' },
    ],
  };
}
