import { createHash } from 'node:crypto';
import { existsSync, realpathSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { BatchEntry } from '../assessment/batch.ts';
import { csvReport } from '../assessment/report_csv.ts';
import { htmlReport, reportStyle } from '../assessment/report_html.ts';
import { textReport } from '../assessment/report_text.ts';
import { assessVideo, sha256OfFile } from '../engine/assess.ts';
import { type EngineModel, loadEngineModel, type PrecisionRequest } from '../engine/models.ts';
import { cacheDirectory } from '../engine/paths.ts';
import { ResultCache } from '../engine/results.ts';
import type { ProviderRequest } from '../model/runtime/providers.ts';
import { OmniError } from '../protocol/errors.ts';
import { errorText, exit, type Io, ProgressLine, serialized, styleFor, writeResult } from './io.ts';

export const formats = ['text', 'json', 'ndjson', 'csv', 'html'] as const;

export interface AssessFlags {
  readonly model: string;
  readonly provider: ProviderRequest;
  readonly precision: PrecisionRequest;
  readonly format: (typeof formats)[number];
  readonly output?: string;
  readonly failBelow?: number;
  readonly cache: boolean;
  readonly threads?: number;
}

/** What counts as a video when a folder is named. */
const extensions = new Set(
  '.mp4 .m4v .mov .mkv .webm .avi .ts .m2ts .mts .mpg .mpeg .flv .wmv .asf .ogv .mxf .ivf .y4m .264 .h264 .265 .h265 .hevc .obu .vob .3gp .gif'.split(
    ' ',
  ),
);

/** `omnivqa assess`: assesses every clip, prints the results in one format, returns the exit status. */
export async function assessCommand(paths: readonly string[], flags: AssessFlags, io: Io): Promise<number> {
  const { files, several } = await expand(paths);
  if (files.length === 0) {
    throw new OmniError(
      'bad_usage',
      'There is no video in what was named.',
      'Name videos, or a folder that has some.',
    );
  }
  const progress = new ProgressLine(io);
  const model = await loadEngineModel(flags.model, {
    provider: flags.provider,
    precision: flags.precision,
    signal: io.signal,
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    onCompile: ({ done, total }) => progress.show('Compiling the model', done / 1e6, total / 1e6, 'MB'),
  });
  progress.clear();
  const cache = flags.cache ? new ResultCache(join(cacheDirectory(), 'results')) : undefined;
  const entries: BatchEntry[] = [];
  // Text and NDJSON appear clip by clip; the other formats are one document.
  const live = flags.output === undefined && (flags.format === 'text' || flags.format === 'ndjson');
  const style = styleFor(io.stdout);
  let interrupted = false;
  try {
    for (const path of files) {
      let entry: BatchEntry;
      try {
        entry = await one(path, model, cache, progress, io);
      } catch (error) {
        progress.clear();
        if (OmniError.is(error, 'cancelled')) {
          interrupted = true;
          break;
        }
        entry = { path, error: serialized(error) };
        io.stderr.write(errorText(serialized(error), path));
      }
      entries.push(entry);
      if (live && flags.format === 'ndjson') io.stdout.write(`${JSON.stringify(entry)}\n`);
      else if (live && !('error' in entry)) {
        io.stdout.write(`${textReport(entry, style, io.stdout.columns)}${several ? '\n' : ''}`);
      }
      interrupted = !('error' in entry) && entry.status === 'cancelled';
      if (interrupted) break;
    }
  } finally {
    progress.clear();
    await model.omni.dispose();
  }
  for (const problem of cache?.problems ?? []) io.stderr.write(`Note: ${problem.message}\n`);
  if (!live) {
    const text = document(entries, flags.format, several);
    if (flags.output === undefined) io.stdout.write(text);
    else await writeResult(flags.output, text);
  }
  if (interrupted) return exit.interrupted;
  if (entries.some((entry) => 'error' in entry)) return exit.failed;
  const { failBelow } = flags;
  const missed = entries.filter(
    (entry) => !('error' in entry) && failBelow !== undefined && entry.mos < failBelow,
  );
  for (const entry of missed) {
    if ('error' in entry) continue;
    io.stderr.write(`${entry.video.path}: MOS ${entry.mos.toFixed(2)} is below ${failBelow}.\n`);
  }
  return missed.length > 0 ? exit.threshold : exit.done;
}

async function one(
  path: string,
  model: EngineModel,
  cache: ResultCache | undefined,
  progress: ProgressLine,
  io: Io,
): Promise<BatchEntry> {
  if (cache && existsSync(path) && statSync(path).isFile() && statSync(path).size > 0) {
    const known = await cache.get(path, await sha256OfFile(path, io.signal).catch(() => ''), model);
    if (known) return known;
  }
  const record = await assessVideo(path, model, {
    signal: io.signal,
    onProgress: ({ frames, total }) => progress.show(path, frames, total, 'frames'),
  });
  progress.clear();
  await cache?.put(record, model);
  return record;
}

/** Folders become the videos in them, by name; a file named twice is assessed once. */
async function expand(paths: readonly string[]): Promise<{ files: string[]; several: boolean }> {
  const files: string[] = [];
  let folder = false;
  for (const path of paths) {
    if (!existsSync(path) || !statSync(path).isDirectory()) {
      files.push(path);
      continue;
    }
    folder = true;
    const names = await readdir(path, { withFileTypes: true });
    files.push(
      ...names
        .filter((entry) => !entry.isDirectory() && extensions.has(extname(entry.name).toLowerCase()))
        .map((entry) => join(path, entry.name))
        .sort(),
    );
  }
  const seen = new Set<string>();
  const unique = files.filter((file) => {
    const real = existsSync(file) ? realpathSync(file) : file;
    return !seen.has(real) && seen.add(real);
  });
  return { files: unique, several: folder || paths.length > 1 };
}

function document(entries: readonly BatchEntry[], format: AssessFlags['format'], several: boolean): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(several ? entries : entries[0], null, 2)}\n`;
    case 'ndjson':
      return entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
    case 'csv':
      return csvReport(entries);
    case 'html':
      return htmlReport(entries, `sha256-${createHash('sha256').update(reportStyle).digest('base64')}`);
    case 'text':
      return entries
        .map((entry) => ('error' in entry ? errorText(entry.error as never, entry.path) : textReport(entry)))
        .join('\n');
  }
}
