/** A process that does nothing but compile a checkpoint to int4, so that its memory can be told apart. */
import { compileCheckpoint } from '../src/model/compiler/compile.ts';

const [source, target] = process.argv.slice(2) as [string, string];
await compileCheckpoint(source, target, {
  precision: { decoder: 'int4', vision: 'int8' },
  accuracyLevel: 4,
});
