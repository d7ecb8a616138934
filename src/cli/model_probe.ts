import { dirname, resolve } from 'node:path';
import { safeJson } from '../assessment/text.ts';
import { probePrompts } from '../engine/probe_prompts.ts';
import { type Label, parseLabels } from '../evaluation/labels.ts';
import { comparePrompts, fewestContents, type PromptReport, promptTable } from '../evaluation/prompts.ts';
import { textTables } from '../evaluation/tables.ts';
import { type PromptAnswers, ratingPrompts } from '../model/rating_prompts.ts';
import { OmniError } from '../protocol/errors.ts';
import { errorText, exit, type Io, ProgressLine, serialized } from './io.ts';
import { note, readJson } from './json_files.ts';
import { loadForCommand, type RuntimeFlags } from './load.ts';

export interface ProbeFlags extends RuntimeFlags {
  readonly labels: string;
  readonly videos?: string;
  readonly format: 'text' | 'json';
}

/** `omnivqa model probe`: which rating prompt follows the labels best. Returns the exit status. */
export async function probeCommand(name: string, flags: ProbeFlags, io: Io): Promise<number> {
  const { value: labels, problems } = parseLabels(await readJson(flags.labels));
  note(problems, io);
  if (contentsOf(labels) < fewestContents) throw tooFew(contentsOf(labels), flags.labels);
  const folder = flags.videos ?? dirname(flags.labels);
  const progress = new ProgressLine(io);
  const model = await loadForCommand(name, flags, io, progress);
  const prompts = ratingPrompts(model.config.omnivqa.rating);
  const read: { readonly label: Label; readonly said: PromptAnswers }[] = [];
  try {
    for (const [i, label] of labels.entries()) {
      const path = resolve(folder, label.path);
      progress.show('Asking about', i, labels.length, 'clips');
      try {
        read.push({ label, said: await probePrompts(path, model, prompts, io.signal) });
      } catch (error) {
        progress.clear();
        if (OmniError.is(error, 'cancelled')) break;
        io.stderr.write(errorText(serialized(error), path));
      }
    }
  } finally {
    progress.clear();
    await model.dispose();
  }
  const left = contentsOf(read.map(({ label }) => label));
  if (left < fewestContents) {
    if (io.signal.aborted) return exit.interrupted;
    throw tooFew(left, flags.labels);
  }
  if (read.length < labels.length) {
    io.stderr.write(`${read.length} of ${labels.length} clips were read; the figures are theirs.\n`);
  }
  const report = comparePrompts(
    prompts.map((prompt, i) => ({
      ...prompt,
      scores: read.map(({ said }) => said.answers[i]!.score),
      mass: read.reduce((sum, { said }) => sum + said.answers[i]!.mass, 0) / read.length,
    })),
    read.map(({ label }) => label.score),
    read.map(({ label }) => label.content),
  );
  const sum = (key: 'clipTokens' | 'promptTokens') => read.reduce((all, { said }) => all + said[key], 0);
  const tokens = { clips: sum('clipTokens'), prompts: sum('promptTokens') };
  if (flags.format === 'json') {
    const { rows, own, better } = report;
    const json = { schema: 'omnivqa/prompt-probe@1', model: model.id, clips: read.length, tokens, better };
    io.stdout.write(`${safeJson({ ...json, prompts: rows, own: rows.indexOf(own) }, 2)}\n`);
  } else {
    io.stdout.write(`${textTables([promptTable(report)])}\n${verdict(report, read.length, tokens)}`);
  }
  if (io.signal.aborted) return exit.interrupted;
  return read.length < labels.length ? exit.failed : exit.done;
}

/** What follows from the table, and what to write where. */
function verdict(
  { rows, contents, better }: PromptReport,
  clips: number,
  tokens: { readonly clips: number; readonly prompts: number },
): string {
  const read = `${clips} clips, ${tokens.clips} tokens of them and ${tokens.prompts} of ${rows.length} prompts.\n`;
  if (!better) {
    return `${read}No prompt is better than the model's own beyond what clips of ${contents} contents can tell: leave it as it is.\n`;
  }
  const { user, assistant } = rows[0]!;
  const section = safeJson({ omnivqa: { rating: { user, assistant } } }, 2);
  return (
    `${read}The first one is better than the model's own on these clips. The best of many is a little worse on others: check it ` +
    `there.\nTo use it, write this into config.json of the checkpoint and compile it again:\n${section}\n`
  );
}

const contentsOf = (labels: readonly Label[]) => new Set(labels.map(({ content }) => content)).size;

const tooFew = (count: number, path: string) =>
  new OmniError(
    'bad_usage',
    `Clips of ${count} contents with labels can be read; prompts are told apart on ${fewestContents} at least, better on a hundred.`,
    'Name a label file with more clips, and their folder with --videos.',
    { path },
  );
