// `npm run generate`: the files that are made from others and committed. Today: ONNX's messages from onnx.proto.
import { join } from 'node:path';
import { main, root, run } from './setup.mjs';

await main(() =>
  run(process.execPath, [join(root, 'node_modules', '@bufbuild', 'buf', 'bin', 'buf'), 'generate']),
);
