/** A process that does nothing but compile a checkpoint to int4, so that its memory can be told apart. */
import { availableParallelism } from 'node:os';
import { compileCheckpoint } from '../src/model/compiler/compile.ts';

const [source, target, script] = process.argv.slice(2) as [string, string, string];
await compileCheckpoint(source, target, {
  precision: { decoder: 'int4', vision: 'int8' },
  accuracyLevel: 4,
  workers: { script, count: availableParallelism() },
});
