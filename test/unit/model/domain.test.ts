import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { View } from '../../../src/model/checkpoint/config.ts';
import {
  hdrProblems,
  lookAt,
  unlikeFootage,
  unlikeProblems,
  unlikeTraining,
} from '../../../src/model/domain.ts';
import { readFrames } from '../../../src/video/frames.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { ffmpeg, temporaryDirectory } from '../../support/media.ts';

const size = 384;
const views: readonly View[] = [{ kind: 'squash' }, { kind: 'fragments', cell: 32, area: 518_400 }];
const vision = { views, imageSize: size };
const x264 = (crf: number) => ['-c:v', 'libx264', '-preset', 'veryfast', '-crf', String(crf)];

/** What the windows of a clip are taken for. */
async function takenFor(path: string) {
  const { value: info } = await probeVideo(path);
  const plan = { views: views.map((view) => ({ ...view, size })), motionSize: 48, windowSeconds: 10 };
  const taken: (string | null)[] = [];
  for await (const { key } of readFrames(info, plan)) taken.push(unlikeTraining(key.pixels, views, size));
  return taken;
}

/** A second of a lavfi source at 960×540, coded. */
function made(source: string, coding: readonly string[]): string {
  const path = join(temporaryDirectory(), 'clip.mkv');
  ffmpeg('-f', 'lavfi', '-i', source, '-t', '1', '-pix_fmt', 'yuv420p', ...coding, path);
  return path;
}

const at = 'size=960x540:rate=1';
/** Lines of small squares, light on dark, as an editor's text: wide gaps, steep edges. */
const text = `color=0x1e1e2e:${at},format=gray,geq=lum='if(lt(mod(Y,24),9)*lt(mod(X*7+floor(Y/24)*31,83),30)*lt(mod(X,6),3),210,40)'`;

describe('what is unlike footage', () => {
  it.each([
    ['a test card', `testsrc2=${at}`, x264(28), 'drawn'],
    ['colour bars', `smptehdbars=${at}`, x264(23), 'drawn'],
    ['text', text, ['-c:v', 'ffv1'], 'drawn'],
    ['coded text', text, x264(28), 'drawn'],
    ['noise', `color=gray:${at},noise=alls=100:allf=t`, ['-c:v', 'ffv1'], 'noise'],
    ['coded noise', `color=gray:${at},noise=alls=60:allf=t`, x264(28), 'noise'],
    // What can not be told from footage is left alone, and so is a picture that shows nothing.
    ['a fractal', `mandelbrot=${at}`, x264(18), null],
    ['black', `color=black:${at}`, x264(28), null],
  ])('takes %s for it', async (_, source, coding, wanted) => {
    expect(await takenFor(made(source, coding))).toEqual([wanted]);
  });

  it('takes the sample clip, its faults and strong noise over it for footage', async () => {
    const sample = fileURLToPath(new URL('../../../media/sample.mp4', import.meta.url));
    const noisy = join(temporaryDirectory(), 'noisy.mkv');
    ffmpeg('-i', sample, '-t', '1', '-vf', 'noise=alls=60:allf=t', ...x264(23), noisy);
    expect(new Set([...(await takenFor(sample)), ...(await takenFor(noisy))])).toEqual(new Set([null]));
  });

  it('measures as the training does', () => {
    const picture = (of: (x: number, y: number) => number) =>
      Uint8Array.from({ length: size * size * 3 }, (_, i) =>
        of(Math.floor(i / 3) % size, Math.floor(i / 3 / size)),
      );
    const ramp = picture((x, y) => (x + 2 * y) % 256);
    const bars = picture((x) => (x % 8 < 4 ? 60 : 120));
    expect(lookAt(ramp, bars, size, 32)).toEqual({
      even: expect.closeTo(24 / 31, 6),
      equal: expect.closeTo(24 / 31, 6),
      letters: 1,
      related: expect.closeTo(0.9077, 3),
      contrast: expect.closeTo(73.9, 1),
    });
    // Clipped neighbours do not count as equal, and too few others are no evidence.
    expect(
      lookAt(
        ramp,
        picture(() => 255),
        size,
        32,
      ),
    ).toMatchObject({ even: 1, equal: 0, letters: 0 });
  });

  it('says nothing of a picture with hardly any contrast', () => {
    const drawn = { even: 1, equal: 1, letters: 1, related: 1 };
    expect(unlikeFootage({ ...drawn, contrast: 7 })).toBeNull();
    expect(unlikeFootage({ ...drawn, contrast: 9 })).toBe('drawn');
    expect(unlikeFootage({ ...drawn, letters: 0, contrast: 9 })).toBeNull();
  });
});

describe('what is said of it', () => {
  const bytes = size * size * 3;
  const stripes = Uint8Array.from({ length: bytes }, (_, i) => (Math.floor(i / 3) % 16 < 8 ? 60 : 160));
  const ramp = Uint8Array.from({ length: bytes }, (_, i) => (3 * (Math.floor(i / 3) % size)) % 256);
  const window = (...drawn: readonly boolean[]) =>
    Uint8Array.from(Buffer.concat(drawn.flatMap((one) => [one ? stripes : ramp, one ? stripes : ramp])));

  it('takes half of the key frames, and gives the window', () => {
    const span = { start: 10, end: 12 };
    expect(unlikeProblems(window(true, false), vision, span)).toEqual([
      { code: 'out_of_domain_drawn', message: expect.stringContaining('drawn, not filmed'), ...span },
    ]);
    expect(unlikeProblems(window(true, false, false), vision, span)).toEqual([]);
  });

  it('is silent about a model that was not trained here', () => {
    expect(unlikeTraining(window(true), [{ kind: 'squash' }], size)).toBeNull();
    expect(hdrProblems('pq', { views: [{ kind: 'squash' }] })).toEqual([]);
  });

  it('is said of HDR and not of SDR', () => {
    expect(hdrProblems('hlg', vision)).toEqual([
      { code: 'out_of_domain_hdr', message: expect.stringContaining('SDR') },
    ]);
    expect(hdrProblems(null, vision)).toEqual([]);
  });
});
