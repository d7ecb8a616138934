/** Parts of clips, joined without loss, for encodes that stand for those of the whole. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cut } from '../protocol/engine.ts';
import { type CutSpan, cutVideo } from '../video/cut.ts';
import { locateFfmpeg } from '../video/ffmpeg.ts';
import { refuseKnownNonVideo } from '../video/formats.ts';
import { probeVideo } from '../video/probe.ts';
import type { Contents } from './content.ts';
import { besides, touch, unwritable, writeWhole } from './files.ts';
import { parseJson } from './results.ts';

/** Cuts, kept by the clip's content, the parts and ffmpeg's version until {@link tidy}; one is made at a time. */
export class Cuts {
  readonly #root: string;
  readonly #contents: Contents;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @param root Directory of its own. */
  constructor(root: string, contents: Contents) {
    this.#root = root;
    this.#contents = contents;
  }

  /** Whether something is being cut. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  /**
   * The cut of a clip: the one that is there, or made now.
   *
   * @param parts s from the first frame, in order, not overlapping
   * @throws OmniError those of {@link cutVideo}, of probing, and `not_writable`.
   */
  cut(path: string, parts: readonly CutSpan[], signal?: AbortSignal): Promise<Cut> {
    this.#waiting += 1;
    const result = this.#turn.then(() => this.#cut(path, parts, signal));
    this.#turn = result
      .catch(() => undefined)
      .finally(() => {
        this.#waiting -= 1;
      });
    return result;
  }

  async #cut(path: string, parts: readonly CutSpan[], signal?: AbortSignal): Promise<Cut> {
    await refuseKnownNonVideo(path);
    const [{ version }, { sha256 }] = await Promise.all([locateFfmpeg(), this.#contents.of(path, signal)]);
    const key = createHash('sha256')
      .update(JSON.stringify([sha256, parts, version]))
      .digest('hex');
    const file = join(this.#root, `${key}.mkv`);
    const known = await this.#find(file);
    if (known) return known;
    await mkdir(this.#root, { recursive: true }).catch((error: unknown) => {
      throw unwritable(error, this.#root);
    });
    const partial = besides(file, 'partial');
    try {
      const { value: info } = await probeVideo(path, signal ? { signal } : {});
      const cut = await cutVideo(info, parts, partial, signal ? { signal } : {});
      const { size } = await stat(partial);
      await rename(partial, file);
      // Written last: without it the cut does not count.
      await writeWhole(`${file}.json`, JSON.stringify({ size, parts: cut }));
      return { file, parts: cut };
    } finally {
      await rm(partial, { force: true }).catch(() => undefined);
    }
  }

  async #find(file: string): Promise<Cut | null> {
    const text = await readFile(`${file}.json`, 'utf8').catch(() => '');
    const facts = parseJson(text) as { size?: number; parts?: CutSpan[] } | null;
    const found = await stat(file).catch(() => null);
    if (!found || !facts?.parts || facts.size !== found.size) return null;
    await touch(file, `${file}.json`);
    return { file, parts: facts.parts };
  }
}
