/** A thread that packs rows of weights: see {@link PackWorkers}. */
import { parentPort } from 'node:worker_threads';
import { OmniError } from '../../protocol/errors.ts';
import { TensorReader } from '../checkpoint/safetensors.ts';
import { type PackAnswer, type PackOrder, packRows } from './packing.ts';

const port = parentPort;
if (!port) throw new Error('This runs as a thread of the compiler only.');
const reader = new TensorReader();
port.on('message', (order: PackOrder) => {
  try {
    const done = packRows(reader, order);
    port.postMessage({ done } satisfies PackAnswer, [done.packed.buffer, done.scales.buffer]);
  } catch (error) {
    // Anything else is a bug: it ends the thread, which the compiler is told.
    if (!OmniError.is(error)) throw error;
    port.postMessage({ failed: error.serialize() } satisfies PackAnswer);
  }
});
