import * as vscode from 'vscode';

/**
 * What asks stays until it is answered or left with Escape. The palette or menu that ran the command gives the focus back
 * to the page in front, sometimes after the list has opened, and a list that follows the focus would close unseen.
 */
const staying = { ignoreFocusOut: true } as const;

type PickOptions = Omit<vscode.QuickPickOptions, 'ignoreFocusOut' | 'canPickMany'>;

/** Lets the user choose one of a list. */
export function pick<T extends vscode.QuickPickItem>(
  items: readonly T[] | Thenable<readonly T[]>,
  options: PickOptions,
): Thenable<T | undefined> {
  return vscode.window.showQuickPick(items, { ...options, ...staying });
}

/** Lets the user choose any number of a list. */
export function pickSeveral<T extends vscode.QuickPickItem>(
  items: readonly T[],
  options: PickOptions,
): Thenable<readonly T[] | undefined> {
  return vscode.window.showQuickPick(items, { ...options, ...staying, canPickMany: true });
}

/** Lets the user type a line. */
export function askText(
  options: Omit<vscode.InputBoxOptions, 'ignoreFocusOut'>,
): Thenable<string | undefined> {
  return vscode.window.showInputBox({ ...options, ...staying });
}
