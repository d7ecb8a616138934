import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OmniError } from '../../../src/protocol/errors.ts';
import { bundled, eventually, removeBundles, startEngine } from '../../support/engine_process.ts';
import { temporaryDirectory } from '../../support/media.ts';

removeBundles();

const rejection = async (promise: Promise<unknown>): Promise<OmniError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!OmniError.is(error)) throw new Error(`no typed error: ${error}`);
  return error;
};

/** A program that stands in for the engine. */
function program(text: string): string {
  const file = join(temporaryDirectory(), 'engine.mjs');
  writeFileSync(file, text);
  return file;
}

const start = (options: Parameters<typeof startEngine>[3] = {}) => {
  const folder = temporaryDirectory();
  return startEngine(join(folder, 'store'), join(folder, 'cache'), 'nano', options);
};

describe('EngineClient', () => {
  it('starts the process with the first request, and ends it when it is disposed', async () => {
    const { client, pid } = await start();
    expect(client.running).toBe(false);
    client.notify('prioritise', { path: '/a', time: 1, priority: 1 });
    expect(client.running).toBe(false);
    const [one, two] = await Promise.all([pid(), pid()]);
    expect(one).toBe(two);
    expect(client.running).toBe(true);
    await client.dispose();
    expect(client.running).toBe(false);
    expect(() => process.kill(one, 0)).toThrow();
    expect((await rejection(pid())).code).toBe('disconnected');
    await client.dispose();
  });

  it('disposed before or while it starts leaves nothing running', async () => {
    const before = await start();
    await before.client.dispose();
    const { client, pid, crashes } = await start();
    const asked = rejection(pid());
    await client.dispose();
    expect((await asked).code).toBe('disconnected');
    expect({ running: client.running, crashes }).toEqual({ running: false, crashes: [] });
  });

  it('runs on the Node of PATH, or on its own where there is none', async () => {
    for (const PATH of [process.env.PATH, '', `.:${temporaryDirectory()}`]) {
      const { client } = await start({ node: null, env: { PATH } });
      expect((await client.request('facts', {})).node).toMatch(/^v\d/);
      await client.dispose();
    }
  });

  it('cancels a request', async () => {
    const { client } = await start();
    const controller = new AbortController();
    const asked = rejection(client.request('facts', {}, { signal: controller.signal }));
    controller.abort();
    expect((await asked).code).toBe('cancelled');
  });

  it('passes on the errors of the engine', async () => {
    const { client } = await start();
    const error = await rejection(client.request('media', { path: '/nowhere.mp4' }));
    expect(error).toMatchObject({ code: 'file_not_found', detail: {} });
  });

  it('says once that the engine crashed, with its last words, and starts another', async () => {
    const { client, crashes, pid } = await start();
    const first = await pid();
    process.kill(first, 'SIGKILL');
    await eventually(() => crashes.length > 0);
    expect(client.running).toBe(false);
    expect(crashes[0]!.error).toMatchObject({ code: 'engine_crashed' });
    expect(crashes[0]!.error.message).toContain('SIGKILL');
    expect(crashes[0]!.willRestart).toBe(false);
    expect(await pid()).not.toBe(first);
    expect(crashes).toHaveLength(1);
  });

  it.each([
    ['throws', "throw new Error('no such thing');", /no such thing/],
    ['ends with a status', "console.error('last words'); process.exit(7);", /last words/],
  ])('of an engine that %s at once has the reason', async (_, text, words) => {
    const { client, crashes } = await start({ entry: program(text) });
    const error = await rejection(client.request('facts', {}));
    expect(error.code).toBe('engine_crashed');
    expect(error.detail.stderr).toMatch(words);
    expect(crashes).toHaveLength(1);
  });

  it('of a Node that is not there has the reason', async () => {
    const { client, crashes } = await start({ node: '/nowhere/node' });
    const error = await rejection(client.request('facts', {}));
    expect(error.message).toContain('ENOENT');
    expect(crashes).toHaveLength(1);
  });

  it('asks the next engine where one went to rest just then', async () => {
    const mark = join(temporaryDirectory(), 'rested');
    const entry = program(`
      import { existsSync, writeFileSync } from 'node:fs';
      if (existsSync(${JSON.stringify(mark)})) await import(${JSON.stringify(await bundled())});
      else {
        writeFileSync(${JSON.stringify(mark)}, '');
        process.on('message', () => process.exit(0));
      }`);
    const { pid, crashes } = await start({ entry });
    expect(await pid()).toBeGreaterThan(0);
    expect({ rested: existsSync(mark), crashes }).toEqual({ rested: true, crashes: [] });
  });

  it('is not an engine without a client', async () => {
    const { start: run } = await import('../../support/cli.ts');
    const { status, stderr } = await run(process.execPath, [await bundled(), temporaryDirectory()]).finished;
    expect(status).toBe(2);
    expect(stderr).toContain('started by the extension');
  });
});
