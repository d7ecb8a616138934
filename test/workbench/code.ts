#!/usr/bin/env node
/**
 * Stands where @vscode/test-electron expects the executable of desktop VS Code: takes its arguments, but runs the tests
 * in the extension host of a workbench in Chromium. The exit status is that of the tests; what they print is printed.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, parseArgs } from 'node:util';
import { launchChromium } from '../support/browser.ts';
import { expectedError, openPage } from './window.ts';
import { startWorkbench } from './workbench.ts';

/** After this long there is no answer to wait for: the host has crashed, or a test holds it up. */
const limit = 15 * 60_000;

/** What the workbench says of itself where its tests log. */
const chatter =
  /^(\[(reconnection|Service Worker|AgentHost|AccountPolicyGate)|(Resolv|Creat)\w+ .*(connection token|socket)|.*additional builtin extensions)/;

const { values, positionals } = parseArgs({
  options: {
    extensionDevelopmentPath: { type: 'string', multiple: true },
    extensionTestsPath: { type: 'string' },
  },
  // The rest is about Electron and about folders that this workbench chooses itself.
  strict: false,
  allowPositionals: true,
});
const extensions = (values.extensionDevelopmentPath ?? []).map(String);
const workspace = positionals.at(-1);
const workbench = await startWorkbench({
  ...(workspace ? { workspace } : {}),
  args: ['--vscode-option', 'enable-smoke-test-driver'],
});
const browser = await launchChromium();
let status = 1;
try {
  const remote = (path: string | boolean | undefined) =>
    `vscode-remote://${workbench.authority}${resolve(String(path))}`;
  let end: (code?: number) => void = () => undefined;
  const ended = new Promise<number | undefined>((resolve) => {
    end = resolve;
  });
  const patience = setTimeout(() => end(), limit);
  const { page } = await openPage(browser, workbench, {
    payload: [
      ...extensions.map((one) => ['extensionDevelopmentPath', remote(one)] as const),
      ['extensionTestsPath', remote(values.extensionTestsPath)],
      ['skipWelcome', 'true'],
    ],
    prepare: async (page) => {
      await page.exposeFunction('codeAutomationExit', end);
      await page.exposeFunction('codeAutomationLog', (type: string, args: unknown[]) => {
        const text = format(...args);
        if (type === 'info' && !chatter.test(text)) console.log(text);
        else if (type === 'error' && !expectedError(text)) console.error(text);
      });
    },
  });
  const answer = await ended;
  clearTimeout(patience);
  if (answer === undefined) {
    const results = fileURLToPath(new URL('../../test-results', import.meta.url));
    mkdirSync(results, { recursive: true });
    await page.screenshot({ path: join(results, 'extension-host.png') });
    console.error(`The extension host did not end within ${limit / 60_000} minutes.\n${workbench.log()}`);
  }
  status = answer ?? 124;
} finally {
  await browser.close();
  await workbench.stop();
}
process.exit(status);
