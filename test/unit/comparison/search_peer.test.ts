/** The search against the way of its peer, ab-av1, counted in encodes on the courses of real clips. */
import { expect, test } from 'vitest';
import { qualityScales, type SearchStep, searchCrf } from '../../../src/comparison/search.ts';

/** MOS of Nano by CRF: 3 s at 360 lines, x264 `veryfast` and SVT-AV1 preset 10. Between them, a straight line. */
const recorded: Readonly<Record<string, string>> = {
  'libx264, a butterfly':
    '10 4.750, 13 4.731, 16 4.598, 19 4.540, 22 4.314, 24 4.117, 26 4.187, 28 4.272, 30 4.103, ' +
    '32 4.045, 34 3.695, 36 3.417, 38 3.054, 41 2.618, 44 2.269, 47 2.004, 51 2.711',
  'libx264, a cyclist':
    '10 4.867, 13 4.838, 16 4.722, 19 4.616, 22 4.323, 24 4.283, 26 4.098, 28 3.983, 30 3.219, ' +
    '32 3.484, 34 2.695, 36 2.568, 38 2.203, 41 2.057, 44 2.012, 47 1.833, 51 1.740',
  'libx264, table tennis':
    '10 4.829, 13 4.794, 16 4.758, 19 4.648, 22 4.557, 24 4.563, 26 4.435, 28 4.438, 30 4.244, ' +
    '32 3.626, 34 3.435, 36 3.225, 38 2.604, 41 2.591, 44 1.958, 47 1.872, 51 1.874',
  'libsvtav1, a butterfly':
    '10 4.814, 15 4.749, 20 4.598, 25 4.508, 29 4.498, 32 4.505, 35 4.485, 38 4.372, 41 4.334, ' +
    '44 4.393, 47 4.338, 50 4.261, 53 4.205, 56 4.111, 59 3.930, 63 3.889',
  'libsvtav1, a cyclist':
    '10 4.750, 15 4.637, 20 4.471, 25 4.419, 29 4.357, 32 4.463, 35 4.400, 38 4.332, 41 4.252, ' +
    '44 4.055, 47 3.976, 50 3.768, 53 3.651, 56 3.547, 59 3.253, 63 2.891',
  'libsvtav1, table tennis':
    '10 4.803, 15 4.809, 20 4.784, 25 4.746, 29 4.741, 32 4.712, 35 4.721, 38 4.736, 41 4.699, ' +
    '44 4.710, 47 4.704, 50 4.619, 53 4.603, 56 4.560, 59 4.497, 63 4.236',
};
const targets = [2.5, 2.75, 3, 3.25, 3.5, 3.75, 4, 4.1, 4.2, 4.3, 4.4, 4.5, 4.6, 4.7];

const courseOf = (name: string) => (crf: number) => {
  const points = recorded[name]!.split(', ').map((point) => point.split(' ').map(Number));
  const after = Math.max(
    1,
    points.findIndex(([at]) => at! >= crf),
  );
  const [a, high, b, low] = [...points[after - 1]!, ...points[after]!] as [number, number, number, number];
  return high + ((low - high) * (crf - a)) / (b - a);
};

/**
 * Encodes of an interpolated binary search as ab-av1's documentation and output tell it: the middle of the scale, half
 * of what is left, its end, then lines between neighbours. It takes a result that is above by no more than a tolerance
 * that doubles with each encode, from 0.1 of 100, and here never by less than ours.
 */
function peerEncodes(codec: string, target: number, mos: (crf: number) => number): number {
  const [best, worst] = qualityScales[codec]!;
  const tried: SearchStep[] = [];
  for (let crf = Math.floor((best + worst) / 2); ; ) {
    const now = { crf, mos: mos(crf) };
    const above = now.mos > target;
    const edge = above ? worst : best;
    const near = tried
      .filter((one) => (above ? one.crf > crf : one.crf < crf))
      .sort((a, b) => Math.abs(a.crf - crf) - Math.abs(b.crf - crf))[0];
    tried.push(now);
    const count = tried.length;
    if (above && now.mos < target + Math.max(0.05, 0.004 * 2 ** (count - 1))) return count;
    if (crf === edge || (near && Math.abs(near.crf - crf) === 1)) return count;
    if (near) {
      const [better, worse] = above ? [now, near] : [near, now];
      const share = (target - worse.mos) / (better.mos - worse.mos);
      const line = Math.round(worse.crf - (worse.crf - better.crf) * share);
      crf = Math.min(worse.crf - 1, Math.max(better.crf + 1, line));
    } else crf = count === 1 ? Math.floor((crf + edge) / 2) : edge;
  }
}

const count = async (name: string) => {
  const codec = name.split(',')[0]!;
  const mos = courseOf(name);
  let [ours, peers] = [0, 0];
  for (const target of targets) {
    const { crf, steps } = await searchCrf(codec, target, async (at) => mos(at));
    if (crf !== null) expect(mos(crf)).toBeGreaterThanOrEqual(target);
    expect(steps.length).toBeLessThanOrEqual(7);
    ours += steps.length;
    peers += peerEncodes(codec, target, mos);
  }
  return { ours, peers };
};

test('over six courses and fourteen targets, fewer encodes than the peer, even where it is as tolerant', async () => {
  const all = await Promise.all(Object.keys(recorded).map(count));
  const sum = (of: 'ours' | 'peers') => all.reduce((total, one) => total + one[of], 0);
  expect({ ours: sum('ours'), peers: sum('peers') }).toEqual({ ours: 301, peers: 312 });
});
