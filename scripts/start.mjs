// `npm start`: from a fresh checkout to the assessment of a real clip.
import { join } from 'node:path';
import { build, main, root, run, setUp } from './setup.mjs';

await main(() => {
  setUp();
  build();
  run(process.execPath, [join(root, 'dist', 'cli.mjs'), 'assess', join('media', 'sample.mp4')]);
});
