import * as vscode from 'vscode';
import { clock } from '../assessment/text.ts';
import type { EncodeState } from '../protocol/engine.ts';
import type { JobState } from '../protocol/timeline.ts';
import type { Moment } from './summary.ts';

/** Names of distortions and severities in the user's language. */
const kinds: Record<string, () => string> = {
  blur: () => vscode.l10n.t('Blur'),
  noise: () => vscode.l10n.t('Noise'),
  overexposure: () => vscode.l10n.t('Overexposure'),
  underexposure: () => vscode.l10n.t('Underexposure'),
  compression: () => vscode.l10n.t('Compression'),
  stutter: () => vscode.l10n.t('Stutter'),
  quality: () => vscode.l10n.t('Lowest quality'),
};
const severityNames: Record<string, () => string> = {
  noticeable: () => vscode.l10n.t('noticeable'),
  'relatively severe': () => vscode.l10n.t('relatively severe'),
  severe: () => vscode.l10n.t('severe'),
};

/** "Blur, severe". */
export function momentName({ kind, severity }: Moment): string {
  const name = kinds[kind]?.() ?? kind;
  return severity ? `${name}, ${severityNames[severity]?.() ?? severity}` : name;
}

/** "0:03–0:05". */
export const spanText = ({ start, end }: { readonly start: number; readonly end: number }): string =>
  `${clock(start)}–${clock(end)}`;

/** "MOS 3.42". */
export const mosText = (mos: number): string => `MOS ${mos.toFixed(2)}`;

/** Where a job stands: "45 %, 3 s left". */
export function jobText(state: JobState): string {
  if (state.phase === 'queued') return vscode.l10n.t('waiting');
  if (state.phase === 'starting') return vscode.l10n.t('starting');
  if (state.refining && state.phase === 'running') return vscode.l10n.t('refining the worst moments');
  if (state.phase === 'cancelling') return vscode.l10n.t('cancelling');
  const parts: string[] = [];
  if (state.progress !== null) parts.push(`${Math.floor(state.progress * 100)} %`);
  if (state.eta !== null) parts.push(vscode.l10n.t('{0} left', durationText(state.eta)));
  return parts.join(', ') || vscode.l10n.t('running');
}

/** Where an encode stands: "encoding 45 %, 3 s left". */
export function encodeText(state: EncodeState): string {
  if (state.phase === 'waiting') return vscode.l10n.t('waiting');
  if (state.phase === 'measuring') return vscode.l10n.t('comparing with the source');
  const parts = [vscode.l10n.t('encoding')];
  if (state.progress) parts[0] += ` ${Math.floor(state.progress * 100)} %`;
  if (state.eta !== null) parts.push(vscode.l10n.t('{0} left', durationText(state.eta)));
  return parts.join(', ');
}

/** A stretch of time in the unit a person would use: "3 s". */
export function durationText(seconds: number): string {
  if (seconds < 90) return vscode.l10n.t('{0} s', Math.max(1, Math.round(seconds)));
  if (seconds < 5400) return vscode.l10n.t('{0} min', Math.round(seconds / 60));
  return vscode.l10n.t('{0} h', (seconds / 3600).toFixed(1));
}
