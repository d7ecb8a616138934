import type { ModelConfig, MotionConfig } from './config.ts';

/** What a tensor of the checkpoint must look like. */
export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

export const tower = 'model.vision_tower.vision_tower.vision_model';

/** Numbers per view and cell of the `cell_statistics` embeddings; see the vision graph. */
export const statistics = 64 + 3 * 15 + 2 * 8 + 4 * 3 + 3;

const bottleneck = ['a', 'b', 'c'] as const;

/** The residual blocks of the fast pathway in order, with their channel counts and spatial stride. */
export function motionBlocks(motion: MotionConfig) {
  let width = motion.stemWidth;
  return motion.depths.flatMap((depth, stage) =>
    Array.from({ length: depth }, (_, index) => {
      const [inner, out] = [motion.innerWidths[stage]!, motion.widths[stage]!];
      const stride = index === 0 ? motion.spatialStrides[stage]! : 1;
      const block = {
        name: `model.slowfast.feature_extraction.${stage + 1}.multipathway_blocks.1.res_blocks.${index}`,
        width,
        inner,
        out,
        stride,
        projected: width !== out || stride !== 1,
      };
      width = out;
      return block;
    }),
  );
}

/** Every tensor that the network described by the config reads, under the names of the released checkpoints. */
export function expectedTensors(config: ModelConfig): ExpectedTensor[] {
  const tensors: ExpectedTensor[] = [];
  const add = (name: string, ...shape: number[]) => tensors.push({ name, shape });
  const linear = (name: string, out: number, width: number, bias = true) => {
    add(`${name}.weight`, out, width);
    if (bias) add(`${name}.bias`, out);
  };
  const affine = (name: string, width: number) => {
    add(`${name}.weight`, width);
    add(`${name}.bias`, width);
  };
  const batchNorm = (name: string, width: number) => {
    affine(name, width);
    add(`${name}.running_mean`, width);
    add(`${name}.running_var`, width);
  };

  const { hiddenSize: hidden, headDim, vision, motion } = config;
  const d = vision.hiddenSize;
  const embeddings = `${tower}.embeddings`;
  if (vision.embeddings === 'patch') {
    add(`${embeddings}.patch_embedding.weight`, d, vision.channels, vision.patchSize, vision.patchSize);
    add(`${embeddings}.patch_embedding.bias`, d);
  } else {
    const features = statistics * vision.views.length;
    add(`${embeddings}.dct.weight`, 64, 1, 8, 8);
    batchNorm(`${embeddings}.norm`, features);
    linear(`${embeddings}.fc1`, 2 * d, features);
    linear(`${embeddings}.fc2`, d, 2 * d);
  }
  add(`${embeddings}.position_embedding.weight`, vision.grid ** 2, d);
  for (let i = 0; i < vision.layers; i += 1) {
    const layer = `${tower}.encoder.layers.${i}`;
    affine(`${layer}.layer_norm1`, d);
    affine(`${layer}.layer_norm2`, d);
    for (const part of ['q', 'k', 'v', 'out']) linear(`${layer}.self_attn.${part}_proj`, d, d);
    linear(`${layer}.mlp.fc1`, vision.intermediateSize, d);
    linear(`${layer}.mlp.fc2`, d, vision.intermediateSize);
  }
  if (vision.postLayernorm) affine(`${tower}.post_layernorm`, d);
  linear('model.mm_projector.0', hidden, d);
  linear('model.mm_projector.2', hidden, hidden);
  if (config.projectorPosition) add('model.mm_projector_position.weight', config.tokensPerFrame, hidden);
  add('model.image_newline', hidden);

  if (motion) {
    const stem = 'model.slowfast.feature_extraction.0.multipathway_blocks.1';
    const channels = motion.channels * (motion.input === 'rgb_logdiff' ? 2 : 1);
    add(`${stem}.conv.weight`, motion.stemWidth, channels, ...motion.stemKernel);
    batchNorm(`${stem}.norm`, motion.stemWidth);
    for (const { name, width, inner, out, projected } of motionBlocks(motion)) {
      if (projected) {
        add(`${name}.branch1_conv.weight`, out, width, 1, 1, 1);
        batchNorm(`${name}.branch1_norm`, out);
      }
      add(`${name}.branch2.conv_a.weight`, inner, width, motion.temporalKernel, 1, 1);
      add(`${name}.branch2.conv_b.weight`, inner, inner, 1, 3, 3);
      add(`${name}.branch2.conv_c.weight`, out, inner, 1, 1, 1);
      for (const part of bottleneck) batchNorm(`${name}.branch2.norm_${part}`, part === 'c' ? out : inner);
    }
    const last = motion.widths.at(-1)!;
    add('model.slowfast.position_embedding.weight', motion.maxPositions, last);
    linear('model.slowfast_projector.0', hidden, last);
    linear('model.slowfast_projector.2', hidden, hidden);
  }

  add('model.embed_tokens.weight', config.vocabSize, hidden);
  for (let i = 0; i < config.numHiddenLayers; i += 1) {
    const layer = `model.layers.${i}`;
    const [queries, keys] = [config.numAttentionHeads * headDim, config.numKeyValueHeads * headDim];
    linear(`${layer}.self_attn.q_proj`, queries, hidden);
    linear(`${layer}.self_attn.k_proj`, keys, hidden);
    linear(`${layer}.self_attn.v_proj`, keys, hidden);
    linear(`${layer}.self_attn.o_proj`, hidden, queries, false);
    linear(`${layer}.mlp.gate_proj`, config.intermediateSize, hidden, false);
    linear(`${layer}.mlp.up_proj`, config.intermediateSize, hidden, false);
    linear(`${layer}.mlp.down_proj`, hidden, config.intermediateSize, false);
    add(`${layer}.input_layernorm.weight`, hidden);
    add(`${layer}.post_attention_layernorm.weight`, hidden);
  }
  add('model.norm.weight', hidden);
  if (!config.tieWordEmbeddings) add('lm_head.weight', config.vocabSize, hidden);
  return tensors;
}

/**
 * Whether a tensor that the network does not read may be in the file all the same: what the released checkpoints
 * carry along (the slow pathway and its fusion, tower layers beyond the selected one, SigLIP's pooling head).
 */
export function isDroppable(name: string, config: ModelConfig): boolean {
  if (name.endsWith('.num_batches_tracked') || name.endsWith('rotary_emb.inv_freq')) return true;
  if (name.endsWith('.position_ids')) return true;
  if (/\.multipathway_blocks\.0\.|\.multipathway_fusion\./.test(name)) return true;
  if (name.startsWith(`${tower}.head.`) || name.startsWith(`${tower}.post_layernorm.`)) return true;
  if (name === 'lm_head.weight') return config.tieWordEmbeddings;
  if (config.motion === null && name.startsWith('model.slowfast')) return true;
  const layer = /\.encoder\.layers\.(\d+)\./.exec(name);
  return name.startsWith(tower) && layer !== null && Number(layer[1]) >= config.vision.layers;
}
