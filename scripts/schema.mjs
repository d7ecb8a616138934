// Writes the published schemas, media/schema/*.schema.json, from the types in the source.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const published = (name) => join(root, 'media', 'schema', `${name}.schema.json`);
export const schemaPath = published('assessment');

/** Every schema there is: where it is published, the module it comes from and its name there. */
export const schemas = [
  { path: schemaPath, module: 'src/assessment/record.ts', name: 'AssessmentSchema' },
  { path: published('recipes'), module: 'src/dataset/recipes.ts', name: 'RecipeBookSchema' },
  { path: published('ladder'), module: 'src/comparison/ladder_schema.ts', name: 'LadderSchema' },
  { path: published('truth'), module: 'src/dataset/truth.ts', name: 'TruthSchema' },
];

/** A schema as it is published: draft 07, which is what VS Code's jsonValidation reads best. */
export async function schemaText({ module, name } = schemas[0]) {
  const bundle = await build({
    absWorkingDir: root,
    entryPoints: [module],
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
    logLevel: 'warning',
  });
  const source = Buffer.from(bundle.outputFiles[0].contents).toString('base64');
  const { $id, title, ...schema } = JSON.parse(
    JSON.stringify((await import(`data:text/javascript;base64,${source}`))[name]),
  );
  return `${JSON.stringify({ $schema: 'http://json-schema.org/draft-07/schema#', $id, title, ...schema }, null, 2)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const schema of schemas) {
    mkdirSync(dirname(schema.path), { recursive: true });
    writeFileSync(schema.path, await schemaText(schema));
  }
}
