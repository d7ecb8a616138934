/** Networks of this layout with made-up weights: what one costs is known before it is downloaded. */
import { closeSync, copyFileSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Checkpoint } from './checkpoint.ts';
import { parseModelConfig } from './config.ts';
import type { StoredTensor } from './safetensors.ts';
import { expectedTensors } from './tensors.ts';

/** As published: shapes of the tower and of the motion branch are not in the file, they follow from its names. */
const fullConfig = {
  architectures: ['LlavaQwenForCausalLM'],
  model_type: 'llava_qwen',
  attention_dropout: 0,
  bos_token_id: 151643,
  eos_token_id: 151645,
  hidden_act: 'silu',
  hidden_size: 3584,
  image_aspect_ratio: 'pad',
  initializer_range: 0.02,
  intermediate_size: 18944,
  max_position_embeddings: 32768,
  max_window_layers: 28,
  mm_hidden_size: 1152,
  mm_patch_merge_type: 'flat',
  mm_projector_type: 'mlp2x_gelu',
  mm_spatial_pool_mode: 'bilinear',
  mm_spatial_pool_stride: 2,
  mm_use_im_patch_token: false,
  mm_use_im_start_end: false,
  mm_vision_select_feature: 'patch',
  mm_vision_select_layer: -2,
  mm_vision_tower: 'google/siglip-so400m-patch14-384',
  num_attention_heads: 28,
  num_hidden_layers: 28,
  num_key_value_heads: 4,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  sliding_window: 131_072,
  tie_word_embeddings: false,
  tokenizer_model_max_length: 10_000,
  torch_dtype: 'bfloat16',
  use_sliding_window: false,
  vocab_size: 152_064,
};

/** The same network, narrow and shallow: to try the bench itself. */
const tinyConfig = {
  ...fullConfig,
  hidden_size: 128,
  intermediate_size: 256,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  mm_hidden_size: 64,
  vision_config: {
    model_type: 'siglip_vision_model',
    hidden_size: 64,
    intermediate_size: 160,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    image_size: 112,
    patch_size: 14,
  },
};

/** Wide enough for roundings to average out as in a large one, small enough for float32 in memory. */
const mediumConfig = {
  ...fullConfig,
  hidden_size: 768,
  intermediate_size: 2304,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  num_key_value_heads: 4,
  tie_word_embeddings: true,
  mm_hidden_size: tinyConfig.mm_hidden_size,
  vision_config: tinyConfig.vision_config,
};

/** How much of the published shape a network has. */
export const shapes = ['full', 'medium', 'tiny'] as const;
export type Shape = (typeof shapes)[number];

export const shapeConfigs = { full: fullConfig, medium: mediumConfig, tiny: tinyConfig };

/** Random numbers to draw from: more than a matrix row, little enough to stay in memory. */
const poolElements = 2 ** 24;
/** Standard deviation of all weights: `initializer_range` of the published config. */
const deviation = 0.02;
const bfloatOne = 0x3f80;

/** Norms, which multiply: activations stay finite through all layers. */
export const isOne = (name: string): boolean =>
  /norm|running_var/.test(name) && /\.(weight|running_var)$/.test(name);

/** Beside the made-up weights: as many ones as the longest norm. */
const onesElements = 65_536;

/**
 * A checkpoint of a shape with random weights, N(0, 0.02²), that takes no more of the disk than its largest tensor: all
 * of its tensors are cut from that. To be compiled with `compileCheckpoint`; it can not be opened as a directory.
 *
 * @param tokenizer A tokenizer.json to take; its tokens are never read.
 * @throws the system's errors.
 */
export function madeUpCheckpoint(directory: string, shape: Shape, tokenizer: string): Checkpoint {
  mkdirSync(directory, { recursive: true });
  const json = shapeConfigs[shape];
  writeFileSync(join(directory, 'config.json'), `${JSON.stringify(json, null, 2)}\n`);
  copyFileSync(tokenizer, join(directory, 'tokenizer.json'));
  // That the motion branch is there is read from the names; it is what the published checkpoints have.
  const config = parseModelConfig(json, ['model.slowfast.position_embedding.weight'], ['ugc-scorer']);
  const path = join(directory, 'model.weights');
  const expected = expectedTensors(config).map(({ name, shape: dims }) => ({
    name,
    dims,
    bytes: 2 * dims.reduce((product, dim) => product * dim, 1),
  }));
  const largest = Math.max(...expected.map(({ bytes }) => bytes));
  const file = openSync(path, 'w');
  try {
    writeSync(file, ones());
    const pool = normalPool();
    for (let left = largest; left > 0; left -= pool.length)
      writeSync(file, pool, 0, Math.min(left, pool.length));
  } finally {
    closeSync(file);
  }
  const tensors = expected.map(({ name, dims, bytes }): [string, StoredTensor] => [
    name,
    { name, path, type: 'BF16', shape: dims, start: isOne(name) ? 0 : 2 * onesElements, bytes },
  ]);
  return { directory, config, tensors: new Map(tensors), files: [path], comparison: null };
}

/** Ones in bf16. */
export const ones = (): Buffer => Buffer.from(new Uint16Array(onesElements).fill(bfloatOne).buffer);

/** bf16 of N(0, 0.02²), by Box and Muller over xorshift32; the same at every call. */
export function normalPool(): Buffer {
  const floats = new Float32Array(2);
  const bits = new Uint32Array(floats.buffer);
  const pool = new Uint16Array(poolElements);
  let state = 0x9e3779b9;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) + 0.5) / 4294967296;
  };
  for (let i = 0; i < poolElements; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(next()));
    const angle = 2 * Math.PI * next();
    floats[0] = radius * Math.cos(angle);
    floats[1] = radius * Math.sin(angle);
    pool[i] = bits[0]! >>> 16;
    pool[i + 1] = bits[1]! >>> 16;
  }
  return Buffer.from(pool.buffer);
}
