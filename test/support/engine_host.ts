/** Stands in for an editor's window that is killed: starts an engine, asks for a clip, and says which process it is. */
import { EngineClient } from '../../src/engine/client.ts';

const [entry, store, path, model] = process.argv.slice(2) as [string, string, string, string];
const client = new EngineClient<unknown>({
  entry,
  store,
  node: process.execPath,
  onJob: () => undefined,
  onLog: (_, text) => process.stderr.write(`${text}\n`),
  onCrash: (error) => process.stderr.write(`${error.message}\n`),
});
const { pid } = await client.request('facts', {});
process.stdout.write(`engine ${pid}\n`);
await client.request('assess', {
  ...{ path, model, provider: 'cpu', priority: 0, fresh: false, teamFolder: null },
});
