import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Shape } from '../src/model/checkpoint/shapes.ts';
import type { Provider } from '../src/model/runtime/ort.ts';
import { locateFfmpeg } from '../src/video/ffmpeg.ts';
import type { Figure, Section } from './support.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    work: { type: 'string', default: join(root, 'bench', '.work') },
    step: { type: 'string', multiple: true },
    scale: { type: 'string', default: 'full' },
    sources: { type: 'string' },
    'llama-bench': { type: 'string' },
    python: { type: 'string' },
    provider: { type: 'string', default: 'cpu' },
  },
});

/** Clips of one's own, for the benches that measure on footage. */
const sources = (): string => {
  if (!values.sources) throw new Error('Name a folder of clips with --sources.');
  return values.sources;
};

/** The benches by name. `full` needs 25 GB of disk, others need sources: these are run only when named. */
const benches: Readonly<Record<string, () => Promise<readonly Section[]>>> = {
  assess: async () => (await import('./assess.ts')).benchAssess(root, values.work),
  full: async () =>
    (await import('./full.ts')).benchFull(
      root,
      values.work,
      values.step,
      values.scale as Shape,
      values.provider as Provider,
    ),
  peers: async () =>
    (await import('./peers.ts')).benchPeers(root, values.work, values.scale as Shape, {
      llamaBench: values['llama-bench'],
      python: values.python,
    }),
  pull: async () => (await import('./pull.ts')).benchPull(root, values.work, values.scale === 'tiny'),
  sizes: async () => (await import('./sizes.ts')).benchSizes(root, values.work, sources()),
  monotone: async () => (await import('./monotone.ts')).benchMonotone(root, values.work, sources()),
  precision: async () => (await import('./precision.ts')).benchPrecision(root, values.work, sources()),
  chat: async () => (await import('./chat.ts')).benchChat(values.work),
  timeline: async () => [
    {
      title: 'timeline: the view in Chromium',
      text: 'First paint of a stored record, and panning and zooming through two hours of 100,000 points.',
      figures: await (await import('./timeline.ts')).benchTimeline(),
    },
  ],
  editor: async () => [
    {
      title: 'editor: the extension in its host',
      text: 'A real workbench and extension host; a second extension beside ours measures.',
      figures: await (await import('./editor.ts')).benchEditor(root),
    },
  ],
};

const names = positionals.length > 0 ? positionals : ['assess', 'timeline', 'editor'];
for (const name of names) {
  const bench = benches[name];
  if (!bench) throw new Error(`There is no bench ${name}. There are: ${Object.keys(benches).join(', ')}.`);
  for (const section of await bench()) {
    process.stdout.write(`\n${section.title}\n`);
    for (const figure of section.figures) process.stdout.write(`  ${line(figure)}\n`);
    if (values.scale !== 'tiny') await keep(name, section);
  }
}

function line({ name, value, unit, note }: Figure): string {
  return `${name}: ${rounded(value)} ${unit}${note ? ` (${note})` : ''}`;
}

function rounded(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Puts a section into RESULTS.md in the place of its older self, or at the end. */
async function keep(bench: string, { title, text, figures }: Section): Promise<void> {
  const path = join(root, 'bench', 'RESULTS.md');
  let all = '# Measurements\n\nWritten by `npm run bench`; every section says where, when and how.\n';
  try {
    all = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const command = [
    'npm run bench --',
    bench,
    ...(values.step ?? []).map((step) => `--step ${step}`),
    ...(values.scale === 'full' ? [] : [`--scale ${values.scale}`]),
    ...(values.provider === 'cpu' ? [] : [`--provider ${values.provider}`]),
    ...(values['llama-bench'] ? ['--llama-bench <program>'] : []),
    ...(values.python ? ['--python <program>'] : []),
    ...(values.sources ? ['--sources <folder>'] : []),
  ].join(' ');
  const section = [
    `## ${title}`,
    '',
    text,
    '',
    '| | | |',
    '|---|---:|---|',
    ...figures.map(
      ({ name, value, unit, note }) => `| ${name} | ${rounded(value)} ${unit} | ${note ?? ''} |`,
    ),
    '',
    `${new Date().toISOString().slice(0, 10)}, \`${command}\`, ${await machine()}.`,
    '',
  ].join('\n');
  const start = all.indexOf(`## ${title}\n`);
  if (start < 0) all = `${all.trimEnd()}\n\n${section}`;
  else {
    const next = all.indexOf('\n## ', start);
    all = all.slice(0, start) + section + (next < 0 ? '' : all.slice(next));
  }
  writeFileSync(path, all);
}

async function machine(): Promise<string> {
  const [cpu] = cpus();
  const ffmpeg = await locateFfmpeg();
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  return `${cpus().length} cores of ${cpu?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${process.platform} ${process.arch}, Node ${process.versions.node}, ffmpeg ${ffmpeg.version}, onnxruntime ${version}; load average ${loadavg()[1]?.toFixed(1)} in the last five minutes, the bench included`;
}
