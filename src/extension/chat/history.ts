import { createHash } from 'node:crypto';
import * as vscode from 'vscode';
import { longestAnswer } from '../../protocol/chat.ts';
import type { ChatTurn } from '../../protocol/chat_view.ts';

/** What is kept of a conversation. */
export interface KeptConversation {
  /** Paths, the clip that the conversation is kept by first. */
  readonly clips: readonly string[];
  /** Oldest first. */
  readonly turns: readonly ChatTurn[];
  /** What the model was given, by turn. */
  readonly prompts: Readonly<Record<string, string>>;
}

/** Turns that are kept of one conversation: the newest. */
const mostTurns = 100;

const isText = (value: unknown): value is string => typeof value === 'string';
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

/** A turn as it was written, as far as it is one; files are changed and cut short by others. */
function readTurn(value: unknown): ChatTurn | undefined {
  if (!isObject(value)) return undefined;
  const turn = value as unknown as ChatTurn;
  const whole =
    [turn.id, turn.question, turn.text, turn.state].every(isText) &&
    typeof turn.revision === 'number' &&
    [turn.clips, turn.links, turn.claims, turn.options, turn.basis].every(Array.isArray) &&
    turn.links.every((link) => isObject(link) && isObject(link.place) && isObject(link.place.span)) &&
    turn.claims.every((claim) => isObject(claim) && isText(claim.because)) &&
    turn.options.every(
      (option) => isObject(option) && isText(option.text) && typeof option.probability === 'number',
    ) &&
    turn.basis.every(isText);
  if (!whole) return undefined;
  return { ...turn, text: turn.text.slice(0, longestAnswer) };
}

/** Conversations in the extension's own storage of this workspace, one file each. */
export class History {
  readonly #folder: vscode.Uri;

  constructor(context: vscode.ExtensionContext) {
    this.#folder = vscode.Uri.joinPath(context.storageUri ?? context.globalStorageUri, 'conversations');
  }

  #file(path: string): vscode.Uri {
    const name = createHash('sha256').update(path).digest('hex');
    return vscode.Uri.joinPath(this.#folder, `${name}.json`);
  }

  /** What is kept of the conversation about a clip; nothing where there is none, or none that can be read. */
  async read(path: string): Promise<KeptConversation> {
    try {
      const bytes = await vscode.workspace.fs.readFile(this.#file(path));
      const { clips, turns, prompts } = JSON.parse(
        Buffer.from(bytes).toString('utf8'),
      ) as Partial<KeptConversation>;
      const others = Array.isArray(clips) ? clips.filter((clip) => isText(clip) && clip !== path) : [];
      return {
        clips: [path, ...others],
        turns: Array.isArray(turns) ? turns.flatMap((turn) => readTurn(turn) ?? []) : [],
        prompts: isObject(prompts)
          ? Object.fromEntries(Object.entries(prompts).filter(([, prompt]) => isText(prompt)))
          : {},
      };
    } catch {
      return { clips: [path], turns: [], prompts: {} };
    }
  }

  async write({ clips, turns, prompts }: KeptConversation): Promise<void> {
    const [path] = clips;
    if (path === undefined) return;
    await vscode.workspace.fs.createDirectory(this.#folder);
    const target = this.#file(path);
    const written = target.with({ path: `${target.path}.new` });
    const kept = turns.slice(-mostTurns);
    const text = JSON.stringify({
      clips,
      turns: kept,
      prompts: Object.fromEntries(kept.map(({ id }) => [id, prompts[id] ?? ''])),
    });
    await vscode.workspace.fs.writeFile(written, Buffer.from(text));
    await vscode.workspace.fs.rename(written, target, { overwrite: true });
  }

  async forget(path: string): Promise<void> {
    await Promise.resolve(vscode.workspace.fs.delete(this.#file(path))).catch(() => undefined);
  }

  async forgetAll(): Promise<void> {
    const deleted = vscode.workspace.fs.delete(this.#folder, { recursive: true });
    await Promise.resolve(deleted).catch(() => undefined);
  }
}
