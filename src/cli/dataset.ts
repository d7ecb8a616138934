import { availableParallelism } from 'node:os';
import { printable } from '../assessment/text.ts';
import { degradeSources, type RecipeSet } from '../dataset/degrade.ts';
import { sha256OfFile } from '../engine/content.ts';
import { expandInputs } from './inputs.ts';
import { errorText, exit, type Io, ProgressLine } from './io.ts';

export interface DegradeFlags {
  readonly out: string;
  readonly seed: number;
  readonly count?: number;
  readonly kinds?: string[];
  readonly set: RecipeSet;
  readonly seconds: number;
  readonly jobs?: number;
  readonly recursive: boolean;
}

/** `omnivqa dataset degrade`: renders degraded clips and their truth, returns the exit status. */
export async function degradeCommand(paths: readonly string[], flags: DegradeFlags, io: Io): Promise<number> {
  const { files } = await expandInputs(paths, flags.recursive);
  const progress = new ProgressLine(io);
  try {
    const summary = await degradeSources({
      sources: files,
      out: flags.out,
      seed: flags.seed,
      ...(flags.count === undefined ? {} : { count: flags.count }),
      ...(flags.kinds === undefined ? {} : { kinds: flags.kinds }),
      set: flags.set,
      seconds: flags.seconds,
      jobs: flags.jobs ?? availableParallelism(),
      signal: io.signal,
      onProgress: (done, total) => progress.show(flags.out, done, total, 'clips'),
      hash: sha256OfFile,
    });
    progress.clear();
    for (const { path, error } of summary.failures) io.stderr.write(errorText(error.serialize(), path));
    for (const { message } of summary.problems) io.stderr.write(`Note: ${printable(message)}\n`);
    const { written, kept, clips } = summary;
    io.stdout.write(
      `${written} clips written, ${kept} were there; ${clips.length} in ${printable(flags.out)}.\n`,
    );
    if (summary.interrupted) {
      io.stderr.write('Interrupted: the same call goes on from here.\n');
      return exit.interrupted;
    }
    return summary.failures.length > 0 ? exit.failed : exit.done;
  } finally {
    progress.clear();
  }
}
