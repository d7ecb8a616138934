import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { printable, safeJson } from '../assessment/text.ts';
import { keepFigures, type ModelFigures } from '../engine/model_figures.ts';
import type { EngineModel, PrecisionRequest } from '../engine/models.ts';
import { cacheDirectory, nanoDirectory, packWorkers } from '../engine/paths.ts';
import { rateWindow } from '../engine/rate_window.ts';
import type { Stage } from '../engine/windows.ts';
import { madeUpCheckpoint, type Shape } from '../model/checkpoint/shapes.ts';
import { compileCheckpoint, partialName, removeAbandoned } from '../model/compiler/compile.ts';
import { writeError } from '../model/compiler/weights.ts';
import { type DecoderLimits, decoderMatrices, LimitBench, timeText } from '../model/runtime/measure.ts';
import { totalMemory } from '../model/runtime/memory.ts';
import { OmniError } from '../protocol/errors.ts';
import { exit, type Io, ProgressLine } from './io.ts';
import { loadForCommand, type RuntimeFlags } from './load.ts';
import { megabytes, type TableFlags } from './model.ts';

export interface BenchFlags extends RuntimeFlags, TableFlags {
  /** A network with made-up weights in the place of a model. */
  readonly shape?: Shape;
}

/** Length and rate of the clip that a bench pretends to see. */
const [benchSeconds, benchFps] = [10, 30];
/** Tokens of the prompt beside the clip's, and those written after it. */
const [wordTokens, decodeSteps] = [48, 16];
/** Tokens at once with which the products of a prompt are measured: more are not faster. */
const mostRows = 512;

type Limits = DecoderLimits & {
  /** Bytes of weights that are read for every token that is written. */
  readonly bytesPerToken: number;
};

/**
 * `omnivqa model bench`: what a model costs on this machine, without decoding: the pixels are made up, because the
 * arithmetic does not depend on what is seen. Beside it, what the same runtime makes of the same matrices alone.
 */
export async function benchCommand(name: string | undefined, flags: BenchFlags, io: Io): Promise<number> {
  const progress = new ProgressLine(io);
  const { shape } = flags;
  if (shape && name !== undefined) {
    throw new OmniError(
      'bad_usage',
      'A shape is measured in the place of a model.',
      'Name a model, or a shape with --shape.',
    );
  }
  const made = shape && (await makeShape(shape, flags.precision, io, progress));
  try {
    const model = await loadForCommand(made?.directory ?? name ?? 'nano', flags, io, progress);
    const { provider, reason } = model.omni.choice;
    let measured: Omit<ModelFigures, 'revision' | 'provider' | 'measuredAt' | 'limits'>;
    let shares: Awaited<ReturnType<typeof benchRating>>;
    let promptTokens: number;
    try {
      shares = await benchRating(model, io);
      const clip = benchSeconds * model.config.tokensPerFrame;
      const moving = model.omni.motionFrames(benchSeconds * benchFps);
      const text = await timeText(model.omni, clip + moving + wordTokens, decodeSteps, io.signal);
      ({ promptTokens } = text);
      measured = {
        loadSeconds: model.loadSeconds,
        secondsPer10sClip: shares.secondsPer10sClip,
        prefillTokensPerSecond: text.prefillTokensPerSecond,
        decodeTokensPerSecond: text.decodeTokensPerSecond,
        peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
      };
    } finally {
      await model.dispose();
    }
    const limits = await benchLimits(model, Math.min(promptTokens, mostRows), flags, io);
    // For the editor's list of models; a cache that can not be written is no reason to lose them.
    if (!shape) await keepFigures(model, { ...measured, limits }).catch(() => undefined);
    const { need, available } = model.memory;
    const figures = {
      ...{ model: model.id, provider, reason, precision: model.precision },
      ...{ plannedMemoryBytes: totalMemory(need), availableMemoryBytes: available },
      ...{ ...measured, ...shares, promptTokens, limits },
      ofLimit: {
        prefill: measured.prefillTokensPerSecond / limits.prefillTokensPerSecond,
        decode: measured.decodeTokensPerSecond / limits.decodeTokensPerSecond,
      },
    };
    io.stdout.write(flags.format === 'json' ? `${safeJson(figures, 2)}\n` : benchTable(figures));
    return exit.done;
  } finally {
    progress.clear();
    made?.remove();
  }
}

/** Compiles a network with made-up weights, as a large checkpoint is compiled unless it is said otherwise. */
async function makeShape(shape: Shape, precision: PrecisionRequest, io: Io, progress: ProgressLine) {
  const decoder = precision === 'auto' ? 'int4' : precision;
  const cache = cacheDirectory();
  const own = join(cache, 'shape');
  const folder = partialName(own);
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    await removeAbandoned(own);
    mkdirSync(folder, { recursive: true });
    const source = madeUpCheckpoint(join(folder, 'source'), shape, join(nanoDirectory(), 'tokenizer.json'));
    const workers = shape === 'tiny' ? undefined : packWorkers();
    const { directory } = await compileCheckpoint(source, join(folder, shape), {
      precision: { decoder, vision: decoder === 'int4' ? 'int8' : decoder },
      ...(workers ? { workers } : {}),
      signal: io.signal,
      onProgress: ({ done, total }) =>
        progress.show('Compiling made-up weights', done / 1e6, total / 1e6, 'MB'),
    });
    rmSync(source.directory, { recursive: true, force: true });
    return { directory, remove };
  } catch (error) {
    remove();
    throw writeError(error, cache);
  } finally {
    progress.clear();
  }
}

/** Rates one made-up window, as `assess` does. */
async function benchRating(model: EngineModel, io: Io) {
  const { vision, motion } = model.config;
  const frames = benchSeconds * benchFps;
  const noise = (length: number) => new Uint8Array(length).map((_, i) => (i * 2654435761) >>> 24);
  const window = {
    times: Float64Array.from({ length: frames }, (_, i) => i / benchFps),
    end: benchSeconds,
    key: {
      frames: Int32Array.from({ length: benchSeconds }, (_, i) => i * benchFps),
      pixels: noise(benchSeconds * vision.views.length * vision.imageSize ** 2 * 3),
    },
    motion: noise(frames * (motion?.imageSize ?? 0) ** 2 * 3),
  };
  const spent: Record<Stage, number> = { decode: 0, vision: 0, motion: 0, language: 0 };
  await rateWindow(
    window,
    model,
    [undefined],
    async (stage, work) => {
      const from = performance.now();
      const result = await work();
      spent[stage] += (performance.now() - from) / 1000;
      return result;
    },
    io.signal,
  );
  return {
    secondsPer10sClip: spent.vision + spent.motion + spent.language,
    visionSecondsPerKeyFrame: spent.vision / benchSeconds,
    motionSecondsPerFrame: spent.motion / frames,
    languageSecondsPer10sClip: spent.language,
  };
}

/** What the device makes of the model's matrices with nothing else around them. */
async function benchLimits(
  { omni }: EngineModel,
  rows: number,
  { threads }: RuntimeFlags,
  { signal }: Io,
): Promise<Limits> {
  const { options } = omni.compiled.manifest;
  const bench = await LimitBench.open(decoderMatrices(omni.config, options), tmpdir(), {
    provider: omni.choice.provider,
    threads,
    accuracyLevel: options.accuracyLevel,
    signal,
  });
  try {
    const { bytesPerToken } = bench;
    return { bytesPerToken, ...(await bench.products(rows)), ...(await bench.reads()) };
  } finally {
    await bench.release();
  }
}

const short = (value: number): string =>
  value >= 1000 ? Math.round(value).toString() : String(Number(value.toPrecision(4)));

type Row = readonly [label: string, measured: string, limit?: number, share?: number];

function benchTable(
  figures: {
    readonly [name in 'model' | 'provider' | 'reason' | 'precision']: string;
  } & Omit<ModelFigures, 'revision' | 'measuredAt' | 'limits'> &
    Awaited<ReturnType<typeof benchRating>> & {
      readonly plannedMemoryBytes: number;
      readonly availableMemoryBytes: number | null;
      readonly promptTokens: number;
      readonly limits: Limits;
      readonly ofLimit: { readonly prefill: number; readonly decode: number };
    },
): string {
  const { limits, ofLimit, decodeTokensPerSecond: decode, availableMemoryBytes: available } = figures;
  const facts: readonly Row[] = (['model', 'provider', 'reason', 'precision'] as const).map((name) => [
    name,
    printable(figures[name]),
  ]);
  const costs: readonly Row[] = [
    ['load seconds', short(figures.loadSeconds)],
    ['seconds per 10s clip', short(figures.secondsPer10sClip)],
    ['vision seconds per key frame', short(figures.visionSecondsPerKeyFrame)],
    ['motion seconds per frame', short(figures.motionSecondsPerFrame)],
    ['language seconds per 10s clip', short(figures.languageSecondsPer10sClip)],
    ['peak memory', megabytes(figures.peakMemoryBytes)],
    ['planned for its device', megabytes(figures.plannedMemoryBytes)],
    ['free there', available === null ? 'not known' : megabytes(available)],
    ['prompt tokens', short(figures.promptTokens)],
  ];
  const flop = limits.flopPerSecond / limits.prefillTokensPerSecond;
  const compared: readonly Row[] = [
    [
      'prefill tokens/s',
      short(figures.prefillTokensPerSecond),
      limits.prefillTokensPerSecond,
      ofLimit.prefill,
    ],
    [
      'prefill GFLOP/s',
      short((figures.prefillTokensPerSecond * flop) / 1e9),
      limits.flopPerSecond / 1e9,
      ofLimit.prefill,
    ],
    ['decode tokens/s', short(decode), limits.decodeTokensPerSecond, ofLimit.decode],
    [
      'decode GB/s of weights',
      short((decode * limits.bytesPerToken) / 1e9),
      (limits.decodeTokensPerSecond * limits.bytesPerToken) / 1e9,
      ofLimit.decode,
    ],
  ];
  const line = ([label, measured, limit, share]: Row) =>
    limit === undefined || share === undefined
      ? `${label.padEnd(30)}${measured}\n`
      : `${label.padEnd(30)}${measured.padEnd(12)}${short(limit).padEnd(12)}${(100 * share).toFixed(0)} %\n`;
  const head = `\n${'against the device'.padEnd(30)}${'MEASURED'.padEnd(12)}${'LIMIT'.padEnd(12)}OF IT\n`;
  return [
    ...[...facts, ...costs].map(line),
    head,
    ...compared.map(line),
    '\nThe limit: the same matrices in the same runtime, and nothing else.\n',
  ].join('');
}
