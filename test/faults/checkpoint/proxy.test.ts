import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeModel, pullModel } from '../../../src/model/checkpoint/hub.ts';
import { proxiesOf } from '../../../src/model/checkpoint/proxy.ts';
import { fixtures } from '../../support/checkpoints.ts';
import { hubId, hubServer } from '../../support/hub_server.ts';
import { temporaryDirectory } from '../../support/media.ts';
import { proxyServer } from '../../support/proxy_server.ts';

/** Resolved by nobody but the proxy (RFC 6761, section 6.4). */
const endpoint = 'http://hub.invalid';

async function network() {
  const hub = await hubServer(join(fixtures, 'joined-patch'));
  const proxy = await proxyServer(hub.endpoint);
  return { hub, proxy, directory: join(temporaryDirectory(), 'model') };
}

describe('behind a proxy', () => {
  it('a model is pulled through it, with its user and password, and the token goes to the hub alone', async () => {
    const { hub, proxy, directory } = await network();
    const address = proxy.address.replace('//', '//user:p%40ss@');
    const connection = { endpoint, token: 'hf_secret', proxies: proxiesOf({ HTTP_PROXY: address }) };
    const model = await describeModel(hubId, connection);
    await pullModel(model, directory, connection);
    expect(readdirSync(directory).sort()).toEqual([...hub.files.keys()].sort());
    for (const [name, content] of hub.files) {
      expect(readFileSync(join(directory, name)).equals(content), name).toBe(true);
    }
    expect(new Set(proxy.asked.map(({ host }) => host.replace(/:80$/, '')))).toEqual(
      new Set(['hub.invalid']),
    );
    const credentials = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
    expect(proxy.asked.every((one) => one.credentials === credentials)).toBe(true);
    expect(new Set(hub.asked.map(({ authorization }) => authorization))).toEqual(
      new Set(['Bearer hf_secret']),
    );
  });

  it('what lies on this machine, and what NO_PROXY names, is asked directly', async () => {
    const { hub, proxy } = await network();
    const proxies = proxiesOf({ http_proxy: proxy.address });
    expect((await describeModel(hubId, { endpoint: hub.endpoint, proxies })).id).toBe(hubId);
    for (const NO_PROXY of ['*', 'hub.invalid', 'other.invalid, .invalid']) {
      const direct = proxiesOf({ HTTP_PROXY: proxy.address, NO_PROXY });
      const asked = describeModel(hubId, { endpoint, proxies: direct });
      await expect(asked, NO_PROXY).rejects.toMatchObject({ code: 'hub_unreachable' });
    }
    expect(proxy.asked).toEqual([]);
  });

  it('one that asks for a password, or is not there, is said', async () => {
    const { hub, proxy } = await network();
    proxy.denies = true;
    const proxies = proxiesOf({ ALL_PROXY: proxy.address });
    await expect(describeModel(hubId, { endpoint, proxies })).rejects.toMatchObject({
      code: 'hub_unreachable',
      message: expect.stringContaining('407'),
    });
    expect(hub.asked).toEqual([]);
    const nobody = proxiesOf({ HTTP_PROXY: 'http://127.0.0.1:1' });
    await expect(describeModel(hubId, { endpoint, proxies: nobody })).rejects.toMatchObject({
      code: 'hub_unreachable',
      next: expect.stringContaining('HTTPS_PROXY'),
    });
  });

  it.each(['socks5://127.0.0.1:1080', 'proxy.example.org', 'user:secret@'])(
    '%s is refused in words, without its password',
    async (address) => {
      const asked = describeModel(hubId, { endpoint, proxies: proxiesOf({ HTTPS_PROXY: address }) });
      const error = await asked.then(
        () => undefined,
        (reason: Error) => reason,
      );
      expect(error).toMatchObject({ code: 'bad_usage', next: expect.stringContaining('http.proxy') });
      expect(error?.message).not.toContain('secret');
    },
  );

  it('an environment without one means none', () => {
    expect(proxiesOf({ HTTP_PROXY: '', NO_PROXY: 'x' })).toBeNull();
  });
});
