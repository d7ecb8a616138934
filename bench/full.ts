import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { parseModelConfig } from '../src/model/checkpoint/config.ts';
import { Graph } from '../src/model/compiler/graph.ts';
import { writeCheckpoint } from './checkpoint.ts';
import { clock, diskRate, type Figure, GiB, makeClip, median, runNode, type Section } from './support.ts';

const steps = ['write', 'compile', 'limits', 'assess'] as const;

/** A gibibyte shows a disk's pace past its first buffers and is soon written. */
const probeBytes = GiB;

/**
 * The road of the 7B model at its full size with random weights: write the checkpoint, compile it to int4, assess a
 * clip with it, and measure what limits each. Every step can be run alone and finds what the others left in `work`.
 */
export async function benchFull(
  root: string,
  work: string,
  only: readonly string[] | undefined,
  tiny: boolean,
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
  if (wanted('write')) sections.push(await write(source, work, tiny));
  if (wanted('compile')) sections.push(await compile(root, source, target, work));
  if (wanted('limits')) sections.push(await limits(work));
  if (wanted('assess')) sections.push(await assess(root, target, work));
  return sections;
}

const MB = 1e6;

async function write(directory: string, work: string, tiny: boolean): Promise<Section> {
  const { value: bytes, wall } = await clock(() => writeCheckpoint(directory, tiny ? 'tiny' : 'full'));
  const disk = diskRate(work, probeBytes);
  return {
    title: 'full: writing the checkpoint',
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
    title: 'full: compiling to int4',
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

async function assess(root: string, model: string, work: string): Promise<Section> {
  if (!existsSync(model))
    throw new Error(`There is no compiled model in ${model}: run the step compile first.`);
  const clip = join(work, 'clip-1080p30.mp4');
  if (!existsSync(clip)) await makeClip(join(root, 'media', 'sample.mp4'), clip);
  // Before and after: what else the machine does falls on the limit as on the assessment.
  const before = await gemm(work, 4, gemmRows);
  const usage = await runNode([
    join(root, 'dist', 'cli.mjs'),
    ...['assess', clip, '--model', model, '--provider', 'cpu', '--no-cache', '--format', 'json'],
  ]);
  const rate = gemmFlop / ((before + (await gemm(work, 4, gemmRows))) / 2);
  const { timing, score, levels } = JSON.parse(usage.stdout) as {
    timing: { wall: number; decode: number; vision: number; motion: number; language: number };
    score: number;
    levels: Record<string, number>;
  };
  if (!Number.isFinite(score) || !Object.values(levels).every(Number.isFinite)) {
    throw new Error(`The rating is not finite: ${JSON.stringify({ score, levels })}.`);
  }
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
    title: 'full: assessing 10 s of 1080p30',
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
  const single = await gemm(work, 4, 1);
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
      note: 'weights read per second: limits decoding',
    },
    { name: 'memory read', value: bandwidth / 1e9, unit: 'GB/s', note: 'all cores, memchr' },
    { name: 'disk read', value: disk.read / MB, unit: 'MB/s', note: 'page cache, where the system keeps it' },
    { name: 'disk write', value: disk.write / MB, unit: 'MB/s' },
  ];
  return {
    title: 'full: the limits of the machine',
    text: `What the steps come near to. The matrix is the largest of a layer: ${gemmWidth} × ${gemmOut}.`,
    figures,
  };
}

/**
 * Seconds of one product of [rows, 3584] with an int4 matrix, median of several. The matrix lies in a file, as in a
 * compiled model: onnxruntime packs only constants for its fast kernels.
 */
async function gemm(work: string, accuracyLevel: 0 | 4, rows: number): Promise<number> {
  const directory = mkdtempSync(join(work, 'gemm-'));
  try {
    const blocks = gemmWidth / 32;
    const matrixBytes = gemmOut * blocks * 16;
    const scaleBytes = gemmOut * blocks * 4;
    const weights = Buffer.alloc(matrixBytes + scaleBytes);
    for (let i = 0; i < matrixBytes; i += 4) weights.writeInt32LE(Math.imul(i + 1, 2654435761) | 0, i);
    for (let i = matrixBytes; i < weights.length; i += 4) weights.writeFloatLE(0.01, i);
    writeFileSync(join(directory, 'gemm.weights'), weights);
    const location = 'gemm.weights';
    const graph = new Graph();
    const x = graph.input('x', 'float32', ['rows', gemmWidth]);
    const matrix = graph.external('matrix', 'uint8', [gemmOut, blocks, 16], {
      location,
      offset: 0,
      length: matrixBytes,
    });
    const scales = graph.external('scales', 'float32', [gemmOut * blocks], {
      location,
      offset: matrixBytes,
      length: scaleBytes,
    });
    const attributes = { K: gemmWidth, N: gemmOut, bits: 4, block_size: 32, accuracy_level: accuracyLevel };
    graph.node('com.microsoft.MatMulNBits', [x, matrix, scales], attributes, 'y');
    graph.output('y', 'float32', ['rows', gemmOut]);
    const path = join(directory, 'gemm.onnx');
    writeFileSync(path, graph.encode('gemm'));

    const session = await InferenceSession.create(path, { intraOpNumThreads: availableParallelism() });
    const input = Float32Array.from({ length: rows * gemmWidth }, (_, i) => Math.sin(i));
    const feeds = { x: new Tensor('float32', input, [rows, gemmWidth]) };
    await session.run(feeds);
    const times: number[] = [];
    for (let i = 0; i < (rows === 1 ? 50 : 7); i += 1)
      times.push((await clock(() => session.run(feeds))).wall);
    await session.release();
    return median(times);
  } finally {
    rmSync(directory, { recursive: true, force: true });
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
