/** Pictures from the host, decoded once and kept while there is room. No framework: plain callbacks. */
import { OmniError } from '../../src/protocol/errors.ts';
import type { Connection } from '../../src/protocol/rpc.ts';
import type { Still, TimelineHost } from '../../src/protocol/timeline.ts';

/** Bitmaps by name, the least recently used given back first. */
class BitmapCache {
  readonly #limit: number;
  readonly #bitmaps = new Map<string, ImageBitmap>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(name: string): ImageBitmap | undefined {
    const bitmap = this.#bitmaps.get(name);
    if (bitmap) {
      this.#bitmaps.delete(name);
      this.#bitmaps.set(name, bitmap);
    }
    return bitmap;
  }

  set(name: string, bitmap: ImageBitmap): void {
    this.#bitmaps.get(name)?.close();
    this.#bitmaps.set(name, bitmap);
    for (const [oldest, old] of this.#bitmaps) {
      if (this.#bitmaps.size <= this.#limit) break;
      old.close();
      this.#bitmaps.delete(oldest);
    }
  }

  clear(): void {
    for (const bitmap of this.#bitmaps.values()) bitmap.close();
    this.#bitmaps.clear();
  }
}

const decode = (still: Still) => createImageBitmap(new Blob([still.bytes], { type: still.mime }));

/** Anything thrown as the error to show. */
const asError = (error: unknown) =>
  OmniError.is(error)
    ? error
    : new OmniError('internal_error', 'The picture could not be shown.', 'Try another moment.');

/**
 * The picture at the playhead. While one is being fetched only the newest wish waits, so scrubbing always shows
 * something recent and the host decodes at its own pace.
 */
export class StillLoader {
  readonly #connection: Connection<TimelineHost>;
  readonly #show: (bitmap: ImageBitmap) => void;
  readonly #fail: (error: OmniError) => void;
  readonly #cache = new BitmapCache(48);
  #abort = new AbortController();
  #busy = false;
  #wish: { name: string; time: number; width: number } | undefined;

  constructor(
    connection: Connection<TimelineHost>,
    show: (bitmap: ImageBitmap) => void,
    fail: (error: OmniError) => void,
  ) {
    this.#connection = connection;
    this.#show = show;
    this.#fail = fail;
  }

  /** `width` in device pixels; `frame` names the picture for the cache. */
  want(frame: number, time: number, width: number): void {
    const name = `${frame}@${width}`;
    const known = this.#cache.get(name);
    if (known) {
      this.#wish = undefined;
      this.#show(known);
      return;
    }
    this.#wish = { name, time, width };
    void this.#next();
  }

  async #next(): Promise<void> {
    if (this.#busy || !this.#wish) return;
    const { name, time, width } = this.#wish;
    const { signal } = this.#abort;
    this.#wish = undefined;
    this.#busy = true;
    try {
      const bitmap = await decode(await this.#connection.request('still', { time, width }, { signal }));
      if (signal.aborted) {
        bitmap.close();
        return;
      }
      this.#cache.set(name, bitmap);
      this.#show(bitmap);
    } catch (error) {
      // With a newer wish waiting nobody looks at this picture any more.
      if (!signal.aborted && !this.#wish) this.#fail(asError(error));
    } finally {
      if (!signal.aborted) {
        this.#busy = false;
        void this.#next();
      }
    }
  }

  /** Forgets every picture and stops what is under way: the file was replaced or the view is closing. */
  reset(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#busy = false;
    this.#wish = undefined;
    this.#cache.clear();
  }
}

/** One picture of the filmstrip and where it begins, s. */
export interface Tile {
  readonly time: number;
  readonly bitmap: ImageBitmap | undefined;
}

/**
 * Small pictures on a grid whose step is the clip's length over a power of two, so that panning moves pictures
 * that are there and zooming in only adds new ones between them.
 */
export class Filmstrip {
  readonly #connection: Connection<TimelineHost>;
  readonly #changed: () => void;
  readonly #cache = new BitmapCache(600);
  /** Times that gave no picture: asked for once. */
  readonly #empty = new Set<string>();
  #abort = new AbortController();
  #busy = false;
  #wanted: { name: string; time: number }[] = [];
  #height = 0;
  #missing = 0;

  constructor(connection: Connection<TimelineHost>, changed: () => void) {
    this.#connection = connection;
    this.#changed = changed;
  }

  /** How many of the tiles last asked for are still to come. */
  get missing(): number {
    return this.#missing;
  }

  /**
   * The tiles that cover `start`..`end` when each should be about `seconds` long, and fetches those that are
   * missing. `height` in device pixels.
   */
  tiles(start: number, end: number, seconds: number, duration: number, frame: number, height: number) {
    const doublings = Math.max(0, Math.ceil(Math.log2(duration / Math.max(seconds, frame))));
    const step = Math.max(frame, duration / 2 ** doublings);
    if (height !== this.#height) {
      this.#height = height;
      this.reset();
    }
    const tiles: Tile[] = [];
    const wanted: { name: string; time: number }[] = [];
    for (
      let i = Math.max(0, Math.floor(start / step + 1e-6));
      i * step < Math.min(end, duration - 1e-6);
      i += 1
    ) {
      // The frame on screen at the tile's left edge, so that one frame is one name on every grid.
      const time = Math.floor((i * step) / frame + 1e-3) * frame;
      const name = time.toFixed(4);
      const bitmap = this.#cache.get(name);
      if (!bitmap && !this.#empty.has(name)) wanted.push({ name, time });
      tiles.push({ time: i * step, bitmap });
    }
    this.#wanted = wanted;
    this.#missing = wanted.length;
    void this.#next();
    return { step, tiles };
  }

  async #next(): Promise<void> {
    if (this.#busy || this.#wanted.length === 0) return;
    // Small batches: what scrolled out of view meanwhile is never fetched.
    const batch = this.#wanted.slice(0, 8);
    const { signal } = this.#abort;
    this.#busy = true;
    try {
      const times = batch.map(({ time }) => time);
      const stills = await this.#connection.request('filmstrip', { times, height: this.#height }, { signal });
      const bitmaps = await Promise.all(
        batch.map((_, i) => (stills[i] ? decode(stills[i]).catch(() => undefined) : undefined)),
      );
      batch.forEach(({ name }, i) => {
        const bitmap = bitmaps[i];
        if (signal.aborted) bitmap?.close();
        else if (bitmap) this.#cache.set(name, bitmap);
        else this.#empty.add(name);
      });
    } catch {
      // A host that can not make pictures leaves the strip empty; the picture itself says why.
      if (!signal.aborted) for (const { name } of batch) this.#empty.add(name);
    }
    if (signal.aborted) return;
    this.#busy = false;
    this.#wanted = [];
    // The redraw asks again for what is still missing.
    this.#changed();
  }

  /** Forgets every picture and stops what is under way. */
  reset(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#busy = false;
    this.#wanted = [];
    this.#empty.clear();
    this.#cache.clear();
  }
}
