/**
 * ffmpeg and ffprobe as supervised processes. This room starts them and nothing else does. fluent-ffmpeg, which is
 * no longer maintained, composes command lines and does nothing more; starting, watching and ending a process is ours.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import createCommand, { type FfmpegCommand } from 'fluent-ffmpeg';
import { OmniError } from '../protocol/errors.ts';

/** Oldest ffmpeg whose filters and options the rest of this room relies on. */
export const minimumVersion = [4, 4] as const;

export interface FfmpegLocation {
  readonly ffmpeg: string;
  readonly ffprobe: string;
  /** As ffmpeg prints it: `5.1.9-0+deb12u1`, `n7.1`, `N-118000-gabcdef`. */
  readonly version: string;
  /** `[major, minor]`; a build from git, which has no number, counts as newer than every release. */
  readonly release: readonly [number, number];
}

const installing =
  process.platform === 'darwin'
    ? 'brew install ffmpeg'
    : process.platform === 'win32'
      ? 'winget install Gyan.FFmpeg'
      : 'sudo apt-get install ffmpeg';

const located = new Map<string, Promise<FfmpegLocation>>();

/**
 * The ffmpeg and ffprobe to use: `OMNIVQA_FFMPEG` (the ffmpeg binary or the directory that holds both), else PATH.
 * Looked up once per setting; a failure is not remembered, so that installing ffmpeg needs no restart.
 *
 * @throws OmniError `ffmpeg_missing`, `ffmpeg_too_old`, `ffmpeg_hung`, `ffmpeg_failed`
 */
export function locateFfmpeg(options: { readonly timeout?: number } = {}): Promise<FfmpegLocation> {
  const key = JSON.stringify([process.env.OMNIVQA_FFMPEG ?? '', process.env.PATH ?? '']);
  let location = located.get(key);
  if (!location) {
    location = locate(options.timeout ?? 20_000);
    located.set(key, location);
    location.catch(() => located.delete(key));
  }
  return location;
}

async function locate(timeout: number): Promise<FfmpegLocation> {
  const setting = process.env.OMNIVQA_FFMPEG;
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const path = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  const ffmpegPlaces = setting
    ? [resolve(setting), join(resolve(setting), `ffmpeg${suffix}`)]
    : path.map((directory) => join(directory, `ffmpeg${suffix}`));
  const ffmpeg = await firstExecutable(ffmpegPlaces);
  if (!ffmpeg) {
    throw new OmniError(
      'ffmpeg_missing',
      setting ? `OMNIVQA_FFMPEG names ${setting}, where there is no ffmpeg.` : 'ffmpeg is not on PATH.',
      `Install it (${installing}) or set OMNIVQA_FFMPEG to where it is.`,
    );
  }
  const beside = join(dirname(ffmpeg), basename(ffmpeg).replace('ffmpeg', 'ffprobe'));
  const ffprobe = await firstExecutable([
    ...(beside === ffmpeg ? [] : [beside]),
    join(dirname(ffmpeg), `ffprobe${suffix}`),
    ...path.map((directory) => join(directory, `ffprobe${suffix}`)),
  ]);
  if (!ffprobe) {
    throw new OmniError(
      'ffmpeg_missing',
      `ffprobe is neither beside ${ffmpeg} nor on PATH.`,
      `Install the whole ffmpeg package (${installing}) or set OMNIVQA_FFMPEG to a directory that holds both.`,
    );
  }
  const { stdout } = await capture(ffmpeg, ['-hide_banner', '-version'], { timeout });
  const version = /^ffmpeg version (\S+)/m.exec(stdout)?.[1];
  if (!version) {
    throw new OmniError(
      'ffmpeg_failed',
      `${ffmpeg} does not say which version of ffmpeg it is.`,
      `Install ffmpeg ${minimumVersion.join('.')} or newer (${installing}).`,
      { command: shown(ffmpeg, ['-version']), stderr: stdout.slice(0, 400) },
    );
  }
  const release = releaseOf(version);
  if (
    release[0] < minimumVersion[0] ||
    (release[0] === minimumVersion[0] && release[1] < minimumVersion[1])
  ) {
    throw new OmniError(
      'ffmpeg_too_old',
      `${ffmpeg} is ffmpeg ${version}; ${minimumVersion.join('.')} is the oldest that works.`,
      `Install a newer ffmpeg (${installing}) or set OMNIVQA_FFMPEG to one.`,
      { command: shown(ffmpeg, ['-version']) },
    );
  }
  return { ffmpeg, ffprobe, version, release };
}

/** `[major, minor]` of what `ffmpeg -version` prints after "ffmpeg version". */
export function releaseOf(version: string): readonly [number, number] {
  const match = /^n?(\d+)(?:\.(\d+))?/.exec(version);
  return match ? [Number(match[1]), Number(match[2] ?? 0)] : [Number.POSITIVE_INFINITY, 0];
}

async function firstExecutable(places: readonly string[]): Promise<string | undefined> {
  for (const place of places) {
    try {
      await access(place, constants.X_OK);
      if ((await stat(place)).isFile()) return place;
    } catch {
      // Not here: the next place.
    }
  }
  return undefined;
}

/** A path as an input that ffmpeg can't take for an option, a protocol, a device or a pattern. */
export function inputUrl(path: string): string {
  return `file:${resolve(path)}`;
}

/**
 * The argv of an ffmpeg command, composed by fluent-ffmpeg. Options are `[name, value]` pairs or flags; none is ever
 * split at spaces.
 */
export function composeArguments(command: {
  readonly inputs: readonly { readonly url: string; readonly options: readonly (readonly string[])[] }[];
  /** A graph over all inputs; without one, `outputOptions` say what becomes of them. */
  readonly filter?: string;
  readonly outputOptions: readonly (readonly string[])[];
  readonly output: string;
}): string[] {
  const composed = createCommand();
  for (const { url, options } of command.inputs) {
    composed.input(url);
    for (const option of options) composed.inputOptions(option[0]!, ...option.slice(1));
  }
  if (command.filter !== undefined) composed.complexFilter([command.filter]);
  for (const option of command.outputOptions) composed.outputOptions(option[0]!, ...option.slice(1));
  composed.output(command.output);
  return (composed as FfmpegCommand & { _getArguments(): string[] })._getArguments();
}

/** The output option that passes every frame on as it comes, none repeated or left out. */
export function keepAllFrames({ release }: FfmpegLocation): readonly [string, string] {
  const renamed = release[0] > 5 || (release[0] === 5 && release[1] >= 1);
  return [renamed ? '-fps_mode' : '-vsync', 'passthrough'];
}

/** A command line for reading, not for running. */
export function shown(command: string, args: readonly string[]): string {
  return [command, ...args]
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word)))
    .join(' ');
}

export interface SuperviseOptions {
  /** Aborts the process; the supervised promise then rejects with `cancelled`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without a byte on stdout or stderr after which the process counts as hung. */
  readonly stallTimeout?: number | undefined;
  /** Milliseconds the process may take in all. */
  readonly timeout?: number | undefined;
  readonly onStderrLine?: (line: string) => void;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Time between SIGTERM, on which ffmpeg ends cleanly, and SIGKILL. */
const grace = 2_000;
const tailLines = 20;
const longestLine = 4_096;

/**
 * One process: started without a shell, its stdin closed, its stderr read line by line with the last lines kept, ended
 * on abort, when it stalls or runs over its time, with SIGTERM and after a grace with SIGKILL.
 */
export class Supervised {
  readonly stdout: Readable;
  readonly display: string;
  /**
   * Resolves when the process has ended and its streams are read.
   * Rejects with `cancelled`, `ffmpeg_hung`, `ffmpeg_missing` (it could not be started).
   */
  readonly ended: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #tail: string[] = [];
  readonly #stallTimeout: number | undefined;
  #failure: OmniError | undefined;
  #stall: NodeJS.Timeout | undefined;
  #kill: NodeJS.Timeout | undefined;
  #paused = false;
  #stopped = false;
  #over = false;

  constructor(command: string, args: readonly string[], options: SuperviseOptions = {}) {
    this.display = shown(command, args);
    this.#stallTimeout = options.stallTimeout;
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true });
    this.#child = child;
    this.stdout = child.stdout;
    child.stdout.on('error', () => this.stop());
    const deadline =
      options.timeout === undefined
        ? undefined
        : setTimeout(() => this.#hung(`did not finish within ${options.timeout! / 1000} s`), options.timeout);
    const abort = () => this.#fail(new OmniError('cancelled', 'The work was cancelled.', 'Start it again.'));
    options.signal?.addEventListener('abort', abort);

    let rest = '';
    const line = (text: string) => {
      this.#tail.push(text.slice(0, longestLine));
      if (this.#tail.length > tailLines) this.#tail.shift();
      options.onStderrLine?.(text);
    };
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text: string) => {
      this.#alive();
      const lines = (rest + text).split(/\r\n|\n|\r/);
      rest = (lines.pop() ?? '').slice(0, longestLine);
      for (const each of lines) line(each);
    });
    child.stderr.on('end', () => rest && line(rest));
    child.stdout.on('data', () => this.#alive());

    this.ended = new Promise<Exit>((done, fail) => {
      child.on('error', (error) => {
        this.#failure ??= new OmniError(
          'ffmpeg_missing',
          `${command} could not be started: ${error.message}`,
          `Install it (${installing}) or set OMNIVQA_FFMPEG to where it is.`,
          { command: this.display },
          { cause: error },
        );
        // Without a process there is no `close`.
        if (child.pid === undefined) fail(this.#failure);
      });
      child.on('close', (code, signal) => {
        this.#over = true;
        clearTimeout(deadline);
        clearTimeout(this.#stall);
        clearTimeout(this.#kill);
        options.signal?.removeEventListener('abort', abort);
        if (this.#failure) fail(this.#failure);
        else done({ code, signal });
      });
    });
    // A caller that stops listening early must not bring the process down by an unhandled rejection.
    this.ended.catch(() => {});
    if (options.signal?.aborted) abort();
    this.#alive();
  }

  /** The last lines of stderr. */
  get stderrTail(): string {
    return this.#tail.join('\n');
  }

  /** While the reader holds the process back by not reading, silence is not a stall. */
  set heldBack(held: boolean) {
    this.#paused = held;
    if (held) clearTimeout(this.#stall);
    else this.#alive();
  }

  /** Ends the process without an error. */
  stop(): void {
    if (this.#stopped || this.#over) return;
    this.#stopped = true;
    this.#child.stdout?.destroy();
    this.#child.kill('SIGTERM');
    this.#kill = setTimeout(() => {
      this.#child.kill('SIGKILL');
      // A descendant that inherited stderr would keep `close` from coming.
      this.#child.stderr?.destroy();
    }, grace);
  }

  #alive(): void {
    if (this.#stallTimeout === undefined || this.#paused || this.#over) return;
    clearTimeout(this.#stall);
    this.#stall = setTimeout(
      () => this.#hung(`said nothing for ${this.#stallTimeout! / 1000} s`),
      this.#stallTimeout,
    );
  }

  #hung(how: string): void {
    this.#fail(
      new OmniError(
        'ffmpeg_hung',
        `${basename(this.#child.spawnfile)} ${how} and was ended.`,
        'Try again; if it hangs on this file only, the file is likely damaged: play it, or re-encode it, to see.',
        { command: this.display, stderr: this.stderrTail },
      ),
    );
  }

  #fail(error: OmniError): void {
    if (this.#over) return;
    this.#failure ??= error;
    this.stop();
  }
}

/** Runs a command to its end and returns its whole stdout, at most `limit` bytes (default 64 MiB). */
export async function capture(
  command: string,
  args: readonly string[],
  options: SuperviseOptions & { readonly limit?: number } = {},
): Promise<Exit & { readonly stdout: string; readonly stderr: string }> {
  const child = new Supervised(command, args, options);
  const limit = options.limit ?? 64 * 2 ** 20;
  const chunks: Buffer[] = [];
  let length = 0;
  let over = false;
  child.stdout.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > limit) {
      over = true;
      child.stop();
    } else chunks.push(chunk);
  });
  const exit = await child.ended;
  if (over) {
    throw new OmniError(
      'ffmpeg_failed',
      `${basename(command)} wrote more than ${limit} bytes.`,
      'The file is likely damaged: play it, or re-encode it, to see.',
      { command: child.display, stderr: child.stderrTail },
    );
  }
  return { ...exit, stdout: Buffer.concat(chunks).toString('utf8'), stderr: child.stderrTail };
}
