import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseModelConfig } from '../src/model/checkpoint/config.ts';
import { isOne, normalPool, ones, type Shape, shapeConfigs } from '../src/model/checkpoint/shapes.ts';
import { type ExpectedTensor, expectedTensors, tower } from '../src/model/checkpoint/tensors.ts';

/** Weight files as transformers cuts them: a new one before this many bytes are passed. */
const shardBytes = 5e9;
const tinyShardBytes = 20e6;

/**
 * Writes a checkpoint with random weights, of the published shape or a smaller one: bf16 in shards with an index,
 * N(0, 0.02²), norms one, so that activations stay finite through all layers. Memory is bounded by the pool the numbers are cut from.
 *
 * @returns the bytes of all weight files.
 */
export function writeCheckpoint(directory: string, scale: Shape): number {
  const json = shapeConfigs[scale];
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'config.json'), `${JSON.stringify(json, null, 2)}\n`);
  writeFileSync(join(directory, 'tokenizer.json'), JSON.stringify(tokenizer()));

  // That the motion branch is there is read from the names; it is what the published checkpoints have.
  const config = parseModelConfig(json, ['model.slowfast.position_embedding.weight'], ['ugc-scorer']);
  const { hiddenSize: d, intermediateSize, layers } = config.vision;
  const unused = `${tower}.encoder.layers.${layers}`;
  const tensors: ExpectedTensor[] = [
    ...expectedTensors(config),
    // Published files carry the tower's last layer along, which the network does not run.
    ...['layer_norm1', 'layer_norm2'].flatMap((norm) =>
      ['weight', 'bias'].map((part) => ({ name: `${unused}.${norm}.${part}`, shape: [d] })),
    ),
    ...['q', 'k', 'v', 'out'].flatMap((part) => [
      { name: `${unused}.self_attn.${part}_proj.weight`, shape: [d, d] },
      { name: `${unused}.self_attn.${part}_proj.bias`, shape: [d] },
    ]),
    { name: `${unused}.mlp.fc1.weight`, shape: [intermediateSize, d] },
    { name: `${unused}.mlp.fc1.bias`, shape: [intermediateSize] },
    { name: `${unused}.mlp.fc2.weight`, shape: [d, intermediateSize] },
    { name: `${unused}.mlp.fc2.bias`, shape: [d] },
  ];

  const bytesOf = ({ shape }: ExpectedTensor) => 2 * shape.reduce((product, dim) => product * dim, 1);
  const shards: ExpectedTensor[][] = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    if (filled > 0 && filled + bytesOf(tensor) > (scale === 'tiny' ? tinyShardBytes : shardBytes)) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(tensor);
    filled += bytesOf(tensor);
  }

  const pool = normalPool();
  const onePool = ones();
  const map: Record<string, string> = {};
  let total = 0;
  for (const [i, shard] of shards.entries()) {
    const number = (n: number) => String(n).padStart(5, '0');
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    let offset = 0;
    const header = Object.fromEntries(
      shard.map((tensor) => {
        map[tensor.name] = file;
        const start = offset;
        offset += bytesOf(tensor);
        return [tensor.name, { dtype: 'BF16', shape: tensor.shape, data_offsets: [start, offset] }];
      }),
    );
    const text = JSON.stringify({ __metadata__: { format: 'pt' }, ...header });
    // The format wants the data to start at a multiple of eight; the header is padded with spaces.
    const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(padded.length));
    const out = openSync(join(directory, file), 'w');
    writeSync(out, length);
    writeSync(out, padded);
    for (const tensor of shard) {
      const one = isOne(tensor.name);
      const source = one ? onePool : pool;
      for (let left = bytesOf(tensor); left > 0; ) {
        // An odd stride through the pool: no two tensors hold the same numbers in the same order.
        const at = one ? 0 : (((total * 0x9e37) % (pool.length >> 1)) >> 1) << 1;
        const piece = source.subarray(at, at + Math.min(left, source.length - at));
        writeSync(out, piece);
        left -= piece.length;
        total += piece.length;
      }
    }
    fsyncSync(out);
    closeSync(out);
  }
  writeFileSync(
    join(directory, 'model.safetensors.index.json'),
    `${JSON.stringify({ metadata: { total_size: total }, weight_map: map }, null, 2)}\n`,
  );
  return total;
}

/**
 * A byte-level BPE tokenizer of the shape of Qwen2's: 151,643 ordinary tokens, then the three special ones at
 * 151643 to 151645. The published vocabulary is not ours to carry: the merges are made up, except that the quality
 * levels are single tokens, as they are there.
 */
function tokenizer() {
  const bytes = byteAlphabet();
  const vocabulary = new Map(bytes.map((letter, id) => [letter, id]));
  const merges: [string, string][] = [];
  const size = 151_643;
  const merge = (left: string, right: string) => {
    if (vocabulary.size >= size || vocabulary.has(left + right)) return;
    vocabulary.set(left + right, vocabulary.size);
    merges.push([left, right]);
  };
  for (const word of ['high', 'good', 'fair', 'poor', 'low']) {
    for (let i = 0; i < word.length; i += 1) merge(`Ġ${word.slice(0, i)}`, word[i]!);
  }
  const letters = [...'etaoinshrdlucmfwypvbgkjqxz'];
  const pairs = letters.flatMap((a) => letters.map((b) => a + b));
  for (const pair of pairs) merge(pair[0]!, pair[1]!);
  for (const left of pairs) for (const right of pairs) merge(left, right);
  const special = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'].map((content, i) => ({
    id: size + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: special,
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: {
            Regex:
              "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
          },
          behavior: 'Isolated',
          invert: false,
        },
        byteLevel,
      ],
    },
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(vocabulary),
      merges: merges.map((pair) => pair.join(' ')),
    },
  };
}

/** The 256 printable letters that stand for bytes in byte-level BPE (GPT-2's `bytes_to_unicode`). */
function byteAlphabet(): string[] {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let spare = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : spare++));
}
