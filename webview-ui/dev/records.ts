/** Made-up records for looking at the views and for their tests. The same arguments give the same record. */

import { mosOf, pool } from '../../src/assessment/pooling.ts';
import type { Assessment } from '../../src/assessment/record.ts';
import type { DistortionType, Severity } from '../../src/assessment/vocabulary.ts';
import { schemaId } from '../../src/assessment/vocabulary.ts';
import type { Span } from '../../src/protocol/timeline.ts';

/** Mulberry32: small, seeded, good enough to look natural. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export interface RecordOptions {
  readonly path: string;
  readonly seconds: number;
  readonly fps: number;
  /** Length of one segment of the MOS curve, s. */
  readonly segment: number;
  readonly distortions: number;
  readonly seed: number;
  readonly width: number;
  readonly height: number;
  readonly codec: string;
}

export const defaults: RecordOptions = {
  path: '/clips/harbour_dusk_1080p.mp4',
  seconds: 12.48,
  fps: 25,
  segment: 1,
  distortions: 6,
  seed: 7,
  width: 1920,
  height: 1080,
  codec: 'h264',
};

const types: readonly DistortionType[] = [
  'blur',
  'compression',
  'noise',
  'overexposure',
  'stutter',
  'underexposure',
];
const severities: readonly Severity[] = ['noticeable', 'relatively severe', 'severe'];

export function makeRecord(changes: Partial<RecordOptions> = {}): Assessment {
  const options = { ...defaults, ...changes };
  const { seconds, fps, segment } = options;
  const next = random(options.seed);

  const distortions = Array.from({ length: options.distortions }, (_, i) => {
    const slot = seconds / options.distortions;
    const start = Math.max(0, Math.round((i + 0.15 + 0.4 * next()) * slot * 4) / 4);
    const type = types[i % types.length] as DistortionType;
    return {
      type,
      start,
      end: Math.min(seconds, start + Math.max(0.5, Math.min(3, Math.round((0.4 + next()) * slot * 4) / 4))),
      region:
        type === 'stutter'
          ? { x: 0, y: 0, width: 1, height: 1 }
          : { x: Math.round(next() * 5) / 10, y: Math.round(next() * 5) / 10, width: 0.5, height: 0.5 },
      severity: severities[(i * 2 + 2) % 3] as Severity,
      score: 0.55 + 0.44 * next(),
    };
  });
  const cost: Record<Severity, number> = { noticeable: 9, 'relatively severe': 24, severe: 42 };

  const count = Math.ceil(seconds / segment - 1e-9);
  let drift = 0;
  let at = 0;
  const timeline = Array.from({ length: count }, (_, i) => {
    const start = i * segment;
    const end = Math.min(seconds, start + segment);
    drift = 0.85 * drift + (next() - 0.5) * 7;
    while (at < distortions.length && (distortions[at]?.end ?? 0) <= start) at += 1;
    let loss = 0;
    for (let k = at; k < Math.min(at + 8, distortions.length); k += 1) {
      const one = distortions[k];
      if (one && one.start < end && one.end > start) loss += cost[one.severity];
    }
    return { start, end, score: Math.min(98, Math.max(4, 78 + drift - loss)) };
  });
  const pooling = pool(timeline);

  const frames = Math.round(seconds * fps);
  const frameTypes = Array.from({ length: frames }, (_, i) =>
    i % 50 === 0 ? 'I' : i % 3 === 0 ? 'P' : 'B',
  ).join('');
  const frameBytes = Array.from(frameTypes, (type) =>
    Math.round((type === 'I' ? 86_000 : type === 'P' ? 24_000 : 9_000) * (0.6 + 0.8 * next())),
  );
  const score = pooling.mean - 4;
  const raw = [5, 4, 3, 2, 1].map((grade) => Math.exp(-(((score / 25 + 1 - grade) / 0.95) ** 2)));
  const total = raw.reduce((sum, one) => sum + one, 0);
  const [high = 0, good = 0, fair = 0, poor = 0, low = 0] = raw.map((one) => one / total);
  const rating = { mos: mosOf(score), score, pooling, levels: { high, good, fair, poor, low } };
  return {
    schema: schemaId,
    video: {
      path: options.path,
      sha256: '0'.repeat(64),
      container: 'mov,mp4,m4a,3gp,3g2,mj2',
      codec: options.codec,
      profile: 'High',
      pixelFormat: 'yuv420p',
      width: options.width,
      height: options.height,
      fps,
      vfr: false,
      frames,
      duration: seconds,
      bitrate: 4_850_000,
      color: { space: 'bt709', transfer: 'bt709', primaries: 'bt709', range: 'tv' },
      rotation: 0,
      interlaced: false,
    },
    model: { id: 'omnivqa-nano', revision: 'v0', precision: 'fp32', provider: 'cpu', compiler: '1' },
    status: 'complete',
    coverage: [[0, seconds]],
    ...rating,
    branches: { technical: rating, aesthetic: null },
    timeline,
    distortions,
    signals: {
      frameTypes,
      frameBytes,
      sceneCuts: Array.from({ length: Math.max(1, Math.floor(seconds / 5)) }, (_, i) => 3.2 + i * 5).filter(
        (time) => time < seconds,
      ),
      freezes: seconds > 10 ? [{ start: seconds * 0.7, end: seconds * 0.7 + 0.6 }] : [],
      black: seconds > 6 ? [{ start: 0, end: 0.24 }] : [],
    },
    problems: [
      {
        code: 'vfr',
        message: 'Two frames have the same presentation time; the first one is used.',
        start: 4.2,
      },
    ],
    timing: { wall: seconds * 0.4, decode: 2.1, vision: 1.2, motion: 0.8, language: 0.9 },
  };
}

/** What a second model says of three windows of 40 s: near the first one's score, far above it, and far below. */
export const refined: Pick<Assessment, 'refinements'> = {
  refinements: [
    [0, 10, 71],
    [10, 20, 82],
    [30, 40, 24],
  ].map(([start = 0, end = 0, score = 0]) => ({
    ...{ start, end, score, mos: mosOf(score) },
    levels: { high: 0.1, good: 0.3, fair: 0.4, poor: 0.15, low: 0.05 },
    model: { id: 'omnivqa-8b', revision: 'v0', precision: 'int4', provider: 'webgpu', compiler: '1' },
  })),
};

/** The record as it stands when only these spans are finished. */
export function partOf(record: Assessment, spans: readonly Span[], status: Assessment['status']): Assessment {
  const within = ({ start, end }: Span) =>
    spans.some((one) => start >= one.start - 1e-6 && end <= one.end + 1e-6);
  const timeline = record.timeline.filter(within);
  return {
    ...record,
    status,
    coverage: spans.map(({ start, end }) => [start, end]),
    pooling: pool(timeline),
    timeline,
    distortions: (record.distortions ?? []).filter(({ start }) =>
      spans.some((one) => start >= one.start && start < one.end),
    ),
  };
}
