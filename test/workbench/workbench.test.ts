/** The workbench of the tests itself, with an extension that does one of each thing. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium } from '../support/browser.ts';
import {
  chooseTheme,
  contextMenuLabels,
  dialog,
  explorerMenu,
  explorerRow,
  notification,
  openPage,
  openViews,
  quickPick,
  quickType,
  runCommand,
  statusBar,
  viewRows,
  type Window,
  wearsTheme,
  webviewFrame,
} from './window.ts';
import { startWorkbench, themes, type Workbench } from './workbench.ts';

const command = (id: string, title: string) => ({ command: `specimen.${id}`, title, category: 'Specimen' });
const manifest = {
  name: 'specimen',
  publisher: 'omnivqa-test',
  version: '0.0.1',
  engines: { vscode: '^1.105.0' },
  main: './main.cjs',
  activationEvents: ['onStartupFinished'],
  contributes: {
    commands: [
      command('show', 'Show'),
      command('ask', 'Ask'),
      command('modal', 'Modal'),
      command('page', 'Page'),
    ],
    menus: { 'explorer/context': [{ command: 'specimen.show', group: 'navigation@1' }] },
    viewsContainers: { activitybar: [{ id: 'specimen', title: 'Specimen', icon: '$(beaker)' }] },
    views: { specimen: [{ id: 'specimen.rows', name: 'Rows' }] },
  },
};
const main = `
const vscode = require('vscode');
exports.activate = ({ subscriptions }) => {
  const on = (id, run) => subscriptions.push(vscode.commands.registerCommand('specimen.' + id, run));
  on('show', (uri, all) => vscode.window.showInformationMessage(
    'Chosen ' + (all ?? [uri]).map((one) => vscode.workspace.asRelativePath(one)).sort().join(' '), 'Well done'));
  on('ask', async () => {
    const fruit = await vscode.window.showQuickPick(['Apple', 'Pear']);
    const count = await vscode.window.showInputBox({ prompt: 'How many?' });
    vscode.window.showInformationMessage(fruit + ' ' + count);
  });
  on('modal', () => vscode.window.showWarningMessage('Really?', { modal: true }, 'Delete'));
  on('page', () => {
    const panel = vscode.window.createWebviewPanel('specimen', 'Page', 1, {});
    panel.webview.html = '<!DOCTYPE html><html lang="en"><title>Page</title><h1>Inside</h1></html>';
  });
  const item = vscode.window.createStatusBarItem();
  item.text = 'Specimen 7';
  item.show();
  subscriptions.push(item, vscode.window.registerTreeDataProvider('specimen.rows', {
    getTreeItem: (row) => new vscode.TreeItem(row),
    getChildren: (row) => (row ? [] : ['one', 'two']),
  }));
};
`;

describe('a workbench', () => {
  let home: string;
  let workbench: Workbench;
  let browser: Browser;
  let window: Window;

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'omnivqa-specimen-'));
    mkdirSync(join(home, 'extension'));
    writeFileSync(join(home, 'extension', 'package.json'), JSON.stringify(manifest));
    writeFileSync(join(home, 'extension', 'main.cjs'), main);
    mkdirSync(join(home, 'files', 'inner folder'), { recursive: true });
    for (const name of ['a.txt', 'a.txt.bak', 'b (1).txt', 'inner folder/a.txt'])
      writeFileSync(join(home, 'files', name), '');
    [workbench, browser] = await Promise.all([
      startWorkbench({ workspace: join(home, 'files'), extensions: [join(home, 'extension')] }),
      launchChromium(),
    ]);
    window = await openPage(browser, workbench);
  });
  afterAll(async () => {
    await browser?.close();
    await workbench?.stop();
    expect(workbench?.processes(/./) ?? []).toEqual([]);
    rmSync(home, { recursive: true, force: true });
  });

  test('runs an item of the menu of one file', async () => {
    const { page } = window;
    await explorerMenu(page, 'a.txt', 'Show');
    const toast = notification(page, 'Chosen a.txt');
    await toast.getByRole('button', { name: 'Well done' }).click();
    await toast.waitFor({ state: 'hidden' });
  });

  test('finds a file in a folder and several at once', async () => {
    const { page } = window;
    await explorerMenu(page, 'inner folder/a.txt', 'Show');
    await notification(page, 'Chosen inner folder/a.txt').waitFor();
    await explorerMenu(page, 'a.txt', 'Show', { select: ['b (1).txt'] });
    await notification(page, /Chosen a\.txt b \(1\)\.txt/).waitFor();
    expect(await contextMenuLabels(page, await explorerRow(page, 'a.txt.bak'))).toContain('Show');
  });

  test('asks in a quick pick, a box and a dialog', async () => {
    const { page } = window;
    await runCommand(page, 'Specimen: Ask');
    await quickPick(page, 'Pear');
    await quickType(page, '12');
    await notification(page, 'Pear 12').waitFor();
    await runCommand(page, 'Specimen: Modal');
    await dialog(page).getByText('Really?').waitFor();
    await page.keyboard.press('Escape');
    await dialog(page).waitFor({ state: 'hidden' });
  });

  test('shows webviews, views and the status bar', async () => {
    const { page } = window;
    await runCommand(page, 'Specimen: Page');
    await webviewFrame(page).getByRole('heading', { name: 'Inside' }).waitFor();
    await openViews(page, 'Specimen');
    await viewRows(page, 'Rows').nth(1).waitFor();
    expect(await viewRows(page, 'Rows').allInnerTexts()).toEqual(['one', 'two']);
    await statusBar(page, 'Specimen 7').waitFor();
  });

  // Before a page is loaded anew, which cancels what the old one waits for and leaves its host to end in its own time.
  test('has one extension host and nothing to complain about', () => {
    expect(workbench.extensionHostPids()).toHaveLength(1);
    expect(window.complaints).toEqual([]);
  });

  test('wears the theme that the settings name', async () => {
    await wearsTheme(window.page, 'dark');
    for (const theme of ['high contrast', 'light', 'high contrast light'] as const)
      await chooseTheme(window.page, theme);
    // What the page has yet to write would replace what is configured.
    await expect.poll(workbench.settings, { timeout: 60_000 }).toContain(themes['high contrast light'].name);
    workbench.configure({ 'workbench.colorTheme': themes.dark.name });
    await window.page.reload();
    await wearsTheme(window.page, 'dark');
  });
});
