import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  frameBytes,
  measureWindow,
  packetSizes,
  type Signals,
  signalsOf,
  type WindowSignals,
} from '../../../src/video/signals.ts';
import { ffmpeg, readClip, temporaryDirectory, writeClip } from '../../support/media.ts';

const side = 8;

/** A picture of one gray, or of two: the left half and the right half. */
function picture(left: number, right = left): number[] {
  return Array.from({ length: side * side }, (_, i) => (i % side < side / 2 ? left : right)).flatMap(
    (gray) => [gray, gray, gray],
  );
}

/** The signals of pictures at 10 fps, given in windows of `size` frames. */
function signals(pictures: readonly number[][], size = pictures.length): Signals {
  const windows: { signals: WindowSignals; firstFrame: number }[] = [];
  for (let at = 0; at < pictures.length; at += size) {
    const part = pictures.slice(at, at + size);
    const window = {
      times: Float64Array.from(part, (_, i) => (at + i) / 10),
      end: (at + part.length) / 10,
      types: 'P'.repeat(part.length),
      motion: Uint8Array.from(part.flat()),
    };
    windows.push({ signals: measureWindow(window, side), firstFrame: at });
  }
  return signalsOf(windows, []);
}

const repeat = (count: number, make: (i: number) => number[]) =>
  Array.from({ length: count }, (_, i) => make(i));
/** Gentle movement, so that nothing is frozen. */
const scene = (base: number) => (i: number) => picture(base + (i % 2) * 4, base + 20);

describe('scene cuts', () => {
  it('the first frame of the new scene', () => {
    expect(signals([...repeat(10, scene(40)), ...repeat(10, scene(160))]).sceneCuts).toEqual([1]);
  });

  it('a change of the light over a second is none', () => {
    expect(signals(repeat(20, (i) => picture(40 + i * 6, 60 + i * 6))).sceneCuts).toEqual([]);
  });

  it('a fault that covers a quarter of the picture is none', () => {
    const faulty = (i: number) =>
      picture(40 + (i % 2) * 4, 60).map((value, at) =>
        Math.floor(at / 3) % side < side / 2 && at < (side * side * 3) / 2 ? 230 : value,
      );
    expect(signals([...repeat(10, scene(40)), ...repeat(10, faulty)]).sceneCuts).toEqual([]);
  });

  it('steady strong movement is none', () => {
    expect(signals(repeat(20, (i) => (i % 2 ? picture(40, 120) : picture(120, 40)))).sceneCuts).toEqual([]);
  });

  it('a flash is none, a short scene is two', () => {
    const around = (frames: number) =>
      signals([...repeat(10, scene(40)), ...repeat(frames, scene(200)), ...repeat(10, scene(40))]).sceneCuts;
    expect(around(2)).toEqual([]);
    expect(around(8)).toEqual([1, 1.8]);
  });
});

describe('freezes and black', () => {
  it('half a second without change, from the first frame that stands', () => {
    const clip = [...repeat(5, scene(100)), ...repeat(7, () => picture(90, 150)), ...repeat(5, scene(100))];
    expect(signals(clip).freezes).toEqual([{ start: 0.5, end: 1.2 }]);
    expect(signals([...repeat(5, scene(100)), ...repeat(3, () => picture(90, 150))]).freezes).toEqual([]);
  });

  it('a small spot that moves is no freeze', () => {
    const clip = repeat(20, (i) => picture(100).with(0, 100 + (i % 2) * 40));
    expect(signals(clip).freezes).toEqual([]);
  });

  it('a freeze and a black end that last to the end of the clip', () => {
    const { freezes, black } = signals([...repeat(5, scene(100)), ...repeat(6, () => picture(5))]);
    expect(freezes).toEqual([{ start: 0.5, end: 1.1 }]);
    expect(black).toEqual([{ start: 0.5, end: 1.1 }]);
  });

  it('a dark scene with something in it is not black', () => {
    expect(signals(repeat(10, () => picture(5, 60))).black).toEqual([]);
  });
});

it('windows make no difference', () => {
  const clip = [
    ...repeat(7, scene(40)),
    ...repeat(9, () => picture(170)),
    ...repeat(6, () => picture(3)),
    ...repeat(4, scene(90)),
  ];
  const whole = signals(clip);
  expect(whole).toMatchObject({ sceneCuts: [0.7, 1.6, 2.2], freezes: [{ start: 0.7 }, { start: 1.6 }] });
  for (const size of [1, 3, 10]) expect(signals(clip, size)).toEqual(whole);
});

describe('bytes of the frames', () => {
  const packets = (...list: [number | null, number][]) => list.map(([time, bytes]) => ({ time, bytes }));

  it('in order of presentation', () => {
    expect(frameBytes([0, 0.1, 0.2], packets([1, 50], [1.2, 30], [1.1, 10]))).toEqual([50, 10, 30]);
  });

  it('two fields of a frame in packets of their own', () => {
    expect(frameBytes([0, 0.04], packets([0, 50], [0.02, 5], [0.04, 30], [0.06, 3]))).toEqual([50, 38]);
  });

  it('packets whose frame was not decoded go to their neighbour, frames without packets have none', () => {
    expect(frameBytes([0, 0.1, 0.3], packets([0, 1], [0.1, 2], [0.19, 4], [0.3, 8]))).toEqual([1, 6, 8]);
    expect(frameBytes([0, 0.1, 0.2], packets([0, 1], [0.2, 2]))).toEqual([1, 0, 2]);
  });

  it('without time stamps in the order they come; without packets nothing', () => {
    expect(frameBytes([0, 0.1], packets([null, 7], [null, 8]))).toEqual([7, 8]);
    expect(frameBytes([0, 0.1], [])).toEqual([]);
  });
});

describe('real clips', () => {
  it('types and bytes of a clip with B frames', async () => {
    const path = join(temporaryDirectory(), 'clip.mp4');
    writeClip(path, {
      output: ['-c:v', 'libx264', '-bf', '2', '-g', '10', '-b_strategy', '0', '-sc_threshold', '0'],
    });
    const { windows, info } = await readClip(path, { motionSize: side });
    const measured = windows.map((window) => ({
      signals: measureWindow(window, side),
      firstFrame: window.firstFrame,
    }));
    const { frameTypes, frameBytes: bytes } = signalsOf(measured, await packetSizes(info));
    expect(frameTypes).toHaveLength(20);
    expect([...frameTypes].filter((type) => type === 'I')).toHaveLength(2);
    expect(frameTypes).toMatch(/^I[BP]+I[BP]+$/);
    expect(frameTypes).toContain('BB');
    expect(bytes).toHaveLength(20);
    const largest = [...bytes].sort((a, b) => b - a).slice(0, 2);
    expect(largest.map((one) => frameTypes[bytes.indexOf(one)])).toEqual(['I', 'I']);
    const sum = bytes.reduce((total, one) => total + one, 0);
    expect(sum).toBeLessThan(statSync(path).size);
    expect(sum).toBeGreaterThan(0.5 * statSync(path).size);
  });

  it('a cut, black and a freeze of a rendered clip', async () => {
    const path = join(temporaryDirectory(), 'clip.mkv');
    const sources = [
      'testsrc2=s=160x96:r=10:d=1',
      'color=black:s=160x96:r=10:d=1',
      'color=gray:s=160x96:r=10:d=1',
    ];
    ffmpeg(
      ...sources.flatMap((source) => ['-f', 'lavfi', '-i', source]),
      ...['-filter_complex', '[0][1][2]concat=n=3', '-c:v', 'ffv1', '-pix_fmt', 'yuv420p', path],
    );
    const { windows, info } = await readClip(path, { motionSize: 48 });
    const measured = windows.map((window) => ({
      signals: measureWindow(window, 48),
      firstFrame: window.firstFrame,
    }));
    const { sceneCuts, black, freezes } = signalsOf(measured, await packetSizes(info));
    const times = { sceneCuts, black, freezes };
    expect(times).toEqual({
      sceneCuts: [expect.closeTo(1, 3), expect.closeTo(2, 3)],
      black: [{ start: expect.closeTo(1, 3), end: expect.closeTo(2, 3) }],
      freezes: [
        { start: expect.closeTo(1, 3), end: expect.closeTo(2, 3) },
        { start: expect.closeTo(2, 3), end: expect.closeTo(3, 3) },
      ],
    });
  });
});
