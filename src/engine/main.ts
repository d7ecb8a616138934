/**
 * The engine's process: started by its client with an IPC channel, it ends when the client is gone, when it was idle for
 * long, or when it is told to. Its only argument, or OMNIVQA_STORE, names the directory for all that it keeps;
 * OMNIVQA_MEMORY the gigabytes that a model may take.
 */
import { constants, setPriority } from 'node:os';
import { resolve } from 'node:path';
import { OmniError } from '../protocol/errors.ts';
import { ipcPort } from './ipc.ts';
import { serveEngine } from './server.ts';

const store = process.argv[2] ?? process.env.OMNIVQA_STORE;
if (!store || !process.send) {
  process.stderr.write('This is the engine of OmniVQA: it is started by the extension, not by hand.\n');
  process.exit(2);
}
// Compiled models lie with the rest, and nothing lies anywhere else.
process.env.OMNIVQA_CACHE ??= resolve(store);

// All cores are used for minutes: the editor, and whatever else its user does, come first. ffmpeg inherits this.
try {
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
} catch {
  // A system that refuses it runs the engine as it was started.
}

const memory = Number(process.env.OMNIVQA_MEMORY) * 1e9;

let ending = false;
const end = () => {
  if (!ending) void close().finally(() => process.exit());
  ending = true;
};
const close = serveEngine(
  ipcPort(
    process,
    () => new OmniError('disconnected', 'The client is gone.', 'Nothing: the engine ends with it.'),
  ),
  // What a lost device still holds is not freed: that may hang, or take as long as the driver likes.
  {
    store: resolve(store),
    ...(memory > 0 ? { memory } : {}),
    onIdle: end,
    onDeviceFailed: () => process.exit(),
  },
);
process.on('disconnect', end);
process.on('SIGTERM', end);
// Ctrl+C in the terminal that the editor was started from is meant for the editor, which ends the engine itself.
process.on('SIGINT', () => undefined);
