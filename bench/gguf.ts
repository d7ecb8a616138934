import { closeSync, openSync, writeSync } from 'node:fs';
import type { ModelConfig } from '../src/model/checkpoint/config.ts';

/** Types of values and of tensors, by their numbers (GGUF 3, ggml-org/ggml docs/gguf.md). */
const valueType = { uint32: 4, float32: 6, string: 8 };
const tensorType = { f32: 0, f16: 1, q4_0: 2, q8_0: 8 };
const alignment = 32;
/** Elements of a quantised block, and bytes of one: a half-precision scale and the elements. */
const block = 32;
const blockBytes = { q4_0: 2 + block / 2, q8_0: 2 + block };

type TensorType = keyof typeof tensorType;

interface Entry {
  readonly name: string;
  readonly type: TensorType;
  /** Outermost first, as PyTorch has them. */
  readonly shape: readonly number[];
}

const bytesOf = ({ type, shape }: Entry) => {
  const elements = shape.reduce((product, dim) => product * dim, 1);
  if (type === 'f32') return 4 * elements;
  if (type === 'f16') return 2 * elements;
  return (elements / block) * blockBytes[type];
};

/**
 * Writes the decoder of a config with made-up weights as llama.cpp reads a Qwen2: 4-bit layers, 8-bit head and
 * half-precision embeddings, as our compiler stores them, no vocabulary. It says nothing, at the speed of one that does.
 */
export function writeGguf(path: string, config: ModelConfig): void {
  const { hiddenSize: hidden, intermediateSize: inner, headDim, vocabSize, numHiddenLayers: layers } = config;
  const [queries, keys] = [config.numAttentionHeads * headDim, config.numKeyValueHeads * headDim];
  const tensors: Entry[] = [
    { name: 'token_embd.weight', type: 'f16', shape: [vocabSize, hidden] },
    ...Array.from({ length: layers }, (_, i) => {
      const weight = (name: string, ...shape: number[]): Entry => ({
        name: `blk.${i}.${name}.weight`,
        type: 'q4_0',
        shape,
      });
      const vector = (name: string, width: number): Entry => ({
        name: `blk.${i}.${name}`,
        type: 'f32',
        shape: [width],
      });
      return [
        vector('attn_norm.weight', hidden),
        weight('attn_q', queries, hidden),
        vector('attn_q.bias', queries),
        weight('attn_k', keys, hidden),
        vector('attn_k.bias', keys),
        weight('attn_v', keys, hidden),
        vector('attn_v.bias', keys),
        weight('attn_output', hidden, queries),
        vector('ffn_norm.weight', hidden),
        weight('ffn_gate', inner, hidden),
        weight('ffn_up', inner, hidden),
        weight('ffn_down', hidden, inner),
      ];
    }).flat(),
    { name: 'output_norm.weight', type: 'f32', shape: [hidden] },
    { name: 'output.weight', type: 'q8_0', shape: [vocabSize, hidden] },
  ];
  const values: readonly (readonly [string, keyof typeof valueType, number | string])[] = [
    ['general.architecture', 'string', 'qwen2'],
    ['general.name', 'string', 'random'],
    ['qwen2.block_count', 'uint32', layers],
    ['qwen2.context_length', 'uint32', config.maxPositionEmbeddings],
    ['qwen2.embedding_length', 'uint32', hidden],
    ['qwen2.feed_forward_length', 'uint32', inner],
    ['qwen2.attention.head_count', 'uint32', config.numAttentionHeads],
    ['qwen2.attention.head_count_kv', 'uint32', config.numKeyValueHeads],
    ['qwen2.attention.layer_norm_rms_epsilon', 'float32', config.rmsNormEps],
    ['qwen2.rope.freq_base', 'float32', config.ropeTheta],
    ['qwen2.vocab_size', 'uint32', vocabSize],
    ['tokenizer.ggml.model', 'string', 'none'],
  ];

  const parts: Buffer[] = [];
  const whole = (value: number, bytes: 4 | 8) => {
    const buffer = Buffer.alloc(bytes);
    buffer.writeUInt32LE(value % 2 ** 32);
    if (bytes === 8) buffer.writeUInt32LE(Math.floor(value / 2 ** 32), 4);
    parts.push(buffer);
  };
  const text = (value: string) => {
    whole(Buffer.byteLength(value), 8);
    parts.push(Buffer.from(value));
  };
  parts.push(Buffer.from('GGUF'));
  whole(3, 4);
  whole(tensors.length, 8);
  whole(values.length, 8);
  for (const [key, type, value] of values) {
    text(key);
    whole(valueType[type], 4);
    if (typeof value === 'string') text(value);
    else if (type === 'uint32') whole(value, 4);
    else {
      const float = Buffer.alloc(4);
      float.writeFloatLE(value);
      parts.push(float);
    }
  }
  const padded = (size: number) => Math.ceil(size / alignment) * alignment;
  let offset = 0;
  for (const tensor of tensors) {
    text(tensor.name);
    whole(tensor.shape.length, 4);
    for (const dim of tensor.shape.toReversed()) whole(dim, 8);
    whole(tensorType[tensor.type], 4);
    whole(offset, 8);
    offset += padded(bytesOf(tensor));
  }
  const header = Buffer.concat(parts);
  const file = openSync(path, 'w');
  try {
    writeSync(file, header);
    writeSync(file, Buffer.alloc(padded(header.length) - header.length));
    for (const tensor of tensors) {
      const piece = pieces[tensor.type];
      const bytes = bytesOf(tensor);
      for (let left = bytes; left > 0; left -= piece.length)
        writeSync(file, piece, 0, Math.min(left, piece.length));
      writeSync(file, Buffer.alloc(padded(bytes) - bytes));
    }
  } finally {
    closeSync(file);
  }
}

/** 0.005 in half precision: with 4 or 8 bits behind it the weights stay as small as trained ones. */
const smallScale = 0x1d1f;

function blocks(bytes: number): Buffer {
  const piece = Buffer.alloc(bytes * 65_536);
  for (let at = 0; at < piece.length; at += 1) piece[at] = Math.imul(at + 1, 2654435761) >>> 24;
  for (let at = 0; at < piece.length; at += bytes) piece.writeUInt16LE(smallScale, at);
  return piece;
}

/** What tensors of a type are filled with, over and over. */
const pieces: Readonly<Record<TensorType, Buffer>> = {
  f32: Buffer.from(new Float32Array(65_536).fill(1).buffer),
  f16: Buffer.from(new Uint16Array(65_536).fill(smallScale).buffer),
  q4_0: blocks(blockBytes.q4_0),
  q8_0: blocks(blockBytes.q8_0),
};
