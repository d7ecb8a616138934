import { expect, test } from 'vitest';
import { parseLadders } from '../../../src/comparison/ladders.ts';
import { ladderText, perTitleLadder, type TitlePoint, titleCrfs } from '../../../src/comparison/per_title.ts';

/** A size as encoders have it: MOS over the rate saturates, the sooner and the lower the smaller the picture is. */
const course = (height: number, limit: number, half: number, rates: readonly number[]): TitlePoint[] =>
  rates.map((kilobits, at) => ({
    height,
    crf: 40 - 6 * at,
    bitrate: kilobits * 1000,
    mos: 1 + ((limit - 1) * kilobits) / (kilobits + half),
  }));
const points = [
  ...course(1080, 4.8, 1200, [700, 1500, 3200, 7000]),
  ...course(720, 4.5, 350, [350, 750, 1600, 3400]),
  ...course(360, 3.2, 90, [90, 200, 420, 900]),
];
const names = (some: readonly TitlePoint[]) => some.map(({ height, crf }) => `${height}/${crf}`);

test('the hull goes from small pictures to large ones, and says where sizes change', () => {
  const { hull, switches } = perTitleLadder(points, 4);
  const heights = hull.map(({ height }) => height);
  expect(heights).toEqual(heights.toSorted((a, b) => a - b));
  expect(switches.map(({ from, to }) => [from, to])).toEqual([
    [360, 720],
    [720, 1080],
  ]);
  for (const { above, below } of switches) expect(above).toBeLessThan(below);
  // No encode lies above the line between neighbours of the hull.
  for (const { bitrate, mos } of points) {
    const next = hull.findIndex((one) => one.bitrate >= bitrate);
    if (next <= 0) continue;
    const [a, b] = [hull[next - 1]!, hull[next]!];
    const share = Math.log(bitrate / a.bitrate) / Math.log(b.bitrate / a.bitrate);
    expect(mos).toBeLessThanOrEqual(a.mos + share * (b.mos - a.mos) + 1e-9);
  }
});

test.each([1, 2, 3, 4, 20])('%i rungs at most: from the best to the cheapest, all on the hull', (count) => {
  const { hull, rungs } = perTitleLadder(points, count);
  expect(rungs.length).toBe(Math.min(count, hull.length));
  expect(rungs[0]).toBe(hull.at(-1));
  if (count > 1) expect(rungs.at(-1)).toBe(hull[0]);
  expect(names(rungs).every((name) => names(hull).includes(name))).toBe(true);
  const qualities = rungs.map(({ mos }) => mos);
  expect(qualities).toEqual(qualities.toSorted((a, b) => b - a));
});

const flat = (mos: readonly number[]): TitlePoint[] =>
  mos.map((one, at) => ({ height: 720, crf: 40 - at, bitrate: 100_000 * 2 ** at, mos: one }));

test.each<[string, TitlePoint[], number, string[]]>([
  ['nothing', [], 4, []],
  ['one encode', flat([3]), 4, ['720/40']],
  ['even steps', flat([1, 2, 2.9, 3.7, 4.4]), 3, ['720/36', '720/38', '720/40']],
  ['steps nobody sees', flat([3, 3.9, 3.92, 3.94]), 4, ['720/39', '720/40']],
  ['quality that falls with the rate', flat([3, 2.5, 2]), 4, ['720/40']],
  ['an encode of nothing', [...flat([3]), { height: 360, crf: 1, bitrate: 0, mos: 5 }], 4, ['720/40']],
])('%s', (_, some, count, expected) => {
  expect(names(perTitleLadder(some, count).rungs)).toEqual(expected);
});

test('what is written is read as the same ladder', () => {
  const { rungs } = perTitleLadder(points, 3);
  const text = ladderText(rungs, { source: 'a: "b"\n#.mp4', codec: 'libx265', preset: 'fast' });
  const { value, problems } = parseLadders(text, 'x.ladder.yaml');
  expect(problems).toEqual([]);
  expect(value[0]).toMatchObject({ kind: 'ladder', source: 'a: "b"\n#.mp4' });
  expect(value[0]!.rungs.map(({ name, output }) => [name, output.video])).toMatchObject(
    rungs.map(({ height, crf }) => [`${height}p crf ${crf}`, { codec: 'libx265', crf, preset: 'fast' }]),
  );
  expect(value[0]!.rungs.map(({ output }) => output.video!.size)).toMatchObject(
    rungs.map(({ height }) => ({ height })),
  );
});

test.each([
  ['libx264', 4, [21, 28, 35, 41]],
  ['libsvtav1', 3, [22, 34, 46]],
  ['nosuch', 4, null],
])('CRFs of %s', (codec, count, expected) => {
  expect(titleCrfs(codec, count)).toEqual(expected);
});
