/** An answer's text cut at the borders of what is marked in it, so that every piece is one thing to show. */
import { printableLines } from '../../src/assessment/text.ts';
import { type AnswerClaim, longestAnswer } from '../../src/protocol/chat.ts';
import type { AnswerLink, ChatTurn, TextRange } from '../../src/protocol/chat_view.ts';

export interface Piece {
  /** Fit to show: control characters and marks that turn text around are written out. */
  readonly text: string;
  readonly link: AnswerLink | null;
}

/** Pieces that one claim covers, or none does. */
export interface Passage {
  readonly claim: AnswerClaim | null;
  readonly pieces: readonly Piece[];
}

/** Ranges in order within `0..length`, without those that are empty or begin inside an earlier one. */
function tidy<T extends TextRange>(ranges: readonly T[], length: number): T[] {
  const kept: T[] = [];
  let end = 0;
  for (const range of ranges.toSorted((a, b) => a.from - b.from)) {
    const whole = Number.isInteger(range.from) && Number.isInteger(range.to);
    if (!whole || range.from < end || range.to <= range.from || range.to > length) continue;
    kept.push(range);
    end = range.to;
  }
  return kept;
}

/** The passages of an answer, in order; together they are its text, cut at {@link longestAnswer}. */
export function passagesOf({
  text: whole,
  links,
  claims,
}: Pick<ChatTurn, 'text' | 'links' | 'claims'>): Passage[] {
  const text = whole.slice(0, longestAnswer);
  const places = tidy(links, text.length);
  const said = tidy(claims, text.length);
  const piecesOf = (from: number, to: number): Piece[] => {
    const pieces: Piece[] = [];
    let at = from;
    // A link that crosses the border of a claim belongs to the passage that it begins in.
    for (const link of places.filter((one) => one.from >= from && one.from < to)) {
      if (link.from > at) pieces.push({ text: printableLines(text.slice(at, link.from)), link: null });
      at = Math.min(link.to, to);
      pieces.push({ text: printableLines(text.slice(link.from, at)), link });
    }
    if (at < to) pieces.push({ text: printableLines(text.slice(at, to)), link: null });
    return pieces;
  };
  const passages: Passage[] = [];
  let at = 0;
  for (const claim of said) {
    if (claim.from > at) passages.push({ claim: null, pieces: piecesOf(at, claim.from) });
    passages.push({ claim, pieces: piecesOf(claim.from, claim.to) });
    at = claim.to;
  }
  if (at < text.length) passages.push({ claim: null, pieces: piecesOf(at, text.length) });
  return passages;
}
