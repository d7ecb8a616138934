import * as vscode from 'vscode';
import { bitrateText } from '../../assessment/text.ts';
import type { EncodeResult, Stale } from './results.ts';

/** Bytes in the unit a person would use: "11 MB". */
export function bytesText(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(bytes < 10e6 ? 1 : 0)} MB`;
  return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
}

/** "MOS 3.8 · 2.4 Mb/s · 11 MB · 1.8× real time"; of an excerpt "MOS 3.8 ±0.1 · 2.4 Mb/s · 1.8× real time · 20 of 183 s" */
export const resultText = ({ mos, bitrate, bytes, speed, aligned, excerpt }: EncodeResult): string =>
  [
    `MOS ${mos.toFixed(1)}${excerpt ? ` ±${excerpt.error.toFixed(1)}` : ''}`,
    bitrateText(bitrate),
    ...(excerpt ? [] : [bytesText(bytes)]),
    ...(speed === null ? [] : [speedText(speed)]),
    ...(excerpt ? [shareText(excerpt)] : []),
    ...(aligned ? [] : [vscode.l10n.t('not frame for frame its source')]),
  ].join(' · ');

type Excerpt = NonNullable<EncodeResult['excerpt']>;

/** How much of a source an excerpt is: "20 of 183 s" */
export const shareText = ({ seconds, duration }: Excerpt): string =>
  vscode.l10n.t('{0} of {1} s', Number(seconds.toFixed(1)), Math.round(duration));

/** What figures of an excerpt are worth. */
export const excerptText = (excerpt: Excerpt): string =>
  vscode.l10n.t(
    '{0} of the source were encoded, chosen by its scenes. A MOS may differ by ±{1} from that of the whole.',
    shareText(excerpt),
    excerpt.error.toFixed(2),
  );

/** "1.8× real time" */
export const speedText = (speed: number): string =>
  vscode.l10n.t('{0}× real time', speed.toFixed(speed < 10 ? 1 : 0));

/** Why a result may not hold any more: "settings changed". */
export function staleText(stale: Stale): string {
  if (stale === 'settings') return vscode.l10n.t('settings changed');
  if (stale === 'source') return vscode.l10n.t('source changed');
  return vscode.l10n.t('another model');
}

/** How long ago something was: "5 min ago". */
export function ageText(then: number, now = Date.now()): string {
  const minutes = Math.floor(Math.max(0, now - then) / 60_000);
  if (minutes < 1) return vscode.l10n.t('just now');
  if (minutes < 60) return vscode.l10n.t('{0} min ago', minutes);
  if (minutes < 48 * 60) return vscode.l10n.t('{0} h ago', Math.floor(minutes / 60));
  return vscode.l10n.t('{0} days ago', Math.floor(minutes / 1440));
}
