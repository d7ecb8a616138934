import type { Packet } from '../video/signals.ts';
import type { WindowStore } from './assess.ts';
import type { ReadEnd, WindowResult } from './windows.ts';

/** Finished windows of one clip in memory: what a second attempt within the same command goes on from. */
export class HeldWindows implements WindowStore {
  readonly windows = new Map<number, WindowResult>();
  packets: readonly Packet[] | null = null;
  end: ReadEnd | null = null;

  async begin(): Promise<void> {}

  async add(window: WindowResult): Promise<void> {
    this.windows.set(window.index, window);
  }

  async keepPackets(packets: readonly Packet[]): Promise<void> {
    this.packets = packets;
  }

  async finish(end: ReadEnd): Promise<void> {
    this.end = end;
  }

  /** Says of the windows so far what they were computed on. */
  computedOn(provider: string): void {
    for (const window of this.windows.values()) this.windows.set(window.index, { provider, ...window });
  }
}
