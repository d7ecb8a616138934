import { Graph } from '../compiler/graph.ts';

/** y = x, for making tensors on a device. */
export function identityGraph(): Uint8Array {
  const graph = new Graph();
  const x = graph.input('x', 'float32', [1, 'heads', 'tokens', 'width']);
  graph.node('Identity', [x], {}, 'y');
  graph.output('y', 'float32', [1, 'heads', 'tokens', 'width']);
  return graph.encode('identity');
}

/** y = x with tail after it along the tokens. */
export function extendGraph(): Uint8Array {
  const graph = new Graph();
  const x = graph.input('x', 'float32', [1, 'heads', 'tokens', 'width']);
  const tail = graph.input('tail', 'float32', [1, 'heads', 'more', 'width']);
  graph.node('Concat', [x, tail], { axis: 2 }, 'y');
  graph.output('y', 'float32', [1, 'heads', 'all', 'width']);
  return graph.encode('extend');
}

/** The decoder's attention alone: its operator, its head geometry, its cache in place. */
export function fusedAttentionGraph(heads: number, kvHeads: number): Uint8Array {
  const graph = new Graph();
  const rows = (name: string) => graph.input(name, 'float32', [1, 'tokens', `${name}_width`]);
  const inputs = [rows('query'), rows('key'), rows('value')];
  const cacheShape = [1, kvHeads, 'capacity', 'width'];
  const past = [
    graph.input('past_key', 'float32', cacheShape),
    graph.input('past_value', 'float32', cacheShape),
  ];
  const lengths = graph.input('seqlens_k', 'int32', [1]);
  const total = graph.input('total_sequence_length', 'int32', []);
  graph.nodes(
    'com.microsoft.GroupQueryAttention',
    [...inputs, ...past, lengths, total],
    { num_heads: heads, kv_num_heads: kvHeads },
    ['output', 'present_key', 'present_value'],
  );
  graph.output('output', 'float32', [1, 'tokens', 'query_width']);
  graph.output('present_key', 'float32', cacheShape);
  graph.output('present_value', 'float32', cacheShape);
  return graph.encode('fused_attention');
}

/** Attention of x [1,heads,tokens,width] to itself as the portable vision graph spells it out. */
export function spelledAttentionGraph(headDim: number): Uint8Array {
  const graph = new Graph();
  const x = graph.input('x', 'float32', [1, 'heads', 'tokens', headDim]);
  const scores = graph.node('MatMul', [x, graph.node('Transpose', [x], { perm: [0, 1, 3, 2] })]);
  const scaled = graph.node('Mul', [scores, graph.constant('float32', [1 / Math.sqrt(headDim)], [])]);
  graph.node('MatMul', [graph.node('Softmax', [scaled], { axis: -1 }), x], {}, 'output');
  graph.output('output', 'float32', [1, 'heads', 'tokens', headDim]);
  return graph.encode('spelled_attention');
}
