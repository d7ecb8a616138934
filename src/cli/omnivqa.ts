#!/usr/bin/env node
import { run } from './main.ts';

const controller = new AbortController();
const interrupt = () => {
  // The first one ends the work cleanly, the second ends the process.
  if (controller.signal.aborted) process.exit(130);
  controller.abort();
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[KStopping; once more stops at once.\n');
};
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, interrupt);

// `omnivqa … | head`: nobody reads any more. The work ends, and that is no failure.
let unread = false;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  unread = true;
  controller.abort();
});
process.stderr.on('error', () => undefined);

const status = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: controller.signal,
});
process.exitCode = unread ? 0 : status;
