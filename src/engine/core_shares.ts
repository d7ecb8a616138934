/** How many encodes run at a time: as many as keep the cores busy, none with other threads than it has alone. */
import { availableParallelism } from 'node:os';
import type { EncodeOutput } from '../comparison/settings.ts';
import { OmniError } from '../protocol/errors.ts';

/**
 * Threads that an encode keeps busy. Encoders choose their own number by the machine, and the bytes of x264 and x265
 * depend on it: so an encode is never told how many to use, alone or beside others. What is shared out is how many
 * encodes run at once.
 *
 * @param width of the encoded picture, px; null where it is not known
 */
export function threadsOf({ video }: EncodeOutput, width: number | null): number {
  const codec = video?.codec ?? '';
  // libvpx works on tile columns of at least 256 px at once (vpx_codec_enc_config: g_threads, tile-columns).
  if (/^libvpx/.test(codec)) return width === null ? 4 : Math.min(4, Math.max(1, Math.floor(width / 256)));
  if (/^(mpeg[124]\w*|h263p?|libxvid|libtheora|wmv\d|flv1?|snow)$/.test(codec)) return 1;
  return 4;
}

interface Waiting {
  readonly share: number;
  begin(): void;
}

/** Hands out the cores of a machine, in the order in which they are asked for. */
export class CoreShares {
  readonly #cores: number;
  readonly #queue: Waiting[] = [];
  #free: number;

  constructor(cores: number = availableParallelism()) {
    this.#cores = cores;
    this.#free = cores;
  }

  /**
   * Does something as soon as there are cores for it; what needs more than there are gets all of them.
   *
   * @throws OmniError `cancelled` where the signal came first; whatever `work` throws.
   */
  async use<T>(threads: number, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const share = Math.max(1, Math.min(this.#cores, threads));
    await new Promise<void>((resolve, reject) => {
      const cancel = () => {
        const at = this.#queue.indexOf(waiting);
        if (at >= 0) this.#queue.splice(at, 1);
        reject(cancelled());
        this.#pump();
      };
      const waiting: Waiting = {
        share,
        begin: () => {
          signal?.removeEventListener('abort', cancel);
          resolve();
        },
      };
      if (signal?.aborted) return reject(cancelled());
      signal?.addEventListener('abort', cancel, { once: true });
      this.#queue.push(waiting);
      this.#pump();
    });
    try {
      return await work();
    } finally {
      this.#free += share;
      this.#pump();
    }
  }

  /** In order: a large share is not passed by small ones for ever. */
  #pump(): void {
    while (this.#queue.length > 0 && this.#queue[0]!.share <= this.#free) {
      const next = this.#queue.shift()!;
      this.#free -= next.share;
      next.begin();
    }
  }
}

/** The end of a wait for an encode that nobody wants any more. */
export const cancelled = () =>
  new OmniError('cancelled', 'The encode was cancelled.', 'Start it again: finished encodes are kept.');
