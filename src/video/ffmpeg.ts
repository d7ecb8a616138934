import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { OmniError } from '../protocol/errors.ts';

/** The ffmpeg installation that is used. */
export interface Ffmpeg {
  readonly ffmpeg: string;
  readonly ffprobe: string;
  /** As `ffmpeg -version` names itself: `5.1.9-0+deb12u1`, `n7.1`, `N-110072-g…`. */
  readonly version: string;
  /** The output option that neither drops nor repeats frames; it was renamed in 5.1. */
  readonly passthrough: readonly string[];
}

/** `-reinit_filter`, `-vsync passthrough` and `format_whitelist` all behave as needed from here on. */
const oldest = [4, 3] as const;

const found = new Map<string, Promise<Ffmpeg>>();

/**
 * Finds ffmpeg and ffprobe: the directory or program named by OMNIVQA_FFMPEG, otherwise PATH.
 *
 * @throws OmniError `ffmpeg_missing`, `ffmpeg_too_old`.
 */
export function locateFfmpeg(env: NodeJS.ProcessEnv = process.env): Promise<Ffmpeg> {
  const key = `${env.OMNIVQA_FFMPEG ?? ''}\n${env.PATH ?? ''}`;
  let located = found.get(key);
  if (!located) {
    located = locate(env);
    // A failure is not kept: the user may install ffmpeg while we run.
    located.catch(() => found.delete(key));
    found.set(key, located);
  }
  return located;
}

async function locate(env: NodeJS.ProcessEnv): Promise<Ffmpeg> {
  const named = env.OMNIVQA_FFMPEG;
  const places = named
    ? [named.replace(/[\\/]?ffmpeg(\.exe)?$/, '') || '.']
    : (env.PATH ?? '').split(delimiter);
  const program = (name: string): string => {
    const file = process.platform === 'win32' ? `${name}.exe` : name;
    for (const place of places) {
      const path = join(place, file);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not here: look in the next place.
      }
    }
    throw new OmniError(
      'ffmpeg_missing',
      named ? `There is no ${file} in ${places[0]} (OMNIVQA_FFMPEG).` : `${file} is not on PATH.`,
      'Install ffmpeg (Debian and Ubuntu: sudo apt-get install ffmpeg; macOS: brew install ffmpeg; Windows: winget install Gyan.FFmpeg).',
    );
  };
  const ffmpeg = program('ffmpeg');
  const ffprobe = program('ffprobe');
  const { stdout } = await capture(ffmpeg, ['-version'], { timeout: 20_000 });
  const version = /^ffmpeg version (\S+)/.exec(stdout)?.[1] ?? 'unknown';
  const numbers = /^n?(\d+)\.(\d+)/.exec(version);
  // Builds from the development tree have no number; they are newer than any release they could be taken for.
  const [major, minor] = numbers ? [Number(numbers[1]), Number(numbers[2])] : [Number.POSITIVE_INFINITY, 0];
  if (major < oldest[0] || (major === oldest[0] && minor < oldest[1])) {
    throw new OmniError(
      'ffmpeg_too_old',
      `${ffmpeg} is version ${version}; ${oldest.join('.')} or newer is needed.`,
      'Install a newer ffmpeg, or name one with OMNIVQA_FFMPEG.',
    );
  }
  const renamed = major > 5 || (major === 5 && minor >= 1);
  return { ffmpeg, ffprobe, version, passthrough: [renamed ? '-fps_mode' : '-vsync', 'passthrough'] };
}

export interface CaptureOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds after which the program counts as hanging. */
  readonly timeout: number;
}

/** Most bytes of output that are kept of a program that should print little. */
const outputLimit = 256 * 2 ** 20;

/**
 * Runs ffmpeg or ffprobe to its end and keeps what it prints. Arguments are an array: no shell ever sees them.
 *
 * @throws OmniError `ffmpeg_hung` after the timeout, `ffmpeg_failed` when it does not start or prints too much,
 *   `cancelled`.
 */
export async function capture(
  program: string,
  args: readonly string[],
  { signal, timeout }: CaptureOptions,
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  const command = displayCommand(program, args);
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(cancelledError());
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true });
    const stdout: Buffer[] = [];
    let size = 0;
    let stderr = '';
    const stop = (error: OmniError) => {
      child.kill('SIGKILL');
      reject(error);
    };
    const timer = globalThis.setTimeout(() => stop(hungError(command, timeout, stderr)), timeout);
    const abort = () => stop(cancelledError());
    signal?.addEventListener('abort', abort, { once: true });
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > outputLimit) stop(failedError('It printed too much.', command, stderr));
      else stdout.push(chunk);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = tail(stderr + text);
    });
    child.on('error', (error) => reject(failedError(`It did not start: ${error.message}.`, command, stderr)));
    child.on('close', (status) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      resolve({ status: status ?? 1, stdout: Buffer.concat(stdout).toString('utf8'), stderr });
    });
  });
}

/** The last 4,000 characters of what a program wrote to stderr. */
export const tail = (text: string): string => text.slice(-4000);

/** A command for people to read and copy; never run. */
export function displayCommand(program: string, args: readonly string[]): string {
  return [program, ...args]
    .map((arg) => (/^[\w./:=,+@-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`))
    .join(' ');
}

export const cancelledError = () =>
  new OmniError('cancelled', 'The work was cancelled.', 'Start it again if needed.');

export function hungError(command: string, timeout: number, stderr: string): OmniError {
  return new OmniError(
    'ffmpeg_hung',
    `ffmpeg gave no sign of life for ${timeout / 1000} s and was ended.`,
    'Try the command yourself; if the file lies on a network drive, copy it to a local disk first.',
    { command, stderr: tail(stderr) },
  );
}

export function failedError(cause: string, command: string, stderr: string): OmniError {
  return new OmniError(
    'ffmpeg_failed',
    `ffmpeg could not do its work. ${cause}`,
    'Look at what it printed, and try the command yourself.',
    { command, stderr: tail(stderr) },
  );
}
