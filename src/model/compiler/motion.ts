import type { ModelConfig, MotionConfig } from '../checkpoint/config.ts';
import { motionBlocks } from '../checkpoint/tensors.ts';
import { dataType, Graph } from './graph.ts';
import { normAffine } from './vision.ts';
import type { Weights } from './weights.ts';

/**
 * Consecutive frames [T,S,S,3] (RGB 0..255) with their positions [T] in the clip → one token per frame [T,H]: the
 * fast pathway (Feichtenhofer et al., ICCV 2019), batch norms folded into the convolutions, spatial mean, learned
 * positions, projector.
 *
 * Zero padding in time happens at the ends of what the graph is given. A chunk that reaches `radius` frames beyond
 * what is kept of it, cut at the clip's own ends, therefore gives exactly the tokens of the whole clip.
 */
export function motionGraph(
  config: ModelConfig,
  motion: MotionConfig,
  weights: Weights,
  portable: boolean,
): Graph {
  const graph = new Graph();
  const side = motion.imageSize;
  const pixels = graph.input('pixels', portable ? 'float32' : 'uint8', ['T', side, side, 3]);
  const positions = graph.input('positions', portable ? 'int32' : 'int64', ['T']);
  const floats = portable ? pixels : graph.node('Cast', [pixels], { to: dataType.float32 });
  const scalar = (value: number) => graph.constant('float32', [value], []);
  const ints = (...values: number[]) => graph.constant('int64', values);
  const scaled = graph.node('Mul', [floats, scalar(2 / 255)]);
  const planes = graph.node('Transpose', [graph.node('Sub', [scaled, scalar(1)])], { perm: [3, 0, 1, 2] });
  let x = graph.node('Unsqueeze', [planes, ints(0)]);
  if (motion.input === 'rgb_logdiff') x = graph.node('Concat', [x, logDifference(graph, x)], { axis: 1 });

  const half = (kernel: number) => Math.floor(kernel / 2);
  const conv = (
    value: string,
    name: string,
    norm: string,
    shape: readonly [out: number, width: number, time: number, height: number, width: number],
    strides: readonly number[],
  ) => {
    const affine = normAffine(weights, norm, motion.normEps);
    const kernel = shape.slice(2);
    const pads = kernel.map(half);
    const each = shape.slice(1).reduce((product, dim) => product * dim, 1);
    return graph.node(
      'Conv',
      [
        value,
        weights.computed(graph, `${name}.folded`, shape, () =>
          weights.values(`${name}.weight`).map((weight, i) => weight * affine().scale[Math.floor(i / each)]!),
        ),
        weights.computed(graph, `${name}.shift`, [shape[0]], () => affine().shift),
      ],
      { kernel_shape: kernel, strides, pads: [...pads, ...pads] },
    );
  };
  const relu = (value: string) => graph.node('Relu', [value]);

  const stem = 'model.slowfast.feature_extraction.0.multipathway_blocks.1';
  const channels = motion.channels * (motion.input === 'rgb_logdiff' ? 2 : 1);
  const stemShape = [motion.stemWidth, channels, ...motion.stemKernel] as const;
  x = relu(conv(x, `${stem}.conv`, `${stem}.norm`, stemShape, motion.stemStride));
  const poolPads = motion.poolKernel.map(half);
  x = graph.node('MaxPool', [x], {
    kernel_shape: motion.poolKernel,
    strides: motion.poolStride,
    pads: [...poolPads, ...poolPads],
  });
  for (const { name, width, inner, out, stride, projected } of motionBlocks(motion)) {
    const spatial = [1, stride, stride];
    const shortcut = projected
      ? conv(x, `${name}.branch1_conv`, `${name}.branch1_norm`, [out, width, 1, 1, 1], spatial)
      : x;
    const branch = `${name}.branch2`;
    const time = motion.temporalKernel;
    const a = relu(conv(x, `${branch}.conv_a`, `${branch}.norm_a`, [inner, width, time, 1, 1], [1, 1, 1]));
    const b = relu(conv(a, `${branch}.conv_b`, `${branch}.norm_b`, [inner, inner, 1, 3, 3], spatial));
    const c = conv(b, `${branch}.conv_c`, `${branch}.norm_c`, [out, inner, 1, 1, 1], [1, 1, 1]);
    x = relu(graph.node('Add', [shortcut, c]));
  }
  const mean = graph.node('ReduceMean', [x, ints(3, 4)], { keepdims: 0 });
  const features = graph.node('Transpose', [graph.node('Squeeze', [mean, ints(0)])], { perm: [1, 0] });
  const table = weights.tensor(graph, 'model.slowfast.position_embedding.weight');
  const placed = graph.node('Add', [features, graph.node('Gather', [table, positions])]);
  const linear = (value: string, name: string) =>
    weights.linear(graph, value, name, { precision: 'fp32', accuracyLevel: 0 });
  const hidden = graph.node('Gelu', [linear(placed, 'model.slowfast_projector.0')], { approximate: 'none' });
  graph.node('Identity', [linear(hidden, 'model.slowfast_projector.2')], {}, 'tokens');
  graph.output('tokens', 'float32', ['T', config.hiddenSize]);
  return graph;
}

/**
 * log(1 + 128·|x_t − x_{t−1}|) − 1 of [1,C,T,S,S] along time. The first frame has no predecessor and copies the
 * second's difference; alone, its difference is that of no change, −1.
 */
function logDifference(graph: Graph, x: string): string {
  const ints = (...values: number[]) => graph.constant('int64', values);
  const slice = (value: string, from: number, to: number) =>
    graph.node('Slice', [value, ints(from), ints(to), ints(2)]);
  const concat = (...values: string[]) => graph.node('Concat', values, { axis: 2 });
  const end = 2 ** 31 - 1;
  const previous = concat(slice(x, 0, 1), slice(x, 0, -1));
  const change = graph.node('Abs', [graph.node('Sub', [x, previous])]);
  const scaled = graph.node('Mul', [change, graph.constant('float32', [128], [])]);
  const one = graph.constant('float32', [1], []);
  const log = graph.node('Sub', [graph.node('Log', [graph.node('Add', [scaled, one])]), one]);
  const rest = slice(log, 1, end);
  return concat(slice(concat(rest, slice(log, -1, end)), 0, 1), rest);
}
