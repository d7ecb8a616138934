import { describe, expect, it } from 'vitest';
import { parseModelConfig } from '../../../src/model/checkpoint/config.ts';
import { expectedTensors, isDroppable, tower } from '../../../src/model/checkpoint/tensors.ts';
import { OmniError } from '../../../src/protocol/errors.ts';

/** As the released checkpoints of the family state themselves: towers by name only. */
const published = {
  _name_or_path: '/models/lmms-lab--llava-onevision-qwen2-7b-ov-chat',
  architectures: ['LlavaQwenForCausalLM'],
  model_type: 'llava_qwen',
  bos_token_id: 151643,
  eos_token_id: 151645,
  hidden_act: 'silu',
  hidden_size: 3584,
  image_aspect_ratio: 'anyres_max_9',
  intermediate_size: 18944,
  max_position_embeddings: 32768,
  mm_hidden_size: 1152,
  mm_newline_position: 'one_token',
  mm_patch_merge_type: 'spatial_unpad',
  mm_projector_type: 'mlp2x_gelu',
  mm_resampler_type: null,
  mm_spatial_pool_mode: 'bilinear',
  mm_vision_select_layer: -2,
  mm_vision_tower: 'google/siglip-so400m-patch14-384',
  num_attention_heads: 28,
  num_hidden_layers: 28,
  num_key_value_heads: 4,
  rms_norm_eps: 1e-6,
  rope_scaling: null,
  rope_theta: 1_000_000,
  sliding_window: null,
  tie_word_embeddings: false,
  tokenizer_model_max_length: 32768,
  use_sliding_window: false,
  vocab_size: 152_064,
};
const motionNames = ['model.slowfast.position_embedding.weight'];

/** A small one of ours, everything spelled out. */
const own = {
  architectures: ['LlavaQwenForCausalLM'],
  hidden_size: 48,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  vocab_size: 512,
  max_position_embeddings: 20_000,
  tokenizer_model_max_length: 16_000,
  eos_token_id: [1, 2],
  mm_vision_select_layer: -1,
  vision_config: {
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    image_size: 96,
    patch_size: 32,
    embeddings: 'cell_statistics',
    use_post_layernorm: true,
    views: [{ kind: 'squash' }, { kind: 'fragments', cell: 32, area: 518_400 }],
  },
  motion_config: {
    image_size: 48,
    input: 'rgb_logdiff',
    stem_kernel: [5, 5, 5],
    depths: [1, 2],
    widths: [8, 16],
    inner_widths: [4, 4],
    spatial_strides: [1, 2],
    frame_multiple: 1,
  },
  omnivqa: { family: 'mine', token_layout: 'joined', chat: null, branches: ['technical', 'aesthetic'] },
};

function findings(json: object): readonly string[] {
  try {
    parseModelConfig(json);
    return [];
  } catch (error) {
    if (!OmniError.is(error, 'checkpoint_config')) throw error;
    return error.detail.findings ?? [];
  }
}

describe('a published config', () => {
  const config = parseModelConfig(published, motionNames, ['VQA-UGC-Scorer-llava_qwen']);

  it('takes the towers’ shapes from their names', () => {
    expect(config.vision).toMatchObject({
      hiddenSize: 1152,
      intermediateSize: 4304,
      numAttentionHeads: 16,
      layers: 26,
      storedLayers: 27,
      grid: 27,
      normEps: 1e-6,
      activation: 'gelu_pytorch_tanh',
      postLayernorm: false,
      embeddings: 'patch',
      views: [{ kind: 'squash' }],
    });
    expect(config).toMatchObject({
      headDim: 128,
      pooledGrid: 14,
      tokensPerFrame: 196,
      eosTokenIds: [151645],
    });
    expect(config.motion).toMatchObject({
      imageSize: 384,
      depths: [3, 4, 6, 3],
      widths: [32, 64, 128, 256],
      radius: [18, 18],
      maxPositions: 2000,
      frameMultiple: 4,
    });
  });

  it('is cut where the released code cuts, not where the config says', () =>
    expect(config.tokenizerModelMaxLength).toBe(10_000));

  it('has as many parameters as Qwen2-7B and the fast pathway have', () => {
    const tensors = expectedTensors(config);
    const count = (pattern: RegExp) =>
      tensors
        .filter(({ name }) => pattern.test(name) && !/running_(mean|var)$/.test(name))
        .reduce((sum, { shape }) => sum + shape.reduce((product, dim) => product * dim, 1), 0);
    expect(count(/^model\.slowfast\.feature_extraction/)).toBe(514_152);
    expect(count(/^(model\.(layers|embed_tokens|norm)\.|lm_head)/)).toBe(7_615_616_512);
    expect(new Set(tensors.map(({ name }) => name)).size).toBe(tensors.length);
  });

  it.each([
    [`${tower}.encoder.layers.26.mlp.fc1.weight`, true],
    [`${tower}.encoder.layers.25.mlp.fc3.weight`, false],
    [`${tower}.head.probe`, true],
    [`${tower}.post_layernorm.weight`, true],
    ['model.slowfast.feature_extraction.1.multipathway_blocks.0.res_blocks.0.branch1_conv.weight', true],
    ['model.slowfast.feature_extraction.1.multipathway_fusion.norm.weight', true],
    ['model.slowfast.feature_extraction.0.multipathway_blocks.1.norm.num_batches_tracked', true],
    ['model.layers.28.mlp.up_proj.weight', false],
    ['lm_head.bias', false],
  ])('%s: droppable %s', (name, droppable) => expect(isDroppable(name, config)).toBe(droppable));

  it('has no motion branch where the file has none', () =>
    expect(parseModelConfig(published, ['model.norm.weight']).motion).toBeNull());
});

describe('families', () => {
  it.each([
    ['VQA-UGC-Scorer-llava_qwen', true, 'ugc-scorer', 'separate'],
    ['VQA-Streaming-Scorer-llava_qwen', true, 'streaming-scorer', 'separate'],
    ['VQA-Assistant-llava_qwen', true, 'assistant', 'separate'],
    ['VQA-Assistant-llava-qwen-enhanced', true, 'assistant-enhanced', 'doubled'],
    ['Llava-Assessor-GIGA-7B', true, 'llava-assessor', 'joined'],
    ['llava-onevision-qwen2-7b-ov-chat', false, 'llava-onevision', 'joined'],
    // The config still names the base, but a motion branch is there: a fine-tune of unknown name.
    ['my-model', true, 'ugc-scorer', 'separate'],
    ['my-model', false, 'llava-onevision', 'joined'],
  ] as const)('%s (motion branch %s) is %s', (name, motion, family, tokenLayout) => {
    const { omnivqa } = parseModelConfig(published, motion ? motionNames : [], [name]);
    expect(omnivqa).toMatchObject({ family, tokenLayout });
    expect(Object.keys(omnivqa)).not.toContain('pattern');
  });

  it('an own section overrides what the family says, entry by entry', () => {
    const omnivqa = { family: 'assistant', level_weights: [1, 0.8, 0.6, 0.4, 0.2], chat: null };
    const config = parseModelConfig({ ...published, omnivqa }, motionNames);
    expect(config.omnivqa).toMatchObject({
      family: 'assistant',
      levelWeights: [1, 0.8, 0.6, 0.4, 0.2],
      chat: null,
      rating: { assistant: 'The quality of the video is' },
    });
  });

  it.each([
    'ugc-scorer',
    'streaming-scorer',
    'assistant',
    'assistant-enhanced',
    'llava-assessor',
    'llava-onevision',
  ])('the prompts and the token layout of %s can be overridden', (family) => {
    const rating = { user: '<image>\nRate it.', assistant: 'It is' };
    const omnivqa = { family, rating, token_layout: 'joined', system_prompt: 'You judge videos.' };
    const config = parseModelConfig({ ...published, omnivqa }, motionNames);
    expect(config.omnivqa).toMatchObject({
      family,
      rating,
      tokenLayout: 'joined',
      systemPrompt: 'You judge videos.',
    });
  });
});

describe('a config of ours', () => {
  const config = parseModelConfig(own);

  it('keeps what it states and fills in the rest', () => {
    expect(config).toMatchObject({
      headDim: 16,
      tokenizerModelMaxLength: 16_000,
      eosTokenIds: [1, 2],
      ropeTheta: 1e6,
      pooledGrid: 2,
      tokensPerFrame: 4,
      omnivqa: { family: 'mine', tokenLayout: 'joined', chat: null, branches: ['technical', 'aesthetic'] },
    });
    expect(config.vision).toMatchObject({ layers: 2, grid: 3, postLayernorm: true });
    expect(config.motion).toMatchObject({ stemWidth: 8, radius: [6, 5], frameMultiple: 1 });
  });

  it('reads rotary settings where transformers 5 writes them', () => {
    const rope = { rope_parameters: { rope_type: 'default', rope_theta: 5000 } };
    expect(parseModelConfig({ ...own, ...rope }).ropeTheta).toBe(5000);
  });
});

describe('what would give other numbers in silence is refused', () => {
  const vision = (change: object) => ({ vision_config: { ...own.vision_config, ...change } });
  const motion = (change: object) => ({ motion_config: { ...own.motion_config, ...change } });
  it.each([
    ['hidden_act', { hidden_act: 'gelu' }],
    ['rope_scaling', { rope_scaling: { type: 'yarn', factor: 4 } }],
    ['rope_scaling', { rope_parameters: { rope_type: 'linear', factor: 2 } }],
    ['use_sliding_window', { use_sliding_window: true }],
    ['mm_newline_position', { mm_newline_position: 'grid' }],
    ['mm_spatial_pool_mode', { mm_spatial_pool_mode: 'max' }],
    ['head_dim', { head_dim: 7 }],
    ['num_key_value_heads', { num_key_value_heads: 3 }],
    ['num_hidden_layers', { num_hidden_layers: 1e9 }],
    ['max_position_embeddings', { max_position_embeddings: 2 ** 40 }],
    ['num_channels', vision({ num_channels: 1 })],
    ['patch_size', vision({ patch_size: 97 })],
    ['views', vision({ views: [] })],
    ['views', vision({ views: [{ kind: 'fragments', cell: 20, area: 1 }] })],
    ['views', vision({ embeddings: 'patch' })],
    ['cell statistics', vision({ patch_size: 12 })],
    ['hidden_size', vision({ hidden_size: 33 })],
    ['motion_config', { motion_config: 'slowfast' }],
    ['temporal stride', motion({ stem_stride: [2, 2, 2] })],
    ['even temporal kernel', motion({ temporal_kernel: 4 })],
    ['depths', motion({ depths: [] })],
    ['depths', motion({ depths: [1e9, 1] })],
    ['widths', motion({ widths: [8] })],
    ['eos_token_id', { eos_token_id: 'end' }],
    ['level_weights', { omnivqa: { levels: ['good', 'bad'] } }],
  ])('%s', (name, change) => {
    expect(findings({ ...own, ...change }).join('\n')).toContain(name);
  });
});

describe('a damaged config', () => {
  const odd = [null, true, 0, -1, 2.5, 1e9, 2 ** 60, '', 'x', [], [0], {}, { kind: 'x' }];
  const paths = (json: object, at: string[] = []): string[][] =>
    Object.entries(json).flatMap(([key, value]) => [
      [...at, key],
      ...(typeof value === 'object' && value !== null ? paths(value as object, [...at, key]) : []),
    ]);

  it.each(paths(own).map((path) => [path.join('.'), path] as const))('at %s', (_, path) => {
    for (const value of odd) {
      const json = structuredClone(own) as Record<string, unknown>;
      let inner = json;
      for (const key of path.slice(0, -1)) inner = inner[key] as Record<string, unknown>;
      inner[path.at(-1)!] = value;
      try {
        // What is accepted must describe a list of tensors of bounded length.
        expect(expectedTensors(parseModelConfig(json)).length).toBeLessThan(1e5);
      } catch (error) {
        if (!OmniError.is(error)) throw error;
        expect(['checkpoint_config', 'checkpoint_architecture']).toContain(error.code);
      }
    }
  });
});
