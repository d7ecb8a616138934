import type { OmniError } from '../protocol/errors.ts';
import type { Port } from '../protocol/rpc.ts';

/** What both ends of `child_process.fork` have: a child process, and the process that was forked. */
export interface IpcEnd {
  readonly connected: boolean;
  send?(message: unknown, then: (error: Error | null) => void): boolean;
  on(event: 'message', listener: (message: unknown) => void): unknown;
  on(event: 'disconnect', listener: () => void): unknown;
  off(event: 'message', listener: (message: unknown) => void): unknown;
  off(event: 'disconnect', listener: () => void): unknown;
}

/**
 * A process's IPC channel (serialization `advanced`: typed arrays travel as they are) as a wire for the RPC.
 *
 * @param reason Why the wire has ended, asked at that moment.
 */
export function ipcPort(end: IpcEnd, reason: () => OmniError | string): Port {
  return {
    post(message) {
      if (!end.connected || !end.send) throw new Error('The channel to the other process is closed.');
      // Errors come as the end of the wire.
      end.send(message, () => undefined);
    },
    listen(receive, ended) {
      const over = () => {
        const why = reason();
        ended(typeof why === 'string' ? why : why.message);
      };
      end.on('message', receive);
      end.on('disconnect', over);
      return () => {
        end.off('message', receive);
        end.off('disconnect', over);
      };
    },
  };
}
