/**
 * Real Chromium on the development harness of webview-ui. One server and one browser per test file; a page of
 * its own per test. The browser has no way to the network.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type FrameLocator, type Page } from 'playwright-core';
import type { Harness, OpenOptions } from '../../webview-ui/dev/control.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The browser to use: `OMNIVQA_CHROMIUM` or where systems put it. */
function chromiumPath(): string {
  const places = [
    process.env.OMNIVQA_CHROMIUM,
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  ];
  const found = places.find((place) => place && existsSync(place));
  if (!found) throw new Error('Chromium was not found: install it or set OMNIVQA_CHROMIUM to its path.');
  return found;
}

export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath(),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
    ],
  });
}

/** One page with a timeline in it and what went wrong there. */
export interface Stage {
  readonly page: Page;
  /** The inside of the timeline's iframe. */
  readonly view: FrameLocator;
  /** Errors of the console and of scripts, and every violation of the content security policy. */
  readonly complaints: string[];
  /** Opens a fresh timeline in the page. */
  open(options?: OpenOptions): Promise<void>;
  /** Calls a method of the harness or reads a property of it. */
  call<K extends keyof Harness>(
    name: K,
    ...args: Harness[K] extends (...args: infer A) => unknown ? A : []
  ): Promise<Harness[K] extends (...args: never[]) => infer R ? Awaited<R> : Harness[K]>;
  set<K extends 'hold' | 'failNext'>(name: K, value: Harness[K]): Promise<void>;
  close(): Promise<void>;
}

export interface Studio {
  readonly browser: Browser;
  readonly address: string;
  stage(options?: {
    readonly width?: number;
    readonly height?: number;
    readonly context?: Parameters<Browser['newContext']>[0];
  }): Promise<Stage>;
  close(): Promise<void>;
}

/** `files`: a directory that is served under /files/. */
export async function openStudio(files?: string): Promise<Studio> {
  const server: ChildProcess = spawn(
    process.execPath,
    ['scripts/webview.mjs', '--serve', '0', ...(files ? ['--files', files] : [])],
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [[line], browser] = await Promise.all([
    Promise.race([
      once(server.stdout!.setEncoding('utf8'), 'data') as Promise<[string]>,
      once(server, 'exit').then(([code]) => {
        throw new Error(`scripts/webview.mjs ended with status ${code}.`);
      }),
    ]),
    launchChromium(),
  ]);
  const address = line.trim();

  return {
    browser,
    address,
    async stage({ width = 1200, height = 1000, context: options = {} } = {}) {
      const context = await browser.newContext({ viewport: { width, height }, ...options });
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on('pageerror', (error) => complaints.push(`${error}`));
      page.on('console', (message) => {
        if (message.type() === 'error') complaints.push(message.text());
      });
      await page.exposeFunction('reportViolation', (text: string) => complaints.push(text));
      await page.addInitScript(
        `addEventListener('securitypolicyviolation', (event) =>
          top.reportViolation('CSP: ' + event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample));`,
      );
      await page.goto(`${address}?bare`);
      const view = page.frameLocator('iframe');
      return {
        page,
        view,
        complaints,
        async open(settings = {}) {
          await page.evaluate((one) => globalThis.harness.open(one), settings);
        },
        call: (name, ...args) =>
          page.evaluate(
            ([method, parameters]) => {
              const value: unknown = globalThis.harness[method as keyof Harness];
              return typeof value === 'function' ? value.apply(globalThis.harness, parameters) : value;
            },
            [name, args] as const,
          ),
        set: (name, value) =>
          page.evaluate(
            ([key, to]) => {
              Object.assign(globalThis.harness, { [key as string]: to });
            },
            [name, value] as const,
          ),
        close: () => context.close(),
      };
    },
    async close() {
      await browser.close();
      server.kill();
    },
  };
}
