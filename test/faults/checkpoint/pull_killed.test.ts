/** A pull in a process of its own: another one leaves it alone, and what it fetched outlives it. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fixtures } from '../../support/checkpoints.ts';
import { omnivqa, removeBundle, startOmnivqa } from '../../support/cli.ts';
import { temporaryCache } from '../../support/engine.ts';
import { hubId, hubServer } from '../../support/hub_server.ts';

removeBundle();

it('a killed pull goes on where it ended, and two do not write the same files', async () => {
  const cache = temporaryCache();
  const hub = await hubServer(join(fixtures, 'joined-patch'));
  const home = join(cache, 'hub', hubId.replace('/', '--'));
  const directory = join(home, hub.commit);
  const pull = ['model', 'pull', hubId, '--endpoint', hub.endpoint, '--yes', '--no-compile'];
  const shard = 'model-00002-of-00003.safetensors';
  const content = hub.files.get(shard)!;
  const sent = 30_000;
  hub.misbehave = (_request, response, path) => {
    if (!path.endsWith(shard)) return false;
    response.writeHead(200, { 'content-length': content.length });
    response.write(content.subarray(0, sent));
    return true;
  };
  const run = await startOmnivqa(pull, { env: { OMNIVQA_CACHE: cache } });
  const begun = join(`${directory}.partial`, `${shard}.partial`);
  const size = () => statSync(begun, { throwIfNoEntry: false })?.size;
  await expect.poll(size, { timeout: 60_000 }).toBe(sent);
  expect(await omnivqa(pull)).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('Another process is fetching'),
  });
  run.child.kill('SIGKILL');
  await run.finished;
  expect(existsSync(directory)).toBe(false);

  hub.misbehave = undefined;
  const before = hub.asked.length;
  const again = await omnivqa(pull);
  expect(again.status, again.stderr).toBe(0);
  const ranges = hub.asked.slice(before).filter(({ path }) => path.endsWith(shard));
  expect(ranges.map(({ range }) => range)).toEqual([`bytes=${sent}-`]);
  expect(readdirSync(directory).sort()).toEqual([...hub.files.keys()].sort());
  expect(readdirSync(home).sort()).toEqual([hub.commit, 'refs'].sort());
});
