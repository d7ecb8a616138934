#!/usr/bin/env node
import { run } from './main.ts';

const controller = new AbortController();
process.on('SIGINT', () => {
  // The first one ends the work cleanly, the second ends the process.
  if (controller.signal.aborted) process.exit(130);
  controller.abort();
});
// `omnivqa … | head`: nobody reads any more, which is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

process.exitCode = await run(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  signal: controller.signal,
});
