/** A ladder for one clip: which size serves it best at which rate, and the few encodes worth keeping of many. */
import { stringify } from 'yaml';
import { convexHull } from '../assessment/bd_rate.ts';
import { printable } from '../assessment/text.ts';
import { ladderSchemaId } from './ladder_schema.ts';
import { qualityScales } from './search.ts';

/** One encode of the clip. */
export interface TitlePoint {
  /** Lines of the encoded picture. */
  readonly height: number;
  readonly crf: number;
  /** Bits per second. */
  readonly bitrate: number;
  readonly mos: number;
}

/** Where the best size changes as the rate rises: somewhere between two encodes of the hull. */
export interface SizeSwitch {
  readonly from: number;
  readonly to: number;
  /** Bits per second of the last encode of the one size, and of the first of the other. */
  readonly above: number;
  readonly below: number;
}

export interface PerTitle<P extends TitlePoint> {
  /** By rising rate: encodes that no mix of others beats, of MOS over the logarithm of the rate. */
  readonly hull: readonly P[];
  readonly switches: readonly SizeSwitch[];
  /** From the best to the cheapest; on the hull. */
  readonly rungs: readonly P[];
}

/** Steps of MOS below this are not worth a rung of their own. */
const leastStep = 0.05;

/**
 * CRFs to try of each size: few, around the one where a search begins, and further towards low rates, where sizes
 * change.
 *
 * @returns ascending; null for an encoder without a known scale.
 */
export function titleCrfs(codec: string, count = 4): number[] | null {
  const scale = qualityScales[codec];
  if (!scale) return null;
  const [best, worst, first] = scale;
  const step = (worst - first) / (count - 0.5);
  return Array.from({ length: count }, (_, at) =>
    Math.max(best, Math.min(worst, Math.round(first + (at - 1) * step))),
  );
}

/**
 * The rungs of a clip: the upper convex hull of all encodes of all sizes (J. De Cock et al., "Complexity-based
 * consistent-quality encoding in the cloud", ICIP 2016), and of its encodes those whose steps of MOS are most even,
 * with the best and the cheapest.
 *
 * @param count Most rungs.
 */
export function perTitleLadder<P extends TitlePoint>(points: readonly P[], count: number): PerTitle<P> {
  const hull = convexHull(
    points
      .filter(({ bitrate }) => bitrate > 0)
      .map((point) => ({ point, rate: Math.log(point.bitrate), quality: point.mos })),
  ).map(({ point }) => point);
  const switches = hull.slice(1).flatMap((next, at): SizeSwitch[] => {
    const last = hull[at]!;
    if (next.height === last.height) return [];
    return [{ from: last.height, to: next.height, above: last.bitrate, below: next.bitrate }];
  });
  return { hull, switches, rungs: evenSteps(worthwhile(hull), count).reverse() };
}

/** Of points by rising quality, without those whose better neighbour is hardly better: the cheaper one stays. */
function worthwhile<P extends TitlePoint>(hull: readonly P[]): P[] {
  const kept: P[] = [];
  for (const point of hull) {
    const last = kept.at(-1);
    if (!last || point.mos - last.mos >= leastStep) kept.push(point);
  }
  return kept;
}

/** As many points, the first and the last with them, that the sum of the squared steps of MOS is least. */
function evenSteps<P extends TitlePoint>(points: readonly P[], count: number): P[] {
  if (points.length <= count) return [...points];
  if (count === 1) return [points.at(-1)!];
  // cost[n][i]: n + 1 points of which the last is i.
  let cost = points.map((_, at) => (at === 0 ? 0 : Number.POSITIVE_INFINITY));
  const before: number[][] = [];
  for (let chosen = 1; chosen < count; chosen += 1) {
    const from: number[] = [];
    cost = points.map(({ mos }, at) => {
      let best = Number.POSITIVE_INFINITY;
      for (let last = 0; last < at; last += 1) {
        const sum = cost[last]! + (mos - points[last]!.mos) ** 2;
        if (sum < best) [best, from[at]] = [sum, last];
      }
      return best;
    });
    before.push(from);
  }
  const picked = [points.length - 1];
  for (const from of before.toReversed()) picked.unshift(from[picked[0]!]!);
  return picked.map((at) => points[at]!);
}

/**
 * Rungs as a file of our own format (`*.ladder.yaml`).
 *
 * @param source The clip, relative to the file.
 */
export function ladderText(
  rungs: readonly TitlePoint[],
  { source, codec, preset }: { source: string; codec: string; preset: string | null },
): string {
  const measured = rungs.map(
    ({ height, crf, bitrate, mos }) =>
      `#   ${height}p crf ${crf}: ${(bitrate / 1000).toFixed(0)} kb/s, MOS ${mos.toFixed(2)}`,
  );
  const ladder = {
    schema: ladderSchemaId,
    source,
    defaults: { codec, ...(preset === null ? {} : { preset }) },
    rungs: rungs.map(({ height, crf }) => ({ name: `${height}p crf ${crf}`, height, crf })),
  };
  return `# Measured of ${printable(source)}:\n${measured.join('\n')}\n${stringify(ladder)}`;
}
