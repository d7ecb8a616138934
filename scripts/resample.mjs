// Assembles src/video/resample.wat into src/video/resample_wasm.ts.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import wabt from 'wabt';

const folder = join(fileURLToPath(new URL('..', import.meta.url)), 'src', 'video');
export const resamplePath = join(folder, 'resample_wasm.ts');

/** The text of the module that holds the assembled loops. */
export async function resampleText() {
  const { parseWat } = await wabt();
  const source = parseWat('resample.wat', readFileSync(join(folder, 'resample.wat'), 'utf8'), { simd: true });
  const bytes = Buffer.from(source.toBinary({}).buffer).toString('base64');
  source.destroy();
  const lines = bytes.match(/.{1,100}/g).map((line) => `  '${line}'`);
  return `// Made from resample.wat by \`node scripts/generate.mjs\`.\n\n/** WebAssembly, base64. */\nexport const resampleModule =\n${lines.join(' +\n')};\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(resamplePath, await resampleText());
