import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { precisions } from '../engine/models.ts';
import { OmniError } from '../protocol/errors.ts';
import { type AssessFlags, assessCommand, formats } from './assess.ts';
import { type ChatFlags, chatCommand } from './chat.ts';
import { errorText, exit, type Io, serialized } from './io.ts';
import {
  type BenchFlags,
  benchCommand,
  type CompileFlags,
  compileCommand,
  listCommand,
  verifyCommand,
} from './model.ts';

/** Runs one command line; returns the exit status. Never throws. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  let status: number = exit.done;
  const program = new Command('omnivqa')
    .description('Perceptual video quality, assessed on this machine.')
    .version(version(), '-v, --version')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) })
    .showHelpAfterError('(omnivqa --help shows what there is)')
    .addHelpText(
      'after',
      '\nExit status: 0 done, 1 a threshold was missed, 2 bad usage, 3 a file could not be assessed, 130 interrupted.',
    );
  const does =
    <A extends unknown[]>(action: (...args: A) => Promise<number>) =>
    async (...args: A) => {
      status = await action(...args);
    };
  const withModel = (command: Command) =>
    command.option('--model <name>', 'nano, or the directory of a checkpoint or compiled model', 'nano');
  const withRuntime = (command: Command) =>
    command
      .addOption(
        new Option('--provider <name>', 'where to run')
          .choices(['auto', 'cpu', 'webgpu', 'cuda', 'dml', 'coreml'])
          .default('auto'),
      )
      .addOption(
        new Option('--precision <name>', 'how weights are stored').choices([...precisions]).default('auto'),
      )
      .option('--threads <n>', 'CPU threads, all cores by default', positiveInteger);

  withRuntime(withModel(program.command('assess').description('Assess the quality of videos.')))
    .argument('<video...>', 'videos, or folders of videos')
    .addOption(new Option('--format <name>', 'what to print').choices([...formats]).default('text'))
    .option('-o, --output <file>', 'write to a file instead')
    .option('--fail-below <mos>', 'exit with status 1 when a MOS is lower', mosValue)
    .option('--no-cache', 'neither use nor keep earlier results')
    .action(does((paths: string[], flags: AssessFlags) => assessCommand(paths, flags, io)));

  withRuntime(withModel(program.command('chat').description('Ask about a video.')))
    .argument('<video>')
    .argument('[question]', 'without one, a conversation on the terminal')
    .action(
      does((path: string, question: string | undefined, flags: ChatFlags) =>
        chatCommand(path, question, flags, io),
      ),
    );

  const model = program.command('model').description('Manage models.');
  model
    .command('list')
    .description('The embedded model and the compiled ones.')
    .action(does(() => listCommand(io)));
  model
    .command('compile')
    .description('Compile a checkpoint directory to ONNX.')
    .argument('<model>', 'nano, or a checkpoint directory')
    .addOption(
      new Option('--precision <name>', 'how weights are stored').choices([...precisions]).default('auto'),
    )
    .option('-o, --output <directory>', 'where to; the cache by default')
    .action(does((name: string, flags: CompileFlags) => compileCommand(name, flags, io)));
  model
    .command('verify')
    .description('Check a checkpoint’s tensors, or every byte of a compiled model.')
    .argument('<model>', 'nano, or a directory')
    .action(does((name: string) => verifyCommand(name, io)));
  withRuntime(model.command('bench').description('Measure what a model costs on this machine.'))
    .argument('[model]', 'nano, or a directory', 'nano')
    .addOption(new Option('--format <name>', 'what to print').choices(['text', 'json']).default('text'))
    .action(does((name: string, flags: BenchFlags) => benchCommand(name, flags, io)));

  try {
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exit.done : exit.usage;
    if (OmniError.is(error, 'cancelled')) return exit.interrupted;
    io.stderr.write(errorText(serialized(error)));
    return OmniError.is(error, 'bad_usage') ? exit.usage : exit.failed;
  }
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('It must be a whole number above 0.');
  return value;
}

function mosValue(text: string): number {
  const value = Number(text);
  if (!(value >= 1 && value <= 5)) throw new InvalidArgumentError('A MOS is a number from 1 to 5.');
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
