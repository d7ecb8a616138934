import * as vscode from 'vscode';
import type { FileEncode } from '../../comparison/encodes.ts';
import { qualityScales, type SearchResult } from '../../comparison/search.ts';
import { askText, pickSeveral } from '../asking.ts';
import type { Clips } from '../clips.ts';
import type { Command } from '../commands.ts';
import { Owner } from '../disposables.ts';
import type { Timelines } from '../timelines.ts';
import { EncodeDocuments, isRead, rangeOf } from './documents.ts';
import { EncodeHints } from './hints.ts';
import { EncodeHovers } from './hovers.ts';
import { LadderTests } from './ladder_tests.ts';
import { EncodeLenses } from './lenses.ts';
import { ComparisonPanels } from './panels.ts';
import { EncodeProblems, targetOf } from './problems.ts';
import { EncodeResults } from './results.ts';
import { type EncodeOutcome, EncodeRuns } from './runs.ts';
import { Sources } from './sources.ts';
import { resultText, staleText } from './words.ts';

/** The encodes of commands and ladders: found in documents, assessed on command, shown where they are written. */
export class Comparison extends Owner {
  readonly #clips: Clips;
  readonly #timelines: Timelines;
  readonly #documents = new EncodeDocuments();
  readonly #sources: Sources;
  readonly #results: EncodeResults;
  readonly #runs: EncodeRuns;
  readonly #panels: ComparisonPanels;

  constructor(clips: Clips, timelines: Timelines) {
    super();
    this.#clips = clips;
    this.#timelines = timelines;
    const { workspaceState } = clips.context;
    this.#sources = new Sources(workspaceState);
    this.#results = this.own(new EncodeResults(workspaceState));
    this.#runs = this.own(new EncodeRuns(clips, this.#sources, this.#results));
    this.#panels = this.own(new ComparisonPanels(clips, timelines, this.#results, this.#runs));
    this.own(new EncodeLenses(this.#documents, this.#results, this.#runs));
    this.own(new EncodeHints(this.#documents, this.#results));
    this.own(new EncodeHovers(this.#documents, this.#results, clips));
    this.own(new EncodeProblems(this.#documents, this.#results));
    this.own(new LadderTests(this.#documents, this.#runs));
  }

  /** What the user can call, by identifier. */
  commands(): Record<string, Command> {
    return {
      'omnivqa.encodes.assess': async (clicked, ids) => {
        const { document, encodes } = await this.#meant(clicked, ids);
        return this.#run(document, encodes);
      },
      'omnivqa.encodes.compareWith': async (clicked, ids) => {
        const { document, encodes, all } = await this.#meant(clicked, ids);
        if (!document || encodes.length === 0) return this.#run(document, encodes);
        const others = await this.#chooseOthers(document, encodes, all);
        if (!others) return undefined;
        this.#panels.show(document);
        return this.#run(document, [...encodes, ...others]);
      },
      'omnivqa.encodes.compareAll': async (clicked) => {
        const { document, all } = await this.#meant(clicked, []);
        if (document && all.length > 1) this.#panels.show(document);
        return this.#run(document, all);
      },
      'omnivqa.encodes.findCrf': async (clicked, ids, target) => {
        const { document, encodes } = await this.#meant(clicked, ids);
        return this.#findCrf(document, encodes, typeof target === 'number' ? target : null);
      },
      'omnivqa.encodes.chooseSource': async (clicked) => {
        const { document } = await this.#meant(clicked, []);
        if (document) await this.#sources.choose(document, true, null);
      },
      'omnivqa.encodes.show': async (clicked, ids) => {
        const { document, encodes } = await this.#meant(clicked, ids);
        const known = document && encodes[0] && (await this.#results.of(document, encodes[0]));
        if (!known) return;
        const { encoded, worst } = known.result;
        await this.#timelines.show(vscode.Uri.file(encoded), { time: worst.start, span: worst });
      },
      'omnivqa.encodes.plot': async (clicked) => {
        const { document } = await this.#meant(clicked, []);
        if (document) this.#panels.show(document);
      },
      'omnivqa.encodes.cancel': async (clicked) => {
        const { document } = await this.#meant(clicked, []);
        this.#runs.cancel(document);
      },
      'omnivqa.encodes.forget': async (clicked) => {
        const { document } = await this.#meant(clicked, []);
        if (document) await this.#results.clear(document);
      },
    };
  }

  /** The encodes that a command was called on: a lens names them, from the palette it is those at the cursor. */
  async #meant(
    clicked: unknown,
    ids: unknown,
  ): Promise<{ document: vscode.Uri | null; encodes: readonly FileEncode[]; all: readonly FileEncode[] }> {
    const named = typeof clicked === 'string' ? vscode.Uri.parse(clicked, true) : clicked;
    const editor = vscode.window.activeTextEditor;
    const uri = named instanceof vscode.Uri ? named : editor?.document.uri;
    if (!uri) return { document: null, encodes: [], all: [] };
    const document = await vscode.workspace.openTextDocument(uri);
    const all = isRead(document) ? (await this.#documents.of(document)).encodes : [];
    if (Array.isArray(ids)) return { document: uri, encodes: all.filter(({ id }) => ids.includes(id)), all };
    const line = editor?.document === document ? editor.selection.active.line : -1;
    const encodes = all.filter(
      ({ start, end }) => document.positionAt(start).line <= line && line <= document.positionAt(end).line,
    );
    return { document: uri, encodes, all };
  }

  /**
   * Searches the highest CRF of the first of these that has one, and offers to write it where the encode is written.
   *
   * @param asked MOS to reach; null: the user is asked.
   */
  async #findCrf(
    document: vscode.Uri | null,
    encodes: readonly FileEncode[],
    asked: number | null,
  ): Promise<SearchResult | undefined> {
    const encode = encodes.find(({ crfSearch }) => crfSearch);
    if (!document || !encode) {
      void vscode.window.showInformationMessage(
        vscode.l10n.t(
          'There is no CRF to search here: put the cursor into a command or rung that encodes with {0} and a CRF.',
          Object.keys(qualityScales).join(', '),
        ),
      );
      return undefined;
    }
    const target = asked ?? (await askTarget(targetOf(document, encode)));
    if (target === null) return undefined;
    const found = await this.#runs.search(document, encode, target);
    if (!found) return undefined;
    const { crf, steps } = found;
    const measured = vscode.l10n.t('{0} encodes were measured.', steps.length);
    const plot = vscode.l10n.t('Show the Comparison');
    const say = (text: string, ...actions: string[]) =>
      vscode.window.showInformationMessage(`${encode.label}: ${text} ${measured}`, ...actions, plot);
    const act = async () => {
      if (crf === null) {
        const best = steps.reduce((a, b) => (b.mos > a.mos ? b : a));
        return say(
          vscode.l10n.t(
            'no CRF reaches MOS {0}; crf {1} has {2}.',
            target.toFixed(1),
            best.crf,
            best.mos.toFixed(2),
          ),
        );
      }
      const { mos } = steps.find((step) => step.crf === crf)!;
      const write = vscode.l10n.t('Write crf {0}', crf);
      const different = encode.crfRange !== null && crf !== encode.output.video?.crf;
      const text = vscode.l10n.t(
        'crf {0} is the highest that reaches MOS {1}: it has {2}.',
        crf,
        target.toFixed(1),
        mos.toFixed(2),
      );
      const answer = await say(text, ...(different ? [write] : []));
      if (answer === write) await this.#writeCrf(document, encode.id, crf);
      return answer;
    };
    void act().then((answer) => answer === plot && this.#panels.show(document));
    return found;
  }

  /** Writes a CRF where an encode has one now: the file may have been edited while it was searched. */
  async #writeCrf(uri: vscode.Uri, id: string, crf: number): Promise<void> {
    const document = await vscode.workspace.openTextDocument(uri);
    const { encodes } = await this.#documents.of(document);
    const range = encodes.find((one) => one.id === id)?.crfRange;
    if (!range) {
      void vscode.window.showWarningMessage(
        vscode.l10n.t('That encode is not there any more, or has no CRF now. Write crf {0} yourself.', crf),
      );
      return;
    }
    const edit = new vscode.WorkspaceEdit();
    edit.replace(uri, rangeOf(document, range), String(crf));
    await vscode.workspace.applyEdit(edit);
  }

  async #run(
    document: vscode.Uri | null,
    encodes: readonly FileEncode[],
  ): Promise<readonly EncodeOutcome[] | undefined> {
    if (!document || encodes.length === 0) {
      void vscode.window.showInformationMessage(
        vscode.l10n.t(
          'There is no encode here: put the cursor into a command that encodes a video, or a rung of a ladder.',
        ),
      );
      return undefined;
    }
    const outcomes = await this.#runs.run(document, encodes);
    const labels = (kind: EncodeOutcome['kind']) => {
      const ids = new Set(outcomes.filter((one) => one.kind === kind).map(({ id }) => id));
      const some = encodes.filter(({ id }) => ids.has(id)).map(({ label }) => label);
      return [...some.slice(0, 3), ...(some.length > 3 ? ['…'] : [])].join('; ');
    };
    const failed = outcomes.find((one) => one.kind === 'failed');
    if (failed) {
      const show = vscode.l10n.t('Show Log');
      void vscode.window
        .showErrorMessage(`${labels('failed')}: ${failed.error.message} ${failed.error.next}`, show)
        .then((answer) => answer === show && this.#clips.log.show());
    }
    return outcomes;
  }

  async #chooseOthers(
    document: vscode.Uri,
    chosen: readonly FileEncode[],
    all: readonly FileEncode[],
  ): Promise<readonly FileEncode[] | null> {
    const others = all.filter((one) => !chosen.includes(one));
    const items = await Promise.all(
      others.map(async (encode) => {
        const known = await this.#results.of(document, encode);
        const stale = known?.stale;
        return {
          label: encode.label,
          description: known ? (stale ? staleText(stale) : resultText(known.result)) : '',
          encode,
        };
      }),
    );
    const picked = await pickSeveral(items, {
      matchOnDescription: true,
      title: vscode.l10n.t('Compare {0} with…', chosen.map(({ label }) => label).join(', ')),
    });
    return picked && picked.length > 0 ? picked.map(({ encode }) => encode) : null;
  }
}

/** Asks for the MOS to reach; null: the user gave up. */
async function askTarget(usual: number | null): Promise<number | null> {
  const typed = await askText({
    title: vscode.l10n.t('Find the highest CRF that reaches a MOS'),
    prompt: vscode.l10n.t('The MOS to reach, more than 1 and at most 5'),
    value: String(usual ?? 4),
    validateInput: (text) =>
      targetIn(text) === null
        ? vscode.l10n.t('Write a number that is more than 1 and at most 5, as 4.0.')
        : undefined,
  });
  return typed === undefined ? null : targetIn(typed);
}

function targetIn(text: string): number | null {
  const value = Number(text.trim().replace(',', '.'));
  return text.trim() !== '' && value > 1 && value <= 5 ? value : null;
}
