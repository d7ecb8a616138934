import { stat } from 'node:fs/promises';
import * as vscode from 'vscode';
import type { Measured } from '../../comparison/advice.ts';
import type { FileEncode } from '../../comparison/encodes.ts';
import { newestWeights } from '../../comparison/weights.ts';
import type { EncodeFacts } from '../../protocol/engine.ts';
import { Owner } from '../disposables.ts';
import { settingsFor } from '../settings.ts';

/** What one encode was measured to be. Everything that an editor shows of it, and what it holds for. */
export interface EncodeResult extends Measured {
  /** {@link FileEncode.id} and {@link FileEncode.settings} of what was measured. */
  readonly id: string;
  readonly settings: string;
  readonly label: string;
  readonly codec: string;
  readonly crf: number | null;
  /** The clip that was encoded, as it was. */
  readonly source: { readonly path: string; readonly size: number; readonly mtime: number };
  /**
   * The parts of the source that were encoded in its place: their file, how much of it they are, s, and by how much a MOS
   * may differ from that of the whole. Null (in results of earlier versions undefined): the whole was.
   */
  readonly excerpt?: {
    readonly path: string;
    readonly seconds: number;
    readonly duration: number;
    readonly error: number;
  } | null;
  /** The encode as the engine keeps it: the picture alone. */
  readonly encoded: string;
  /** Version of the encoder's ffmpeg. */
  readonly encoder: string;
  readonly bytes: number;
  /** Seconds of the clip encoded per second; null where the clip does not tell its duration. */
  readonly speed: number | null;
  readonly model: string;
  /** {@link weightsOf} its record; undefined in results of earlier versions. */
  readonly weights?: string;
  /** Against the source; null where this ffmpeg can not tell, or the two are not frame for frame the same. */
  readonly metrics: EncodeFacts['metrics'];
  /** Whether the encode is frame for frame its source; else it is held against nothing. */
  readonly aligned: boolean;
  /** What of the settings was not carried over, and how the encode differs from its source in time. Untrusted text. */
  readonly problems: readonly string[];
  /** MOS by time, s. */
  readonly scores: readonly { readonly start: number; readonly end: number; readonly mos: number }[];
  readonly worst: { readonly start: number; readonly end: number; readonly mos: number };
  /** Milliseconds since 1970. */
  readonly measuredAt: number;
}

/** Why a result may not hold any more. */
export type Stale = 'settings' | 'source' | 'model';

export interface KnownResult {
  readonly result: EncodeResult;
  /** null: it holds. */
  readonly stale: Stale | null;
}

const key = 'omnivqa.encodes';
const mostPerDocument = 400;

/** Results by document, which outlive the window. */
export class EncodeResults extends Owner {
  readonly #memory: vscode.Memento;
  readonly #changed = this.own(new vscode.EventEmitter<vscode.Uri>());
  readonly onDidChange = this.#changed.event;

  constructor(memory: vscode.Memento) {
    super();
    this.#memory = memory;
  }

  /** Whether anything was measured for a document: cheap, for those who would have to read it otherwise. */
  has(document: vscode.Uri): boolean {
    return this.#of(document).length > 0;
  }

  /** The result of the encode as it is now, otherwise the last one of what stood in its place. */
  async of(document: vscode.Uri, encode: FileEncode): Promise<KnownResult | null> {
    const known = this.#of(document).filter(({ id }) => id === encode.id);
    const same = known.filter(({ settings }) => settings === encode.settings).at(-1);
    const result = same ?? known.at(-1);
    if (!result) return null;
    if (!same) return { result, stale: 'settings' };
    const { model, weights } = result;
    if (model !== settingsFor(document).model || weights !== newestWeights(this.#all(), model)) {
      return { result, stale: 'model' };
    }
    const file = await stat(result.source.path).catch(() => null);
    const changed = !file || file.size !== result.source.size || file.mtimeMs !== result.source.mtime;
    return { result, stale: changed ? 'source' : null };
  }

  /** The newest result of a document. */
  latest(document: vscode.Uri): EncodeResult | null {
    return this.#of(document).reduce<EncodeResult | null>(
      (newest, one) => (newest && newest.measuredAt >= one.measuredAt ? newest : one),
      null,
    );
  }

  /**
   * Every result of a document that was measured on one clip as it was, or on the same parts of it, with one model and
   * its weights, the newest of each settings.
   */
  like(document: vscode.Uri, { source, excerpt, model, weights }: EncodeResult): readonly EncodeResult[] {
    const all = this.#of(document).filter(
      (one) =>
        isSameFile(one.source, source) &&
        one.excerpt?.path === excerpt?.path &&
        one.model === model &&
        one.weights === weights,
    );
    return [...new Map(all.map((one) => [one.settings, one])).values()];
  }

  async add(document: vscode.Uri, results: readonly EncodeResult[]): Promise<void> {
    const replaced = new Set(results.map(({ id, settings }) => `${id}\0${settings}`));
    const kept = this.#of(document).filter(({ id, settings }) => !replaced.has(`${id}\0${settings}`));
    await this.#set(document, [...kept, ...results].slice(-mostPerDocument));
  }

  async clear(document: vscode.Uri): Promise<void> {
    await this.#set(document, []);
  }

  #of(document: vscode.Uri): readonly EncodeResult[] {
    return this.#memory.get<Record<string, EncodeResult[]>>(key, {})[document.toString()] ?? [];
  }

  #all(): EncodeResult[] {
    return Object.values(this.#memory.get<Record<string, EncodeResult[]>>(key, {})).flat();
  }

  async #set(document: vscode.Uri, results: readonly EncodeResult[]): Promise<void> {
    const { [document.toString()]: _, ...others } = this.#memory.get<Record<string, EncodeResult[]>>(key, {});
    await this.#memory.update(
      key,
      results.length > 0 ? { ...others, [document.toString()]: results } : others,
    );
    if (!this.disposed) this.#changed.fire(document);
  }
}

/** Whether two results are of the same clip, unchanged between them. */
export const isSameFile = (a: EncodeResult['source'], b: EncodeResult['source']): boolean =>
  a.path === b.path && a.size === b.size && a.mtime === b.mtime;
