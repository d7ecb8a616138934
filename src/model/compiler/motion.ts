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
  const centred = graph.node('Sub', [scaled, scalar(1)]);

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
  const [stemTime, ...stemKernel] = motion.stemKernel;
  /** With the log differences beside it, where the branch takes them. */
  const seen = (video: string, time: number) =>
    motion.input === 'rgb_logdiff'
      ? graph.node('Concat', [video, logDifference(graph, video, time)], { axis: 1 })
      : video;
  const throughTime = () => {
    const planes = graph.node('Transpose', [centred], { perm: [3, 0, 1, 2] });
    const video = seen(graph.node('Unsqueeze', [planes, ints(0)]), 2);
    const shape = [motion.stemWidth, channels, ...motion.stemKernel] as const;
    return relu(conv(video, `${stem}.conv`, `${stem}.norm`, shape, motion.stemStride));
  };
  /**
   * The same, frame by frame: what each frame adds to its neighbours at once, as channels, and then the sum. On the CPU
   * onnxruntime has fast kernels for convolutions in two dimensions alone: Nano's graph takes 0.55 of the time, and 80 MB
   * more for 10 s of frames.
   */
  const frameByFrame = () => {
    const frames = seen(graph.node('Transpose', [centred], { perm: [0, 3, 1, 2] }), 0);
    const width = motion.stemWidth;
    const affine = normAffine(weights, `${stem}.norm`, motion.normEps);
    const area = stemKernel[0]! * stemKernel[1]!;
    const filters = weights.computed(
      graph,
      `${stem}.conv.taps`,
      [stemTime * width, channels, ...stemKernel],
      () => {
        const values = weights.values(`${stem}.conv.weight`);
        const taps = new Float32Array(values.length);
        for (let i = 0; i < values.length; i++) {
          // From [width, channels, time, area] to [time, width, channels, area].
          const at = i % area;
          const tap = Math.floor(i / area) % stemTime;
          const plane = Math.floor(i / (area * stemTime));
          taps[(tap * width * channels + plane) * area + at] =
            values[i]! * affine().scale[Math.floor(plane / channels)]!;
        }
        return taps;
      },
    );
    const pads = stemKernel.map(half);
    const each = graph.node('Conv', [frames, filters], {
      kernel_shape: stemKernel,
      strides: motion.stemStride.slice(1),
      pads: [...pads, ...pads],
    });
    const reach = half(stemTime);
    const padded = graph.node('Pad', [each, ints(reach, 0, 0, 0, reach, 0, 0, 0)]);
    const tap = (i: number) => {
      const end = i < 2 * reach ? i - 2 * reach : 2 ** 31 - 1;
      return graph.node('Slice', [padded, ints(i, i * width), ints(end, (i + 1) * width), ints(0, 1)]);
    };
    const sum = Array.from({ length: stemTime }, (_, i) => tap(i)).reduce((a, b) =>
      graph.node('Add', [a, b]),
    );
    const shift = weights.computed(graph, `${stem}.conv.moved`, [width, 1, 1], () => affine().shift);
    const video = relu(graph.node('Add', [sum, shift]));
    return graph.node('Unsqueeze', [graph.node('Transpose', [video], { perm: [1, 0, 2, 3] }), ints(0)]);
  };
  let x = portable ? throughTime() : frameByFrame();
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
 * log(1 + 128·|x_t − x_{t−1}|) − 1 of frames along `time`, their axis. The first frame has no predecessor and copies the
 * second's difference; alone, its difference is that of no change, −1.
 */
function logDifference(graph: Graph, x: string, time: number): string {
  const ints = (...values: number[]) => graph.constant('int64', values);
  const slice = (value: string, from: number, to: number) =>
    graph.node('Slice', [value, ints(from), ints(to), ints(time)]);
  const concat = (...values: string[]) => graph.node('Concat', values, { axis: time });
  const end = 2 ** 31 - 1;
  const previous = concat(slice(x, 0, 1), slice(x, 0, -1));
  const change = graph.node('Abs', [graph.node('Sub', [x, previous])]);
  const scaled = graph.node('Mul', [change, graph.constant('float32', [128], [])]);
  const one = graph.constant('float32', [1], []);
  const log = graph.node('Sub', [graph.node('Log', [graph.node('Add', [scaled, one])]), one]);
  const rest = slice(log, 1, end);
  return concat(slice(concat(rest, slice(log, -1, end)), 0, 1), rest);
}
