import * as vscode from 'vscode';
import { bitrateText, clock } from '../../assessment/text.ts';
import type { FileEncode } from '../../comparison/encodes.ts';
import type { Clips } from '../clips.ts';
import { Owner } from '../disposables.ts';
import { settingsFor } from '../settings.ts';
import { spanText } from '../words.ts';
import { type EncodeDocuments, rangeOf, selector } from './documents.ts';
import { isShown } from './lenses.ts';
import type { EncodeResults, KnownResult } from './results.ts';
import { sparkline } from './sparkline.ts';
import { ageText, bytesText, excerptText, speedText, staleText } from './words.ts';

/** Width of the picture in a hover, px. */
const pictureWidth = 200;
const mostShown = 4;

/** Over a command or rung: the figures, the course of the quality, the worst moment and a picture of it. */
export class EncodeHovers extends Owner implements vscode.HoverProvider {
  readonly #documents: EncodeDocuments;
  readonly #results: EncodeResults;
  readonly #clips: Clips;

  constructor(documents: EncodeDocuments, results: EncodeResults, clips: Clips) {
    super();
    this.#documents = documents;
    this.#results = results;
    this.#clips = clips;
    this.own(vscode.languages.registerHoverProvider(selector, this));
  }

  async provideHover(
    document: vscode.TextDocument,
    position: vscode.Position,
    token: vscode.CancellationToken,
  ): Promise<vscode.Hover | null> {
    // A document that nothing is known of is not read for this.
    if (!isShown(document.uri) || !this.#results.has(document.uri)) return null;
    const { encodes } = await this.#documents.of(document);
    const offset = document.offsetAt(position);
    // The result stands at the end of the first line: whoever points at it means this encode.
    const here = encodes.filter((one) => {
      const { line } = document.positionAt(one.start);
      return (one.start <= offset && offset <= one.end) || line === position.line;
    });
    const parts: vscode.MarkdownString[] = [];
    let range: vscode.Range | undefined;
    for (const encode of here.slice(0, mostShown)) {
      const known = await this.#results.of(document.uri, encode);
      if (!known || token.isCancellationRequested) continue;
      parts.push(await this.#describe(document.uri, encode, known));
      range = rangeOf(document, encode);
    }
    return parts.length > 0 ? new vscode.Hover(parts, range) : null;
  }

  async #describe(
    document: vscode.Uri,
    encode: FileEncode,
    { result, stale }: KnownResult,
  ): Promise<vscode.MarkdownString> {
    const target = encode.targetMos ?? settingsFor(document).threshold;
    const text = new vscode.MarkdownString('', true);
    text.isTrusted = { enabledCommands: ['omnivqa.encodes.assess', 'omnivqa.encodes.show'] };
    const age = [ageText(result.measuredAt), ...(stale ? [staleText(stale)] : [])].join(' · ');
    text.appendMarkdown(`**${plain(result.label)}** · ${age}\n\n`);
    const rows: [string, string][] = [
      [
        vscode.l10n.t('Quality'),
        `MOS ${result.mos.toFixed(2)}${result.excerpt ? ` ±${result.excerpt.error.toFixed(2)}` : ''}` +
          (target === null ? '' : ` (${vscode.l10n.t('target {0}', target.toFixed(1))})`),
      ],
      [
        vscode.l10n.t('Size'),
        [bitrateText(result.bitrate), ...(result.excerpt ? [] : [bytesText(result.bytes)])].join(', '),
      ],
      ...(result.speed === null
        ? []
        : [[vscode.l10n.t('Encoding'), speedText(result.speed)] satisfies [string, string]]),
      [vscode.l10n.t('Worst'), `MOS ${result.worst.mos.toFixed(2)}, ${spanText(result.worst)}`],
    ];
    text.appendMarkdown('| | |\n|---|---|\n');
    for (const [name, value] of rows) text.appendMarkdown(`| ${name} | ${plain(value)} |\n`);
    const svg = sparkline(result.scores, result.worst, target);
    text.appendMarkdown(
      `\n![${vscode.l10n.t('Quality by time')}](data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')})\n\n`,
    );
    const picture = await this.#worstPicture(result);
    if (picture) {
      text.appendMarkdown(
        `![${vscode.l10n.t('Worst moment, at {0}', clock(result.worst.start))}](${picture})\n\n`,
      );
    }
    const left = encode.problems.filter(({ code }) => code === 'option_ignored' || code === 'filter_ignored');
    if (result.excerpt) text.appendMarkdown(`$(info) ${plain(excerptText(result.excerpt))}\n\n`);
    for (const problem of result.problems.slice(0, 5))
      text.appendMarkdown(`$(warning) ${plain(problem)}\n\n`);
    for (const { message } of left.slice(0, 5)) text.appendMarkdown(`$(info) ${plain(message)}\n\n`);
    const link = (title: string, command: string) => {
      const args = encodeURIComponent(JSON.stringify([document.toString(), [encode.id]]));
      return `[${title}](command:${command}?${args})`;
    };
    const links = [
      link(vscode.l10n.t('Open the timeline'), 'omnivqa.encodes.show'),
      ...(vscode.workspace.isTrusted ? [link(vscode.l10n.t('Assess again'), 'omnivqa.encodes.assess')] : []),
    ];
    return text.appendMarkdown(links.join(' · '));
  }

  /** The middle of the worst moment as the encode shows it, where it is still there. */
  async #worstPicture({ encoded, worst }: KnownResult['result']): Promise<string | null> {
    if (!vscode.workspace.isTrusted) return null;
    const time = (worst.start + worst.end) / 2;
    const still = await this.#clips
      .request('still', { path: encoded, time, width: pictureWidth })
      .catch(() => null);
    return still && `data:${still.mime};base64,${Buffer.from(still.bytes).toString('base64')}`;
  }
}

/** Text of a file as Markdown that is nothing but this text, on one line. */
const plain = (text: string): string => text.replace(/\s+/g, ' ').replace(/[\\`*_{}[\]()#+!|<>&~$]/g, '\\$&');
