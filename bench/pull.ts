import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeCheckpoint } from './checkpoint.ts';
import { serveHub } from './hub.ts';
import { diskRate, type Figure, GiB, makeClip, runNode, type Section, type Usage } from './support.ts';

const id = 'random/assistant';
const MB = 1e6;

/**
 * A random checkpoint of the published shape from a hub on this machine to an answer, with one command each: pull (which
 * compiles), assess, chat. Every command is a process of its own.
 */
export async function benchPull(root: string, work: string, tiny: boolean): Promise<readonly Section[]> {
  mkdirSync(work, { recursive: true });
  const source = join(work, 'assistant-random');
  const cache = join(work, 'pulled');
  rmSync(cache, { recursive: true, force: true });
  if (!existsSync(join(source, 'model.safetensors.index.json')))
    writeCheckpoint(source, tiny ? 'tiny' : 'full');
  const clip = join(work, 'clip-1080p30.mp4');
  if (!existsSync(clip)) await makeClip(join(root, 'media', 'sample.mp4'), clip);
  const env = { OMNIVQA_CACHE: cache };
  const omnivqa = (...words: string[]) => runNode([join(root, 'dist', 'cli.mjs'), ...words], { env });
  const disk = diskRate(work, tiny ? 2 ** 26 : GiB);

  const hub = await serveHub(source, id);
  let pulled: Usage;
  try {
    const words = ['--endpoint', hub.endpoint, '--yes', '--drop-checkpoint', '--precision', 'int4'];
    pulled = await omnivqa('model', 'pull', id, ...words);
  } finally {
    hub.close();
  }
  const on = ['--model', id, '--provider', 'cpu'];
  const assessed = await omnivqa('assess', clip, ...on, '--no-cache', '--format', 'json');
  const { score, timing } = JSON.parse(assessed.stdout) as { score: number; timing: { wall: number } };
  if (!Number.isFinite(score)) throw new Error(`The rating is not finite: ${score}.`);
  const answered = await omnivqa('chat', clip, 'What is wrong with this video?', ...on);
  if (answered.stdout.trim() === '') throw new Error('The chat printed nothing.');

  const bytes = readdirSync(source).reduce((sum, name) => sum + statSync(join(source, name)).size, 0);
  const memory = (name: string, { peakBytes }: Usage, limit?: number): Figure => ({
    name,
    value: peakBytes / GiB,
    unit: 'GiB',
    ...(limit === undefined ? {} : { note: `limit ${limit}` }),
  });
  return [
    {
      title: 'pull: the full shape from a hub to an answer, on the CPU',
      text:
        'Random bf16 weights of the published shape in four shards, served on this machine; one command each. The model is ' +
        'int4 with an int8 vision tower; the answer is noise, that it comes is checked.',
      figures: [
        { name: 'omnivqa model pull', value: pulled.wall, unit: 's', note: 'fetched, summed, compiled' },
        {
          name: '… read from the hub',
          value: bytes / 1e9,
          unit: 'GB',
          note: `${(bytes / pulled.wall / MB).toFixed(0)} MB/s over all of it`,
        },
        { name: '… raw disk write', value: disk.write / MB, unit: 'MB/s' },
        memory('… peak memory (RSS)', pulled, 2),
        {
          name: 'omnivqa assess, 10 s of 1080p30',
          value: assessed.wall,
          unit: 's',
          note: `${timing.wall.toFixed(0)} s of it after loading`,
        },
        memory('… peak memory (RSS)', assessed, 20),
        {
          name: 'omnivqa chat, one question',
          value: answered.wall,
          unit: 's',
          note: `${answered.stdout.trim().length} characters`,
        },
        memory('… peak memory (RSS)', answered, 20),
      ],
    },
  ];
}
