import { describe, expect, it } from 'vitest';
import type { ComparedEncode } from '../../../src/protocol/comparison_view.ts';
import {
  aheadOf,
  cornerOf,
  differenceOf,
  fitting,
  frameAt,
  frameLength,
  held,
  isOther,
  largestDifference,
  nextZoom,
  otherText,
  panesOf,
  secondsText,
  stageHeight,
  telling,
  zoomedAt,
  zoomText,
} from '../../../webview-ui/comparison/viewer.ts';

const even = Array.from({ length: 75 }, (_, at) => at / 25);
/** One frame is shown for two seconds. */
const uneven = [0, 0.04, 0.08, 2.08, 2.12];

describe('frames', () => {
  it('are found by time, the nearest', () => {
    expect([-1, 0, 0.019, 0.021, 1.24, 2.96, 99].map((time) => frameAt(even, time))).toEqual([
      0, 0, 0, 1, 31, 74, 74,
    ]);
    expect([1, 1.09, 2.09].map((time) => frameAt(uneven, time))).toEqual([2, 3, 3]);
    expect(frameAt([0], 5)).toBe(0);
  });

  it('last as long as to the nearer neighbour', () => {
    expect(frameLength(even, 0)).toBeCloseTo(0.04, 9);
    expect(frameLength(uneven, 2)).toBeCloseTo(0.04, 9);
    expect(frameLength([0], 0)).toBe(0.04);
  });

  it('are asked for with those that come next, as many as there is room for', () => {
    const hd = { width: 1920, height: 1080 };
    expect(aheadOf(31, 31, 75, hd)).toEqual([31]);
    expect(aheadOf(31, 12, 75, hd)).toEqual([31]);
    expect(aheadOf(31, 30, 75, hd)).toEqual([31, 32, 33, 34, 35, 36, 37, 38]);
    expect(aheadOf(73, 72, 75, hd)).toEqual([73, 74]);
    expect(aheadOf(2, 3, 75, hd)).toEqual([2, 1, 0]);
    expect(aheadOf(31, 30, 75, { width: 3840, height: 2160 })).toEqual([31, 32]);
    expect(aheadOf(31, 30, 75, { width: 7680, height: 4320 })).toEqual([31]);
  });

  it('are others where their time is more than half a frame away', () => {
    expect([1.24, 1.2405, 1.259, 1.221].map((time) => isOther(even, 31, time))).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect([1.2, 1.261, 1.28].map((time) => isOther(even, 31, time))).toEqual([true, true, true]);
    expect(otherText('poor', 1.24, 1.28)).toBe(
      'poor has no frame at 1.240 s: it shows that of 1.280 s, 40 ms later.',
    );
    expect(otherText('poor', 1.24, 1.2)).toMatch(/40 ms earlier\.$/);
    expect([secondsText(-1e-9), secondsText(61.23456)]).toEqual(['0.000 s', '61.235 s']);
  });
});

describe('what to look at', () => {
  const encode = (id: string, ...course: number[]) =>
    ({
      id,
      aligned: true,
      windows: course.map((mos, at) => ({ start: at, end: at + 1, mos })),
    }) as unknown as ComparedEncode;
  const [good, poor, other] = [encode('a', 4, 4, 4), encode('b', 3, 2, 3.9), encode('c')];

  it('is where two encodes differ most', () => {
    expect(largestDifference(good, poor)).toEqual({ start: 1, end: 2, difference: -2 });
    expect(telling(poor, good)).toMatchObject({ start: 1, end: 2 });
    expect(largestDifference(good, other)).toBeNull();
    expect(telling(good, other)).toBeNull();
    expect(telling(good, { ...poor, aligned: false })).toBeNull();
  });

  it('is where an encode is worst beside its source, or itself', () => {
    expect(telling(null, poor)).toEqual({ start: 1, end: 2, mos: 2 });
    expect(telling(poor, null)).toEqual({ start: 1, end: 2, mos: 2 });
    expect(telling(poor, poor)).toEqual({ start: 1, end: 2, mos: 2 });
    expect(telling(null, null)).toBeNull();
  });
});

describe('the stage', () => {
  it('is as high as the pictures, and never higher than it may be', () => {
    expect(stageHeight('wipe', 800, 16 / 9, 600)).toBe(450);
    expect(stageHeight('side', 800, 16 / 9, 600)).toBe(225);
    expect(stageHeight('side', 400, 16 / 9, 600)).toBe(452);
    expect(stageHeight('difference', 800, 9 / 16, 600)).toBe(600);
    expect(stageHeight('side', 400, 9 / 16, 600)).toBe(602);
  });

  it('has two panes side by side, or one above the other where it is narrow', () => {
    expect(panesOf('wipe', { width: 800, height: 450 }, 1)).toEqual([
      { x: 0, y: 0, width: 800, height: 450 },
    ]);
    expect(panesOf('side', { width: 1600, height: 450 }, 2)).toEqual([
      { x: 0, y: 0, width: 798, height: 450 },
      { x: 802, y: 0, width: 798, height: 450 },
    ]);
    expect(panesOf('side', { width: 800, height: 904 }, 2)).toEqual([
      { x: 0, y: 0, width: 800, height: 450 },
      { x: 0, y: 454, width: 800, height: 450 },
    ]);
  });
});

describe('zoom', () => {
  const picture = { width: 1920, height: 1080 };
  const pane = { x: 0, y: 0, width: 960, height: 540 };

  it('goes from the whole picture over whole numbers to 32, and back', () => {
    const fit = fitting(picture, pane);
    expect(fit).toBe(0.5);
    const seen = [fit];
    for (let step = 0; step < 12; step += 1) seen.push(nextZoom(seen.at(-1)!, 1, fit));
    expect(seen).toEqual([0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 32, 32]);
    expect([1, 0.5, 6, 0.9].map((zoom) => nextZoom(zoom, -1, fit))).toEqual([0.5, 0.5, 4, 0.5]);
    // A small picture that fills the pane can still be seen as it is.
    expect([3.02, 2, 1].map((zoom) => nextZoom(zoom, -1, 3.02))).toEqual([3, 1, 1]);
    expect(zoomText(1.512)).toBe('151 %');
  });

  it('keeps the point under the pointer', () => {
    const before = { zoom: 1, x: 700, y: 500 };
    const after = zoomedAt(before, 4, { x: 100, y: -40 });
    const under = ({ zoom, x, y }: typeof before) => [x + 100 / zoom, y - 40 / zoom];
    expect(under(after)).toEqual(under(before));
  });

  it('leaves no more empty room than there must be', () => {
    expect(held({ zoom: 1, x: -50, y: 5000 }, picture, pane)).toEqual({ zoom: 1, x: 480, y: 810 });
    expect(held({ zoom: 0.25, x: 0, y: 0 }, picture, pane)).toEqual({ zoom: 0.25, x: 960, y: 540 });
    const tall = { x: 0, y: 0, width: 960, height: 1200 };
    expect(held({ zoom: 1, x: 600, y: 0 }, picture, tall)).toEqual({ zoom: 1, x: 600, y: 540 });
  });

  it('puts the picture on whole pixels', () => {
    expect(cornerOf({ zoom: 3, x: 100.4, y: 20 }, { x: 10, y: 0, width: 301, height: 200 })).toEqual({
      x: -141,
      y: 40,
    });
  });
});

describe('the difference', () => {
  const pixels = (...values: number[]) => Uint8ClampedArray.from(values);

  it('is absolute, amplified and opaque; its mean and its largest are not amplified', () => {
    const a = pixels(10, 20, 30, 255, 0, 0, 0, 0, 255, 0, 7, 255, 1, 1, 1, 255);
    const b = pixels(12, 20, 27, 255, 0, 0, 0, 255, 155, 9, 7, 255, 1, 1, 1, 255);
    const out = new Uint8ClampedArray(16);
    expect(differenceOf(a, b, 2, 4, out)).toEqual({ mean: 114 / 12, largest: 100, x: 0, y: 1 });
    expect([...out]).toEqual([8, 0, 12, 255, 0, 0, 0, 255, 255, 36, 0, 255, 0, 0, 0, 255]);
  });

  it('of the same is nothing', () => {
    const a = pixels(10, 20, 30, 255);
    const out = new Uint8ClampedArray(4);
    expect(differenceOf(a, a, 1, 32, out)).toEqual({ mean: 0, largest: 0, x: 0, y: 0 });
    expect([...out]).toEqual([0, 0, 0, 255]);
  });
});
