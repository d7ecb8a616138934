// Measures whether a full-reference metric separates the three severities of every in-context distortion on every
// content, and writes training/RECIPES.md:
//
//   node scripts/recipes.mjs <folder of sources> [--count n] [--recipes file] [--output file]
//
// Each severity is rendered as a data set has it, on the middle quarter of the frame for the first second, and compared
// with the same pixels of the source. VMAF needs an ffmpeg with libvmaf (OMNIVQA_FFMPEG names one); without it the table
// has SSIM and PSNR. One process at a time, one thread.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, extname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '12' },
    output: { type: 'string', default: join(root, 'training', 'RECIPES.md') },
    recipes: { type: 'string' },
  },
});
const [folder] = positionals;
if (!folder)
  throw new Error('usage: node scripts/recipes.mjs <folder of sources> [--count n] [--output file]');

const scratch = mkdtempSync(join(tmpdir(), 'omnivqa-recipes-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

const bundle = join(scratch, 'ours.mjs');
await build({
  absWorkingDir: root,
  stdin: {
    contents: [
      "export { fillSteps, readRecipeBook, recipeBook } from './src/dataset/recipes.ts';",
      "export { availableEncoders, clipFormat, degradeClip } from './src/video/degrade.ts';",
      "export { locateFfmpeg } from './src/video/ffmpeg.ts';",
      "export { probeVideo } from './src/video/probe.ts';",
    ].join('\n'),
    resolveDir: root,
  },
  outfile: bundle,
  bundle: true,
  platform: 'node',
  format: 'esm',
  external: ['./lib-cov/fluent-ffmpeg'],
  banner: {
    js: [
      "import { createRequire as __createRequire } from 'node:module';",
      'const require = __createRequire(import.meta.url);',
      "const __dirname = '/';",
    ].join('\n'),
  },
  logLevel: 'warning',
});
const ours = await import(pathToFileURL(bundle).href);

const { ffmpeg, version } = await ours.locateFfmpeg();
const filters = spawnSync(ffmpeg, ['-hide_banner', '-filters'], { encoding: 'utf8' }).stdout;
const encoders = await ours.availableEncoders();
const book = flags.recipes
  ? ours.readRecipeBook(JSON.parse(readFileSync(flags.recipes, 'utf8')))
  : ours.recipeBook;

/** What is measured; `step` is the least difference between two severities that counts as one. */
const metrics = [
  // A just noticeable difference of VMAF is 6 points (Ozer 2017, after Netflix).
  ...(/ libvmaf /.test(filters)
    ? [{ name: 'VMAF', step: 6, digits: 0, pattern: /VMAF score: ([\d.]+)/ }]
    : []),
  { name: 'SSIM', step: 0.02, digits: 3, pattern: /SSIM Y:([\d.]+)/ },
  { name: 'PSNR', step: 1.5, digits: 1, pattern: /PSNR y:([\d.]+|inf)/ },
];
/**
 * The metric that severities are told apart by. VMAF does not follow what people see of noise and exposure (it floors
 * at 0 on a dark picture and hardly moves on a bright one): there it is PSNR of luma, which counts how far pixels moved.
 */
const judge = (type) =>
  ['blur', 'compression'].includes(type) && metrics[0].name === 'VMAF'
    ? metrics[0]
    : metrics.find(({ name }) => name === (['blur', 'compression'].includes(type) ? 'SSIM' : 'PSNR'));

const recipes = book.recipes.filter((recipe) => recipe.extent === 'region');
const files = readdirSync(resolve(folder))
  .filter((name) => ['.mp4', '.mkv', '.mov', '.webm', '.y4m', '.avi'].includes(extname(name).toLowerCase()))
  .sort();
const wanted = Number(flags.count);
// Spread over the folder: neighbours by name are often of one kind.
const chosen = files.filter(
  (_, i) => Math.floor((i * wanted) / files.length) !== Math.floor(((i - 1) * wanted) / files.length),
);

const measured = [];
for (const [n, name] of chosen.entries()) {
  const path = join(resolve(folder), name);
  const { value: info } = await ours.probeVideo(path);
  const { value: format } = ours.clipFormat(info);
  const frames = Math.round(format.rate[0] / format.rate[1]);
  const even = (position, side) => Math.floor((position * side) / 4) * 2;
  const [width, height] = [even(1, format.width), even(1, format.height)];
  const [x, y] = [Math.floor(format.width / 8) * 2, Math.floor(format.height / 8) * 2];
  const reference = join(scratch, 'reference.mkv');
  const degraded = join(scratch, 'degraded.mkv');
  const render = (degradation, to) =>
    ours.degradeClip({ info, start: 0, frames }, degradation, to, { encoders, scratch });
  await render({ steps: [] }, reference);
  for (const recipe of recipes) {
    const figures = [];
    for (const level of recipe.levels) {
      const steps = ours.fillSteps(book, recipe, level, { ...format, frames }, 1);
      await render({ steps, local: { x, y, width, height, first: 0, end: frames } }, degraded);
      figures.push(compare(degraded, reference, `crop=${width}:${height}:${x}:${y}`));
    }
    measured.push({ content: basename(name, extname(name)), recipe, figures });
  }
  process.stderr.write(`${n + 1}/${chosen.length} ${name}\n`);
}
writeFileSync(flags.output, report());

/** The metrics of the same rectangle of two clips, by name. */
function compare(degraded, reference, crop) {
  const filter = { VMAF: 'libvmaf=n_threads=1', SSIM: 'ssim', PSNR: 'psnr' };
  const labels = (letter) => metrics.map((_, i) => `[${letter}${i}]`);
  const split = (input, letter) =>
    `[${input}:v]settb=1/25,setpts=N,${crop},split=${metrics.length}${labels(letter).join('')}`;
  const graph = [
    split(0, 'd'),
    split(1, 'r'),
    ...metrics.map(({ name }, i) => `[d${i}][r${i}]${filter[name]}[m${i}]`),
  ].join(';');
  const run = spawnSync(
    ffmpeg,
    [
      ...[
        '-hide_banner',
        '-nostdin',
        '-nostats',
        '-threads',
        '1',
        '-i',
        degraded,
        '-threads',
        '1',
        '-i',
        reference,
      ],
      ...['-filter_complex_threads', '1', '-filter_complex', graph],
      ...metrics.flatMap((_, i) => ['-map', `[m${i}]`, '-f', 'null', '-']),
    ],
    { encoding: 'utf8' },
  );
  if (run.status !== 0) throw new Error(run.stderr.slice(-2000));
  return Object.fromEntries(
    metrics.map(({ name, pattern }) => {
      const found = pattern.exec(run.stderr)?.[1];
      if (!found) throw new Error(`no ${name} in what ffmpeg said:\n${run.stderr.slice(-2000)}`);
      return [name, found === 'inf' ? 100 : Number(found)];
    }),
  );
}

function report() {
  const contents = [...new Set(measured.map(({ content }) => content))];
  const names = metrics.map(({ name }) => name);
  const lines = [
    '# Do the severities differ?',
    '',
    `Written by \`node scripts/recipes.mjs <folder of sources>\`; the recipes are those of \`${flags.recipes ? basename(flags.recipes) : 'src/dataset/recipes.json'}\`.`,
    'Each severity is rendered on the middle quarter of the frame for one second and compared with the same pixels of the',
    `source: ${names.join(', ')} (SSIM and PSNR of luma) inside that rectangle, by ffmpeg ${version}, on`,
    `${contents.length} contents. ${
      names.includes('VMAF')
        ? 'VMAF is v0.6.1, mean over the frames.'
        : 'This ffmpeg has no libvmaf, so there is no VMAF.'
    }`,
    '',
    '## Per severity',
    '',
    'Median over the contents, with the lowest and the highest.',
    '',
    `| recipe | severity | parameters | ${names.join(' | ')} |`,
    `|---|---|---|${names.map(() => '---:|').join('')}`,
  ];
  const rowsOf = (id) => measured.filter((row) => row.recipe.id === id);
  for (const recipe of recipes) {
    for (const [i, { severity, parameters }] of recipe.levels.entries()) {
      const cells = metrics.map(({ name, digits }) => {
        const values = rowsOf(recipe.id).map(({ figures }) => figures[i][name]);
        const sorted = values.sort((a, b) => a - b);
        const [low, high] = [sorted[0], sorted.at(-1)];
        return `${median(sorted).toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]`;
      });
      const said = Object.entries(parameters).map(([name, value]) => `${name} ${value}`);
      lines.push(`| ${recipe.id} | ${severity} | ${said.join(', ')} | ${cells.join(' | ')} |`);
    }
  }
  lines.push(
    '',
    '## Between severities',
    '',
    ...(names.includes('VMAF')
      ? [
          'Judged by VMAF for blur and compression; by PSNR for noise and exposure, where VMAF does not follow what people see',
          '(it floors at 0 on a dark picture and hardly moves on a bright one). *In order*: contents on which both steps go down.',
        ]
      : [
          'Judged by SSIM for blur and compression, by PSNR for noise and exposure. *In order*: contents on which both steps go',
          'down.',
        ]),
    `*Apart*: contents on which both go down by a visible step (${metrics.map(({ name, step }) => `${name} ${step}`).join(', ')}). *Least step*: the smallest over all contents.`,
    '',
    '| recipe | judged by | in order | apart | least step | median steps |',
    '|---|---|---:|---:|---:|---:|',
  );
  const close = [];
  for (const recipe of recipes) {
    const { name, step, digits } = judge(recipe.type);
    const rows = rowsOf(recipe.id).map(({ content, figures }) => ({
      content,
      steps: [0, 1].map((i) => figures[i][name] - figures[i + 1][name]),
    }));
    const share = (test) => `${rows.filter(({ steps }) => steps.every(test)).length} of ${rows.length}`;
    const least = Math.min(...rows.flatMap(({ steps }) => steps));
    const medians = [0, 1].map((i) =>
      median(rows.map(({ steps }) => steps[i]).sort((a, b) => a - b)).toFixed(digits),
    );
    lines.push(
      `| ${recipe.id} | ${name} | ${share((d) => d > 0)} | ${share((d) => d >= step)} | ${least.toFixed(digits)} | ${medians.join(', ')} |`,
    );
    for (const { content, steps } of rows) {
      if (steps.some((d) => d < step)) {
        close.push(`- ${recipe.id}, ${content}: ${steps.map((d) => d.toFixed(digits)).join(', ')}`);
      }
    }
  }
  if (close.length > 0) lines.push('', 'Contents with a step that is too small:', '', ...close);
  lines.push('', `Contents: ${contents.join(', ')}.`);
  return `${lines.join('\n')}\n`;
}

function median(sorted) {
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
}
