/** Encodes of clips, kept by what decides them: the source's content, the settings and the encoder's version. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { normaliseArguments, outputArguments } from '../comparison/arguments.ts';
import { type EncodeOutput, parseArguments } from '../comparison/settings.ts';
import type { EncodeFacts, EncodeState } from '../protocol/engine.ts';
import { OmniError } from '../protocol/errors.ts';
import { alignmentFault } from '../video/alignment.ts';
import { encodeVideo, type PassArguments } from '../video/encode.ts';
import { locateFfmpeg } from '../video/ffmpeg.ts';
import { refuseKnownNonVideo } from '../video/formats.ts';
import { referenceMetrics } from '../video/metrics.ts';
import { probeVideo } from '../video/probe.ts';
import type { Contents } from './content.ts';
import { CoreShares, cancelled, threadsOf } from './core_shares.ts';
import { besides, touch, unwritable, writeWhole } from './files.ts';
import { parseJson } from './results.ts';

/**
 * The output that options of ffmpeg describe.
 *
 * @throws OmniError `bad_usage` where nothing can be encoded from them.
 */
export function outputOf(options: readonly string[]): EncodeOutput {
  const { value, problems } = parseArguments(['ffmpeg', '-i', 'source', ...options, 'encode.mkv']);
  const [output] = value.outputs;
  if (options.length === 0 || !output?.video || value.outputs.length > 1 || output.video.codec === 'copy') {
    const why = problems.map(({ message }) => message).join(' ');
    throw new OmniError(
      'bad_usage',
      `These options describe no encode: ${options.join(' ').slice(0, 200)}.${why ? ` ${why}` : ''}`,
      "Give ffmpeg's output options, such as -c:v libx264 -crf 23.",
    );
  }
  return output;
}

export interface EncodeOptions {
  readonly signal?: AbortSignal;
  /** Told where it stands, now and then. */
  readonly onState?: (state: EncodeState) => void;
}

export class Encodes {
  readonly #root: string;
  readonly #contents: Contents;
  readonly #shares: CoreShares;
  /** What is being made, by key: who asks for the same waits for it. */
  readonly #making = new Map<string, Promise<unknown>>();
  #waiting = 0;

  /**
   * @param root Directory of its own.
   * @param shares What the encodes of this machine have in common.
   */
  constructor(root: string, contents: Contents, shares: CoreShares = new CoreShares()) {
    this.#root = root;
    this.#contents = contents;
    this.#shares = shares;
  }

  /** Whether something is being encoded. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  /**
   * The encode of a clip with an output's settings: the one that is there, or made now.
   *
   * @throws OmniError `bad_usage` where the settings can not be carried out, `cancelled`, those of probing and of {@link encodeVideo}.
   */
  async encode(
    path: string,
    output: EncodeOutput,
    options: EncodeOptions = {},
  ): Promise<EncodeFacts & { kept: boolean }> {
    const once = outputArguments(output);
    if (once.value === null) {
      throw new OmniError(
        'bad_usage',
        `These settings can not be carried out on their own. ${once.problems.map(({ message }) => message).join(' ')}`,
        'Simplify the filters, or assess what the command itself has written.',
      );
    }
    await refuseKnownNonVideo(path);
    const [{ version }, { sha256 }] = await Promise.all([
      locateFfmpeg(),
      this.#contents.of(path, options.signal),
    ]);
    const settings = normaliseArguments(output);
    const key = createHash('sha256')
      .update(JSON.stringify([sha256, settings, version]))
      .digest('hex');
    const two = output.video!.pass !== null;
    const passes: PassArguments[] = two
      ? ([1, 2] as const).map((number) => (log) => outputArguments(output, { number, log }).value!)
      : [() => once.value!];
    const { signal, onState } = options;
    const make = async () => {
      const known = await this.#find(key);
      if (known) return { ...known, kept: true };
      const { value: info } = await probeVideo(path, signal ? { signal } : {});
      onState?.({ phase: 'waiting', progress: null, eta: null });
      const width = output.video!.size?.width ?? info.width;
      return this.#shares.use(threadsOf(output, width), signal, async () => {
        const file = this.#file(key);
        const partial = besides(file, 'partial');
        try {
          await mkdir(this.#root, { recursive: true }).catch((error: unknown) => {
            throw unwritable(error, this.#root);
          });
          const begun = performance.now();
          onState?.({ phase: 'encoding', progress: 0, eta: null });
          const { bytes, seconds } = await encodeVideo(info, passes, partial, this.#root, {
            signal,
            onProgress: (progress) => onState?.({ phase: 'encoding', progress, eta: etaOf(begun, progress) }),
          });
          onState?.({ phase: 'measuring', progress: null, eta: null });
          const { value: made } = await probeVideo(partial, signal ? { signal } : {});
          const fault = await alignmentFault(info, made, signal);
          const metrics = fault ? null : await referenceMetrics(info, made, { signal });
          const facts: Omit<EncodeFacts, 'file'> = {
            key,
            arguments: settings,
            encoder: version,
            bytes,
            seconds,
            speed: info.duration ? info.duration / seconds : null,
            problems: once.problems.map(({ message }) => message),
            alignment: fault && { code: fault.code, message: fault.message },
            metrics,
            madeAt: Date.now(),
          };
          await rename(partial, file);
          // Written last: without it the encode does not count.
          await writeWhole(`${file}.json`, JSON.stringify(facts));
          return { ...facts, file, kept: false };
        } finally {
          await rm(partial, { force: true }).catch(() => undefined);
        }
      });
    };
    return this.#alone(key, signal, make);
  }

  async #find(key: string): Promise<EncodeFacts | null> {
    const file = this.#file(key);
    const facts = parseJson(
      await readFile(`${file}.json`, 'utf8').catch(() => ''),
    ) as Partial<EncodeFacts> | null;
    const size = await stat(file).then(
      (found) => found.size,
      () => -1,
    );
    // Encodes of earlier versions were not held against their source.
    const whole = facts?.key === key && facts.bytes === size && facts.alignment !== undefined;
    if (!whole) return null;
    await touch(file, `${file}.json`);
    return { ...facts, file } as EncodeFacts;
  }

  #file(key: string): string {
    return join(this.#root, `${key}.mkv`);
  }

  /** Does something while nobody else does it with the same key. */
  async #alone<T>(key: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    try {
      for (let other = this.#making.get(key); other; other = this.#making.get(key)) {
        // That one may be cancelled, or fail for its own reasons.
        await unlessAborted(
          other.catch(() => undefined),
          signal,
        );
      }
      const result = work();
      this.#making.set(key, result);
      try {
        return await result;
      } finally {
        this.#making.delete(key);
      }
    } finally {
      this.#waiting -= 1;
    }
  }
}

/** Seconds left at the pace so far; null before there is one. */
function etaOf(begun: number, progress: number): number | null {
  const seconds = (performance.now() - begun) / 1000;
  return progress > 0 && seconds > 0.5 ? (seconds * (1 - progress)) / progress : null;
}

async function unlessAborted(promise: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return void (await promise);
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(cancelled());
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
