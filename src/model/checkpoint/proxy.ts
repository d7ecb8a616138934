import { OmniError } from '../../protocol/errors.ts';

/** The proxies of a network. Addresses may hold a user and a password: they are not to be shown. */
export interface Proxies {
  /** For addresses that begin with `http:`, and for the others where there is none for them. */
  readonly http: string | undefined;
  readonly https: string | undefined;
  /** Hosts that are asked directly, as in NO_PROXY: names, domains, `*`. This machine always is. */
  readonly none: string | undefined;
}

/** This machine, which a proxy would look for on its own. */
const loopback = ['localhost', '127.0.0.1', '[::1]'];

/** The proxies that the environment names, in the lower-case form first, as curl(1) takes them; null for none. */
export function proxiesOf(env: NodeJS.ProcessEnv): Proxies | null {
  const value = (name: string) => env[name.toLowerCase()] || env[name] || undefined;
  const all = value('ALL_PROXY');
  const [http, https] = [value('HTTP_PROXY') ?? all, value('HTTPS_PROXY') ?? all];
  return http || https ? { http, https, none: value('NO_PROXY') } : null;
}

/**
 * A fetch through proxies. Node's own knows none before version 22.21.
 *
 * @throws OmniError `bad_usage` for an address that is not one of an HTTP proxy.
 */
export async function fetchThrough({ http, https, none }: Proxies): Promise<typeof fetch> {
  for (const address of [http, https]) if (address !== undefined) check(address);
  if (none?.split(/[,\s]+/).includes('*')) return fetch;
  const { EnvHttpProxyAgent, fetch: proxied } = await import('undici');
  // An empty text keeps the package from reading the environment itself.
  const dispatcher = new EnvHttpProxyAgent({
    httpProxy: http ?? '',
    httpsProxy: https ?? '',
    noProxy: [...loopback, ...(none === undefined ? [] : [none])].join(','),
  });
  // The package's types are those of Node's fetch, declared a second time.
  return ((input: string | URL, init?: RequestInit) =>
    proxied(input, { ...(init as object), dispatcher })) as typeof fetch;
}

function check(address: string): void {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url && ['http:', 'https:'].includes(url.protocol)) return;
  throw new OmniError(
    'bad_usage',
    url
      ? `The proxy is of the kind ${url.protocol.slice(0, -1)}, which is not spoken here.`
      : 'The address of the proxy is none.',
    'Name an HTTP proxy, such as http://proxy.example.org:3128, in HTTPS_PROXY, or in http.proxy in the editor.',
  );
}
