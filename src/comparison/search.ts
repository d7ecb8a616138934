import { OmniError } from '../protocol/errors.ts';

/** Constant-quality scales by encoder: the best and the worst value, and where a search begins. */
export const qualityScales: Readonly<Record<string, readonly [best: number, worst: number, first: number]>> =
  {
    libx264: [10, 51, 28],
    libx265: [10, 51, 28],
    libsvtav1: [10, 63, 34],
    'libvpx-vp9': [10, 63, 34],
    'libaom-av1': [10, 63, 34],
  };

/** How little the MOS falls with each CRF, as {@link logit}, where its course is flat. */
const flatSlope = 0.06;
/** CRFs that a search goes at least and at most while it looks for the other side of the target. */
const leaps = [5, 14] as const;

/** The MOS on a scale without ends, on which it falls with the CRF almost in a straight line. */
function logit(mos: number): number {
  const share = Math.min(0.99, Math.max(0.01, (mos - 1) / 4));
  return Math.log(share / (1 - share));
}

/** A target that is passed by no more than this counts as met: a finer step would not be seen. */
const closeEnough = 0.05;

export interface SearchStep {
  readonly crf: number;
  readonly mos: number;
}

export interface SearchResult {
  /** The highest CRF that was found to reach the target; null: not even the best quality does. */
  readonly crf: number | null;
  /** In the order of the encodes. */
  readonly steps: readonly SearchStep[];
}

/**
 * The cheapest CRF that reaches a MOS, by interpolation over few encodes: leaps until the target lies between two
 * encodes, then where the line between them crosses it, on a scale on which the MOS falls almost straight; halfway where
 * that stays on one side. Ends at neighbouring CRFs, or as soon as an encode meets the target closely. The MOS is taken
 * to fall with the CRF; where it does not, what is returned still was measured to reach the target.
 *
 * @param measure Encodes and assesses with a whole CRF.
 * @param begin Where to begin, for one who knows of a similar clip; by default where most clips are near.
 * @throws OmniError `bad_usage` for an encoder without a known scale; whatever `measure` throws.
 */
export async function searchCrf(
  codec: string,
  target: number,
  measure: (crf: number) => Promise<number>,
  begin?: number,
): Promise<SearchResult> {
  const scale = Object.hasOwn(qualityScales, codec) ? qualityScales[codec] : undefined;
  if (!scale) {
    throw new OmniError(
      'bad_usage',
      `The quality scale of ${codec} is not known.`,
      `Search with one of ${Object.keys(qualityScales).join(', ')}.`,
    );
  }
  const [best, worst, first] = scale;
  const steps: SearchStep[] = [];
  // Ends of the range: `good` reaches the target, `bad` does not. Beyond the scale nothing was measured.
  let good: SearchStep = { crf: best - 1, mos: 5 };
  let bad: SearchStep = { crf: worst + 1, mos: 1 };
  let next = begin === undefined ? first : Math.min(worst, Math.max(best, Math.round(begin)));
  let sameSide = 0;
  for (;;) {
    const step = { crf: next, mos: await measure(next) };
    steps.push(step);
    const reaches = step.mos >= target;
    const before = steps.at(-2);
    sameSide = before && before.mos >= target === reaches ? sameSide + 1 : 0;
    if (reaches) good = step;
    else bad = step;
    const met = reaches && step.mos - target <= closeEnough;
    if (met || bad.crf - good.crf <= 1) break;
    // Just above the target, so that an encode rather meets it than misses it.
    const aim = logit(target + 0.4 * closeEnough);
    const gap = logit(step.mos) - aim;
    let crossing: number;
    if (good.crf < best || bad.crf > worst) {
      // Nothing on the other side yet: as far as a flat course asks for, and further each time. Past the crossing is
      // better than short of it, as both sides bound what follows.
      const [least, most] = leaps.map((leap) => leap * 2 ** sameSide);
      const far = Math.min(most!, Math.max(least!, Math.abs(gap) / flatSlope));
      crossing = step.crf + (reaches ? far : -far);
    } else if (sameSide < 3) {
      const slope = (logit(good.mos) - logit(bad.mos)) / (bad.crf - good.crf);
      crossing = good.crf + (logit(good.mos) - aim) / slope;
    } else crossing = (good.crf + bad.crf) / 2;
    next = Math.min(bad.crf - 1, Math.max(good.crf + 1, Math.round(crossing)));
  }
  return { crf: good.crf < best ? null : good.crf, steps };
}
