/**
 * Just enough of Matroska (RFC 9559) to take raw pictures out of what ffmpeg writes to a pipe: the elements on the
 * way to a frame are entered, everything else is skipped. The pipe is our own ffmpeg's; a stream that breaks the
 * format is an error of the program, not of a user's file.
 */

/** Reads a byte stream in exact pieces. */
export class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Fills `target`; false when the stream ends before. */
  async fill(target: Uint8Array): Promise<boolean> {
    let done = 0;
    while (done < target.length) {
      if (this.#at === this.#chunk.length && !(await this.#next())) return false;
      const count = Math.min(target.length - done, this.#chunk.length - this.#at);
      target.set(this.#chunk.subarray(this.#at, this.#at + count), done);
      this.#at += count;
      done += count;
    }
    return true;
  }

  async skip(bytes: number): Promise<boolean> {
    let left = bytes;
    while (left > 0) {
      if (this.#at === this.#chunk.length && !(await this.#next())) return false;
      const count = Math.min(left, this.#chunk.length - this.#at);
      this.#at += count;
      left -= count;
    }
    return true;
  }

  /** The next byte, or -1 at the end. */
  async byte(): Promise<number> {
    if (this.#at === this.#chunk.length && !(await this.#next())) return -1;
    return this.#chunk[this.#at++]!;
  }

  async #next(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    if (done) return false;
    this.#chunk = value;
    this.#at = 0;
    return true;
  }
}

/** Elements that hold frames, directly or further in. */
const entered = new Set([0x18538067 /* Segment */, 0x1f43b675 /* Cluster */, 0xa0 /* BlockGroup */]);
const blocks = new Set([0xa3 /* SimpleBlock */, 0xa1 /* Block */]);

/**
 * Goes to the next frame.
 *
 * @returns the track's number (from 1) and the bytes of the frame, which are to be read or skipped next; undefined
 *   at the end of the stream.
 */
export async function nextFrame(reader: ByteReader): Promise<{ track: number; bytes: number } | undefined> {
  for (;;) {
    const id = await variable(reader, true);
    if (id === undefined) return undefined;
    const size = await variable(reader, false);
    if (size === undefined) return undefined;
    if (entered.has(id.value)) continue;
    if (!blocks.has(id.value)) {
      if (!(await reader.skip(size.value))) return undefined;
      continue;
    }
    const track = await variable(reader, false);
    if (track === undefined || !(await reader.skip(3))) return undefined;
    return { track: track.value, bytes: size.value - track.length - 3 };
  }
}

/** An EBML number (RFC 8794, section 4): the first byte's leading zeros say its length. */
async function variable(
  reader: ByteReader,
  keepMarker: boolean,
): Promise<{ value: number; length: number } | undefined> {
  const first = await reader.byte();
  if (first < 0) return undefined;
  const length = Math.clz32(first) - 23;
  if (length > 8) throw new Error(`not an EBML number: ${first}`);
  let value = keepMarker ? first : first & (0xff >> length);
  for (let i = 1; i < length; i += 1) {
    const next = await reader.byte();
    if (next < 0) return undefined;
    value = value * 256 + next;
  }
  return { value, length };
}
