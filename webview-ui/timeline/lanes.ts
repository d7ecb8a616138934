/** The bars of one lane: what lies too close together to be told apart becomes one bar that zooms in. */

import type { Severity } from '../../src/assessment/vocabulary.ts';
import type { Span } from '../../src/protocol/timeline.ts';
import type { Moment } from './model.ts';
import { severityNames } from './model.ts';

export interface Bar {
  readonly moments: readonly Moment[];
  readonly start: number;
  readonly end: number;
  /** Place in the lane, CSS pixels. */
  readonly left: number;
  readonly width: number;
  /** Row of this bar and how many share the lane's height with it. */
  readonly row: number;
  readonly rows: number;
  /** The worst of its moments. */
  readonly rank: 1 | 2 | 3;
  readonly worst: Severity;
}

/** Narrower bars could not be hit, CSS pixels. */
const leastWidth = 6;
/** More controls than this in one lane would be neither told apart nor moved 60 times a second. */
const mostBars = 48;

interface Group {
  readonly moments: Moment[];
  readonly start: number;
  end: number;
  readonly left: number;
  right: number;
  readonly row: number;
}

/** Joins neighbours of a row that are closer than `gap` pixels and not wide enough to stand alone. */
function group(moments: readonly Moment[], range: Span, scale: number, gap: number): Group[] {
  const groups: Group[] = [];
  const last = new Map<number, Group>();
  const alone = Math.max(14, 2 * gap);
  // A row of many stays a row of many bars: each says where to zoom in.
  const widest = Math.max(24, 4 * gap);
  for (const moment of moments) {
    const left = (moment.start - range.start) * scale;
    const right = Math.max(left + leastWidth, (moment.end - range.start) * scale);
    const before = last.get(moment.row);
    if (before && left < before.right + gap && right - left < alone && right - before.left < widest) {
      before.moments.push(moment);
      before.end = Math.max(before.end, moment.end);
      before.right = Math.max(before.right, right);
    } else {
      const one = { moments: [moment], start: moment.start, end: moment.end, left, right, row: moment.row };
      groups.push(one);
      last.set(moment.row, one);
    }
  }
  return groups;
}

/**
 * The bars of `moments` (by start) that are visible in `range` on a lane `width` pixels wide. About
 * {@link mostBars} at most, whatever the number of moments.
 */
export function barsOf(moments: readonly Moment[], range: Span, width: number): Bar[] {
  const scale = width / (range.end - range.start);
  const rows = 1 + moments.reduce((most, { row }) => Math.max(most, row), 0);
  const visible = moments.filter(({ start, end }) => start < range.end && end > range.start);
  let groups = group(visible, range, scale, 1);
  for (let gap = 4; groups.length > mostBars && gap < width; gap *= 2) {
    groups = group(visible, range, scale, gap);
  }
  return groups.map(({ moments: inside, start, end, left, right, row }): Bar => {
    const rank = inside.reduce<number>((most, one) => Math.max(most, one.rank), 1) as 1 | 2 | 3;
    return {
      moments: inside,
      start,
      end,
      left,
      width: right - left,
      row,
      rows,
      rank,
      worst: severityNames[rank - 1] as Severity,
    };
  });
}
