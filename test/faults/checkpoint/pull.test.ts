import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { describeModel, type HubModel, pullModel } from '../../../src/model/checkpoint/hub.ts';
import { fixtures } from '../../support/checkpoints.ts';
import { type HubServer, hubId, hubServer, listen, sendFile } from '../../support/hub_server.ts';
import { temporaryDirectory } from '../../support/media.ts';

const shard = 'model-00002-of-00003.safetensors';

async function prepared(): Promise<{ hub: HubServer; model: HubModel; directory: string }> {
  const hub = await hubServer(join(fixtures, 'joined-patch'));
  const model = await describeModel(hubId, { endpoint: hub.endpoint });
  return { hub, model, directory: join(temporaryDirectory(), 'model') };
}

/** Collects garbage: a wait that nothing holds would end there, and never return. */
function collect(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** Sends the first bytes of what is left of a shard and hangs up. */
function cut(hub: HubServer, times: number, bytes: number) {
  let left = times;
  hub.misbehave = (request, response, path) => {
    if (!path.endsWith(shard) || left === 0) return false;
    left -= 1;
    const content = hub.files.get(shard)!;
    const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': content.length - from,
      ...(from > 0 ? { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` } : {}),
    });
    response.write(content.subarray(from, from + bytes), () => request.socket.destroy());
    return true;
  };
}

const same = (hub: HubServer, directory: string) => {
  for (const [name, content] of hub.files) {
    expect(readFileSync(join(directory, name)).equals(content), name).toBe(true);
  }
  expect(readdirSync(directory).sort()).toEqual([...hub.files.keys()].sort());
};

describe('a model is pulled', () => {
  it('whole, and not again', async () => {
    const { hub, model, directory } = await prepared();
    expect(model).toMatchObject({
      id: hubId,
      commit: hub.commit,
      licence: 'apache-2.0',
      gated: false,
      family: 'assistant-enhanced',
    });
    const { endpoint } = hub;
    let last = { done: 0, total: 0 };
    const onProgress = (progress: typeof last) => {
      last = progress;
    };
    expect(await pullModel(model, directory, { endpoint, onProgress })).toBe(directory);
    same(hub, directory);
    expect(last).toMatchObject({ done: model.bytes, total: model.bytes });
    const asked = hub.asked.length;
    await pullModel(model, directory, { endpoint });
    expect(hub.asked).toHaveLength(asked);
    // One file is damaged later: it alone comes again.
    writeFileSync(join(directory, 'config.json'), '{}');
    await pullModel(model, directory, { endpoint });
    expect(hub.asked.slice(asked).map(({ path }) => path.split('/').at(-1))).toEqual(['config.json']);
    same(hub, directory);
  });

  it('over a connection that is cut mid-file: each goes on where the last one ended', async () => {
    const { hub, model, directory } = await prepared();
    cut(hub, 2, 20_000);
    await pullModel(model, directory, { endpoint: hub.endpoint });
    same(hub, directory);
    expect(hub.asked.filter(({ path }) => path.endsWith(shard)).map(({ range }) => range)).toEqual([
      undefined,
      'bytes=20000-',
      'bytes=40000-',
    ]);
  });

  it('not over one that brings nothing: it is given up, and what there is stays', async () => {
    const { hub, model, directory } = await prepared();
    cut(hub, 100, 0);
    const pull = pullModel(model, directory, { endpoint: hub.endpoint, parallel: 1 });
    await expect(pull).rejects.toMatchObject({
      code: 'hub_unreachable',
      next: expect.stringContaining('kept'),
    });
    expect(hub.asked.filter(({ path }) => path.endsWith(shard))).toHaveLength(1);
    expect(existsSync(directory)).toBe(false);
    hub.misbehave = undefined;
    await pullModel(model, directory, { endpoint: hub.endpoint });
    same(hub, directory);
  });

  it('from where a pull was stopped', async () => {
    const { hub, model, directory } = await prepared();
    const stop = new AbortController();
    const { endpoint } = hub;
    hub.misbehave = (_request, response, path) => {
      if (!path.endsWith(shard)) return false;
      response.writeHead(200, { 'content-length': hub.files.get(shard)!.length });
      response.write(hub.files.get(shard)!.subarray(0, 30_000));
      return true;
    };
    const pull = pullModel(model, directory, {
      endpoint,
      parallel: 1,
      signal: stop.signal,
      onProgress: ({ done }) => {
        if (done < 30_000) return;
        setImmediate(() => {
          collect();
          stop.abort();
        });
      },
    });
    await expect(pull).rejects.toMatchObject({ code: 'cancelled' });
    expect(existsSync(directory)).toBe(false);
    hub.misbehave = undefined;
    const before = hub.asked.length;
    await pullModel(model, directory, { endpoint });
    const again = hub.asked.slice(before).find(({ path }) => path.endsWith(shard));
    expect(again?.range).toBe('bytes=30000-');
    same(hub, directory);
  });

  it('not when a web page comes with 200', async () => {
    const { hub, model, directory } = await prepared();
    hub.misbehave = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Sign in</html>');
      return true;
    };
    const refused = { code: 'hub_answer_refused', message: expect.stringContaining('web page') };
    await expect(pullModel(model, directory, { endpoint: hub.endpoint })).rejects.toMatchObject(refused);
    await expect(describeModel(hubId, { endpoint: hub.endpoint })).rejects.toMatchObject(refused);
  });

  it.each([shard, 'tokenizer.json'])('not when the sum of %s is wrong', async (name) => {
    const { hub, model, directory } = await prepared();
    const right = hub.files.get(name)!;
    const wrong = Buffer.from(right);
    wrong[wrong.length - 1]! ^= 1;
    hub.files.set(name, wrong);
    const pull = () => pullModel(model, directory, { endpoint: hub.endpoint });
    await expect(pull()).rejects.toMatchObject({ code: 'download_checksum' });
    expect(existsSync(directory)).toBe(false);
    hub.files.set(name, right);
    await pull();
    same(hub, directory);
  });

  it.each([
    [404, 'hub_not_found'],
    [401, 'hub_access_denied'],
    [403, 'hub_access_denied'],
    [416, 'hub_answer_refused'],
    [503, 'hub_unreachable'],
    [429, 'hub_unreachable'],
  ])('not when the hub answers %i', async (status, code) => {
    const { hub, model, directory } = await prepared();
    hub.misbehave = (_request, response) => {
      response.writeHead(status).end();
      return true;
    };
    await expect(pullModel(model, directory, { endpoint: hub.endpoint })).rejects.toMatchObject({ code });
    await expect(describeModel(hubId, { endpoint: hub.endpoint })).rejects.toMatchObject({ code });
  });

  it('from a server that knows no ranges', async () => {
    const { hub, model, directory } = await prepared();
    mkdirSync(`${directory}.partial`);
    writeFileSync(join(`${directory}.partial`, `${shard}.partial`), hub.files.get(shard)!.subarray(0, 9));
    hub.misbehave = (request) => {
      delete request.headers.range;
      return false;
    };
    await pullModel(model, directory, { endpoint: hub.endpoint });
    same(hub, directory);
  });

  it('not from one that falls silent', async () => {
    const { hub, model, directory } = await prepared();
    hub.misbehave = () => true;
    const connection = { endpoint: hub.endpoint, stall: 50 };
    const silent = { code: 'hub_unreachable', message: expect.stringContaining('nothing came for 0.05 s') };
    await expect(pullModel(model, directory, connection)).rejects.toMatchObject(silent);
    await expect(describeModel(hubId, connection)).rejects.toMatchObject(silent);
  });

  it('over a connection that falls silent mid-file: another one goes on', async () => {
    const { hub, model, directory } = await prepared();
    let silent = false;
    hub.misbehave = (_request, response, path) => {
      if (silent || !path.endsWith(shard)) return false;
      silent = true;
      response.writeHead(200, { 'content-length': hub.files.get(shard)!.length });
      response.write(hub.files.get(shard)!.subarray(0, 30_000));
      return true;
    };
    const { endpoint } = hub;
    const onProgress = () => setImmediate(collect);
    await pullModel(model, directory, { endpoint, parallel: 1, stall: 2000, onProgress });
    same(hub, directory);
    expect(hub.asked.filter(({ path }) => path.endsWith(shard)).map(({ range }) => range)).toEqual([
      undefined,
      'bytes=30000-',
    ]);
  });

  it('not from where nobody listens', async () => {
    const nobody = { endpoint: 'http://127.0.0.1:9' };
    await expect(describeModel(hubId, nobody)).rejects.toMatchObject({ code: 'hub_unreachable' });
  });

  it('through redirects, and the token stays with the hub', async () => {
    const { hub, model, directory } = await prepared();
    const leaked: (string | undefined)[] = [];
    const store = await listen((request, response) => {
      leaked.push(request.headers.authorization);
      sendFile(request, response, hub.files.get(request.url!.slice(1))!);
    });
    hub.misbehave = (_request, response, path) => {
      response.writeHead(302, { location: `${store}/${path.split('/').at(-1)}` }).end();
      return true;
    };
    const before = hub.asked.length;
    await pullModel(model, directory, { endpoint: hub.endpoint, token: 'hf_secret' });
    same(hub, directory);
    expect(new Set(hub.asked.slice(before).map(({ authorization }) => authorization))).toEqual(
      new Set(['Bearer hf_secret']),
    );
    expect(leaked).toEqual(Array.from({ length: hub.files.size }, () => undefined));
  });

  it.each(['/again', 'file:///etc/passwd'])(
    'not through a redirect to %s without an end',
    async (location) => {
      const { hub, model, directory } = await prepared();
      hub.misbehave = (_request, response) => {
        response.writeHead(302, { location }).end();
        return true;
      };
      const pull = pullModel(model, directory, { endpoint: hub.endpoint });
      await expect(pull).rejects.toMatchObject({ code: 'hub_answer_refused' });
    },
  );

  it('of the commit that was described, wherever the revision moves', async () => {
    const { hub, model, directory } = await prepared();
    hub.commit = 'f'.repeat(40);
    await pullModel(model, directory, { endpoint: hub.endpoint });
    const fetched = hub.asked.filter(({ path }) => path.includes('/resolve/'));
    expect(fetched.every(({ path }) => path.includes(`/resolve/${model.commit}/`))).toBe(true);
  });

  it.each(['../config.json', '/etc/config.json', 'a/../../b', '..\\config.json'])(
    'not when the listing names %s',
    async (path) => {
      const { hub } = await prepared();
      hub.extra = [{ type: 'file', path, size: 1, oid: '0'.repeat(40) }];
      await expect(describeModel(hubId, { endpoint: hub.endpoint })).rejects.toMatchObject({
        code: 'hub_answer_refused',
        message: expect.stringContaining('outside of its folder'),
      });
    },
  );

  it('not from a listing without an end', async () => {
    const { hub } = await prepared();
    const { endpoint } = hub;
    const wrong = { code: 'hub_answer_refused', message: expect.stringContaining('more than') };
    hub.extra = Array.from({ length: 10_001 }, (_, i) => ({ type: 'file', path: `${i}.txt`, size: 1 }));
    await expect(describeModel(hubId, { endpoint })).rejects.toMatchObject(wrong);
    hub.misbehave = (request, response, path) => {
      if (!path.includes('/tree/')) return false;
      const next = `<${endpoint}${request.url}>; rel="next"`;
      response.writeHead(200, { 'content-type': 'application/json', link: next }).end('[]');
      return true;
    };
    await expect(describeModel(hubId, { endpoint })).rejects.toMatchObject(wrong);
  });

  it('only what a checkpoint needs of all that is published', async () => {
    const { hub } = await prepared();
    const sum = { size: 1, oid: '0'.repeat(40) };
    hub.extra = ['train.py', 'pytorch_model.bin', 'old/model.safetensors'].map((path) => ({
      type: 'file',
      path,
      ...sum,
    }));
    const { files } = await describeModel(hubId, { endpoint: hub.endpoint });
    expect(files.map(({ path }) => path).sort()).toEqual([...hub.files.keys()].sort());
    hub.files.delete('config.json');
    await expect(describeModel(hubId, { endpoint: hub.endpoint })).rejects.toMatchObject({
      code: 'model_not_found',
    });
  });

  it('not where the disk has no room for it: before, and when it fills up on the way', async () => {
    const { hub, model, directory } = await prepared();
    const { endpoint } = hub;
    const full = { code: 'disk_full', next: expect.stringContaining('kept') };
    const before = hub.asked.length;
    await expect(pullModel({ ...model, bytes: 2 ** 60 }, directory, { endpoint })).rejects.toMatchObject(
      full,
    );
    expect(hub.asked).toHaveLength(before);
    symlinkSync('/dev/full', join(`${directory}.partial`, `${shard}.partial`));
    await expect(pullModel(model, directory, { endpoint })).rejects.toMatchObject(full);
    expect(readdirSync(`${directory}.partial`)).toContain(`${shard}.partial`);
  });
});
