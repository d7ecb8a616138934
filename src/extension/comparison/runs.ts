import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative } from 'node:path';
import * as vscode from 'vscode';
import { mosOf } from '../../assessment/pooling.ts';
import type { Assessment } from '../../assessment/record.ts';
import type { FileEncode } from '../../comparison/encodes.ts';
import type { JobState } from '../../protocol/timeline.ts';
import { type Clips, priorities, serialized, untrusted } from '../clips.ts';
import { Owner } from '../disposables.ts';
import { settingsFor } from '../settings.ts';
import { jobText } from '../words.ts';
import type { EncodeResult, EncodeResults } from './results.ts';

/** How one encode ended; what the commands answer. */
export type EncodeOutcome = { readonly id: string } & (
  | { readonly kind: 'done'; readonly result: EncodeResult }
  | { readonly kind: 'cancelled' }
  /** The command has not been run yet. */
  | { readonly kind: 'missing' }
  | { readonly kind: 'failed'; readonly failure: string }
);

/** Assesses what commands have written, and remembers it by document. */
export class EncodeRuns extends Owner {
  readonly #clips: Clips;
  readonly #results: EncodeResults;
  /** The files that are being assessed for a document's encodes, by both their names. */
  readonly #running = new Map<string, vscode.Uri>();
  readonly #changed = this.own(new vscode.EventEmitter<void>());
  readonly onDidChange = this.#changed.event;

  constructor(clips: Clips, results: EncodeResults) {
    super();
    this.#clips = clips;
    this.#results = results;
    this.own(
      clips.onDidChange((uri) => {
        if ([...this.#running.values()].some(({ fsPath }) => fsPath === uri.fsPath)) this.#changed.fire();
      }),
    );
  }

  /** Where the first of these that is being assessed stands; null: none is. */
  state(document: vscode.Uri, ids: readonly string[]): JobState | null {
    for (const id of ids) {
      const file = this.#running.get(keyOf(document, id));
      const state = file && this.#clips.state(file).job?.state;
      if (state) return state;
    }
    return null;
  }

  /**
   * Assesses what the encodes of a document have written, several at once as the engine's queue has it.
   *
   * @throws OmniError where the workspace is not trusted.
   */
  async run(document: vscode.Uri, encodes: readonly FileEncode[]): Promise<EncodeOutcome[]> {
    if (!vscode.workspace.isTrusted) throw untrusted();
    return vscode.window.withProgress(
      {
        location: vscode.ProgressLocation.Notification,
        title: vscode.l10n.t('Assessing {0} encodes', encodes.length),
        cancellable: true,
      },
      async (progress, token) => {
        const cancelling = token.onCancellationRequested(() => void this.cancel(document));
        let over = 0;
        const report = (increment = 0) => {
          const now = this.state(
            document,
            encodes.map(({ id }) => id),
          );
          const done = vscode.l10n.t('{0} of {1} done', over, encodes.length);
          progress.report({ increment, message: now ? `${done} · ${jobText(now)}` : done });
        };
        const following = this.onDidChange(() => report());
        try {
          return await Promise.all(
            encodes.map(async (encode) => {
              const outcome = await this.#runOne(document, encode);
              over += 1;
              report(100 / encodes.length);
              return outcome;
            }),
          );
        } finally {
          following.dispose();
          cancelling.dispose();
        }
      },
    );
  }

  /** Ends what runs for a document; null: for all. What is finished is kept. */
  async cancel(document: vscode.Uri | null): Promise<void> {
    const prefix = document ? keyOf(document, '') : '';
    const files = [...this.#running].filter(([key]) => key.startsWith(prefix)).map(([, file]) => file);
    await Promise.all(files.map((file) => this.#clips.cancel(file)));
  }

  async #runOne(document: vscode.Uri, encode: FileEncode): Promise<EncodeOutcome> {
    const { id } = encode;
    const file = await writtenFile(document, encode);
    if (!file) return { id, kind: 'missing' };
    const key = keyOf(document, id);
    this.#running.set(key, file);
    try {
      const { size, mtimeMs } = await stat(file.fsPath);
      const { outcome, record, error } = await this.#clips.assess(file, {
        priority: priorities.asked,
        fresh: false,
      });
      if (outcome === 'cancelled') return { id, kind: 'cancelled' };
      if (!record || error) {
        const { message, next } = error ?? serialized(error);
        return { id, kind: 'failed', failure: `${message} ${next}` };
      }
      const result = resultOf(document, encode, record, { path: file.fsPath, size, mtime: mtimeMs });
      await this.#results.add(document, [result]);
      return { id, kind: 'done', result };
    } catch (error) {
      const { message, next } = serialized(error);
      return { id, kind: 'failed', failure: `${message} ${next}` };
    } finally {
      this.#running.delete(key);
      if (!this.disposed) this.#changed.fire();
    }
  }
}

const keyOf = (document: vscode.Uri, id: string): string => `${document.toString()}\0${id}`;

/** What a command wrote, beside its document or from the top of the workspace; never outside it. */
async function writtenFile(document: vscode.Uri, { file }: FileEncode): Promise<vscode.Uri | null> {
  if (file === null || file.includes('\0')) return null;
  const name = file.replace(/^file:/, '');
  const folders = (vscode.workspace.workspaceFolders ?? []).filter(({ uri }) => uri.scheme === 'file');
  const bases = [
    ...(document.scheme === 'file' ? [dirname(document.fsPath)] : []),
    ...folders.map(({ uri }) => uri.fsPath),
  ];
  for (const path of isAbsolute(name) ? [name] : bases.map((base) => join(base, name))) {
    const inside = folders.some(({ uri }) => {
      const way = relative(uri.fsPath, path);
      return way !== '' && !way.startsWith('..') && !isAbsolute(way);
    });
    if (inside && (await stat(path).catch(() => null))?.isFile()) return vscode.Uri.file(path);
  }
  return null;
}

function resultOf(
  document: vscode.Uri,
  encode: FileEncode,
  record: Assessment,
  file: EncodeResult['file'],
): EncodeResult {
  const timeline = record.timeline.map(({ start, end, score }) => ({ start, end, mos: mosOf(score) }));
  const duration = record.video.duration ?? timeline.at(-1)?.end ?? 0;
  const picture = record.signals.frameBytes.reduce((sum, bytes) => sum + bytes, 0);
  const { start, end, score } = record.pooling.worst;
  return {
    id: encode.id,
    settings: encode.settings,
    label: encode.label,
    crf: encode.output.video?.crf ?? null,
    input: encode.source,
    file,
    model: settingsFor(document).model,
    mos: record.mos,
    bitrate: duration > 0 ? (picture * 8) / duration : 0,
    scores: courseOf(timeline),
    worst: { start, end, mos: mosOf(score) },
    measuredAt: Date.now(),
  };
}

/** Most steps of the course of the quality that are kept, enough for a picture in a hover. */
const mostScores = 120;

/** A timeline in few enough steps; of several in one, the lowest counts. */
function courseOf(timeline: EncodeResult['scores']): EncodeResult['scores'] {
  const each = Math.ceil(timeline.length / mostScores);
  return Array.from({ length: Math.ceil(timeline.length / each) }, (_, index) => {
    const some = timeline.slice(index * each, (index + 1) * each);
    return {
      start: some[0]?.start ?? 0,
      end: some.at(-1)?.end ?? 0,
      mos: Math.min(...some.map(({ mos }) => mos)),
    };
  });
}
