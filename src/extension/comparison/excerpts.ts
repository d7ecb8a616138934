import * as vscode from 'vscode';
import { mosOf } from '../../assessment/pooling.ts';
import type { Assessment } from '../../assessment/record.ts';
import { excerptError, representativeParts, standardDeviation } from '../../comparison/excerpts.ts';
import { OmniError } from '../../protocol/errors.ts';
import { reviveError } from '../../protocol/rpc.ts';
import { type Clips, priorities, serialized } from '../clips.ts';
import { settingsFor } from '../settings.ts';
import type { EncodeResult } from './results.ts';

/** A clip to encode in place of a source: parts of it, or itself. */
export interface EncodedSource {
  /** What is encoded. */
  readonly path: string;
  /** null: the whole. */
  readonly excerpt: {
    /** Of the parts together, and of the source, s. */
    readonly seconds: number;
    readonly duration: number;
    /** The source's own MOS there and as a whole. */
    readonly excerpt: { readonly mos: number; readonly windows: number };
    readonly whole: { readonly mos: number; readonly windows: number };
  } | null;
}

/**
 * What is encoded of a source: all of it, or, with `omnivqa.encodes.excerpt`, parts of so many seconds that its scenes
 * choose. For these the whole source is assessed first: that tells the scenes, and by how much the parts differ.
 *
 * @throws OmniError `cancelled`; what assessing and cutting fail with.
 */
export async function encodedSource(
  clips: Clips,
  document: vscode.Uri,
  source: vscode.Uri,
  signal: AbortSignal,
): Promise<EncodedSource> {
  const seconds = settingsFor(document).excerpt;
  if (seconds === null) return { path: source.fsPath, excerpt: null };
  const whole = await recordOf(clips, source, true, signal);
  const duration = whole.video.duration ?? whole.timeline.at(-1)?.end ?? 0;
  if (seconds >= duration) return { path: source.fsPath, excerpt: null };
  const chosen = representativeParts(duration, whole.signals.sceneCuts, seconds);
  const { file, parts } = await clips.request('cut', { path: source.fsPath, parts: chosen }, { signal });
  const cut = vscode.Uri.file(file);
  clips.name(cut, vscode.l10n.t('Excerpt of {0}', clips.nameOf(source)));
  const part = await recordOf(clips, cut, false, signal);
  const figures = ({ mos, timeline }: Assessment) => ({ mos, windows: timeline.length });
  return {
    path: file,
    excerpt: {
      seconds: parts.reduce((sum, { start, end }) => sum + end - start, 0),
      duration,
      excerpt: figures(part),
      whole: figures(whole),
    },
  };
}

/**
 * What a result says of the excerpt that it is of, with the error of its MOS.
 *
 * @param record the encode's
 */
export const excerptFacts = (
  { path, excerpt }: EncodedSource,
  record: Assessment,
): NonNullable<EncodeResult['excerpt']> | null =>
  excerpt && {
    path,
    seconds: excerpt.seconds,
    duration: excerpt.duration,
    error: excerptError(excerpt, [standardDeviation(record.timeline.map(({ score }) => mosOf(score)))]).error,
  };

async function recordOf(
  clips: Clips,
  clip: vscode.Uri,
  listed: boolean,
  signal: AbortSignal,
): Promise<Assessment> {
  signal.throwIfAborted();
  const stop = () => void clips.cancel(clip);
  signal.addEventListener('abort', stop);
  try {
    const { outcome, record, error } = await clips.assess(clip, {
      priority: priorities.asked,
      fresh: false,
      listed,
    });
    if (outcome === 'cancelled' || signal.aborted) {
      throw new OmniError(
        'cancelled',
        vscode.l10n.t('The comparison was cancelled.'),
        vscode.l10n.t('Start it again: what is finished is kept.'),
      );
    }
    if (!record || error) throw reviveError(error ?? serialized(error));
    return record;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
