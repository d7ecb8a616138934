/** Renders a data set of degraded clips with their truth; what is finished stays finished. */
import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OmniError, type Problem } from '../protocol/errors.ts';
import {
  availableEncoders,
  type ClipFormat,
  clipFormat,
  type Degradation,
  degradeClip,
} from '../video/degrade.ts';
import { locateFfmpeg } from '../video/ffmpeg.ts';
import { probeVideo, type VideoInfo } from '../video/probe.ts';
import { type Draw, drawClip, type PlannedClip, planClip } from './plan.ts';
import { fillSteps, type Recipe, type RecipeBook, recipeBook, scaledParameters } from './recipes.ts';
import { type Truth, TruthFile, truthId, truthName, unwritable } from './truth.ts';

export const recipeSets = ['in-context', 'pipelines', 'all'] as const;
export type RecipeSet = (typeof recipeSets)[number];

export interface DegradeRequest {
  readonly sources: readonly string[];
  /** A directory; made where it is not there. */
  readonly out: string;
  readonly seed: number;
  /** Clips; by default as many as give every source every recipe once. */
  readonly count?: number;
  readonly set: RecipeSet;
  /** Ids of recipes, to leave the others of the set out. */
  readonly kinds?: readonly string[];
  /** Longest clip, whole seconds. */
  readonly seconds: number;
  /** Clips that are made at a time. */
  readonly jobs: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
  /** SHA-256 of a file, in hexadecimal. */
  readonly hash: (path: string, signal?: AbortSignal) => Promise<string>;
}

export interface DegradeSummary {
  /** All clips of the folder, those of earlier calls among them. */
  readonly clips: readonly Truth[];
  readonly written: number;
  /** Found finished. */
  readonly kept: number;
  /** What could not be done, one entry per source or clip. */
  readonly failures: readonly { readonly path: string; readonly error: OmniError }[];
  readonly problems: readonly Problem[];
  /** The call was ended before all clips were made. */
  readonly interrupted: boolean;
}

/**
 * The recipes that a call means, in the book's order.
 *
 * @throws OmniError `bad_usage` for an id that the set does not have
 */
export function chooseRecipes(book: RecipeBook, set: RecipeSet, kinds?: readonly string[]): Recipe[] {
  const inSet = book.recipes.filter((recipe) => set === 'all' || recipe.set === 'both' || recipe.set === set);
  if (!kinds) return inSet;
  const unknown = kinds.filter((kind) => !inSet.some(({ id }) => id === kind));
  if (unknown.length > 0 || kinds.length === 0) {
    throw new OmniError(
      'bad_usage',
      unknown.length > 0 ? `There is no recipe ${unknown.join(', ')} in ${set}.` : 'No recipe is named.',
      `Name some of: ${inSet.map(({ id }) => id).join(', ')}.`,
    );
  }
  return inSet.filter(({ id }) => kinds.includes(id));
}

interface Opened {
  readonly path: string;
  readonly info: VideoInfo;
  readonly format: ClipFormat;
  readonly frames: number;
  readonly sha256: string;
}

/**
 * Renders the clips of a data set that are not there yet. Each appears under its name as a whole or not at all, and
 * its line of the truth after it; a call that was ended goes on where it stopped. Clips that need an encoder which
 * this ffmpeg lacks, and those for which a source is too short, are left out with a problem; a source that can't be
 * used, or a clip that fails, is a failure beside which the others go on.
 *
 * @throws OmniError `bad_usage` where the folder holds the clips of another call, `not_writable`, `disk_full`,
 *   `ffmpeg_missing`, `ffmpeg_too_old`
 */
export async function degradeSources(request: DegradeRequest): Promise<DegradeSummary> {
  const { sources, out, seed, signal, hash } = request;
  const recipes = chooseRecipes(recipeBook, request.set, request.kinds);
  const count = request.count ?? sources.length * recipes.length;
  const { version } = await locateFfmpeg();
  const encoders = await availableEncoders(signal);
  await mkdir(out, { recursive: true }).catch((error: unknown) => {
    throw unwritable(error, out);
  });

  const problems: Problem[] = [];
  const failures: { path: string; error: OmniError }[] = [];
  const truth = await TruthFile.open(out);
  let scratch: string | undefined;
  try {
    problems.push(...truth.problems);
    // What a call that was killed left: the lock says that nobody else is at work here.
    for (const name of await readdir(out)) {
      if (name.startsWith(scratchPrefix)) await rm(join(out, name), { recursive: true, force: true });
    }
    scratch = await mkdtemp(join(out, scratchPrefix)).catch((error: unknown) => {
      throw unwritable(error, out);
    });

    const opened: (Opened | null)[] = [];
    for (const path of sources) {
      opened.push(
        await openSource(path, hash, signal, problems).catch((error: unknown) => {
          if (!OmniError.is(error) || error.code === 'cancelled') throw error;
          failures.push({ path, error });
          return null;
        }),
      );
    }

    const lacking = new Map<string, string>();
    for (const { id, steps } of recipes) {
      const missing = steps.find((step) => 'encoder' in step && !encoders.has(step.encoder));
      if (missing && 'encoder' in missing) lacking.set(id, missing.encoder);
    }
    for (const [id, encoder] of lacking) {
      problems.push({
        code: 'encoder_missing',
        message: `This ffmpeg has no ${encoder}: the clips of ${id} were left out.`,
      });
    }

    const todo: { draw: Draw; clip: PlannedClip; source: Opened; line: Omit<Truth, 'sha256'> }[] = [];
    let kept = 0;
    let older = 0;
    for (let index = 0; index < count; index += 1) {
      const draw = drawClip(index, seed, sources.length, recipes);
      const source = opened[draw.source];
      if (!source || lacking.has(draw.recipe.id)) continue;
      const clip = planClip(
        draw,
        seed,
        { ...source.format, frames: source.frames },
        recipeBook,
        request.seconds,
      );
      if (!clip) {
        problems.push({
          code: 'source_too_short',
          message: `${source.path} is too short for ${draw.recipe.id}: clip ${index} was left out.`,
        });
        continue;
      }
      const line = truthOf(index, seed, source, clip, version);
      const found = truth.at(index);
      if (!found) todo.push({ draw, clip, source, line });
      else {
        if (!sameClip(found, line)) throw anotherCall(out, index);
        if (await exists(join(out, found.file))) {
          kept += 1;
          older += found.ffmpeg === version ? 0 : 1;
        } else {
          truth.forget(index);
          todo.push({ draw, clip, source, line });
        }
      }
    }
    if (older > 0) {
      problems.push({
        code: 'other_ffmpeg',
        message: `${older} clips were made by another ffmpeg than ${version}, and kept.`,
      });
    }
    await truth.rewrite();

    let written = 0;
    const queue = todo.values();
    const ending = new AbortController();
    const end = () => ending.abort();
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted) end();
    const work = async () => {
      for (const { clip, source, line } of queue) {
        if (ending.signal.aborted) return;
        const partial = join(scratch!, line.file);
        try {
          await degradeClip(
            { info: source.info, start: clip.start, frames: clip.frames },
            degradationOf(clip, source.format),
            partial,
            { encoders, scratch: scratch!, signal: ending.signal },
          );
          const sha256 = await hash(partial, ending.signal);
          await rename(partial, join(out, line.file));
          await truth.add({ ...line, sha256 });
          written += 1;
          request.onProgress?.(kept + written, kept + todo.length);
        } catch (error) {
          await rm(partial, { force: true }).catch(() => undefined);
          if (OmniError.is(error, 'cancelled')) return;
          // A full disk fails every clip, and a fault of this program should not be repeated a thousand times.
          const fatal = !OmniError.is(error) || error.code === 'disk_full' || error.code === 'not_writable';
          if (fatal) {
            end();
            throw error;
          }
          failures.push({ path: `${source.path} (clip ${line.index}, ${line.recipe})`, error });
        }
      }
    };
    request.onProgress?.(kept, kept + todo.length);
    const workers = await Promise.allSettled(Array.from({ length: request.jobs }, work));
    signal?.removeEventListener('abort', end);
    const failed = workers.find((worker) => worker.status === 'rejected');
    if (failed) throw failed.reason;
    await truth.rewrite();
    return {
      clips: truth.lines,
      written,
      kept,
      failures,
      problems,
      interrupted: signal?.aborted === true && written + failures.length < todo.length,
    };
  } finally {
    if (scratch) await rm(scratch, { recursive: true, force: true }).catch(() => undefined);
    await truth.close();
  }
}

const scratchPrefix = '.degrade-';

async function openSource(
  path: string,
  hash: DegradeRequest['hash'],
  signal: AbortSignal | undefined,
  problems: Problem[],
): Promise<Opened> {
  const { value: info } = await probeVideo(path, signal ? { signal } : {});
  const { value: format, problems: conversions } = clipFormat(info);
  for (const { code, message } of conversions) problems.push({ code, message: `${path}: ${message}` });
  const perSecond = format.rate[0] / format.rate[1];
  const byDuration = info.duration === null ? null : Math.floor(info.duration * perSecond + 0.02);
  const frames = info.vfr ? (byDuration ?? info.frames) : (info.frames ?? byDuration);
  if (frames === null) {
    throw new OmniError(
      'format_refused',
      `${path} does not say how long it is.`,
      'Remux it (ffmpeg -i … -c copy …) to a container that does, such as Matroska or MP4.',
      { path },
    );
  }
  return { path, info, format, frames, sha256: await hash(path, signal) };
}

function degradationOf(clip: PlannedClip, format: ClipFormat): Degradation {
  const shape = { ...format, frames: clip.frames };
  return {
    steps: fillSteps(recipeBook, clip.recipe, clip.level, shape, clip.seed),
    ...(clip.local ? { local: clip.local } : {}),
    repeats: clip.repeats,
  };
}

/** Clip names say nothing of their source's: that is untrusted text. */
function truthOf(
  index: number,
  seed: number,
  source: Opened,
  clip: PlannedClip,
  ffmpeg: string,
): Omit<Truth, 'sha256'> {
  const { recipe, level } = clip;
  const { width, height, rate } = source.format;
  return {
    schema: truthId,
    index,
    file: `${String(index).padStart(5, '0')}-${recipe.id}.mkv`,
    source: source.path,
    sourceSha256: source.sha256,
    recipe: recipe.id,
    level: recipe.levels.indexOf(level),
    parameters: scaledParameters(recipeBook, recipe, level, { ...source.format, frames: clip.frames }),
    type: recipe.type,
    severity: level.severity ?? null,
    distortions: [...clip.distortions],
    clip: { start: clip.start, frames: clip.frames, rate: rate.join('/'), width, height },
    seed,
    ffmpeg,
  };
}

/** Whether a line is what this call would write, but for the path to the source and the version of ffmpeg. */
function sameClip(found: Truth, line: Omit<Truth, 'sha256'>): boolean {
  const key = ({ source: _, ffmpeg: __, ...rest }: Omit<Truth, 'sha256'>) => rest;
  const { sha256: _, ...foundLine } = found;
  return canonical(key(foundLine)) === canonical(key(line));
}

/** JSON with the keys in order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    part && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

function anotherCall(out: string, index: number): OmniError {
  return new OmniError(
    'bad_usage',
    `${join(out, truthName)} has another clip ${index} than this call: its sources, seed, recipes or length differ.`,
    'Name another folder, or repeat the earlier call to go on with it.',
    { path: out },
  );
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
