import { join } from 'node:path';
import { type BatchEntry, isFailed } from '../assessment/batch.ts';
import type { Assessment } from '../assessment/record.ts';
import { textReport } from '../assessment/report_text.ts';
import { printable } from '../assessment/text.ts';
import { cacheDirectory } from '../engine/paths.ts';
import { ResultCache } from '../engine/results.ts';
import { OmniError } from '../protocol/errors.ts';
import { refuseKnownNonVideo } from '../video/formats.ts';
import { expandInputs } from './inputs.ts';
import { errorText, exit, type Io, ProgressLine, serialized, styleFor, unread } from './io.ts';
import { AssessingModel, type RuntimeFlags } from './load.ts';
import { documentOf, type Format, jsonLine, OutputFile } from './output.ts';
import { Refiner } from './refine.ts';

export interface AssessFlags extends RuntimeFlags {
  readonly model: string;
  readonly format: Format;
  readonly output?: string;
  readonly failBelow?: number;
  readonly cache: boolean;
  readonly recursive: boolean;
  /** As encodes are rated that are compared. */
  readonly closely?: boolean;
  /** A second model for the windows that matter most. */
  readonly refine?: string;
  readonly refineWindows: number;
}

/** `omnivqa assess`: assesses every clip, prints the results in one format, returns the exit status. */
export async function assessCommand(paths: readonly string[], flags: AssessFlags, io: Io): Promise<number> {
  const { files, several } = await expandInputs(paths, flags.recursive);
  const output = flags.output === undefined ? undefined : await OutputFile.open(flags.output);
  try {
    const { entries, interrupted } = await assessAll(files, several, flags, io);
    // Text and NDJSON appeared clip by clip already; the other formats, and every file, are one document.
    if (entries.length > 0) {
      if (output) await output.write(documentOf(entries, flags.format, several, flags.failBelow));
      else if (!isLive(flags)) io.stdout.write(documentOf(entries, flags.format, several, flags.failBelow));
    }
    return conclude(entries, files.length, interrupted, flags, io);
  } finally {
    await output?.close();
  }
}

const isLive = ({ output, format }: AssessFlags) =>
  output === undefined && (format === 'text' || format === 'ndjson');

/** Assesses one file after the other; a failure is an entry, and only Ctrl+C ends the loop. */
async function assessAll(
  files: readonly string[],
  several: boolean,
  flags: AssessFlags,
  io: Io,
): Promise<{ entries: BatchEntry[]; interrupted: boolean }> {
  const progress = new ProgressLine(io);
  const style = styleFor(io.stdout, io.env);
  let model: AssessingModel | undefined;
  const cache = flags.cache ? new ResultCache(join(cacheDirectory(), 'results')) : undefined;
  const refiner = flags.refine === undefined ? undefined : new Refiner(flags.refine, flags, io, progress);
  const entries: BatchEntry[] = [];
  let interrupted = false;
  try {
    for (const [i, path] of files.entries()) {
      const label = several ? `${i + 1}/${files.length} ${path}` : path;
      const options = {
        signal: io.signal,
        closely: flags.closely ?? false,
        onProgress: ({ frames, total }: { frames: number; total: number | null }) =>
          progress.show(label, frames, total, 'frames'),
      };
      // A wrong name or an empty file is known without a model.
      const refusal: unknown = await refuseKnownNonVideo(path).catch((error: unknown) => error);
      if (!refusal) model ??= await AssessingModel.load(flags.model, flags, io, progress);
      progress.show(label, 0, null, 'frames');
      let entry: BatchEntry;
      let kept = false;
      try {
        if (refusal || !model) throw refusal;
        ({ record: entry, kept } = await model.assess(path, cache, options));
        interrupted = entry.status === 'cancelled';
        if (refiner && entry.status === 'complete') {
          entry = await refiner.refine(path, entry, cache, label);
          interrupted = io.signal.aborted;
        }
      } catch (error) {
        entry = { path, error: serialized(error) };
        interrupted = OmniError.is(error, 'cancelled');
      }
      progress.clear();
      entries.push(entry);
      if (isFailed(entry)) {
        if (!interrupted) io.stderr.write(errorText(entry.error, path));
      } else if (kept && io.stderr.isTTY) {
        io.stderr.write(`${printable(path)}: an earlier result; --no-cache assesses it again.\n`);
      }
      if (isLive(flags)) {
        if (flags.format === 'ndjson') io.stdout.write(jsonLine(entry));
        else if (!isFailed(entry)) {
          io.stdout.write(`${textReport(entry, style, io.stdout.columns || 80)}${several ? '\n' : ''}`);
        }
      }
      if (interrupted) break;
    }
  } finally {
    progress.clear();
    await model?.dispose();
    await refiner?.dispose();
  }
  // The same thing is wrong with the cache for every clip: it is said once.
  const notes = new Map((cache?.problems ?? []).map(({ code, message }) => [code, message]));
  for (const message of notes.values()) io.stderr.write(`Note: ${printable(message)}\n`);
  return { entries, interrupted };
}

/** Says on stderr what a person should not miss, and finds the exit status. */
function conclude(
  entries: readonly BatchEntry[],
  files: number,
  interrupted: boolean,
  { failBelow, format }: AssessFlags,
  io: Io,
): number {
  const records = entries.filter((entry): entry is Assessment => !isFailed(entry));
  const missed = failBelow === undefined ? [] : records.filter(({ mos }) => mos < failBelow);
  for (const { video, mos } of missed) {
    io.stderr.write(`${printable(video.path)}: MOS ${mos.toFixed(2)} is below ${failBelow}.\n`);
  }
  const failed = entries.length - records.length;
  if (interrupted && io.signal.reason === unread) return exit.done;
  if (interrupted) {
    const finished = records.filter(({ status }) => status !== 'cancelled').length;
    io.stderr.write(`Interrupted: ${finished} of ${files} finished.\n`);
    return exit.interrupted;
  }
  if (files > 1 && format === 'text') {
    io.stderr.write(`${records.length} assessed${failed > 0 ? `, ${failed} could not be` : ''}.\n`);
  }
  if (failed > 0) return exit.failed;
  return missed.length > 0 ? exit.threshold : exit.done;
}
