import type { ModelConfig, VisionConfig } from '../checkpoint/config.ts';
import { tower } from '../checkpoint/tensors.ts';
import { dataType, Graph } from './graph.ts';
import type { Precision, Weights } from './weights.ts';

/** Luma and chroma of RGB (ITU-R BT.601), chroma around 0. */
const ycbcr = [0.299, 0.587, 0.114, -0.169, -0.331, 0.5, 0.5, -0.419, -0.081];
/** Radial bands of an 8×8 DCT: coefficients with equal u + v. */
const bands = 15;
const chromaBands = [1, 2, 3, 4, 6, 8, 10, 12];
/** A coefficient below this was quantised away, or there was nothing to see. */
const silent = 0.6;

export interface VisionOptions {
  readonly precision: Precision;
  readonly accuracyLevel: number;
  /** Only operators that WebGPU has, float pixels, attention spelled out. */
  readonly portable: boolean;
}

/**
 * Key frames [K,V,S,S,3] (RGB 0..255) → tokens [K,P,H]: the selected layers of SigLIP, projector and bilinear
 * pooling (as in the released LLaVA-NeXT code).
 */
export function visionGraph(config: ModelConfig, weights: Weights, options: VisionOptions): Graph {
  const { vision } = config;
  const { hiddenSize: width, numAttentionHeads: heads, imageSize: side } = vision;
  const patches = vision.grid ** 2;
  const graph = new Graph();
  const shape = ['K', vision.views.length, side, side, 3];
  const pixels = graph.input('pixels', options.portable ? 'float32' : 'uint8', shape);
  const floats = options.portable ? pixels : graph.node('Cast', [pixels], { to: dataType.float32 });
  const ints = (...values: number[]) => graph.constant('int64', values);
  const reshape = (value: string, ...dims: number[]) => graph.node('Reshape', [value, ints(...dims)]);
  const images = graph.node('Transpose', [reshape(floats, -1, side, side, 3)], { perm: [0, 3, 1, 2] });
  const linear = (x: string, name: string) => weights.linear(graph, x, name, options);
  const norm = (x: string, name: string) =>
    graph.node(
      'LayerNormalization',
      [x, weights.tensor(graph, `${name}.weight`), weights.tensor(graph, `${name}.bias`)],
      { axis: -1, epsilon: { float: vision.normEps } },
    );
  const gelu = (x: string, approximate: 'tanh' | 'none') => graph.node('Gelu', [x], { approximate });

  const embedded =
    vision.embeddings === 'patch'
      ? patchEmbeddings(graph, weights, vision, images)
      : cellStatistics(graph, weights, vision, images, linear);
  let x = reshape(
    graph.node('Add', [embedded, weights.tensor(graph, `${tower}.embeddings.position_embedding.weight`)]),
    -1,
    width,
  );
  const scale = 1 / Math.sqrt(width / heads);
  for (let i = 0; i < vision.layers; i += 1) {
    const layer = `${tower}.encoder.layers.${i}`;
    const normed = norm(x, `${layer}.layer_norm1`);
    const [q, k, v] = ['q', 'k', 'v'].map((part) => linear(normed, `${layer}.self_attn.${part}_proj`));
    const attended = options.portable
      ? spelledAttention(graph, [q!, k!, v!], patches, heads, width / heads, scale)
      : graph.node(
          'com.microsoft.MultiHeadAttention',
          [q!, k!, v!].map((value) => reshape(value, -1, patches, width)),
          { num_heads: heads, scale: { float: scale } },
        );
    x = graph.node('Add', [x, linear(reshape(attended, -1, width), `${layer}.self_attn.out_proj`)]);
    const hidden = gelu(
      linear(norm(x, `${layer}.layer_norm2`), `${layer}.mlp.fc1`),
      vision.activation === 'gelu' ? 'none' : 'tanh',
    );
    x = graph.node('Add', [x, linear(hidden, `${layer}.mlp.fc2`)]);
  }
  if (vision.postLayernorm) x = norm(x, `${tower}.post_layernorm`);

  // The released code projects, then pools. Pooling is a weighted mean over patches, so it may change places with the
  // projector's last layer, which then runs on the pooled tokens only.
  let tokens = gelu(linear(x, 'model.mm_projector.0'), 'none');
  if (config.pooledGrid !== vision.grid) {
    const { grid } = vision;
    const pooled = config.pooledGrid;
    const matrix = weights.computed(graph, 'pooling', [pooled ** 2, patches], () =>
      poolingMatrix(grid, pooled),
    );
    const field = graph.node('MatMul', [matrix, reshape(tokens, -1, patches, config.hiddenSize)]);
    tokens = reshape(field, -1, config.hiddenSize);
  }
  tokens = reshape(linear(tokens, 'model.mm_projector.2'), -1, config.tokensPerFrame, config.hiddenSize);
  if (config.projectorPosition) {
    tokens = graph.node('Add', [tokens, weights.tensor(graph, 'model.mm_projector_position.weight')]);
  }
  graph.node('Identity', [tokens], {}, 'tokens');
  graph.output('tokens', 'float32', ['K', config.tokensPerFrame, config.hiddenSize]);
  return graph;
}

/** Softmax(q·kᵀ·scale)·v on [n·patches, heads·size] each; gives [n, patches, heads, size]. */
function spelledAttention(
  graph: Graph,
  [q, k, v]: readonly [string, string, string],
  patches: number,
  heads: number,
  size: number,
  scale: number,
): string {
  const split = (value: string, perm: readonly number[]) =>
    graph.node(
      'Transpose',
      [graph.node('Reshape', [value, graph.constant('int64', [-1, patches, heads, size])])],
      {
        perm,
      },
    );
  const scores = graph.node('MatMul', [split(q, [0, 2, 1, 3]), split(k, [0, 2, 3, 1])]);
  const scaled = graph.node('Mul', [scores, graph.constant('float32', [scale], [])]);
  const mixed = graph.node('MatMul', [graph.node('Softmax', [scaled], { axis: -1 }), split(v, [0, 2, 1, 3])]);
  return graph.node('Transpose', [mixed], { perm: [0, 2, 1, 3] });
}

/** SigLIP's own: pixels as (x/255 - 0.5)/0.5 through one strided convolution; [K·V,3,S,S] → [K,g²,d]. */
function patchEmbeddings(graph: Graph, weights: Weights, vision: VisionConfig, images: string): string {
  const scaled = graph.node('Mul', [images, graph.constant('float32', [2 / 255], [])]);
  const normalised = graph.node('Sub', [scaled, graph.constant('float32', [1], [])]);
  const name = `${tower}.embeddings.patch_embedding`;
  const { patchSize: patch, hiddenSize: width, grid } = vision;
  const convolved = graph.node(
    'Conv',
    [normalised, weights.tensor(graph, `${name}.weight`), weights.tensor(graph, `${name}.bias`)],
    { kernel_shape: [patch, patch], strides: [patch, patch] },
  );
  const flat = graph.node('Reshape', [convolved, graph.constant('int64', [-1, width, grid ** 2])]);
  return graph.node('Transpose', [flat], { perm: [0, 2, 1] });
}

/**
 * Nano's front: 140 statistics of each cell and view (see `CellStatisticsEmbeddings` in training/), normalised and
 * embedded by a small MLP; [K·V,3,S,S] → [K,g²,d]. The batch norm is folded into the first layer.
 */
function cellStatistics(
  graph: Graph,
  weights: Weights,
  vision: VisionConfig,
  images: string,
  linear: (x: string, name: string) => string,
): string {
  const { patchSize: cell, grid, hiddenSize: width } = vision;
  const views = vision.views.length;
  const blocks = cell / 8;
  const side = grid * cell;
  const scalar = (value: number) => graph.constant('float32', [value], []);
  const op = (operator: string, x: string, value: number) => graph.node(operator, [x, scalar(value)]);
  const pool = (kind: 'AveragePool' | 'MaxPool', x: string) =>
    graph.node(kind, [x], { kernel_shape: [blocks, blocks], strides: [blocks, blocks] });
  // Of whole cells, columns first: on a CPU a tenth of the time of a pool with so large a kernel.
  const overCells = (kind: 'ReduceMean' | 'ReduceMax' | 'ReduceMin', x: string) =>
    [5, 3].reduce(
      (from, axis) => graph.node(kind, [from, graph.constant('int64', [axis])], { keepdims: 0 }),
      x,
    );
  const log = (x: string, offset: number) => graph.node('Log', [op('Add', x, offset)]);
  const share = (comparison: 'Less' | 'Greater', x: string, value: number) =>
    graph.node('Cast', [op(comparison, x, value)], { to: dataType.float32 });
  const reshape = (x: string, ...dims: number[]) => graph.node('Reshape', [x, graph.constant('int64', dims)]);

  const dct = weights.tensor(graph, `${tower}.embeddings.dct.weight`);
  const magnitude = (plane: string) =>
    graph.node('Abs', [graph.node('Conv', [plane, dct], { kernel_shape: [8, 8], strides: [8, 8] })]);
  const mean = bandMeans();
  const banded = (x: string, chosen: readonly number[]) =>
    graph.node('Conv', [
      x,
      graph.constant(
        'float32',
        chosen.flatMap((band) => mean.slice(band * 64, band * 64 + 64)),
        [chosen.length, 64, 1, 1],
      ),
    ]);
  const all = Array.from({ length: bands }, (_, band) => band);

  // A convolution of 1 × 1 px would do, too, in six times the time on a CPU, which pads three channels to eight.
  const converted = graph.node('MatMul', [
    graph.constant('float32', ycbcr, [3, 3]),
    reshape(images, -1, 3, side ** 2),
  ]);
  const planes = reshape(converted, -1, 3, side, side);
  const [y, cb, cr] = graph.nodes('Split', [planes], { axis: 1, num_outputs: 3 }, ['luma', 'cb', 'cr']);
  const luma = magnitude(y!);
  const band = banded(luma, all);
  const inCells = (x: string, channels: number) => reshape(x, -1, channels, grid, cell, grid, cell);
  const colours = inCells(images, 3);
  const bright = inCells(y!, 1);
  const average = overCells('ReduceMean', colours);
  const deviation = graph.node('Sub', [colours, reshape(average, -1, 3, grid, 1, grid, 1)]);
  const square = graph.node('Mul', [deviation, deviation]);
  const features = graph.node(
    'Concat',
    [
      log(pool('AveragePool', luma), 0.2),
      log(pool('MaxPool', band), 0.2),
      log(graph.node('Neg', [pool('MaxPool', graph.node('Neg', [band]))]), 0.2),
      pool('AveragePool', banded(share('Less', luma, silent), all)),
      log(banded(pool('AveragePool', magnitude(cb!)), chromaBands), 0.2),
      log(banded(pool('AveragePool', magnitude(cr!)), chromaBands), 0.2),
      op('Sub', op('Mul', average, 4 / 255), 2),
      log(graph.node('Sqrt', [overCells('ReduceMean', square)]), 0.1),
      op('Sub', op('Mul', overCells('ReduceMax', colours), 1 / 64), 2),
      op('Sub', op('Mul', overCells('ReduceMin', colours), 1 / 64), 2),
      overCells('ReduceMean', share('Greater', bright, 250)),
      overCells('ReduceMean', share('Less', bright, 6)),
      op('Sub', log(overCells('ReduceMean', bright), 4), 4),
    ],
    { axis: 1 },
  );
  const count = 140 * views;
  const cells = graph.node('Transpose', [reshape(features, -1, count, grid ** 2)], { perm: [0, 2, 1] });

  const name = `${tower}.embeddings`;
  const affine = normAffine(weights, `${name}.norm`, 1e-5);
  const normed = graph.node('Add', [
    graph.node('Mul', [
      reshape(cells, -1, count),
      weights.computed(graph, `${name}.norm.scale`, [count], () => affine().scale),
    ]),
    weights.computed(graph, `${name}.norm.shift`, [count], () => affine().shift),
  ]);
  const hidden = graph.node('Gelu', [linear(normed, `${name}.fc1`)], { approximate: 'none' });
  return reshape(linear(hidden, `${name}.fc2`), -1, grid ** 2, width);
}

/** Row b: 1/n at the n coefficients of band b, 0 elsewhere; [15,64]. */
function bandMeans(): number[] {
  const size = (band: number) => Math.min(band, 14 - band) + 1;
  return Array.from({ length: bands * 64 }, (_, i) => {
    const [band, coefficient] = [Math.floor(i / 64), i % 64];
    return Math.floor(coefficient / 8) + (coefficient % 8) === band ? 1 / size(band) : 0;
  });
}

/** A batch norm at inference as x · scale + shift; read once, on first use. */
export function normAffine(weights: Weights, name: string, epsilon: number) {
  let result: { readonly scale: Float32Array; readonly shift: Float32Array } | undefined;
  return () => {
    if (result) return result;
    const [gain, bias, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map((part) =>
      weights.values(`${name}.${part}`),
    ) as [Float32Array, Float32Array, Float32Array, Float32Array];
    const scale = gain.map((value, i) => value / Math.sqrt(variance[i]! + epsilon));
    result = { scale, shift: bias.map((value, i) => value - mean[i]! * scale[i]!) };
    return result;
  };
}

/**
 * Bilinear resampling of a grid×grid field to pooled×pooled as one matrix [pooled², grid²]: half-pixel centres,
 * clamped at the edges, no antialiasing (PyTorch's interpolate with align_corners=False).
 */
function poolingMatrix(grid: number, pooled: number): Float32Array {
  const axis = Array.from({ length: pooled }, (_, i) => {
    const at = Math.max(0, ((i + 0.5) * grid) / pooled - 0.5);
    const low = Math.floor(at);
    return { low, high: Math.min(low + 1, grid - 1), share: at - low };
  });
  const matrix = new Float32Array(pooled ** 2 * grid ** 2);
  for (const [i, row] of axis.entries()) {
    for (const [j, column] of axis.entries()) {
      const base = (i * pooled + j) * grid ** 2;
      for (const [y, wy] of [
        [row.low, 1 - row.share],
        [row.high, row.share],
      ] as const) {
        for (const [x, wx] of [
          [column.low, 1 - column.share],
          [column.high, column.share],
        ] as const) {
          matrix[base + y * grid + x] = matrix[base + y * grid + x]! + wy * wx;
        }
      }
    }
  }
  return matrix;
}
