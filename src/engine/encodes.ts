/** Encodes of clips, kept by what decides them: the source's content, the settings and the encoder's version. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { normaliseArguments, outputArguments } from '../comparison/arguments.ts';
import { type EncodeOutput, parseArguments } from '../comparison/settings.ts';
import type { EncodeFacts } from '../protocol/engine.ts';
import { OmniError } from '../protocol/errors.ts';
import { alignmentFault } from '../video/alignment.ts';
import { type EncodeOptions, encodeVideo, type PassArguments } from '../video/encode.ts';
import { locateFfmpeg } from '../video/ffmpeg.ts';
import { referenceMetrics } from '../video/metrics.ts';
import { probeVideo } from '../video/probe.ts';
import type { Contents } from './content.ts';
import { besides, unwritable, writeWhole } from './files.ts';
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

export class Encodes {
  readonly #root: string;
  readonly #contents: Contents;
  /** Encoders use every core: one at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @param root Directory of its own. */
  constructor(root: string, contents: Contents) {
    this.#root = root;
    this.#contents = contents;
  }

  /** Whether something is being encoded. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  /**
   * The encode of a clip with an output's settings: the one that is there, or made now.
   *
   * @throws OmniError `bad_usage` where the settings can not be carried out, those of probing and of {@link encodeVideo}.
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
    const [{ version }, { sha256 }] = await Promise.all([
      locateFfmpeg(),
      this.#contents.of(path, options.signal),
    ]);
    const settings = normaliseArguments(output);
    const key = createHash('sha256')
      .update(JSON.stringify([sha256, settings, version]))
      .digest('hex');
    const known = await this.#find(key);
    if (known) return { ...known, kept: true };
    const two = output.video!.pass !== null;
    const passes: PassArguments[] = two
      ? ([1, 2] as const).map((number) => (log) => outputArguments(output, { number, log }).value!)
      : [() => once.value!];
    return this.#inTurn(async () => {
      const { value: info } = await probeVideo(path, options.signal ? { signal: options.signal } : {});
      const file = this.#file(key);
      const partial = besides(file, 'partial');
      try {
        await mkdir(this.#root, { recursive: true }).catch((error: unknown) => {
          throw unwritable(error, this.#root);
        });
        const { bytes, seconds } = await encodeVideo(info, passes, partial, this.#root, options);
        const { signal } = options;
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
    return whole ? ({ ...facts, file } as EncodeFacts) : null;
  }

  #file(key: string): string {
    return join(this.#root, `${key}.mkv`);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    const result = this.#turn.then(work).finally(() => {
      this.#waiting -= 1;
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
