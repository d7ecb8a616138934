import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { mosOf } from '../../assessment/pooling.ts';
import type { Assessment } from '../../assessment/record.ts';
import type { FileEncode } from '../../comparison/encodes.ts';
import { type SearchResult, searchCrf } from '../../comparison/search.ts';
import { weightsOf } from '../../comparison/weights.ts';
import type { EncodeFacts, EncodeState } from '../../protocol/engine.ts';
import { OmniError, type SerializedError } from '../../protocol/errors.ts';
import { reviveError } from '../../protocol/rpc.ts';
import type { JobState } from '../../protocol/timeline.ts';
import { type Clips, priorities, serialized, untrusted } from '../clips.ts';
import { Owner } from '../disposables.ts';
import { settingsFor } from '../settings.ts';
import { durationText, encodeText, jobText } from '../words.ts';
import { type EncodedSource, encodedSource, excerptFacts } from './excerpts.ts';
import type { EncodeResult, EncodeResults } from './results.ts';
import type { Sources } from './sources.ts';

/** How one encode ended; what the commands answer. */
export type EncodeOutcome = { readonly id: string } & (
  | { readonly kind: 'done'; readonly result: EncodeResult }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly error: SerializedError }
);

/** Ends a search from within. */
class Cancelled extends Error {}

/** An encode that is being made or assessed. */
interface Active {
  readonly document: vscode.Uri;
  readonly encode: FileEncode;
  readonly abort: AbortController;
  /** What the encoder says, until it has ended. */
  state: EncodeState | null;
  /** Whether what is encoded is still being chosen and cut. */
  preparing: boolean;
  /** The encoded file, as soon as there is one. */
  file: vscode.Uri | null;
}

/** Encodes that are being made and assessed: by the engine, with our own argv, on a source that somebody chose. */
export class EncodeRuns extends Owner {
  readonly #clips: Clips;
  readonly #sources: Sources;
  readonly #results: EncodeResults;
  readonly #active = new Set<Active>();
  readonly #changed = this.own(new vscode.EventEmitter<void>());
  readonly onDidChange = this.#changed.event;

  constructor(clips: Clips, sources: Sources, results: EncodeResults) {
    super();
    this.#clips = clips;
    this.#sources = sources;
    this.#results = results;
    this.own(
      clips.onDidChange((uri) => {
        if ([...this.#active].some(({ file }) => file?.fsPath === uri.fsPath)) this.#changed.fire();
      }),
    );
    this.own(new vscode.Disposable(() => void this.cancel(null)));
  }

  /** Where the first of these that is at work stands, in words; null: none is. */
  state(document: vscode.Uri, ids: readonly string[]): string | null {
    const active = this.#of(document).filter(({ encode }) => ids.includes(encode.id));
    const [one] = active;
    if (!one) return null;
    if (one.preparing) return vscode.l10n.t('preparing the excerpt');
    const job = one.file && this.#clips.state(one.file).job?.state;
    return job ? jobText(job) : one.state ? encodeText(one.state) : vscode.l10n.t('encoding');
  }

  /** What is at work for a document. */
  running(document: vscode.Uri): readonly {
    readonly encode: FileEncode;
    readonly state: EncodeState | null;
    readonly job: JobState | null;
  }[] {
    return this.#of(document).map(({ encode, state, file }) => ({
      encode,
      state,
      job: (file && this.#clips.state(file).job?.state) ?? null,
    }));
  }

  /**
   * Encodes and assesses, with progress that can be cancelled. Asks for the source where the document names none that
   * is there.
   *
   * @param token ends it too
   * @throws OmniError where the workspace is not trusted.
   */
  async run(
    document: vscode.Uri,
    encodes: readonly FileEncode[],
    token?: vscode.CancellationToken,
  ): Promise<EncodeOutcome[]> {
    if (!vscode.workspace.isTrusted) throw untrusted();
    const sources = new Map<string, vscode.Uri>();
    let asked: vscode.Uri | null | undefined;
    for (const encode of encodes) {
      const source = await this.#sources.of(document, encode);
      if (!source && asked === undefined) asked = await this.#sources.choose(document, false, encode.source);
      const taken = source ?? asked;
      if (taken) sources.set(encode.id, taken);
    }
    const title = vscode.l10n.t('Assessing {0} encodes of {1}', encodes.length, basename(document.path));
    return this.#shown(document, title, encodes.length, token, (abort, ended) => {
      const prepare = this.#preparing(document, abort.signal);
      return Promise.all(
        encodes.map(async (encode) => {
          const source = sources.get(encode.id);
          const outcome: EncodeOutcome = source
            ? await this.#runOne(document, encode, source, prepare, abort)
            : { id: encode.id, kind: 'cancelled' };
          ended();
          return outcome;
        }),
      );
    });
  }

  /**
   * Searches the highest CRF of an encode that reaches a MOS, with everything else as it is written; begins with the CRF
   * that stands there. What is measured on the way is kept as a result of that encode.
   *
   * @param target MOS, 1 to 5
   * @returns null where the user cancels.
   * @throws OmniError `bad_usage` for an encoder without a known scale; what encoding or assessing fails with; where the
   *   workspace is not trusted.
   */
  async search(document: vscode.Uri, encode: FileEncode, target: number): Promise<SearchResult | null> {
    if (!vscode.workspace.isTrusted) throw untrusted();
    const source =
      (await this.#sources.of(document, encode)) ??
      (await this.#sources.choose(document, false, encode.source));
    if (!source) return null;
    const { atCrf } = await import('../../comparison/encodes.ts');
    const { codec = '', crf = null } = encode.output.video ?? {};
    const title = vscode.l10n.t('Searching the CRF of {0} for MOS {1}', encode.label, target.toFixed(1));
    return this.#shown(document, title, null, undefined, async (abort, ended) => {
      const prepare = this.#preparing(document, abort.signal);
      const measure = async (tried: number) => {
        const outcome = await this.#runOne(document, atCrf(encode, tried), source, prepare, abort);
        ended();
        if (outcome.kind === 'failed') throw reviveError(outcome.error);
        if (outcome.kind === 'cancelled') throw new Cancelled();
        const { aligned, mos, problems } = outcome.result;
        if (!aligned) {
          throw new OmniError(
            'bad_usage',
            vscode.l10n.t('The encode is not frame for frame its source. {0}', problems.at(-1) ?? ''),
            vscode.l10n.t('Keep the frame rate and the frames of the source, then search again.'),
          );
        }
        return mos;
      };
      try {
        return await searchCrf(codec, target, measure, crf ?? undefined);
      } catch (error) {
        if (error instanceof Cancelled) return null;
        throw error;
      }
    });
  }

  /**
   * Shows progress of work on a document's encodes, which can be cancelled there.
   *
   * @param total How many encodes there will be; null: nobody knows yet.
   * @param work Calls `ended` with each.
   */
  async #shown<T>(
    document: vscode.Uri,
    title: string,
    total: number | null,
    token: vscode.CancellationToken | undefined,
    work: (abort: AbortController, ended: () => void) => Promise<T>,
  ): Promise<T> {
    return vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title, cancellable: true },
      async (progress, cancelled) => {
        const abort = new AbortController();
        const stopping = [token, cancelled].map((one) => one?.onCancellationRequested(() => abort.abort()));
        const begun = Date.now();
        let over = 0;
        const report = (increment = 0) => {
          const all = this.#of(document);
          const now = all.find(({ state }) => state && state.phase !== 'waiting') ?? all[0];
          const seconds = (Date.now() - begun) / 1000;
          const said = [
            total === null
              ? vscode.l10n.t('{0} measured', over)
              : vscode.l10n.t('{0} of {1} done', over, total),
          ];
          if (now) said.push(`${now.encode.label}: ${this.state(document, [now.encode.id])}`);
          if (total !== null && over > 0 && over < total) {
            const left = durationText((seconds / over) * (total - over));
            said.push(vscode.l10n.t('about {0} left', left));
          }
          progress.report({ increment, message: said.join(' · ') });
        };
        const following = this.onDidChange(() => report());
        try {
          return await work(abort, () => {
            over += 1;
            report(total === null ? 0 : 100 / total);
          });
        } finally {
          following.dispose();
          for (const one of stopping) one?.dispose();
        }
      },
    );
  }

  /** Ends what runs for a document; null: for all. What is finished is kept. */
  cancel(document: vscode.Uri | null): void {
    for (const { abort } of document ? this.#of(document) : this.#active) abort.abort();
  }

  /** What is encoded of a source, found out once for all encodes of a run. */
  #preparing(document: vscode.Uri, signal: AbortSignal): (source: vscode.Uri) => Promise<EncodedSource> {
    const known = new Map<string, Promise<EncodedSource>>();
    return (source) => {
      const made = known.get(source.fsPath) ?? encodedSource(this.#clips, document, source, signal);
      known.set(source.fsPath, made);
      return made;
    };
  }

  #of(document: vscode.Uri): Active[] {
    return [...this.#active].filter((one) => one.document.toString() === document.toString());
  }

  async #runOne(
    document: vscode.Uri,
    encode: FileEncode,
    source: vscode.Uri,
    prepare: (source: vscode.Uri) => Promise<EncodedSource>,
    abort: AbortController,
  ): Promise<EncodeOutcome> {
    const { id } = encode;
    const preparing = settingsFor(document).excerpt !== null;
    const active: Active = { document, encode, abort, state: null, preparing, file: null };
    const { signal } = abort;
    this.#active.add(active);
    this.#changed.fire();
    const stop = () => active.file && void this.#clips.cancel(active.file);
    signal.addEventListener('abort', stop);
    try {
      const { size, mtimeMs } = await stat(source.fsPath);
      const from = await prepare(source);
      active.preparing = false;
      if (!this.disposed) this.#changed.fire();
      const options = JSON.parse(encode.settings) as string[];
      const facts = await this.#clips.encode(
        { path: from.path, options, label: encode.label },
        signal,
        (state) => {
          active.state = state;
          if (!this.disposed) this.#changed.fire();
        },
      );
      const file = vscode.Uri.file(facts.file);
      this.#clips.name(file, encode.label);
      active.file = file;
      const { outcome, record, error } = await this.#clips.assess(file, {
        priority: priorities.asked,
        fresh: false,
        closely: true,
      });
      if (outcome === 'cancelled' || signal.aborted) return { id, kind: 'cancelled' };
      if (!record || error) return { id, kind: 'failed', error: error ?? serialized(error) };
      const result = resultOf(document, encode, record, facts, from, {
        path: source.fsPath,
        size,
        mtime: mtimeMs,
      });
      await this.#results.add(document, [result]);
      return { id, kind: 'done', result };
    } catch (error) {
      if (OmniError.is(error, 'cancelled') || signal.aborted) return { id, kind: 'cancelled' };
      const failure = serialized(error);
      const { message, next, stderr } = failure;
      this.#clips.log.error(`${encode.label}: ${message} ${next}${stderr ? `\n${stderr}` : ''}`);
      return { id, kind: 'failed', error: failure };
    } finally {
      signal.removeEventListener('abort', stop);
      this.#active.delete(active);
      if (!this.disposed) this.#changed.fire();
    }
  }
}

function resultOf(
  document: vscode.Uri,
  encode: FileEncode,
  record: Assessment,
  { file, encoder, bytes, speed, metrics, problems, alignment }: EncodeFacts,
  from: EncodedSource,
  source: EncodeResult['source'],
): EncodeResult {
  const timeline = record.timeline.map(({ start, end, score }) => ({ start, end, mos: mosOf(score) }));
  const duration = record.video.duration ?? timeline.at(-1)?.end ?? 0;
  const picture = record.signals.frameBytes.reduce((sum, one) => sum + one, 0);
  const { start, end, score } = record.pooling.worst;
  return {
    id: encode.id,
    settings: encode.settings,
    label: encode.label,
    codec: encode.output.video?.codec ?? '',
    crf: encode.output.video?.crf ?? null,
    source,
    excerpt: excerptFacts(from, record),
    encoded: file,
    encoder,
    bytes,
    speed,
    model: settingsFor(document).model,
    weights: weightsOf(record.model),
    metrics,
    aligned: alignment === null,
    problems: alignment ? [...problems, alignment.message] : problems,
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
