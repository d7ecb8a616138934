/** Pairs of pictures from the host, of one frame each. No framework: plain callbacks. */
import type { ComparisonHost } from '../../src/protocol/comparison_view.ts';
import { OmniError } from '../../src/protocol/errors.ts';
import type { Connection } from '../../src/protocol/rpc.ts';

/** What is shown of one clip: a frame with its time on the source's clock, s, or why there is none. */
export type Picture = { readonly bitmap: ImageBitmap; readonly time: number } | { readonly error: OmniError };

export interface Clip {
  /** Names the clip's content for what is kept. */
  readonly name: string;
  /** null: the source. */
  readonly encode: string | null;
}

export interface Frame {
  readonly frame: number;
  /** Of the source's frame, s. */
  readonly time: number;
}

export interface Wish extends Frame {
  /** Frames that will be wished for next. */
  readonly ahead: readonly Frame[];
  readonly clips: readonly [Clip, Clip];
}

/** Bytes of the pictures that are kept. */
const room = 256 * 2 ** 20;

const asError = (error: unknown): OmniError =>
  OmniError.is(error)
    ? error
    : new OmniError('internal_error', 'The picture could not be shown.', 'Try another frame.');

/**
 * Two pictures of one frame, shown together or not at all. While a pair is being fetched only the newest wish waits,
 * so that whoever holds a key down always sees something recent.
 */
export class Pictures {
  readonly #connection: Connection<ComparisonHost>;
  readonly #show: (wish: Wish, pictures: readonly [Picture, Picture]) => void;
  /** By clip and frame, the least recently shown first. */
  readonly #kept = new Map<string, { readonly bitmap: ImageBitmap; readonly time: number }>();
  #abort = new AbortController();
  #busy = false;
  #wish: Wish | null = null;

  constructor(
    connection: Connection<ComparisonHost>,
    show: (wish: Wish, pictures: readonly [Picture, Picture]) => void,
  ) {
    this.#connection = connection;
    this.#show = show;
  }

  /** The pictures given to `show` may be used until it returns. */
  want(wish: Wish): void {
    this.#wish = wish;
    void this.#next();
  }

  async #next(): Promise<void> {
    const wish = this.#wish;
    if (this.#busy || !wish) return;
    const { signal } = this.#abort;
    const [first, second] = wish.clips;
    this.#wish = null;
    this.#busy = true;
    const one = this.#picture(first, wish, signal);
    const pair = await Promise.all([
      one,
      first.name === second.name ? one : this.#picture(second, wish, signal),
    ]);
    if (signal.aborted) return;
    this.#busy = false;
    // With a newer wish waiting nobody needs to read why this one could not be had.
    if (!this.#wish || !pair.some((picture) => 'error' in picture)) this.#show(wish, pair);
    this.#tidy();
    void this.#next();
  }

  async #picture({ name, encode }: Clip, wish: Wish, signal: AbortSignal): Promise<Picture> {
    const keyOf = ({ frame }: Frame) => `${name} ${frame}`;
    const key = keyOf(wish);
    const known = this.#kept.get(key);
    if (known) {
      this.#kept.delete(key);
      this.#kept.set(key, known);
      return known;
    }
    const ahead = wish.ahead.filter((one) => !this.#kept.has(keyOf(one)));
    try {
      const times = [wish.time, ...ahead.map(({ time }) => time)] as const;
      const stills = await this.#connection.request('pictures', { encode, times }, { signal });
      const found = await Promise.all(
        stills.map(async (still) => {
          if (!still) return null;
          const blob = new Blob([still.bytes], { type: still.mime });
          const bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none' });
          return { bitmap, time: still.time };
        }),
      );
      const [own, ...others] = found;
      if (!own) throw asError(null);
      for (const [at, picture] of others.entries()) {
        const one = ahead[at];
        if (one && picture) this.#keep(keyOf(one), picture, signal);
      }
      this.#keep(key, own, signal);
      return own;
    } catch (error) {
      return { error: asError(error) };
    }
  }

  #keep(key: string, picture: { readonly bitmap: ImageBitmap; readonly time: number }, signal: AbortSignal) {
    if (signal.aborted) picture.bitmap.close();
    else this.#kept.set(key, picture);
  }

  #tidy(): void {
    let bytes = 0;
    for (const { bitmap } of this.#kept.values()) bytes += 4 * bitmap.width * bitmap.height;
    for (const [key, { bitmap }] of this.#kept) {
      if (bytes <= room) break;
      bytes -= 4 * bitmap.width * bitmap.height;
      bitmap.close();
      this.#kept.delete(key);
    }
  }

  /** Forgets every picture and stops what is under way. */
  reset(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#busy = false;
    this.#wish = null;
    for (const { bitmap } of this.#kept.values()) bitmap.close();
    this.#kept.clear();
  }
}
