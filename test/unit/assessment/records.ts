import { mosOf, pool } from '../../../src/assessment/pooling.ts';
import type { Assessment } from '../../../src/assessment/record.ts';
import { schemaId } from '../../../src/assessment/vocabulary.ts';

/** A whole record of a clip of four seconds, with the given fields in the place of its own. */
export function recordOf(changes: Partial<Assessment> = {}): Assessment {
  const timeline = [70, 62, 35, 66].map((score, i) => ({ start: i, end: i + 1, score }));
  const score = 58.25;
  return {
    schema: schemaId,
    video: {
      path: 'shots/clip.mp4',
      sha256: 'a'.repeat(64),
      container: 'mov,mp4,m4a,3gp,3g2,mj2',
      codec: 'h264',
      profile: 'High',
      pixelFormat: 'yuv420p',
      width: 1920,
      height: 1080,
      fps: 25,
      vfr: false,
      frames: 100,
      duration: 4,
      bitrate: 8_200_000,
      color: { space: 'bt709', transfer: 'bt709', primaries: 'bt709', range: 'tv' },
      rotation: 0,
      interlaced: false,
    },
    model: {
      id: 'omnivqa-nano',
      revision: '0123456789abcdef',
      precision: 'fp32',
      provider: 'cpu',
      compiler: '1',
    },
    status: 'complete',
    coverage: [[0, 4]],
    mos: mosOf(score),
    score,
    levels: { high: 0.11, good: 0.38, fair: 0.36, poor: 0.12, low: 0.03 },
    branches: { technical: null, aesthetic: null },
    pooling: pool(timeline),
    timeline,
    distortions: null,
    signals: { frameTypes: 'IPBB', frameBytes: [900, 80, 20, 20], sceneCuts: [2], freezes: [], black: [] },
    problems: [],
    timing: { wall: 1.5, decode: 0.9, vision: 0.3, motion: 0.2, language: 0.1 },
    ...changes,
  };
}
