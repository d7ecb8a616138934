import { basename } from 'node:path';
import * as vscode from 'vscode';
import type { FileEncode, FileEncodes } from '../../comparison/encodes.ts';

/** The languages that commands and ladders are looked for in. */
const languages = [
  'shellscript',
  'makefile',
  'dockerfile',
  'yaml',
  'dockercompose',
  'github-actions-workflow',
  'azure-pipelines',
  'json',
  'jsonc',
  'python',
  'javascript',
  'javascriptreact',
  'typescript',
  'typescriptreact',
  'markdown',
  'powershell',
  'bat',
  'toml',
];

/** Ladders of our own format, by name. */
export const ladderGlob = '**/*.ladder.{yaml,yml,json,toml}';

/** Where lenses, hovers and quick fixes are offered. TOML is no language of the editor's own: its ladders go by name. */
export const selector: vscode.DocumentSelector = ['file', 'untitled'].flatMap((scheme) => [
  ...languages.map((language) => ({ language, scheme })),
  { pattern: ladderGlob, scheme },
]);

export const isLadder = (document: vscode.TextDocument): boolean =>
  isRead(document) && vscode.languages.match({ pattern: ladderGlob }, document) > 0;

export const isRead = (document: vscode.TextDocument): boolean =>
  vscode.languages.match(selector, document) > 0;

const nothing: FileEncodes = { encodes: [], problems: [] };

/** What the open documents encode: read when first asked for, and once for each version of a document. */
export class EncodeDocuments {
  readonly #read = new WeakMap<
    vscode.TextDocument,
    { readonly version: number; readonly value: Promise<FileEncodes> }
  >();

  of(document: vscode.TextDocument): Promise<FileEncodes> {
    if (!isRead(document)) return Promise.resolve(nothing);
    const known = this.#read.get(document);
    if (known?.version === document.version) return known.value;
    const value = read(document);
    this.#read.set(document, { version: document.version, value });
    return value;
  }
}

async function read(document: vscode.TextDocument): Promise<FileEncodes> {
  // The parsers are loaded with the first document, not with the extension.
  const { encodesIn } = await import('../../comparison/encodes.ts');
  return encodesIn(document.getText(), document.languageId, basename(document.uri.path));
}

/** Where an encode stands in its document. */
export const rangeOf = (
  document: vscode.TextDocument,
  { start, end }: { readonly start: number; readonly end: number },
): vscode.Range => new vscode.Range(document.positionAt(start), document.positionAt(end));

/** Encodes whose commands or rungs begin on the same line, by that line. */
export function byLine(
  document: vscode.TextDocument,
  encodes: readonly FileEncode[],
): ReadonlyMap<number, readonly FileEncode[]> {
  const lines = new Map<number, FileEncode[]>();
  for (const encode of encodes) {
    const { line } = document.positionAt(encode.start);
    lines.set(line, [...(lines.get(line) ?? []), encode]);
  }
  return lines;
}
