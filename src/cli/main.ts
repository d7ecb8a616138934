import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { recipeSets } from '../dataset/degrade.ts';
import { precisions } from '../engine/models.ts';
import { refineWindows } from '../engine/refine.ts';
import { labelScales } from '../evaluation/labels.ts';
import { shapes } from '../model/checkpoint/shapes.ts';
import { OmniError } from '../protocol/errors.ts';
import type { Span } from '../protocol/timeline.ts';
import { type AssessFlags, assessCommand } from './assess.ts';
import { type ChatFlags, chatCommand, parseSpan } from './chat.ts';
import { type CompareFlags, compareCommand, comparisonFormats } from './compare.ts';
import { type DegradeFlags, degradeCommand } from './dataset.ts';
import {
  evaluateFineGrainedCommand,
  evaluateRatingCommand,
  type FineGrainedFlags,
  type RatingFlags,
  tableFormats,
} from './evaluate.ts';
import { errorText, exit, type Io, serialized } from './io.ts';
import type { McpFlags } from './mcp.ts';
import { type CompileFlags, compileCommand, listCommand, type TableFlags, verifyCommand } from './model.ts';
import { type BenchFlags, benchCommand } from './model_bench.ts';
import { type ProbeFlags, probeCommand } from './model_probe.ts';
import { formats } from './output.ts';
import { type PullFlags, pullCommand } from './pull.ts';

const statuses = `
Exit status:
  0    done
  1    a threshold was missed (--fail-below)
  2    bad usage
  3    a file could not be assessed; the others were
  130  interrupted`;

const assessHelp = `
Examples:
  omnivqa assess clip.mp4
  omnivqa assess shots/ --format csv -o quality.csv
  omnivqa assess clip.mp4 --fail-below 3.5
  omnivqa assess clip.mp4 --refine path/to/checkpoint
  omnivqa assess -- -odd-name.mp4

The MOS is on the five-grade scale of ITU-T P.800: 5 excellent, 4 good, 3 fair, 2 poor, 1 bad.
Progress goes to stderr, and only on a terminal. NO_COLOR=1 turns colour off; OMNIVQA_CACHE names the
directory for compiled models and earlier results, OMNIVQA_FFMPEG the ffmpeg to use.`;

const chatHelp = `
Examples:
  omnivqa chat clip.mp4 "What is wrong and where?"
  omnivqa chat clip.mp4 "Is this compression?" --span 3-5 --format json
  omnivqa chat clip.mp4 < questions.txt

Nano answers what is wrong, where, when, how severe it is, and how good a span is. A model that converses
(--model path/to/checkpoint) answers in its own words, too.`;

const compareHelp = `
Examples:
  omnivqa compare source.mp4 -- -c:v libx264 -crf 23 -- -c:v libsvtav1 -crf 35
  omnivqa compare source.mp4 --settings hd.ladder.yaml
  omnivqa compare source.mp4 --target-mos 4.0 --codec libsvtav1
  omnivqa compare source.mp4 --target-mos 4.0 --codec libx265 --per-scene
  omnivqa compare source.mp4 --per-title --codec libx264 -o source.ladder.yaml
  omnivqa compare source.mp4 --settings hd.ladder.yaml --excerpt 20
  omnivqa compare source.mp4 --settings hd.ladder.yaml --fail-worse-than baseline.json --max-drop 0.2

Each -- begins the output options of one encode. They are read, never run as they are: only options of the
picture that open no file are taken over. Encodes and results are kept, so that a repeated call is quick.
Exit status 1: a rung missed its target, an encode fell below the baseline, or the target is out of reach.`;

const degradeHelp = `
Examples:
  omnivqa dataset degrade pristine/ --out clips --seed 1 --count 200
  omnivqa dataset degrade source.mp4 --out clips --seed 1 --set in-context --kinds blur,stutter,pristine

Writes the clips and truth.jsonl: one line per clip with its source, recipe, parameters, and what is wrong
where and when. The same sources, seed and ffmpeg give the same bytes; a call that was interrupted goes on
where it stopped. Sources are SDR, progressive, and as clean as you have them. Clips that do not end with an
encoder of their own are lossless, some megabytes a second.`;

const evaluateHelp = `
Examples:
  omnivqa evaluate rating --labels labels.json --videos clips/ --group distortion
  omnivqa evaluate fine-grained --truth clips/truth.jsonl --format markdown

Labels are a JSON list as the field keeps it, [{ "video": "a.mp4", "mos": 3.2 }, …]; "content" and "distortion"
may be said too. The truth is what \`omnivqa dataset degrade\` wrote. Exit status 3: some clips could not be
assessed, and the figures are those of the others.`;

const pullHelp = `
Examples:
  omnivqa model pull q-future/VQA-UGC-Scorer-llava_qwen
  omnivqa assess clip.mp4 --model q-future/VQA-UGC-Scorer-llava_qwen

A pull that was stopped goes on where it ended. HF_TOKEN is the token for private and gated models.`;

/** Codes of errors that are the caller's: what was named is not there. */
const usageCodes = new Set(['bad_usage', 'model_not_found']);

/** What stands before the first `--`, and the lists of words that each one begins. */
function groupsOf(argv: readonly string[]): { readonly own: readonly string[]; readonly groups: string[][] } {
  const first = argv.indexOf('--');
  if (first < 0) return { own: argv, groups: [] };
  const groups: string[][] = [];
  for (const word of argv.slice(first)) {
    if (word === '--') groups.push([]);
    else groups.at(-1)!.push(word);
  }
  return { own: argv.slice(0, first), groups };
}

/** Runs one command line; returns the exit status. Never throws. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  // The options of encodes are ffmpeg's: they are not for the parser of ours.
  const { own, groups } = argv[0] === 'compare' ? groupsOf(argv) : { own: argv, groups: [] };
  let status: number = exit.done;
  const program = new Command('omnivqa')
    .description('Perceptual video quality, assessed on this machine.')
    .version(version(), '-v, --version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns || 80,
      getErrHelpWidth: () => io.stderr.columns || 80,
      outputError: (text, write) => write(text.replace(/^error: /, '')),
    })
    .showHelpAfterError('(add --help for what there is; a name that begins with a dash goes after --)')
    .addHelpText('after', statuses);
  /** An action whose result is the exit status. */
  const does =
    <A extends unknown[]>(action: (...args: A) => Promise<number>) =>
    async (...args: A) => {
      status = await action(...args);
    };
  const modelFlag = () =>
    new Option(
      '--model <name>',
      'nano, a pulled hub id, or the directory of a checkpoint or compiled model',
    ).default('nano');
  const precisionFlag = () =>
    new Option('--precision <name>', 'how weights are stored; auto: fp32 for small models, int4 for large')
      .choices([...precisions])
      .default('auto');
  const runtimeFlags = (command: Command) =>
    command
      .addOption(
        new Option('--provider <name>', 'where to run; auto: the GPU if its self-test passes, else the CPU')
          .choices(['auto', 'cpu', 'webgpu', 'cuda', 'dml', 'coreml'])
          .default('auto'),
      )
      .addOption(precisionFlag())
      .option('--threads <n>', 'CPU threads; by default all cores, one for a small model', positiveInteger)
      .option('--memory <GB>', 'most that the model may take; what is free by default', positiveNumber);
  const tableFlag = () =>
    new Option('--format <name>', 'what to print').choices(['text', 'json']).default('text');

  runtimeFlags(program.command('assess').addOption(modelFlag()))
    .description('Assess the quality of videos.')
    .argument('<video...>', 'videos, or folders: the videos in them')
    .addOption(new Option('--format <name>', 'what to print').choices([...formats]).default('text'))
    .option('-o, --output <file>', 'write there instead of printing')
    .option('-r, --recursive', 'look into the folders of folders too', false)
    .option('--refine <model>', 'a second model looks at the worst windows: the directory of a checkpoint')
    .option('--refine-windows <n>', 'how many windows of a clip it looks at', positiveInteger, refineWindows)
    .option('--fail-below <mos>', 'exit with status 1 when a MOS (1 to 5) is lower', mosValue)
    .option('--closely', 'rate more frames of each second, as `omnivqa compare` does: slower, steadier')
    .option('--no-cache', 'neither use nor keep earlier results')
    .addHelpText('after', assessHelp)
    .action(does((paths: string[], flags: AssessFlags) => assessCommand(paths, flags, io)));

  runtimeFlags(program.command('compare').addOption(modelFlag()))
    .description('Encode a source with several settings, and compare rate and quality.')
    .argument('<source>', 'the clip to encode')
    .option('--settings <ladder>', 'a ladder file: YAML, JSON or TOML')
    .option('--target-mos <mos>', 'find the cheapest CRF that reaches it', mosValue)
    .option('--codec <name>', 'the encoder to search with; libx264 by default')
    .option('--preset <name>', 'its preset in the search')
    .option('--per-scene', 'search each scene on its own, with --target-mos')
    .option('--per-title', 'make a ladder for this clip: encodes of several sizes, the best at each rate')
    .option('--heights <list>', 'the sizes to try for it, in lines', heightsValue, [1080, 720, 540, 360])
    .option('--rungs <n>', 'its most rungs', positiveInteger, 5)
    .option('--excerpt <seconds>', 'encode a part of the source that stands for the whole', secondsValue)
    .option('--fail-worse-than <file>', 'an earlier comparison (JSON): exit with status 1 where a MOS fell')
    .option('--max-drop <mos>', 'by how much a MOS may fall', dropValue, 0.2)
    .addOption(new Option('--format <name>', 'what to print').choices([...comparisonFormats]).default('text'))
    .option('-o, --output <file>', 'write there instead of printing')
    .addHelpText('after', compareHelp)
    .action(does((path: string, flags: CompareFlags) => compareCommand(path, groups, flags, io)));

  runtimeFlags(program.command('chat').addOption(modelFlag()))
    .description('Ask about a video.')
    .argument('<video>')
    .argument('[question]', 'without it: a conversation, one question per line')
    .option('--span <from-to>', 'ask about this part: 3-5 (seconds) or 0:03-0:05', spanValue)
    .addOption(
      new Option('--format <name>', 'what to print; json: one line per answer')
        .choices(['text', 'json'])
        .default('text'),
    )
    .addHelpText('after', chatHelp)
    .action(
      does((path: string, question: string | undefined, flags: ChatFlags) =>
        chatCommand(path, question, flags, io),
      ),
    );

  runtimeFlags(program.command('mcp').addOption(modelFlag()))
    .description('Offer the tools to an agent, over the Model Context Protocol on stdin and stdout.')
    .option('--root <folder...>', 'folders whose videos may be read; the working directory by default')
    .action(
      does(async (flags: McpFlags) => {
        // Only here: no other command needs the protocol's package.
        const { mcpCommand } = await import('./mcp.ts');
        return mcpCommand(flags, version(), io);
      }),
    );

  const model = program.command('model').description('Get, list, compile, verify and measure models.');
  model
    .command('pull')
    .description('Fetch a published checkpoint from a hub into the cache, and compile it.')
    .argument('<model>', 'its hub id: owner/name[@revision]')
    .option('-y, --yes', 'agree to its licence and size without being asked', false)
    .option('--endpoint <url>', 'the hub or a mirror; HF_ENDPOINT by default')
    .option('--no-compile', 'only fetch')
    .option('--drop-checkpoint', 'keep the compiled model alone', false)
    .addOption(precisionFlag())
    .addHelpText('after', pullHelp)
    .action(does((name: string, flags: PullFlags) => pullCommand(name, flags, io)));
  model
    .command('list')
    .description('The embedded model, pulled ones, and the compiled ones in the cache.')
    .addOption(tableFlag())
    .action(does((flags: TableFlags) => listCommand(flags, io)));
  model
    .command('compile')
    .description('Compile a checkpoint directory to ONNX.')
    .argument('<model>', 'nano, or a checkpoint directory')
    .addOption(precisionFlag())
    .option('-o, --output <directory>', 'where to; the cache by default')
    .action(does((name: string, flags: CompileFlags) => compileCommand(name, flags, io)));
  model
    .command('verify')
    .description('Check every tensor of a checkpoint, or every byte of a compiled model.')
    .argument('<model>', 'nano, or a directory')
    .action(does((name: string) => verifyCommand(name, io)));
  runtimeFlags(model.command('bench'))
    .description(
      'Measure what a model costs on this machine, and how near that is to what the machine can do.',
    )
    .argument('[model]', 'nano (default), a pulled hub id, or a directory')
    .addOption(
      new Option(
        '--shape <name>',
        'made-up weights in the place of a model; full: the 8 billion of the published ones',
      ).choices([...shapes]),
    )
    .addOption(tableFlag())
    .action(does((name: string | undefined, flags: BenchFlags) => benchCommand(name, flags, io)));

  runtimeFlags(model.command('probe'))
    .description(
      "Find the rating prompt that follows people's scores best, on the first window of each clip.",
    )
    .argument('<model>', 'a pulled hub id, or a directory')
    .requiredOption('--labels <file>', 'a JSON list of clips with their opinion scores')
    .option('--videos <folder>', 'where the clips are; beside the labels by default')
    .addOption(tableFlag())
    .action(does((name: string, flags: ProbeFlags) => probeCommand(name, flags, io)));

  const dataset = program.command('dataset').description('Make data sets for training and evaluation.');
  dataset
    .command('degrade')
    .description('Render degraded clips of pristine sources, with the truth of what was done to them.')
    .argument('<source...>', 'pristine videos, or folders: the videos in them')
    .requiredOption('--out <folder>', 'where the clips and truth.jsonl go')
    .requiredOption('--seed <n>', 'which of all the data sets there could be', naturalNumber)
    .option('--count <n>', 'clips; by default every source gets every recipe once', positiveInteger)
    .option('--kinds <list>', 'ids of recipes, separated by commas', commaSeparated)
    .addOption(
      new Option('--set <name>', 'local distortions, whole-clip ones of real pipelines, or both')
        .choices([...recipeSets])
        .default('all'),
    )
    .option('--seconds <n>', 'longest clip', positiveInteger, 6)
    .option('--jobs <n>', 'clips made at a time; one per core by default', positiveInteger)
    .option('-r, --recursive', 'look into the folders of folders too', false)
    .addHelpText('after', degradeHelp)
    .action(does((paths: string[], flags: DegradeFlags) => degradeCommand(paths, flags, io)));

  const evaluate = program
    .command('evaluate')
    .description('Measure a model against labels.')
    .addHelpText('after', evaluateHelp);
  const evaluateFlags = (command: Command) =>
    runtimeFlags(command.addOption(modelFlag()))
      .option('--videos <folder>', 'where the clips are; beside the labels by default')
      .addOption(new Option('--format <name>', 'what to print').choices([...tableFormats]).default('text'))
      .option('-o, --output <file>', 'write there instead of printing')
      .option('--no-cache', 'neither use nor keep earlier results');
  evaluateFlags(
    evaluate
      .command('rating')
      .description("The model's scores against people's: SRCC, PLCC, KRCC, RMSE with intervals.")
      .requiredOption('--labels <file>', 'a JSON list of clips with their opinion scores')
      .option('--logistic', 'PLCC and RMSE after the four-parameter logistic', false)
      .addOption(new Option('--group <name>', 'a row for each one, too').choices(['distortion', 'content']))
      .addOption(
        new Option(
          '--scale <name>',
          'mos: 1 to 5, score: 0 to 100, unit: 0 to 1; by the labels by default',
        ).choices([...labelScales]),
      ),
  ).action(does((flags: RatingFlags) => evaluateRatingCommand(flags, io)));
  evaluateFlags(
    evaluate
      .command('fine-grained')
      .description('What the model says is wrong, where and when, against what was done.')
      .requiredOption('--truth <file>', 'truth.jsonl of a rendered data set')
      .addOption(
        new Option('--road <name>', 'record: what assessing finds; chat: what it answers when it is asked')
          .choices(['record', 'chat'])
          .default('record'),
      )
      .option(
        '--candidates <file>',
        'where to write all that could be one, and whether it is (--road record)',
      )
      .option('--questions <n>', 'most questions (--road chat)', positiveInteger, 100)
      .option('--seed <n>', 'which questions (--road chat)', naturalNumber, 1),
  ).action(does((flags: FineGrainedFlags) => evaluateFineGrainedCommand(flags, io)));

  try {
    await program.parseAsync(own, { from: 'user' });
    return status;
  } catch (error) {
    // Commander has printed the help, the version, or what is wrong with the call.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exit.done : exit.usage;
    if (io.signal.aborted || OmniError.is(error, 'cancelled')) return exit.interrupted;
    io.stderr.write(errorText(serialized(error)));
    return OmniError.is(error) && usageCodes.has(error.code) ? exit.usage : exit.failed;
  }
}

function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('It must be a whole number above 0.');
  return value;
}

function spanValue(text: string): Span {
  const span = parseSpan(text);
  if (!span) throw new InvalidArgumentError('It must be two times, such as 3-5 or 0:03-0:05.');
  return span;
}

function naturalNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError('It must be a whole number, 0 or above.');
  }
  return value;
}

function commaSeparated(text: string): string[] {
  return text
    .split(',')
    .map((word) => word.trim())
    .filter(Boolean);
}

function mosValue(text: string): number {
  const value = Number(text);
  if (!(value >= 1 && value <= 5)) throw new InvalidArgumentError('A MOS is a number from 1 to 5.');
  return value;
}

function heightsValue(text: string): number[] {
  const heights = commaSeparated(text).map(Number);
  if (heights.length === 0 || heights.length > 12 || !heights.every((one) => one % 2 === 0 && one >= 16)) {
    throw new InvalidArgumentError('They are up to 12 even numbers of lines, such as 1080,720,540,360.');
  }
  return heights;
}

function secondsValue(text: string): number {
  const value = Number(text);
  if (!(value >= 1 && value < 1e6)) throw new InvalidArgumentError('It is a number of seconds, 1 or more.');
  return value;
}

function dropValue(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 4)) {
    throw new InvalidArgumentError('It is a difference of MOS, from 0 to 4.');
  }
  return value;
}

function version(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    try {
      const manifest = JSON.parse(readFileSync(join(at, 'package.json'), 'utf8')) as { version: string };
      return manifest.version;
    } catch {
      if (dirname(at) === at) return 'unknown';
    }
  }
}
