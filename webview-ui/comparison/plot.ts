import type { ComparedEncode } from '../../src/protocol/comparison_view.ts';

export interface WindowDifference {
  readonly start: number;
  readonly end: number;
  /** Quality of the second minus that of the first, MOS. */
  readonly difference: number;
}

/**
 * How the quality of two encodes differs over the time that both have, cut where either has a boundary; nowhere, where one
 * of them does not show the frames of the source.
 */
export function windowDifferences(first: ComparedEncode, second: ComparedEncode): WindowDifference[] {
  if (!first.aligned || !second.aligned) return [];
  const differences: WindowDifference[] = [];
  let [i, j] = [0, 0];
  while (i < first.windows.length && j < second.windows.length) {
    const [a, b] = [first.windows[i]!, second.windows[j]!];
    const start = Math.max(a.start, b.start);
    const end = Math.min(a.end, b.end);
    if (end > start) differences.push({ start, end, difference: b.mos - a.mos });
    if (a.end <= b.end) i += 1;
    if (b.end <= a.end) j += 1;
  }
  return differences;
}

/** The window where an encode is worst; null before the first is measured. */
export const worstOf = ({ windows }: ComparedEncode) =>
  windows.reduce<(typeof windows)[number] | null>(
    (worst, one) => (worst === null || one.mos < worst.mos ? one : worst),
    null,
  );
