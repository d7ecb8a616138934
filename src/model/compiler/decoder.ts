import type { ModelConfig } from '../checkpoint/config.ts';
import { Graph } from './graph.ts';
import type { Precision, Weights } from './weights.ts';

export interface DecoderOptions {
  readonly precision: Precision;
  readonly accuracyLevel: number;
  /** Vocabulary ids of the quality levels, best first. */
  readonly levelIds: readonly number[];
}

/**
 * One step of Qwen2 over embeddings [1,S,H] that continue a cache of `total_sequence_length - S` tokens. Keys and
 * values live in buffers [1,kvHeads,C,headDim] that are read and written in place: `present.*` are to be fetched into
 * the tensors that were fed as `past_key_values.*`. Of the last position come `logits` [1,V], and `level_logits`
 * [1,levels] from float32 rows of the head, so that a rating does not depend on how the head was rounded.
 */
export function decoderGraph(config: ModelConfig, weights: Weights, options: DecoderOptions): Graph {
  const { hiddenSize: hidden, headDim, numAttentionHeads: heads, numKeyValueHeads: kvHeads } = config;
  const graph = new Graph();
  const embeddings = graph.input('inputs_embeds', 'float32', [1, 'S', hidden]);
  const positions = graph.input('position_ids', 'int64', [1, 'S']);
  const lengths = graph.input('seqlens_k', 'int32', [1]);
  const total = graph.input('total_sequence_length', 'int32', []);
  const reshape = (value: string, ...dims: number[]) =>
    graph.node('Reshape', [value, graph.constant('int64', dims)]);
  const linear = (x: string, name: string, bias: boolean) =>
    weights.linear(graph, x, name, { ...options, bias });
  const norm = (x: string, name: string) =>
    graph.node('SimplifiedLayerNormalization', [x, weights.tensor(graph, `${name}.weight`)], {
      axis: -1,
      epsilon: { float: config.rmsNormEps },
      stash_type: 1,
    });

  const half = headDim / 2;
  const table = [config.maxPositionEmbeddings, half];
  const rotation = (name: string, turn: (angle: number) => number) =>
    weights.computed(graph, name, table, () => {
      const values = new Float32Array(config.maxPositionEmbeddings * half);
      for (let i = 0; i < values.length; i += 1) {
        values[i] = turn(Math.floor(i / half) * config.ropeTheta ** (-(i % half) / half));
      }
      return values;
    });
  const cos = rotation('rotary.cos', Math.cos);
  const sin = rotation('rotary.sin', Math.sin);

  let x = reshape(embeddings, -1, hidden);
  for (let i = 0; i < config.numHiddenLayers; i += 1) {
    const layer = `model.layers.${i}`;
    const normed = norm(x, `${layer}.input_layernorm`);
    const project = (part: string, count: number) =>
      reshape(linear(normed, `${layer}.self_attn.${part}_proj`, true), 1, -1, count * headDim);
    const rotate = (value: string) =>
      graph.node('com.microsoft.RotaryEmbedding', [value, positions, cos, sin], { interleaved: 0 });
    const cache = ['key', 'value'].map((part) =>
      graph.input(`past_key_values.${i}.${part}`, 'float32', [1, kvHeads, 'C', headDim]),
    );
    const present = ['key', 'value'].map((part) => `present.${i}.${part}`);
    const [attended] = graph.nodes(
      'com.microsoft.GroupQueryAttention',
      [
        rotate(project('q', heads)),
        rotate(project('k', kvHeads)),
        project('v', kvHeads),
        ...cache,
        lengths,
        total,
      ],
      { num_heads: heads, kv_num_heads: kvHeads, scale: { float: 1 / Math.sqrt(headDim) } },
      [`${layer}.attention`, ...present],
    );
    for (const name of present) graph.output(name, 'float32', [1, kvHeads, 'C', headDim]);
    const mixed = linear(reshape(attended!, -1, heads * headDim), `${layer}.self_attn.o_proj`, false);
    x = graph.node('Add', [x, mixed]);
    const after = norm(x, `${layer}.post_attention_layernorm`);
    const gate = linear(after, `${layer}.mlp.gate_proj`, false);
    const silu = graph.node('Mul', [gate, graph.node('Sigmoid', [gate])]);
    const inner = graph.node('Mul', [silu, linear(after, `${layer}.mlp.up_proj`, false)]);
    x = graph.node('Add', [x, linear(inner, `${layer}.mlp.down_proj`, false)]);
  }
  const ints = (...values: number[]) => graph.constant('int64', values);
  const last = norm(graph.node('Slice', [x, ints(-1), ints(2 ** 31 - 1), ints(0)]), 'model.norm');
  const source = config.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight';
  // The head decides between words that lie close together: it keeps 8 bits where the layers have 4.
  const head: Precision = options.precision === 'int4' ? 'int8' : options.precision;
  const logits = weights.linear(graph, last, 'lm_head', { ...options, precision: head, bias: false, source });
  graph.node('Identity', [logits], {}, 'logits');
  graph.output('logits', 'float32', [1, config.vocabSize]);
  const rows = weights.computed(graph, 'levels', [options.levelIds.length, hidden], () =>
    weights.rows(source, options.levelIds),
  );
  graph.node('Gemm', [last, rows], { transB: 1 }, 'level_logits');
  graph.output('level_logits', 'float32', [1, options.levelIds.length]);
  return graph;
}
