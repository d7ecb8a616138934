#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';
import { exit, unread } from './io.ts';
import { run } from './main.ts';

// What ffmpeg sends is garbage soon, outside a heap that is small: by its size V8 would collect that seven times a window.
// The engine's process has a flag for it when it is started (client.ts); this one is not started by us. V8 reads it at
// every collection; where Electron runs Node, flags may be sealed by now.
if (!process.versions.electron) setFlagsFromString('--heap-growing-percent=300');

const controller = new AbortController();
const interrupt = () => {
  // The first one ends the work cleanly, the second ends the process.
  if (controller.signal.aborted) process.exit(exit.interrupted);
  controller.abort();
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[KStopping; once more stops at once.\n');
};
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, interrupt);

// `omnivqa … | head`: the work ends, and that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  controller.abort(unread);
});
process.stderr.on('error', () => undefined);

const status = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: controller.signal,
});
process.exitCode = controller.signal.reason === unread ? exit.done : status;
