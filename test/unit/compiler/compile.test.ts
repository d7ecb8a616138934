import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { InferenceSession } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileCached, compileCheckpoint, findCompiled } from '../../../src/model/compiler/compile.ts';
import { openCompiled } from '../../../src/model/compiler/manifest.ts';
import { quantisedRowBytes, quantiseRows } from '../../../src/model/compiler/quantise.ts';
import { addComparison, copyCheckpoint, editJson, fixtures, type Header } from '../../support/checkpoints.ts';
import { flipBits, temporaryDirectory } from '../../support/media.ts';

const source = join(fixtures, 'separate-patch');

describe('block-wise quantisation', () => {
  const width = 70;
  const rows = Float32Array.from({ length: 3 * width }, (_, i) => Math.sin(i * 12.9898) * (1 + (i % 7)));
  rows.fill(0, 0, 32);

  it.each([4, 8] as const)('%d bits: every weight is within half a step of its block', (bits) => {
    const blocks = Math.ceil(width / 32);
    const packed = new Uint8Array(3 * quantisedRowBytes(width, bits));
    const scales = new Float32Array(3 * blocks);
    quantiseRows(rows, 3, width, bits, packed, scales);
    const zero = bits === 4 ? 8 : 128;
    for (let row = 0; row < 3; row += 1) {
      for (let i = 0; i < blocks * 32; i += 1) {
        const at = row * blocks * 32 + i;
        const code = bits === 8 ? packed[at]! : (packed[at >> 1]! >> (at % 2 ? 4 : 0)) & 15;
        const scale = scales[row * blocks + Math.floor(i / 32)]!;
        const value = i < width ? rows[row * width + i]! : 0;
        // At 4 bits the positive end of the range is one step shorter than the negative one.
        const bound = bits === 4 ? Math.abs(scale) : Math.abs(scale) / 2;
        expect(Math.abs((code - zero) * scale - value)).toBeLessThanOrEqual(bound * 1.0001);
      }
    }
    expect(packed.every((_, i) => bits === 4 || packed[i]! > 0)).toBe(true);
  });
});

describe('threads', () => {
  let folder: string;
  let script: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'omnivqa-threads-'));
    script = join(folder, 'pack_worker.mjs');
    const entryPoints = [
      fileURLToPath(new URL('../../../src/model/compiler/pack_worker.ts', import.meta.url)),
    ];
    await build({ entryPoints, outfile: script, bundle: true, platform: 'node', format: 'esm' });
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  it('write the same bytes as no threads', async () => {
    const precision = { decoder: 'int4', vision: 'int8' } as const;
    const folder = temporaryDirectory();
    const alone = await compileCheckpoint(source, join(folder, 'alone'), { precision });
    const threads = await compileCheckpoint(source, join(folder, 'threads'), {
      precision,
      workers: { script, count: 3 },
    });
    expect(threads.manifest).toEqual(alone.manifest);
  });

  it('say what is wrong with a checkpoint as no threads do', async () => {
    const checkpoint = copyCheckpoint();
    const file = join(checkpoint, 'model.safetensors');
    const bytes = readFileSync(file);
    const length = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Header;
    const [start, end] = header['model.layers.0.mlp.up_proj.weight']!.data_offsets;
    writeFileSync(file, bytes.fill(0xff, 8 + length + start, 8 + length + end));
    const folder = temporaryDirectory();
    const call = { precision: { decoder: 'int4', vision: 'int8' }, workers: { script, count: 2 } } as const;
    await expect(compileCheckpoint(checkpoint, join(folder, 'compiled'), call)).rejects.toMatchObject({
      code: 'checkpoint_corrupt',
      message: expect.stringContaining('model.layers.0.mlp.up_proj.weight'),
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('that can not start are an error, not a wait', async () => {
    const call = {
      precision: { decoder: 'int4', vision: 'int8' },
      workers: { script: `${script}.gone`, count: 1 },
    } as const;
    await expect(compileCheckpoint(source, join(temporaryDirectory(), 'compiled'), call)).rejects.toThrow(
      'pack_worker.mjs.gone',
    );
  });
});

describe('a compiled directory', () => {
  it.each([
    ['fp32', 'fp32'],
    ['fp16', 'fp16'],
    ['int8', 'int8'],
    ['int4', 'int8'],
  ] as const)('decoder %s, vision %s: every graph opens', async (decoder, vision) => {
    const directory = join(temporaryDirectory(), 'compiled');
    const { manifest } = await compileCheckpoint(source, directory, { precision: { decoder, vision } });
    const graphs = Object.keys(manifest.files).filter((name) => name.endsWith('.onnx'));
    expect(graphs.sort()).toEqual([
      'decoder.onnx',
      'motion.onnx',
      'motion.portable.onnx',
      'vision.onnx',
      'vision.portable.onnx',
    ]);
    for (const graph of graphs) {
      const session = await InferenceSession.create(join(directory, graph), { logSeverityLevel: 3 });
      await session.release();
    }
    // The protobuf holds the network, never the weights.
    for (const graph of graphs) expect(statSync(join(directory, graph)).size).toBeLessThan(100_000);
    expect(readdirSync(dirname(directory))).toEqual(['compiled']);
  });

  it('is reused as long as checkpoint and options are the same', async () => {
    const checkpoint = copyCheckpoint();
    const cache = temporaryDirectory();
    const first = await compileCached(checkpoint, cache);
    let compiled = 0;
    const count = { onProgress: () => (compiled += 1) };
    expect((await compileCached(checkpoint, cache, count)).directory).toBe(first.directory);
    expect(compiled).toBe(0);
    const other = { precision: { decoder: 'int8', vision: 'fp32' } } as const;
    expect((await compileCached(checkpoint, cache, { ...other, ...count })).directory).not.toBe(
      first.directory,
    );
    expect(compiled).toBeGreaterThan(0);
    const weights = readFileSync(join(checkpoint, 'model.safetensors'));
    weights[weights.length - 2]! ^= 1;
    writeFileSync(join(checkpoint, 'model.safetensors'), weights);
    expect((await compileCached(checkpoint, cache)).directory).not.toBe(first.directory);
  });

  it('takes along what a model compares encodes by, and tells it from another', async () => {
    const [checkpoint, cache] = [copyCheckpoint(), temporaryDirectory()];
    const alone = await compileCached(checkpoint, cache);
    expect(alone.comparison).toBe(null);
    const folder = addComparison(checkpoint);
    const seen: number[] = [];
    const both = await compileCached(checkpoint, cache, {
      onProgress: ({ done, total }) => seen.push(done / total),
    });
    expect(both.directory).not.toBe(alone.directory);
    expect(both.manifest.files).toEqual(alone.manifest.files);
    expect(both.comparison!.directory).toBe(join(both.directory, 'comparison'));
    expect(both.comparison!.config.omnivqa.chat).toBe(null);
    expect(seen.toSorted((a, b) => a - b)).toEqual(seen);
    expect(seen.at(-1)).toBeGreaterThan(0.99);
    expect(await findCompiled(checkpoint, cache)).toEqual(both);
    editJson(join(folder, 'config.json'), (config) => Object.assign(config, { rope_theta: 5000 }));
    expect(await findCompiled(checkpoint, cache)).toBe(null);
  });

  it('reports the bytes it consumed up to the whole', async () => {
    const seen: number[] = [];
    let total = 0;
    await compileCheckpoint(source, join(temporaryDirectory(), 'compiled'), {
      onProgress: (progress) => {
        seen.push(progress.done);
        total = progress.total;
      },
    });
    expect(seen.every((done, i) => i === 0 || done >= seen[i - 1]!)).toBe(true);
    expect(seen.at(-1)! / total).toBeGreaterThan(0.99);
  });
});

describe('faults', () => {
  const compiled = async () => {
    const directory = join(temporaryDirectory(), 'compiled');
    await compileCheckpoint(source, directory);
    return directory;
  };
  const refused = (directory: string, depth?: 'deep') =>
    expect(openCompiled(directory, depth)).rejects.toMatchObject({ code: 'compiled_invalid' });

  it('a missing file', async () => {
    const directory = await compiled();
    rmSync(join(directory, 'vision.weights'));
    await refused(directory);
  });

  it('a file cut short', async () => {
    const directory = await compiled();
    truncateSync(join(directory, 'decoder.weights'), 5000);
    await refused(directory);
  });

  it('a flipped bit is found by looking deep', async () => {
    const directory = await compiled();
    await flipBits(join(directory, 'decoder.weights'), 100, 101, 1);
    await openCompiled(directory);
    await refused(directory, 'deep');
  });

  it('a comparison folder that is gone, or is that of another model', async () => {
    const checkpoint = copyCheckpoint();
    addComparison(checkpoint);
    const directory = join(temporaryDirectory(), 'compiled');
    await compileCheckpoint(checkpoint, directory);
    await openCompiled(directory, 'deep');
    await compileCheckpoint(source, join(directory, 'comparison'));
    await refused(directory);
    rmSync(join(directory, 'comparison'), { recursive: true });
    await refused(directory);
  });

  it.each([
    ['missing', undefined],
    ['empty', ''],
    ['of another compiler', '{"compiler": 0, "files": {}}'],
    ['another JSON', '[]'],
  ])('a manifest that is %s', async (_, text) => {
    const directory = await compiled();
    if (text === undefined) rmSync(join(directory, 'manifest.json'));
    else writeFileSync(join(directory, 'manifest.json'), text);
    await refused(directory);
  });

  it('a damaged cache entry is compiled again', async () => {
    const cache = temporaryDirectory();
    const { directory } = await compileCached(source, cache);
    truncateSync(join(directory, 'motion.weights'), 10);
    await compileCached(source, cache);
    await openCompiled(directory, 'deep');
    expect(readdirSync(cache)).toHaveLength(1);
  });

  it('cancelled: nothing is left behind', async () => {
    const parent = temporaryDirectory();
    const controller = new AbortController();
    const work = compileCheckpoint(source, join(parent, 'compiled'), {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(work).rejects.toMatchObject({ code: 'cancelled' });
    expect(readdirSync(parent)).toEqual([]);
  });

  it('a folder where a file stands', async () => {
    const parent = temporaryDirectory();
    writeFileSync(join(parent, 'file'), '');
    await expect(compileCheckpoint(source, join(parent, 'file', 'compiled'))).rejects.toMatchObject({
      code: 'not_writable',
    });
  });

  it('two at once leave one whole directory', async () => {
    const cache = temporaryDirectory();
    const [a, b] = await Promise.all([compileCached(source, cache), compileCached(source, cache)]);
    expect(a.directory).toBe(b.directory);
    await openCompiled(a.directory, 'deep');
    expect(readdirSync(cache)).toHaveLength(1);
  });
});

describe('onnx_pb.ts', () => {
  it('is what onnx.proto generates', () => {
    const root = fileURLToPath(new URL('../../..', import.meta.url));
    const out = temporaryDirectory();
    const buf = join(root, 'node_modules', '@bufbuild', 'buf', 'bin', 'buf');
    execFileSync(process.execPath, [buf, 'generate', '-o', out], { cwd: root });
    const generated = join(out, 'src', 'model', 'compiler', 'onnx_pb.ts');
    expect(existsSync(generated)).toBe(true);
    expect(readFileSync(join(root, 'src', 'model', 'compiler', 'onnx_pb.ts'), 'utf8')).toBe(
      readFileSync(generated, 'utf8'),
    );
  });
});
