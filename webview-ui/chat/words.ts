/** What the view says, apart from what the model does. */
import { printable } from '../../src/assessment/text.ts';
import type { ChatSubject, ChatTurn } from '../../src/protocol/chat_view.ts';

/** Seconds with the fewest decimals that tell frames apart: `3.0`, `12.48`. */
export const seconds = (time: number): string =>
  Math.abs(time * 10 - Math.round(time * 10)) < 1e-6 ? time.toFixed(1) : time.toFixed(2);

/** "3.0–5.0 s", "Blur, 3.0–5.0 s", "Noise". `clip`: its name, where there are several. */
export function subjectText({ span, type }: ChatSubject, clip: string): string {
  const parts = [
    type === null ? '' : printable(type.charAt(0).toUpperCase() + type.slice(1)),
    span === null ? '' : `${seconds(span.start)}–${seconds(span.end)} s`,
    printable(clip),
  ].filter(Boolean);
  return parts.join(', ') || 'the whole clip';
}

/** What stands beside the icon of a claim that the record contradicts. */
export const contradictionMark = 'The record says otherwise';

/** Where an answer stands, for those who can not see it grow. */
export function stateText({ state, text, error }: ChatTurn): string {
  if (state === 'failed') return `No answer. ${error?.message ?? ''}`;
  if (state === 'stopped') return 'Stopped.';
  return state === 'complete' ? printable(text.slice(0, 400)) : 'Answering.';
}

/** "87 %"; what is not quite certain is not rounded to certainty. */
export function percent(share: number): string {
  if (share > 0 && share < 0.005) return '< 1 %';
  if (share < 1 && share > 0.995) return '> 99 %';
  return `${Math.round(Math.min(1, Math.max(0, share)) * 100)} %`;
}
