import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../src/model/checkpoint/checkpoint.ts';
import { loadTokenizer } from '../../../src/model/checkpoint/tokenizer.ts';
import { OmniError } from '../../../src/protocol/errors.ts';
import {
  addComparison,
  copyCheckpoint,
  editHeader,
  editJson,
  type Header,
} from '../../support/checkpoints.ts';

function failure(directory: string): OmniError {
  try {
    openCheckpoint(directory);
  } catch (error) {
    if (OmniError.is(error)) return error;
    throw error;
  }
  throw new Error('the checkpoint was accepted');
}

describe('config.json', () => {
  it.each([
    ['another architecture', 'checkpoint_architecture', { architectures: ['LlamaForCausalLM'] }],
    ['no architecture', 'checkpoint_architecture', { architectures: undefined }],
    ['an unknown vision tower', 'checkpoint_config', { vision_config: undefined, mm_vision_tower: 'x/y' }],
    ['a missing size', 'checkpoint_config', { hidden_size: undefined }],
    ['a size that is text', 'checkpoint_config', { num_hidden_layers: '2' }],
    ['a size of a billion billion', 'checkpoint_config', { vocab_size: 1e18 }],
    ['heads that do not divide', 'checkpoint_config', { num_attention_heads: 3, num_key_value_heads: 2 }],
    ['another projector', 'checkpoint_config', { mm_projector_type: 'linear' }],
    ['a layer outside the tower', 'checkpoint_config', { mm_vision_select_layer: -9 }],
    ['an unknown token layout', 'checkpoint_config', { omnivqa: { token_layout: 'mixed' } }],
    ['weights for other levels', 'checkpoint_config', { omnivqa: { level_weights: [1, 0] } }],
  ] as const)('%s', (_, code, change) => {
    const directory = copyCheckpoint();
    editJson(join(directory, 'config.json'), (json) => Object.assign(json, change));
    const error = failure(directory);
    expect(error.code).toBe(code);
    for (const field of Object.keys(change)) {
      const names = !['omnivqa', 'vision_config', 'mm_vision_tower'].includes(field);
      if (code === 'checkpoint_config' && names) {
        expect(error.message).toContain(field);
      }
    }
  });

  it.each([
    ['sees motion at another size', { motion_config: { image_size: 40 } }],
    ['answers in other levels', { omnivqa: { levels: ['fine', 'fair'], level_weights: [1, 0] } }],
  ] as const)('of a comparison folder that %s', (_, change) => {
    const directory = copyCheckpoint();
    const folder = addComparison(directory);
    expect(openCheckpoint(directory).comparison?.directory).toBe(folder);
    editJson(join(folder, 'config.json'), (json) => {
      for (const [name, fields] of Object.entries(change))
        json[name] = { ...(json[name] as object), ...fields };
    });
    const { code, detail } = failure(directory);
    expect([code, detail.path]).toEqual(['checkpoint_config', folder]);
    expect(detail.findings).toHaveLength(1);
  });

  it('of a comparison folder that lacks its weights', () => {
    const directory = copyCheckpoint();
    rmSync(join(addComparison(directory), 'model.safetensors'));
    expect(failure(directory).code).toBe('model_not_found');
  });

  it('names every wrong field at once', () => {
    const directory = copyCheckpoint();
    editJson(join(directory, 'config.json'), (json) =>
      Object.assign(json, { hidden_size: -1, rope_theta: 'far', vocab_size: null }),
    );
    expect(failure(directory).detail.findings).toHaveLength(3);
  });

  it('is not JSON', () => {
    const directory = copyCheckpoint();
    writeFileSync(join(directory, 'config.json'), '<html>404</html>');
    expect(failure(directory).code).toBe('checkpoint_config');
  });

  it('is missing', () => {
    const directory = copyCheckpoint();
    rmSync(join(directory, 'config.json'));
    expect(failure(directory).code).toBe('model_not_found');
  });
});

describe('weights', () => {
  const file = 'model.safetensors';
  const edited = (edit: (header: Header) => void) => {
    const directory = copyCheckpoint();
    editHeader(join(directory, file), edit);
    return failure(directory);
  };

  it('missing, unknown and wrongly shaped tensors are named one by one', () => {
    const error = edited((header) => {
      const norm = header['model.norm.weight']!;
      header['model.norm.extra'] = norm;
      delete header['model.norm.weight'];
      const gate = header['model.layers.0.mlp.gate_proj.weight']!;
      gate.shape = [gate.shape[1]!, gate.shape[0]!];
    });
    expect(error.code).toBe('checkpoint_tensors');
    expect(error.detail.findings).toEqual([
      expect.stringContaining('model.layers.0.mlp.gate_proj.weight is ['),
      expect.stringContaining('model.norm.weight is missing'),
      expect.stringContaining('model.norm.extra is unknown'),
    ]);
  });

  it('a tensor of an integer type', () => {
    const error = edited((header) => {
      header['model.norm.weight']!.dtype = 'I16';
    });
    expect(error.detail.findings).toEqual([expect.stringContaining('stored as I16')]);
  });

  it.each<[string, (header: Header) => void]>([
    ['a tensor that ends outside the file', (header) => move(header, 'model.norm.weight', 1e9)],
    ['an offset below zero', (header) => move(header, 'model.norm.weight', -1e6)],
    [
      'tensors that overlap',
      (header) => {
        header['model.norm.weight']!.data_offsets = [
          ...header['model.layers.0.input_layernorm.weight']!.data_offsets,
        ];
      },
    ],
    [
      'a size that is not its shape',
      (header) => {
        header['model.norm.weight']!.data_offsets[1] += 2;
      },
    ],
    [
      'an entry without a shape',
      (header) => {
        delete (header['model.norm.weight'] as Partial<Header[string]>).shape;
      },
    ],
    [
      'a shape with a fraction',
      (header) => {
        header['model.norm.weight']!.shape = [0.5];
      },
    ],
  ])('header: %s', (_, edit) => expect(edited(edit).code).toBe('checkpoint_corrupt'));

  it.each([
    ['0 bytes', 0],
    ['cut in the length', 5],
    ['cut in the header', 300],
    ['cut in the data', 200_000],
  ])('truncated file: %s', (_, size) => {
    const directory = copyCheckpoint();
    truncateSync(join(directory, file), size);
    expect(failure(directory).code).toBe('checkpoint_corrupt');
  });

  it('a header length of 2^63', () => {
    const directory = copyCheckpoint();
    const data = readFileSync(join(directory, file));
    data.writeBigUInt64LE(2n ** 63n, 0);
    writeFileSync(join(directory, file), data);
    expect(failure(directory).code).toBe('checkpoint_corrupt');
  });

  it('an HTML page instead of the file', () => {
    const directory = copyCheckpoint();
    writeFileSync(join(directory, file), '<!doctype html><title>Sign in</title>');
    expect(failure(directory).code).toBe('checkpoint_corrupt');
  });

  it('a missing shard, and a shard outside the directory', () => {
    const directory = copyCheckpoint('joined-patch');
    rmSync(join(directory, 'model-00002-of-00003.safetensors'));
    expect(failure(directory).detail.findings).toEqual([expect.stringContaining('model-00002')]);
    editJson(join(directory, 'model.safetensors.index.json'), (json) => {
      json.weight_map = { 'model.norm.weight': '../../etc/passwd' };
    });
    expect(failure(directory).code).toBe('checkpoint_tensors');
  });

  it('none at all', () => {
    const directory = copyCheckpoint();
    rmSync(join(directory, file));
    expect(failure(directory).code).toBe('model_not_found');
  });
});

function move(header: Header, name: string, by: number): void {
  const entry = header[name]!;
  entry.data_offsets = [entry.data_offsets[0] + by, entry.data_offsets[1] + by];
}

describe('tokenizer.json', () => {
  it.each([
    ['is not JSON', '{'],
    ['is another kind of file', '{"hello": 1}'],
  ])('%s', async (_, text) => {
    const directory = copyCheckpoint();
    writeFileSync(join(directory, 'tokenizer.json'), text);
    await expect(loadTokenizer(directory)).rejects.toMatchObject({ code: 'tokenizer_invalid' });
  });

  it('is missing', async () => {
    const directory = copyCheckpoint();
    rmSync(join(directory, 'tokenizer.json'));
    await expect(loadTokenizer(directory)).rejects.toMatchObject({ code: 'tokenizer_invalid' });
  });
});
