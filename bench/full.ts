import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { ChatSession } from '../src/model/chatter.ts';
import { parseModelConfig } from '../src/model/checkpoint/config.ts';
import type { Shape } from '../src/model/checkpoint/shapes.ts';
import { openCompiled } from '../src/model/compiler/manifest.ts';
import {
  decoderMatrices,
  LimitBench,
  medianSeconds,
  Products,
  timeText,
} from '../src/model/runtime/measure.ts';
import { loadModel } from '../src/model/runtime/model.ts';
import type { Provider } from '../src/model/runtime/ort.ts';
import { writeCheckpoint } from './checkpoint.ts';
import { clock, diskRate, type Figure, GiB, makeClip, runNode, type Section } from './support.ts';

const steps = ['write', 'compile', 'limits', 'decode', 'assess'] as const;

/** A gibibyte shows a disk's pace past its first buffers and is soon written. */
const probeBytes = GiB;

/**
 * The road of the 7B model at its full size (or a smaller one, to try this) with random weights: write the checkpoint,
 * compile it to int4, write and assess with it, and measure what limits each. Every step can be run alone and finds what the others left in `work`.
 */
export async function benchFull(
  root: string,
  work: string,
  only: readonly string[] | undefined,
  shape: Shape,
  provider: Provider,
): Promise<readonly Section[]> {
  for (const step of only ?? []) {
    if (!steps.some((known) => known === step)) {
      throw new Error(`There is no step ${step}. There are: ${steps.join(', ')}.`);
    }
  }
  const wanted = (step: (typeof steps)[number]) => only === undefined || only.includes(step);
  // The name puts it into the family of the published scorer.
  const source = join(work, 'ugc-scorer-random');
  const target = join(work, 'ugc-scorer-random-int4');
  mkdirSync(work, { recursive: true });
  const sections: Section[] = [];
  if (wanted('write')) sections.push(await write(source, work, shape));
  if (wanted('compile')) sections.push(await compile(root, source, target, work));
  if (wanted('limits')) sections.push(await limits(work));
  if (wanted('decode')) sections.push(await decode(target, work, provider));
  if (wanted('assess')) {
    sections.push(
      provider === 'cpu' ? await assess(root, target, work) : await assessOn(provider, root, target, work),
    );
  }
  // What was measured of a smaller one takes no other's place.
  return sections.map(({ title, ...section }) => ({ title: `${shape}: ${title}`, ...section }));
}

const MB = 1e6;

async function write(directory: string, work: string, shape: Shape): Promise<Section> {
  const { value: bytes, wall } = await clock(() => writeCheckpoint(directory, shape));
  const disk = diskRate(work, probeBytes);
  return {
    title: 'writing the checkpoint',
    text: 'SigLIP-SO400m/14-384, SlowFast-R50 fast pathway and Qwen2-7B with random weights, bf16, in shards.',
    figures: [
      { name: 'weights', value: bytes / 1e9, unit: 'GB' },
      { name: 'time', value: wall, unit: 's' },
      { name: 'rate / raw disk write', value: bytes / wall / disk.write, unit: '×' },
      { name: 'rate', value: bytes / wall / MB, unit: 'MB/s' },
      { name: 'raw disk write', value: disk.write / MB, unit: 'MB/s', note: '1 GiB with fsync' },
    ],
  };
}

async function compile(root: string, source: string, target: string, work: string): Promise<Section> {
  if (!existsSync(source)) throw new Error(`There is no checkpoint in ${source}: run the step write first.`);
  rmSync(target, { recursive: true, force: true });
  const usage = await runNode([
    join(root, 'dist', 'bench', 'compile_worker.mjs'),
    source,
    target,
    join(root, 'dist', 'pack_worker.mjs'),
  ]);
  const disk = diskRate(work, probeBytes);
  const [read, written] = [weightBytes(source), weightBytes(target)];
  const ideal = read / disk.read + written / disk.write;
  return {
    title: 'compiling to int4',
    text: 'Checkpoint to ONNX: decoder int4, vision tower int8, motion branch float32, embeddings float16, in one process of its own. The raw disk rates are of 1 GiB each; reading comes from the page cache where the checkpoint is in it.',
    figures: [
      {
        name: 'peak memory (RSS)',
        value: usage.peakBytes / GiB,
        unit: 'GiB',
        note: 'limit 2',
      },
      { name: 'time', value: usage.wall, unit: 's', note: `${usage.cpu.toFixed(0)} s of processor time` },
      { name: 'read', value: read / 1e9, unit: 'GB', note: `${(read / usage.wall / MB).toFixed(0)} MB/s` },
      { name: 'written', value: written / 1e9, unit: 'GB' },
      { name: 'raw disk read', value: disk.read / MB, unit: 'MB/s' },
      { name: 'raw disk write', value: disk.write / MB, unit: 'MB/s' },
      {
        name: 'time / time of the disk alone',
        value: usage.wall / ideal,
        unit: '×',
        note: 'all read and written at the raw rates',
      },
    ],
  };
}

function weightBytes(directory: string): number {
  return readdirSync(directory)
    .filter((name) => /\.(safetensors|weights)$/.test(name))
    .reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

/** Tokens of the prefix that is decoded after, and of those decoded. */
const [prefixTokens, decodedTokens] = [64, 16];
/** Asked of one clip, with answers as short as can be told apart: what is counted is what is read. */
const questions = [
  'How good is it?',
  'Is it sharp?',
  'Does it stutter?',
  'Where is the blur?',
  'And the noise?',
];
const answerTokens = 2;

async function decode(model: string, work: string, provider: Provider): Promise<Section> {
  if (!existsSync(model))
    throw new Error(`There is no compiled model in ${model}: run the step compile first.`);
  const compiled = await openCompiled(model);
  // The same network, taken for the one that was trained to talk.
  const config = parseModelConfig(
    JSON.parse(readFileSync(join(model, 'config.json'), 'utf8')),
    ['model.slowfast.position_embedding.weight'],
    ['assistant-random'],
  );
  const { options } = compiled.manifest;
  const limit = await LimitBench.open(decoderMatrices(config, options), work, {
    provider,
    accuracyLevel: options.accuracyLevel,
  });
  const { value: omni, wall: load } = await clock(() => loadModel({ ...compiled, config }, { provider }));
  try {
    // Before and after: what else the machine does falls on the limit as on the decoding.
    const before = await limit.reads();
    const { decodeTokensPerSecond: rate } = await timeText(omni, prefixTokens, decodedTokens);
    const after = await limit.reads();
    await limit.release();
    const raw = provider === 'cpu' ? await memoryRead() : undefined;
    const mean = (one: keyof typeof before) => (before[one] + after[one]) / 2;
    const ideal = 2 / (1 / before.decodeTokensPerSecond + 1 / after.decodeTokensPerSecond);

    const [keyFrames, motionFrames] = [1, omni.motionFrames(30)];
    const tokens = (count: number) =>
      Float32Array.from({ length: count * config.hiddenSize }, (_, i) => 0.02 * Math.sin(i));
    const clip = {
      ...{ key: tokens(keyFrames * config.tokensPerFrame), keyFrames },
      ...{ motion: tokens(motionFrames), motionFrames },
    };
    const session = await ChatSession.open(omni, clip);
    const opened = session.prefilledTokens;
    const asked = await clock(async () => {
      for (const question of questions) await session.ask(question, { maxNewTokens: answerTokens });
    });
    const read = session.prefilledTokens;
    session.dispose();
    return {
      title: `decoding, and questions about a clip${provider === 'cpu' ? '' : `, on ${provider}`}`,
      text: `The int4 model on ${provider === 'cpu' ? 'the CPU' : provider}: ${decodedTokens} tokens one by one after a prefix of ${prefixTokens}, and ${questions.length} questions about a clip of a second (made-up pictures), answered in ${answerTokens} tokens each. The limit is the rate at which the same runtime multiplies one row with matrices of the same shapes, read just before and just after.`,
      figures: [
        { name: 'load', value: load, unit: 's' },
        { name: 'decode', value: rate, unit: 'tokens/s', note: 'median token' },
        { name: 'weights read per token', value: limit.bytesPerToken / 1e9, unit: 'GB' },
        {
          name: 'decode / its reads at the measured rate',
          value: rate / ideal,
          unit: '×',
          note: `target ${provider === 'cpu' ? 0.65 : 0.5}; layers ${(mean('layerBytesPerSecond') / 1e9).toFixed(1)} GB/s, head ${(mean('headBytesPerSecond') / 1e9).toFixed(1)} GB/s`,
        },
        ...(raw === undefined
          ? []
          : [
              {
                name: 'decode / its reads at the rate of memory',
                value: (rate * limit.bytesPerToken) / raw,
                unit: '×',
                note: `${(raw / 1e9).toFixed(1)} GB/s: all cores, memchr, just after`,
              },
            ]),
        { name: 'tokens prefilled for the clip', value: opened, unit: 'tokens', note: 'once' },
        {
          name: 'tokens prefilled for all questions',
          value: read - opened,
          unit: 'tokens',
          note: `${questions.length} of them, ${asked.wall.toFixed(1)} s with their answers; the clip is not read again`,
        },
      ],
    };
  } finally {
    await omni.dispose();
  }
}

/** One command that assesses 10 s of 1080p30, and what it printed. */
async function assessed(root: string, model: string, work: string, provider: Provider) {
  if (!existsSync(model))
    throw new Error(`There is no compiled model in ${model}: run the step compile first.`);
  const clip = join(work, 'clip-1080p30.mp4');
  if (!existsSync(clip)) await makeClip(join(root, 'media', 'sample.mp4'), clip);
  const usage = await runNode([
    join(root, 'dist', 'cli.mjs'),
    ...['assess', clip, '--model', model, '--provider', provider, '--no-cache', '--format', 'json'],
  ]);
  const record = JSON.parse(usage.stdout) as {
    timing: { wall: number; decode: number; vision: number; motion: number; language: number };
    score: number;
    levels: Record<string, number>;
    model: { provider: string };
  };
  const { score, levels } = record;
  if (!Number.isFinite(score) || !Object.values(levels).every(Number.isFinite)) {
    throw new Error(`The rating is not finite: ${JSON.stringify({ score, levels })}.`);
  }
  if (record.model.provider !== provider) throw new Error(`It ran on ${record.model.provider}.`);
  return { usage, record };
}

/** On a device: what a rating takes after loading, and how far it is from the CPU's. */
async function assessOn(provider: Provider, root: string, model: string, work: string): Promise<Section> {
  const { usage, record } = await assessed(root, model, work, provider);
  const cpu = await assessed(root, model, work, 'cpu');
  const { timing } = record;
  return {
    title: `assessing 10 s of 1080p30 on ${provider}`,
    text: 'The int4 model, 10 key frames and 300 motion frames, some 2,300 tokens in one prefill. Weights are random: scores are compared, they mean nothing.',
    figures: [
      { name: 'assessment after loading', value: timing.wall, unit: 's', note: 'limit 1' },
      { name: '… waiting for frames', value: timing.decode, unit: 's' },
      { name: '… vision', value: timing.vision, unit: 's' },
      { name: '… motion', value: timing.motion, unit: 's' },
      { name: '… prefill', value: timing.language, unit: 's' },
      { name: 'start and load', value: usage.wall - timing.wall, unit: 's' },
      { name: 'the same on the CPU, after loading', value: cpu.record.timing.wall, unit: 's' },
      {
        name: 'difference to the score of the CPU',
        value: Math.abs(record.score - cpu.record.score) / 100,
        unit: '',
        note: 'of 1; limit 0.02',
      },
    ],
  };
}

async function assess(root: string, model: string, work: string): Promise<Section> {
  // Before and after: what else the machine does falls on the limit as on the assessment.
  const before = await gemm(work, 4, gemmRows);
  const {
    usage,
    record: { timing },
  } = await assessed(root, model, work, 'cpu');
  const rate = gemmFlop / ((before + (await gemm(work, 4, gemmRows))) / 2);
  const config = parseModelConfig(
    JSON.parse(readFileSync(join(model, 'config.json'), 'utf8')),
    ['model.slowfast.position_embedding.weight'],
    [basename(model)],
  );
  const tokens = keyFrames * config.tokensPerFrame + 1 + motionFrames;
  const { hiddenSize, headDim, numAttentionHeads, numKeyValueHeads, intermediateSize } = config;
  const layerWeights =
    hiddenSize * (2 * numAttentionHeads * headDim + 2 * numKeyValueHeads * headDim + 3 * intermediateSize);
  const prefillFlop = 2 * tokens * config.numHiddenLayers * layerWeights;
  return {
    title: 'assessing 10 s of 1080p30',
    text: 'The int4 model on the CPU: 10 key frames and 300 motion frames, some 2,300 tokens in one prefill. Weights are random, so the score means nothing; that it is finite is checked.',
    figures: [
      { name: 'peak memory (RSS)', value: usage.peakBytes / GiB, unit: 'GiB', note: 'limit 20' },
      {
        name: 'whole command',
        value: usage.wall,
        unit: 's',
        note: `${usage.cpu.toFixed(0)} s of processor time`,
      },
      { name: 'start and load', value: usage.wall - timing.wall, unit: 's' },
      { name: 'waiting for frames', value: timing.decode, unit: 's' },
      { name: 'vision', value: timing.vision, unit: 's' },
      { name: 'motion', value: timing.motion, unit: 's' },
      { name: 'prefill', value: timing.language, unit: 's' },
      {
        name: 'prefill / time of its matrices at the int8 rate',
        value: timing.language / (prefillFlop / rate),
        unit: '×',
        note: `${tokens} clip tokens, ${(prefillFlop / 1e12).toFixed(1)} TFLOP; ${(rate / 1e9).toFixed(0)} GFLOP/s, mean of just before and just after`,
      },
    ],
  };
}

/** Shape of the largest matrices of Qwen2-7B, and rows as in a long prefill. */
const [gemmRows, gemmWidth, gemmOut] = [512, 3584, 18_944];
const gemmFlop = 2 * gemmRows * gemmWidth * gemmOut;

/** What a model of one key frame a second sees of 10 s at 30 frames/s. */
const [keyFrames, motionFrames] = [10, 300];

async function limits(work: string): Promise<Section> {
  const int8 = await gemm(work, 4, gemmRows);
  const float = await gemm(work, 0, gemmRows);
  const single = await gemm(work, 4, 1, 8);
  const bandwidth = await memoryRead();
  const disk = diskRate(work, probeBytes);
  // 4 bits a weight, and a float32 scale for every 32.
  const matrixBytes = gemmOut * gemmWidth * (0.5 + 4 / 32);
  const figures: Figure[] = [
    {
      name: 'int4 matrix × int8 activations, 512 rows',
      value: gemmFlop / int8 / 1e9,
      unit: 'GFLOP/s',
      note: 'MatMulNBits, accuracy_level 4: limits the prefill',
    },
    {
      name: 'the same in float32',
      value: gemmFlop / float / 1e9,
      unit: 'GFLOP/s',
      note: 'accuracy_level 0',
    },
    {
      name: 'the same, one row',
      value: matrixBytes / single / 1e9,
      unit: 'GB/s',
      note: 'weights read per second, of eight in turn: limits decoding',
    },
    { name: 'memory read', value: bandwidth / 1e9, unit: 'GB/s', note: 'all cores, memchr' },
    { name: 'disk read', value: disk.read / MB, unit: 'MB/s', note: 'page cache, where the system keeps it' },
    { name: 'disk write', value: disk.write / MB, unit: 'MB/s' },
  ];
  return {
    title: 'the limits of the machine',
    text: `What the steps come near to. The matrix is the largest of a layer: ${gemmWidth} × ${gemmOut}.`,
    figures,
  };
}

/** Seconds of one product of [rows, 3584] with an int4 matrix, where `count` of them are multiplied in turn. */
async function gemm(work: string, accuracyLevel: 0 | 4, rows: number, count = 1): Promise<number> {
  const matrix = { width: gemmWidth, out: gemmOut, precision: 'int4' } as const;
  const matrices = Array.from({ length: count }, () => matrix);
  const products = await Products.open(matrices, work, { provider: 'cpu', accuracyLevel });
  try {
    const [seconds] = (await medianSeconds([products.run(rows)])) as [number];
    return seconds / count;
  } finally {
    await products.release();
  }
}

/** Bytes per second at which all cores together read memory: memchr(3) over buffers far larger than any cache. */
async function memoryRead(): Promise<number> {
  const threads = availableParallelism();
  const scan = `
    const { parentPort } = require('node:worker_threads');
    const buffer = Buffer.alloc(2 ** 29, 1);
    parentPort.once('message', () => {
      const started = performance.now();
      for (let i = 0; i < 8; i += 1) if (buffer.indexOf(2) !== -1) throw new Error('found');
      parentPort.postMessage((8 * buffer.length) / ((performance.now() - started) / 1000));
    });
    parentPort.postMessage('ready');`;
  const workers = Array.from({ length: threads }, () => new Worker(scan, { eval: true }));
  try {
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    const rates = workers.map(async (worker) => {
      const [rate] = (await once(worker, 'message')) as [number];
      return rate;
    });
    for (const worker of workers) worker.postMessage('go');
    return (await Promise.all(rates)).reduce((sum, rate) => sum + rate, 0);
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}
