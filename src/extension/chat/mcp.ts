import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import { settingsFor } from '../settings.ts';

/** Identifier of the provider, as package.json names it. */
export const mcpProvider = 'omnivqa.mcp';

/** How to start our MCP server: `omnivqa mcp`, on the Node that the settings name or the editor's own. */
export function mcpServers(context: vscode.ExtensionContext): vscode.McpStdioServerDefinition[] {
  const command = vscode.Uri.joinPath(context.extensionUri, 'dist', 'cli.mjs').fsPath;
  if (!vscode.workspace.isTrusted || !existsSync(command)) return [];
  const { node, ffmpeg } = settingsFor();
  return [
    new vscode.McpStdioServerDefinition(
      'OmniVQA',
      node || process.execPath,
      [command, 'mcp'],
      // The editor's own binary is a Node only where it is told so; any other ignores it.
      { ELECTRON_RUN_AS_NODE: '1', ...(ffmpeg ? { OMNIVQA_FFMPEG: ffmpeg } : {}) },
      String((context.extension.packageJSON as { version: string }).version),
    ),
  ];
}

/** Offers the MCP server to the editor, which starts it when a tool of it is called. */
export function registerMcp(context: vscode.ExtensionContext): vscode.Disposable[] {
  // Older workbenches, and forks of VS Code, have no such function.
  if (typeof vscode.lm?.registerMcpServerDefinitionProvider !== 'function') return [];
  const changed = new vscode.EventEmitter<void>();
  return [
    changed,
    vscode.workspace.onDidGrantWorkspaceTrust(() => changed.fire()),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (
        change.affectsConfiguration('omnivqa.nodePath') ||
        change.affectsConfiguration('omnivqa.ffmpegPath')
      )
        changed.fire();
    }),
    vscode.lm.registerMcpServerDefinitionProvider(mcpProvider, {
      onDidChangeMcpServerDefinitions: changed.event,
      provideMcpServerDefinitions: () => mcpServers(context),
    }),
  ];
}
