// `npm run generate`: the files that are made from others and committed: ONNX's messages from onnx.proto, the
// record's JSON Schema from its type, and the loops of resampling from resample.wat.
import { join } from 'node:path';
import { main, root, run } from './setup.mjs';

await main(() => {
  run(process.execPath, [join(root, 'node_modules', '@bufbuild', 'buf', 'bin', 'buf'), 'generate']);
  run(process.execPath, [join(root, 'scripts', 'schema.mjs')]);
  run(process.execPath, [join(root, 'scripts', 'resample.mjs')]);
});
