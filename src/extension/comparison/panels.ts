import { createHash } from 'node:crypto';
import { basename, parse } from 'node:path';
import * as vscode from 'vscode';
import {
  comparisonCsv,
  comparisonHtml,
  comparisonJson,
  comparisonStyle,
  comparisonSvg,
} from '../../assessment/comparison_export.ts';
import {
  type ComparedEncode,
  type ComparisonHost,
  type ComparisonView,
  comparisonPage,
  comparisonViewProtocol,
} from '../../protocol/comparison_view.ts';
import { OmniError } from '../../protocol/errors.ts';
import { type Connection, connect } from '../../protocol/rpc.ts';
import type { Still } from '../../protocol/timeline.ts';
import { type Clips, untrusted } from '../clips.ts';
import { Owner } from '../disposables.ts';
import { Page } from '../page.ts';
import { type Timelines, webviewPort } from '../timelines.ts';
import type { EncodeResult, EncodeResults } from './results.ts';
import type { EncodeRuns } from './runs.ts';
import { excerptText, shareText } from './words.ts';

/** Parts that every comparison is made of. */
interface Parts {
  readonly clips: Clips;
  readonly timelines: Timelines;
  readonly results: EncodeResults;
  readonly runs: EncodeRuns;
}

/** The comparisons of documents' encodes as curves, a table and differences: one panel per document. */
export class ComparisonPanels extends Owner {
  readonly #parts: Parts;
  readonly #open = new Map<string, ComparisonPanel>();

  constructor(clips: Clips, timelines: Timelines, results: EncodeResults, runs: EncodeRuns) {
    super();
    this.#parts = { clips, timelines, results, runs };
    this.own(
      results.onDidChange((document) => {
        this.#open.get(document.toString())?.send();
      }),
    );
    this.own(
      runs.onDidChange(() => {
        for (const panel of this.#open.values()) panel.send();
      }),
    );
  }

  override dispose(): void {
    for (const panel of this.#open.values()) panel.dispose();
    super.dispose();
  }

  /** Shows a document's comparison beside it, the one that is open already where there is one. */
  show(document: vscode.Uri): void {
    const key = document.toString();
    const known = this.#open.get(key);
    if (known) {
      known.reveal();
      return;
    }
    this.#open.set(key, new ComparisonPanel(document, this.#parts, () => this.#open.delete(key)));
  }
}

class ComparisonPanel extends Owner {
  readonly #document: vscode.Uri;
  readonly #parts: Parts;
  readonly #panel: vscode.WebviewPanel;
  readonly #connection: Connection<ComparisonView>;

  constructor(document: vscode.Uri, parts: Parts, closed: () => void) {
    super();
    this.#document = document;
    this.#parts = parts;
    const views = vscode.Uri.joinPath(parts.clips.context.extensionUri, 'dist', 'webview');
    this.#panel = this.own(
      vscode.window.createWebviewPanel(
        'omnivqa.comparison',
        vscode.l10n.t('Comparison: {0}', basename(document.path)),
        { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
        { enableScripts: true, enableForms: false, localResourceRoots: [views] },
      ),
    );
    const { webview } = this.#panel;
    this.#connection = connect<ComparisonHost, ComparisonView>(webviewPort(webview), {
      version: comparisonViewProtocol,
      handlers: {
        cancel: () => parts.runs.cancel(document),
        export: (call) => this.#export(call),
        open: async ({ encode, time }) => {
          const result = this.#results().find(({ settings }) => settings === encode);
          if (result) await parts.timelines.show(vscode.Uri.file(result.encoded), { time, span: null });
        },
        frames: (_, { signal }) => parts.clips.request('frames', { path: this.#source() }, { signal }),
        pictures: ({ encode, times }, { signal }) => this.#pictures(encode, times, signal),
      },
      listeners: {},
      onPeer: () => this.send(),
      onProblem: (problem) => parts.clips.log.warn(`Comparison: ${problem}`),
    });
    this.own(new vscode.Disposable(() => this.#connection.dispose()));
    this.#panel.onDidDispose(() => {
      closed();
      this.dispose();
    });
    this.own(
      new Page(webview, (nonce) =>
        comparisonPage({
          script: webview.asWebviewUri(vscode.Uri.joinPath(views, 'comparison.js')).toString(),
          style: webview.asWebviewUri(vscode.Uri.joinPath(views, 'comparison.css')).toString(),
          source: webview.cspSource,
          nonce,
          language: vscode.env.language,
        }),
      ),
    );
  }

  /** The clip that the shown encodes are of. */
  #source(): string {
    if (!vscode.workspace.isTrusted) throw untrusted();
    const [first] = this.#results();
    return first?.excerpt?.path ?? first?.source.path ?? notMeasured();
  }

  async #pictures(
    encode: string | null,
    times: readonly [number, ...number[]],
    signal: AbortSignal,
  ): Promise<readonly (Still | null)[]> {
    const { clips } = this.#parts;
    const source = this.#source();
    if (encode === null) return clips.request('pictures', { source, encode, times }, { signal });
    const { encoded, label } = this.#results().find(({ settings }) => settings === encode) ?? notMeasured();
    try {
      return await clips.request('pictures', { source, encode: encoded, times }, { signal });
    } catch (error) {
      if (!OmniError.is(error, 'file_not_found') || error.detail.path !== encoded) throw error;
      throw new OmniError(
        'file_not_found',
        vscode.l10n.t('The encode {0} is not kept any more.', label),
        vscode.l10n.t('Compare again: it is made anew.'),
        { path: encoded },
      );
    }
  }

  /** What was measured, as a file where the user wants it. */
  async #export({
    format,
    metric,
    logarithmic,
  }: Parameters<ComparisonHost['requests']['export']>[0]): Promise<void> {
    const results = this.#results();
    const clip = results[0]?.source.path ?? notMeasured();
    const filters = {
      html: { [vscode.l10n.t('Report (HTML)')]: ['html'] },
      svg: { [vscode.l10n.t('Drawing (SVG)')]: ['svg'] },
      csv: { [vscode.l10n.t('Table (CSV)')]: ['csv'] },
      json: { [vscode.l10n.t('Measurements (JSON)')]: ['json'] },
    }[format];
    const target = await vscode.window.showSaveDialog({
      defaultUri: vscode.Uri.joinPath(this.#document, '..', `${parse(clip).name}.encodes.omnivqa.${format}`),
      filters,
      title: vscode.l10n.t('Export the comparison'),
    });
    if (!target) return;
    const comparison = { source: nameOf(results[0]) ?? basename(clip), encodes: results.map(exported) };
    const drawing = { metric, logarithmic };
    const text = {
      html: () => comparisonHtml(comparison, drawing, styleHash()),
      svg: () => comparisonSvg(comparison, drawing),
      csv: () => comparisonCsv(comparison),
      json: () => comparisonJson(comparison),
    }[format]();
    try {
      await vscode.workspace.fs.writeFile(target, Buffer.from(text));
    } catch (error) {
      throw new OmniError(
        'not_writable',
        vscode.l10n.t('{0} can not be written: {1}', basename(target.path), (error as Error).message),
        vscode.l10n.t('Choose another folder, or free some space.'),
        { path: target.fsPath },
        { cause: error },
      );
    }
  }

  reveal(): void {
    this.#panel.reveal(undefined, true);
  }

  /** The whole state, as the view shall show it. */
  send(): void {
    const running = this.#parts.runs.running(this.#document);
    const results = this.#results();
    const known = new Map(results.map((result) => [result.settings, measured(result)]));
    for (const { encode, state, job } of running) {
      known.set(encode.settings, {
        ...nothing,
        id: encode.settings,
        label: encode.label,
        codec: encode.output.video?.codec ?? '',
        state: job ? 'assessing' : state?.phase === 'waiting' ? 'waiting' : 'encoding',
        progress: (job ?? state)?.progress ?? null,
        eta: (job ?? state)?.eta ?? null,
      });
    }
    this.#connection.update('snapshot', {
      source: nameOf(results[0]) ?? basename(this.#document.path),
      note: noteOf(results),
      encodes: [...known.values()],
      now: Date.now(),
      error: null,
    });
  }

  /** Results that can be held against each other: those of the clip and model that were measured last. */
  #results(): readonly EncodeResult[] {
    const latest = this.#parts.results.latest(this.#document);
    return latest ? this.#parts.results.like(this.#document, latest) : [];
  }
}

/** What the compared encodes are of: "film.mp4", "film.mp4, 20 of 183 s". */
const nameOf = (result: EncodeResult | undefined): string | null =>
  result
    ? [basename(result.source.path), ...(result.excerpt ? [shareText(result.excerpt)] : [])].join(', ')
    : null;

/** What holds for the figures of all results: what part of the source they are of, with the largest of their errors. */
function noteOf(results: readonly EncodeResult[]): string | null {
  const excerpts = results.flatMap(({ excerpt }) => excerpt ?? []);
  const [worst] = excerpts.sort((a, b) => b.error - a.error);
  return worst ? excerptText(worst) : null;
}

/** A result with everything that is to be known of it away from the panel. */
const exported = (result: EncodeResult): ComparedEncode => {
  const { problems, ...one } = measured(result);
  return { ...one, problems: result.excerpt ? [excerptText(result.excerpt), ...problems] : problems };
};

const styleHash = () => `sha256-${createHash('sha256').update(comparisonStyle).digest('base64')}`;

const notMeasured = (): never => {
  throw new OmniError(
    'bad_usage',
    vscode.l10n.t('That encode was not measured, or its result was forgotten.'),
    vscode.l10n.t('Compare again.'),
  );
};

/** What is not known of an encode before it is measured. */
const nothing = {
  progress: null,
  eta: null,
  bytes: null,
  bitrate: null,
  speed: null,
  mos: null,
  vmaf: null,
  ssim: null,
  psnr: null,
  windows: [],
  madeAt: null,
  aligned: true,
  problems: [],
} satisfies Partial<ComparedEncode>;

const measured = (result: EncodeResult): ComparedEncode => ({
  ...nothing,
  id: result.settings,
  label: result.label,
  codec: result.codec,
  state: 'done',
  bytes: result.bytes,
  bitrate: result.bitrate,
  speed: result.speed,
  mos: result.mos,
  vmaf: result.metrics?.vmaf ?? null,
  ssim: result.metrics?.ssim ?? null,
  psnr: result.metrics?.psnr ?? null,
  windows: result.scores,
  madeAt: result.measuredAt,
  aligned: result.aligned,
  problems: result.problems,
});
