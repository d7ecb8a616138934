import { OmniError } from '../protocol/errors.ts';

/** Constant-quality scales by encoder: the best and the worst value, and where a search begins. */
export const qualityScales: Readonly<Record<string, readonly [best: number, worst: number, first: number]>> =
  {
    libx264: [10, 51, 26],
    libx265: [10, 51, 28],
    libsvtav1: [10, 63, 38],
    'libvpx-vp9': [10, 63, 36],
    'libaom-av1': [10, 63, 36],
  };

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
 * The cheapest CRF that reaches a MOS, by interpolation: each encode narrows the range in which the crossing lies, and
 * the next one is tried where the straight line between its ends crosses the target, or halfway where that came to nothing. Ends at neighbouring CRFs, or as
 * soon as an encode meets the target closely. The MOS is taken to fall with the CRF; where it does not, what is
 * returned still was measured to reach the target.
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
  const scale = qualityScales[codec];
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
    const met = step.mos >= target && step.mos - target <= closeEnough;
    if (met || bad.crf - good.crf <= 1) break;
    const slope = (good.mos - bad.mos) / (bad.crf - good.crf);
    // Where the course bends, the line keeps falling on one side: then the range is halved.
    const straight = slope > 0 && sameSide === 0;
    const crossing = straight ? good.crf + (good.mos - target) / slope : (good.crf + bad.crf) / 2;
    next = Math.min(bad.crf - 1, Math.max(good.crf + 1, Math.floor(crossing)));
  }
  return { crf: good.crf < best ? null : good.crf, steps };
}
