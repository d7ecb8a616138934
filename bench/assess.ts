import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { clock, makeClip, median, runFfmpeg, runNode, type Section } from './support.ts';

const rounds = 7;

/**
 * `omnivqa assess` with the embedded model, as a user runs it, against ffmpeg's own decode of the same clip. The
 * two alternate, so that whatever else the machine does falls on both.
 */
export async function benchAssess(root: string, work: string): Promise<readonly Section[]> {
  mkdirSync(work, { recursive: true });
  const clip = join(work, 'clip-1080p30.mp4');
  if (!existsSync(clip)) await makeClip(join(root, 'media', 'sample.mp4'), clip);
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
  return [
    {
      title: 'assess: Nano on 10 s of 1080p30 H.264',
      text: `Median of ${rounds} rounds of decode, assess, decode. "Start and load" is everything outside the assessment itself: starting Node, opening the compiled model, printing.`,
      figures: [
        {
          name: 'assessment / ffmpeg decode',
          value: of('ratio'),
          unit: '×',
          note: 'target < 2, start and load apart',
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
    },
  ];
}
