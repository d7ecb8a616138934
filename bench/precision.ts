import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { framePlan, windowTokens } from '../src/engine/clip.ts';
import { type EngineModel, loadEngineModel } from '../src/engine/models.ts';
import { openCheckpoint } from '../src/model/checkpoint/checkpoint.ts';
import { TensorReader } from '../src/model/checkpoint/safetensors.ts';
import { compileCheckpoint } from '../src/model/compiler/compile.ts';
import type { CompileOptions } from '../src/model/compiler/manifest.ts';
import { readLevels } from '../src/model/rater.ts';
import { loadModel, type OmniModel } from '../src/model/runtime/model.ts';
import { type ClipTokens, embedPieces, pieceTokens, ratingSequence } from '../src/model/sequence.ts';
import { readFrames } from '../src/video/frames.ts';
import { probeVideo } from '../src/video/probe.ts';
import { writeCheckpoint } from './checkpoint.ts';
import { type Block, schemes } from './roundings.ts';
import type { Figure, Section } from './support.ts';

const decoderMatrix = /^model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.\w+_proj)\.weight$/;
/** Seconds of each clip that are rated. */
const seconds = 4;

/** What a decoder says about one clip. */
interface Said {
  readonly score: number;
  readonly logits: Float32Array;
}

/**
 * What 4-bit weights cost: the decoder's matrices are rounded by each scheme and written back in float32, so that
 * nothing but the rounding differs; vision and motion tokens are those of the float32 network throughout. The last row
 * is the road that ships: packed weights and activations in int8.
 *
 * @param sources Folder with clips.
 */
export async function benchPrecision(
  root: string,
  work: string,
  sources: string,
): Promise<readonly Section[]> {
  mkdirSync(work, { recursive: true });
  const folder = mkdtempSync(join(work, 'precision-'));
  try {
    const clips = readdirSync(sources)
      .filter((file) => /\.(mp4|mkv|webm)$/.test(file))
      .map((file) => join(sources, file));
    if (clips.length === 0) throw new Error(`There are no clips in ${sources}.`);
    const random = join(folder, 'random');
    writeCheckpoint(random, 'medium');
    return [
      await compare('Nano', join(root, 'models', 'nano'), clips, folder),
      await compare('random weights, 0.2 billion', random, clips.slice(0, 4), folder),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compare(
  name: string,
  checkpoint: string,
  clips: readonly string[],
  folder: string,
): Promise<Section> {
  const full = join(folder, 'full');
  const exact: CompileOptions = { precision: { decoder: 'fp32', vision: 'fp32' }, accuracyLevel: 0 };
  await compileCheckpoint(checkpoint, full, exact);
  const model = await loadEngineModel(full, { provider: 'cpu' });
  const tokens: ClipTokens[] = [];
  for (const clip of clips) tokens.push(await firstTokens(clip, model));
  const expected = await hear(model.omni, tokens);
  await model.dispose();
  rmSync(full, { recursive: true });

  const figures: Figure[] = [];
  const add = (scheme: string, bits: number, weights: number | null, said: readonly Said[]) => {
    const drifts = said.map(({ score }, i) => Math.abs(score - expected[i]!.score));
    const errors = said.map(({ logits }, i) => relative(logits, expected[i]!.logits));
    figures.push({
      name: scheme,
      value: 100 * mean(drifts),
      unit: 'points of 100, mean drift of the score',
      note: [
        `largest ${(100 * Math.max(...drifts)).toFixed(3)}`,
        `logits ${(100 * mean(errors)).toFixed(2)} %`,
        ...(weights === null ? [] : [`weights ${(100 * weights).toFixed(2)} %`]),
        `${bits} bits a weight`,
      ].join(', '),
    });
  };
  for (const scheme of schemes) {
    const rounded = join(folder, 'rounded');
    const error = writeRounded(checkpoint, rounded, scheme.round);
    const said = await compiled(rounded, exact, folder, tokens);
    rmSync(rounded, { recursive: true });
    add(scheme.name, scheme.bits, error, said);
  }
  for (const level of [0, 4]) {
    const options: CompileOptions = { precision: { decoder: 'int4', vision: 'fp32' }, accuracyLevel: level };
    const said = await compiled(checkpoint, options, folder, tokens);
    add(level === 0 ? 'as compiled, float32 activations' : 'as compiled, int8 activations', 5, null, said);
  }
  return {
    title: `precision: 4-bit weights, ${name}`,
    text:
      `${clips.length} clips of ${seconds} s. Rating drift and the logits of the next word against float32; errors of ` +
      'logits and weights are root mean squares over those of float32.',
    figures,
  };
}

async function compiled(
  checkpoint: string,
  options: CompileOptions,
  folder: string,
  tokens: readonly ClipTokens[],
): Promise<Said[]> {
  const directory = join(folder, 'compiled');
  const model = await loadModel(await compileCheckpoint(checkpoint, directory, options), { provider: 'cpu' });
  try {
    return await hear(model, tokens);
  } finally {
    await model.dispose();
    rmSync(directory, { recursive: true });
  }
}

async function firstTokens(path: string, model: EngineModel): Promise<ClipTokens> {
  const { value: info } = await probeVideo(path);
  const frames = readFrames(info, framePlan(model, info, seconds), {});
  try {
    const first = await frames.next();
    if (first.done) throw new Error(`Nothing of ${path} could be decoded.`);
    return await windowTokens(first.value, model);
  } finally {
    await frames.return(undefined as never);
  }
}

async function hear(model: OmniModel, clips: readonly ClipTokens[]): Promise<Said[]> {
  const said: Said[] = [];
  for (const clip of clips) {
    const { prefix, rest } = ratingSequence(model, clip);
    const pieces = [...prefix, ...rest];
    const context = await model.newContext({ capacity: pieceTokens(pieces) });
    const { logits, levelLogits } = await context.append(embedPieces(model, pieces), pieceTokens(pieces));
    said.push({ score: readLevels(model, levelLogits).score, logits: logits.slice() });
    context.dispose();
  }
  return said;
}

/**
 * The same checkpoint with its decoder's matrices rounded, in float32.
 *
 * @returns the error of the rounded weights: root mean square over that of the weights.
 */
function writeRounded(source: string, directory: string, round: (block: Block) => void): number {
  mkdirSync(directory);
  for (const file of ['config.json', 'tokenizer.json', 'generation_config.json']) {
    if (existsSync(join(source, file))) copyFileSync(join(source, file), join(directory, file));
  }
  const reader = new TensorReader();
  const header: Record<string, unknown> = {};
  const tensors = [...openCheckpoint(source).tensors.values()];
  const count = (shape: readonly number[]) => shape.reduce((product, dim) => product * dim, 1);
  let at = 0;
  for (const { name, shape } of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + count(shape) * 4] };
    at += count(shape) * 4;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const out = openSync(join(directory, 'model.safetensors'), 'w');
  let error = 0;
  let energy = 0;
  try {
    writeSync(out, length);
    writeSync(out, json);
    for (const tensor of tensors) {
      const values = reader.read(tensor, 0, count(tensor.shape));
      if (decoderMatrix.test(tensor.name)) {
        const before = values.slice();
        const width = tensor.shape[1]!;
        for (let row = 0; row < values.length; row += width) {
          for (let from = row; from < row + width; from += 32) {
            round({ values: values.subarray(from, Math.min(from + 32, row + width)), tensor: tensor.name });
          }
        }
        for (let i = 0; i < values.length; i += 1) {
          error += (values[i]! - before[i]!) ** 2;
          energy += before[i]! ** 2;
        }
      }
      writeSync(out, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
  } finally {
    closeSync(out);
    reader.close();
  }
  return Math.sqrt(error / energy);
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function relative(actual: Float32Array, wanted: Float32Array): number {
  let error = 0;
  let energy = 0;
  for (let i = 0; i < wanted.length; i += 1) {
    error += (actual[i]! - wanted[i]!) ** 2;
    energy += wanted[i]! ** 2;
  }
  return Math.sqrt(error / energy);
}
