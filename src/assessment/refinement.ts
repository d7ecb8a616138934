/** Which parts of an assessed clip a second model shall look at, and what it says of them in the record. */
import type { Assessment, Refinement } from './record.ts';
import { severities } from './vocabulary.ts';

/** What a severe distortion that the model is sure of weighs, in points of the score; milder ones weigh less. */
const severeWeight = 20;

/**
 * The windows of a clip that matter most, the worst first: those with the lowest score of the timeline in them, a
 * distortion counting as points below it. Of windows that are alike the earlier one comes first.
 *
 * @param seconds Length of a window of the second model.
 * @param most How many are wanted.
 * @returns Indices of windows, each `seconds` long from the clip's beginning on; only such as the record covers.
 */
export function windowsThatMatter(
  { timeline, distortions }: Pick<Assessment, 'timeline' | 'distortions'>,
  seconds: number,
  most: number,
): number[] {
  const concerns = new Map<number, number>();
  // The times of frames are rounded: a step that begins a hair before its window belongs to it.
  const windowAt = (time: number) => Math.floor((time + 1e-3) / seconds);
  for (const { start, score } of timeline) {
    const index = windowAt(start);
    concerns.set(index, Math.max(concerns.get(index) ?? 0, 100 - score));
  }
  for (const [index, low] of concerns) {
    const from = index * seconds;
    const weights = (distortions ?? [])
      .filter(({ start, end }) => start < from + seconds - 1e-3 && end > from + 1e-3)
      .map(
        ({ severity, score }) =>
          (severeWeight * score * (severities.indexOf(severity) + 1)) / severities.length,
      );
    concerns.set(index, low + Math.max(0, ...weights));
  }
  return [...concerns]
    .sort(([a, first], [b, second]) => second - first || a - b)
    .slice(0, most)
    .map(([index]) => index);
}

/**
 * The record with what a second model says. What that model said of other windows before stays; what another model
 * said does not: at any place there is one second opinion.
 */
export function withRefinements(record: Assessment, said: readonly Refinement[]): Assessment {
  const [first] = said;
  if (!first) return record;
  const same = (record.refinements ?? []).filter(({ model }) => model.revision === first.model.revision);
  const others = same.filter(({ start, end }) => !said.some((one) => start < one.end && end > one.start));
  return { ...record, refinements: [...others, ...said].sort((a, b) => a.start - b.start) };
}
