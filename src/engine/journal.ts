import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Problem } from '../protocol/errors.ts';
import type { Packet } from '../video/signals.ts';
import type { JournalClip, WindowStore } from './assess.ts';
import { moveAside, unwritable } from './files.ts';
import { parseJson, type ResultKey } from './results.ts';
import type { ReadEnd, WindowResult } from './windows.ts';

/** Raised whenever the lines of a journal change their meaning; an older one is computed again. */
const version = 2;

/** What a journal belongs to. */
export interface JournalKey extends ResultKey {
  readonly sha256: string;
}

type Line =
  | { readonly journal: number; readonly key: JournalKey; readonly clip: JournalClip }
  | { readonly window: WindowResult }
  | { readonly packets: readonly Packet[] }
  | { readonly end: ReadEnd };

/** First half of a line, and what it says of the second. */
const checksum = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);

/**
 * The finished windows of one clip and model, one line each: what a killed engine or a closed window leaves for the
 * next attempt. A line is written in one piece and flushed before the window counts as kept; a last line that was cut
 * off is left out. Any other damage, and a journal of another version, is moved aside.
 *
 * Failing to write is a problem, not an error: the windows are still here, in memory.
 */
export class Journal implements WindowStore {
  readonly windows: Map<number, WindowResult>;
  readonly problems: Problem[] = [];
  readonly #file: string;
  readonly #key: JournalKey;
  #clip: JournalClip | null;
  #packets: readonly Packet[] | null;
  #end: ReadEnd | null;
  #handle: FileHandle | null = null;
  /** Bytes of whole lines. */
  #size: number;
  #writable = true;

  private constructor(file: string, key: JournalKey, { clip, windows, packets, end, size }: Contents) {
    this.#file = file;
    this.#key = key;
    this.#clip = clip;
    this.windows = windows;
    this.#packets = packets;
    this.#end = end;
    this.#size = size;
  }

  /** Reads what is there; nothing is written before {@link begin}. */
  static async open(file: string, key: JournalKey): Promise<Journal> {
    const empty: Contents = { clip: null, windows: new Map(), packets: null, end: null, size: 0 };
    const data = await readFile(file).catch(() => null);
    if (!data) return new Journal(file, key, empty);
    const contents = parse(data, key);
    const journal = new Journal(file, key, contents ?? empty);
    if (!contents) {
      const aside = await moveAside(file);
      journal.problems.push({
        code: 'journal_corrupt',
        message: `The journal of an earlier attempt was damaged; it ${aside ? `was moved to ${aside}` : 'can not be moved'}, and its windows are computed again.`,
      });
      journal.#writable = aside !== null;
    }
    return journal;
  }

  get clip(): JournalClip | null {
    return this.#clip;
  }

  get packets(): readonly Packet[] | null {
    return this.#packets;
  }

  get end(): ReadEnd | null {
    return this.#end;
  }

  async begin(clip: JournalClip): Promise<void> {
    if (this.#clip) return;
    this.#clip = clip;
    await this.#append({ journal: version, key: this.#key, clip });
  }

  async add(window: WindowResult): Promise<void> {
    this.windows.set(window.index, window);
    await this.#append({ window });
  }

  async keepPackets(packets: readonly Packet[]): Promise<void> {
    this.#packets = packets;
    await this.#append({ packets });
  }

  async finish(end: ReadEnd): Promise<void> {
    this.#end = end;
    await this.#append({ end });
  }

  /** Takes over what another journal holds of the same clip; there must be nothing in this one. */
  async inherit(other: Journal): Promise<void> {
    if (!other.clip) return;
    await this.begin(other.clip);
    const { provider } = other.#key;
    for (const window of other.windows.values()) await this.add({ provider, ...window });
    if (other.packets) await this.keepPackets(other.packets);
    if (other.end) await this.finish(other.end);
  }

  /** Lets go of the file, which stays. */
  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    this.#writable = false;
    await this.#writing;
    await handle?.close().catch(() => undefined);
  }

  /** Closes and removes the file. */
  async remove(): Promise<void> {
    await this.close();
    await rm(this.#file, { force: true }).catch(() => undefined);
  }

  #writing: Promise<void> = Promise.resolve();

  /** Lines come from work that goes on side by side: one is written after the other. */
  #append(line: Line): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(line));
    return this.#writing;
  }

  async #write(line: Line): Promise<void> {
    if (!this.#writable) return;
    const text = JSON.stringify(line);
    const data = Buffer.from(`${checksum(text)} ${text}\n`);
    try {
      if (!this.#handle) {
        await mkdir(dirname(this.#file), { recursive: true });
        // Not for appending: what was cut off is written over.
        this.#handle = await open(this.#file, this.#size > 0 ? 'r+' : 'w');
        await this.#handle.truncate(this.#size);
      }
      const { bytesWritten } = await this.#handle.write(data, 0, data.length, this.#size);
      if (bytesWritten < data.length) throw Object.assign(new Error('cut off'), { code: 'ENOSPC' });
      await this.#handle.datasync();
      this.#size += data.length;
    } catch (error) {
      this.#writable = false;
      await this.#handle?.truncate(this.#size).catch(() => undefined);
      this.problems.push({
        code: 'journal_not_written',
        message: `Finished windows can not be kept in case the work is interrupted: ${unwritable(error, this.#file).message}`,
      });
    }
  }
}

interface Contents {
  readonly clip: JournalClip | null;
  readonly windows: Map<number, WindowResult>;
  readonly packets: readonly Packet[] | null;
  readonly end: ReadEnd | null;
  readonly size: number;
}

/** The whole lines of a journal; null where anything but its last line is damaged, or it is not of this key. */
function parse(data: Buffer, key: JournalKey): Contents | null {
  const size = data.lastIndexOf(0x0a) + 1;
  const windows = new Map<number, WindowResult>();
  let clip: JournalClip | null = null;
  let packets: readonly Packet[] | null = null;
  let end: ReadEnd | null = null;
  for (let at = 0; at < size; ) {
    const stop = data.indexOf(0x0a, at);
    const text = data.toString('utf8', at + 17, stop);
    if (data.toString('latin1', at, at + 17) !== `${checksum(text)} `) return null;
    // The sum says that these are the words that were written.
    const line = parseJson(text) as Line;
    if ('journal' in line) {
      if (line.journal !== version || JSON.stringify(line.key) !== JSON.stringify(key)) return null;
      clip = line.clip;
    } else if (!clip) return null;
    else if ('window' in line) windows.set(line.window.index, line.window);
    else if ('packets' in line) packets = line.packets;
    else end = line.end;
    at = stop + 1;
  }
  return { clip, windows, packets, end, size };
}
