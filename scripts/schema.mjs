// Writes media/schema/assessment.schema.json from the record's type in src/assessment/record.ts.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
export const schemaPath = join(root, 'media', 'schema', 'assessment.schema.json');

/** The schema as it is published: draft 07, which is what VS Code's jsonValidation reads best. */
export async function schemaText() {
  const bundle = await build({
    absWorkingDir: root,
    entryPoints: ['src/assessment/record.ts'],
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
    logLevel: 'warning',
  });
  const source = Buffer.from(bundle.outputFiles[0].contents).toString('base64');
  const { AssessmentSchema } = await import(`data:text/javascript;base64,${source}`);
  const { $id, title, ...schema } = JSON.parse(JSON.stringify(AssessmentSchema));
  return `${JSON.stringify({ $schema: 'http://json-schema.org/draft-07/schema#', $id, title, ...schema }, null, 2)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(dirname(schemaPath), { recursive: true });
  writeFileSync(schemaPath, await schemaText());
}
