import { namedPlaces, namedTimes, namedTypes, timeIn } from '../assessment/mentions.ts';
import type { AnswerPart } from '../protocol/chat.ts';
import type { Region, Span } from '../protocol/timeline.ts';

/** Times that one answer links at most. */
const mostLinks = 200;

/** The part of the frame that words name; null for all of it. */
function regionOf(words: string): Region | null {
  const [place] = namedPlaces(words);
  if (!place || (place.value.horizontal === null && place.value.vertical === null)) return null;
  const { horizontal, vertical } = place.value;
  const at = (low: boolean, high: boolean) => (low ? 0 : high ? 0.5 : 0.25);
  return {
    x: horizontal === null ? 0 : at(horizontal === 'left', horizontal === 'right'),
    y: vertical === null ? 0 : at(vertical === 'upper', vertical === 'lower'),
    width: horizontal === null ? 1 : 0.5,
    height: vertical === null ? 1 : 0.5,
  };
}

/**
 * A written answer's text with its times as links to their place in the clip; the place and the type are those of the
 * sentence. Times outside of what was looked at stay text.
 */
export function linkTimes(text: string, path: string, { end }: Span): AnswerPart[] {
  const parts: AnswerPart[] = [];
  let at = 0;
  for (const { from, to, value } of namedTimes(text).slice(0, mostLinks)) {
    const span = timeIn(value, end);
    if (!span) continue;
    const before = Math.max(text.lastIndexOf('. ', from), text.lastIndexOf('\n', from)) + 1;
    const after = text.slice(to).search(/[.!?](?:\s|$)|\n/);
    const sentence = text.slice(before, after < 0 ? undefined : to + after);
    if (from > at) parts.push({ text: text.slice(at, from), target: null });
    const [type] = namedTypes(sentence);
    parts.push({
      text: text.slice(from, to),
      target: { path, span, region: regionOf(sentence), type: type?.value ?? null },
    });
    at = to;
  }
  if (at < text.length) parts.push({ text: text.slice(at), target: null });
  return parts;
}
