/**
 * A page that shows a workbench, and what a person does in it. Everything waits for a state of the page; nothing waits
 * for a time.
 */
import type { Browser, BrowserContextOptions, FrameLocator, Locator, Page } from 'playwright-core';
import { type Theme, themes, type Workbench } from './workbench.ts';

/**
 * Errors of the console that every load brings: proprietary parts that the open build lacks, asked for all the same, and
 * native parts that scripts/workbench.mjs does not compile (log files, a watchdog), which the server does without.
 */
const known = [
  /\/vsda(\.js|_bg\.wasm)/,
  /Could not locate the bindings file/,
  /native-watchdog/,
  /authentication provider 'github'/,
  // A page that is reloaded says what it leaves behind.
  /Long running operations during shutdown are unsupported/,
  /IndexedDB database '[^']*' is closed/,
  /\(Canceled: Canceled\)/,
];
export const expectedError = (text: string) => known.some((pattern) => pattern.test(text));

/** How long anything may take to appear before a test fails; a busy machine starts a workbench in about 20 s. */
const patience = 60_000;

export interface Window {
  readonly page: Page;
  /** Errors of scripts and of the console, except those that every workbench has. */
  readonly complaints: string[];
  close(): Promise<void>;
}

export interface WindowOptions {
  readonly width?: number;
  readonly height?: number;
  /** The folder or .code-workspace file to show instead of the workbench's; null for none. */
  readonly workspace?: string | null;
  /** Pairs of the workbench's own options, as VS Code's `payload`. */
  readonly payload?: readonly (readonly [string, string])[];
  readonly context?: BrowserContextOptions;
  /** Called before the page loads. */
  readonly prepare?: (page: Page) => Promise<void>;
}

/** Opens the workbench in a browser context of its own: a window that nobody has used. */
export async function openPage(
  browser: Browser,
  workbench: Workbench,
  { width = 1280, height = 800, workspace, payload, context: more, prepare }: WindowOptions = {},
): Promise<Window> {
  const context = await browser.newContext({ viewport: { width, height }, ...more });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(`${error.stack ?? error}`));
  page.on('console', (message) => {
    const text = `${message.text()} (${message.location().url})`;
    if (message.type() === 'error' && !expectedError(text)) complaints.push(text);
  });
  await prepare?.(page);
  const address = new URL(workbench.url);
  const folder = workspace === undefined ? workbench.workspace : workspace;
  if (folder) address.searchParams.set(folder.endsWith('.code-workspace') ? 'workspace' : 'folder', folder);
  else address.searchParams.set('ew', 'true');
  if (payload) address.searchParams.set('payload', JSON.stringify(payload));
  await page.goto(address.href);
  await page.locator('.monaco-workbench .part.statusbar').waitFor();
  if (folder) await page.locator('.explorer-folders-view .monaco-list').waitFor();
  return { page, complaints, close: () => context.close() };
}

const exactly = (text: string) => new RegExp(`^\\s*${text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}\\s*$`);

/** The row of a file or folder in the Explorer, after opening the folders above it. `path` is relative, with slashes. */
export async function explorerRow(page: Page, path: string): Promise<Locator> {
  const parts = path.split('/');
  let row = page.locator('.explorer-folders-view');
  for (const [depth, name] of parts.entries()) {
    row = page
      .locator(`.explorer-folders-view .monaco-list-row[aria-level="${depth + 1}"]`)
      .filter({ has: page.locator('.label-name', { hasText: exactly(name) }) });
    await row.waitFor();
    if (depth < parts.length - 1 && (await row.getAttribute('aria-expanded')) === 'false') {
      await row.click();
      await row.and(page.locator('[aria-expanded="true"]')).waitFor();
    }
  }
  return row;
}

/**
 * Chooses an item of the open context menu; false when it has none of that name. By keyboard, since a menu takes no
 * mouse button in its first 200 ms.
 */
async function chooseInMenu(page: Page, label: string): Promise<boolean> {
  const menu = page.locator('.monaco-menu');
  await menu.first().waitFor();
  const item = menu
    .locator('.action-item:not(.disabled)')
    .filter({ has: page.locator('.action-label', { hasText: exactly(label) }) });
  const chosen = (await item.count()) > 0;
  if (chosen) {
    await item.hover();
    await item.and(page.locator('.focused')).waitFor();
    await page.keyboard.press('Enter');
  } else {
    await page.keyboard.press('Escape');
  }
  await menu.first().waitFor({ state: 'hidden' });
  return chosen;
}

/** Tries until it is true: extensions contribute some time after the window shows. */
async function eventually(attempt: () => Promise<boolean>, what: string): Promise<void> {
  const end = Date.now() + patience;
  while (!(await attempt())) if (Date.now() > end) throw new Error(`${what} did not come.`);
}

/** Right-clicks `target` and chooses an item of the menu, as soon as it has that item. */
export async function contextMenu(page: Page, target: Locator, label: string): Promise<void> {
  await eventually(async () => {
    await target.click({ button: 'right' });
    return chooseInMenu(page, label);
  }, `"${label}" in the menu`);
}

/** What the context menu of `target` offers. */
export async function contextMenuLabels(page: Page, target: Locator): Promise<string[]> {
  await target.click({ button: 'right' });
  const menu = page.locator('.monaco-menu');
  await menu.first().waitFor();
  const labels = await menu
    .locator('.action-item:not(.disabled) .action-label:not(.separator)')
    .allTextContents();
  await page.keyboard.press('Escape');
  await menu.first().waitFor({ state: 'hidden' });
  return labels.map((one) => one.trim());
}

/** Right-clicks a file or folder in the Explorer, with `select` selected besides, and chooses an item. */
export async function explorerMenu(
  page: Page,
  file: string,
  label: string,
  { select = [] }: { readonly select?: readonly string[] } = {},
): Promise<void> {
  const row = await explorerRow(page, file);
  if (select.length > 0) {
    const rows = [row, ...(await Promise.all(select.map((one) => explorerRow(page, one))))];
    const selected = page.locator('.selected');
    await row.click({ modifiers: ['ControlOrMeta'] });
    await page.keyboard.press('Escape');
    await page.locator('.explorer-folders-view .selected').first().waitFor({ state: 'hidden' });
    for (const one of rows) {
      await one.click({ modifiers: ['ControlOrMeta'] });
      await one.and(selected).waitFor();
    }
  }
  await contextMenu(page, row, label);
}

const quickInput = (page: Page) => page.locator('.quick-input-widget:visible');

/** A row of the open quick pick. */
export function quickPickRow(page: Page, label: string): Locator {
  return quickInput(page)
    .locator('.monaco-list-row')
    .filter({
      has: page.locator('.quick-input-list-row:first-child .label-name', { hasText: exactly(label) }),
    });
}

/** Waits for a quick pick with `label` and chooses it. */
export async function quickPick(page: Page, label: string): Promise<void> {
  await quickPickRow(page, label).first().click();
}

/** Fills the input of the open quick pick or input box; `accept` presses Enter. */
export async function quickType(page: Page, text: string, accept = true): Promise<void> {
  const input = quickInput(page).locator('input[type="text"], input:not([type])').first();
  await input.fill(text);
  if (accept) await input.press('Enter');
}

/** Runs a command of the palette by its full title ("OmniVQA: Show Log"), as soon as the palette has it. */
export async function runCommand(page: Page, title: string): Promise<void> {
  await eventually(async () => {
    await page.keyboard.press('F1');
    await quickType(page, `>${title}`, false);
    const row = quickPickRow(page, title).first();
    // Without a match the palette says so, or offers commands of like words.
    const nothing = quickInput(page)
      .locator('.monaco-list-row', { hasText: 'No matching commands' })
      .or(quickInput(page).locator('.quick-input-list-separator', { hasText: 'similar commands' }))
      .filter({ visible: true });
    // A webview that takes the focus when it has loaded closes the palette.
    const closed = async () => (await quickInput(page).count()) === 0;
    await eventually(
      async () => (await row.isVisible()) || (await nothing.first().isVisible()) || (await closed()),
      `An answer to ">${title}"`,
    );
    const found = await row.isVisible();
    if (found) await row.click();
    else if (!(await closed())) await page.keyboard.press('Escape');
    // The command may ask something in the same place.
    await row.waitFor({ state: 'hidden' });
    await nothing.first().waitFor({ state: 'hidden' });
    return found;
  }, `"${title}" in the palette`);
}

/** Waits until the workbench wears a theme. */
export async function wearsTheme(page: Page, theme: Theme): Promise<void> {
  await page.locator(`.monaco-workbench.file-icons-enabled.${themes[theme].class}`).waitFor();
}

/** Changes the theme of an open window, as a person does. */
export async function chooseTheme(page: Page, theme: Theme): Promise<void> {
  const { label } = themes[theme];
  await runCommand(page, 'Preferences: Color Theme');
  await quickPickRow(page, 'Dark Modern').or(quickPickRow(page, label)).first().waitFor();
  await quickType(page, label, false);
  await quickPick(page, label);
  await quickInput(page).waitFor({ state: 'hidden' });
  await wearsTheme(page, theme);
}

/** The notifications that show. */
export function notifications(page: Page): Locator {
  return page.locator('.notification-toast');
}

/** A notification by its text; its buttons are `.getByRole('button', { name })`. */
export function notification(page: Page, text: string | RegExp): Locator {
  return notifications(page).filter({ hasText: text });
}

/** The modal dialog. */
export function dialog(page: Page): Locator {
  return page.locator('.monaco-dialog-box');
}

/** The inside of the webview that shows. */
export function webviewFrame(page: Page): FrameLocator {
  return page
    .locator('iframe.webview.ready:visible')
    .last()
    .contentFrame()
    .locator('#active-frame')
    .contentFrame();
}

/** Shows a container of views by the name of its icon in the activity bar. */
export async function openViews(page: Page, title: string): Promise<void> {
  const icon = page.locator('.activitybar .action-item').filter({
    has: page.locator(`.action-label[aria-label^="${title}"]`),
  });
  await icon.waitFor();
  if (
    (await icon.getAttribute('aria-expanded')) !== 'true' &&
    !(await icon.and(page.locator('.checked')).isVisible())
  )
    await icon.click();
  await icon.and(page.locator('.checked')).waitFor();
}

/** One view of the side bar, by its title. */
export function view(page: Page, title: string): Locator {
  return page.locator('.pane').filter({
    has: page.locator('.pane-header .title', { hasText: exactly(title) }),
  });
}

/** The rows of a view's tree. */
export function viewRows(page: Page, title: string): Locator {
  return view(page, title).locator('.monaco-list-row');
}

/** Entries of the status bar. */
export function statusBar(page: Page, text: string | RegExp): Locator {
  return page.locator('.statusbar-item').filter({ hasText: text });
}
