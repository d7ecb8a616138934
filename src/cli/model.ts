import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  cachedModels,
  compiledModel,
  compileOptions,
  loadEngineModel,
  modelDirectory,
  type PrecisionRequest,
} from '../engine/models.ts';
import { openCheckpoint } from '../model/checkpoint/checkpoint.ts';
import { loadTokenizer } from '../model/checkpoint/tokenizer.ts';
import { compileCheckpoint } from '../model/compiler/compile.ts';
import { openCompiled } from '../model/compiler/manifest.ts';
import type { ProviderRequest } from '../model/runtime/providers.ts';
import { exit, type Io, ProgressLine } from './io.ts';

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

/** `omnivqa model list`: the embedded model and what lies compiled in the cache. */
export async function listCommand(io: Io): Promise<number> {
  const nano = openCheckpoint(modelDirectory('nano'));
  const size = nano.files.reduce((sum, file) => sum + statSync(file).size, 0);
  io.stdout.write(`nano (embedded)  ${nano.config.omnivqa.family}, ${megabytes(size)}\n`);
  for (const { directory, family, precision, bytes } of await cachedModels()) {
    io.stdout.write(`${directory}  ${family}, ${precision}, ${megabytes(bytes)}\n`);
  }
  return exit.done;
}

export interface CompileFlags {
  readonly precision: PrecisionRequest;
  readonly output?: string;
}

/** `omnivqa model compile`: into the cache, or into a directory that the user names. */
export async function compileCommand(name: string, flags: CompileFlags, io: Io): Promise<number> {
  const progress = new ProgressLine(io);
  const onProgress = ({ done, total }: { done: number; total: number }) =>
    progress.show('Compiling', done / 1e6, total / 1e6, 'MB');
  const started = performance.now();
  const directory = modelDirectory(name);
  const compiled =
    flags.output === undefined
      ? await compiledModel(name, { precision: flags.precision, signal: io.signal, onCompile: onProgress })
      : await compileCheckpoint(directory, flags.output, {
          ...compileOptions(directory, flags.precision),
          signal: io.signal,
          onProgress,
        });
  progress.clear();
  const bytes = Object.values(compiled.manifest.files).reduce((sum, { size }) => sum + size, 0);
  const { decoder, vision } = compiled.manifest.options.precision;
  io.stdout.write(
    `${compiled.directory}\n  decoder ${decoder}, vision ${vision}, ${megabytes(bytes)}, ` +
      `${((performance.now() - started) / 1000).toFixed(1)} s\n`,
  );
  return exit.done;
}

/** `omnivqa model verify`: every hash of a compiled directory, every tensor of a checkpoint. */
export async function verifyCommand(name: string, io: Io): Promise<number> {
  const directory = modelDirectory(name);
  if (existsSync(join(directory, 'manifest.json'))) {
    const { manifest } = await openCompiled(directory, 'deep');
    io.stdout.write(
      `${directory}: compiled, ${Object.keys(manifest.files).length} files, all as they were written.\n`,
    );
    return exit.done;
  }
  const { tensors, files, config } = openCheckpoint(directory);
  await loadTokenizer(directory);
  const parameters = [...tensors.values()].reduce(
    (sum, { shape }) => sum + shape.reduce((product, dim) => product * dim, 1),
    0,
  );
  io.stdout.write(
    `${directory}: checkpoint of family ${config.omnivqa.family}, ${tensors.size} tensors in ${files.length} ` +
      `file${files.length === 1 ? '' : 's'}, ${(parameters / 1e6).toFixed(2)} M parameters, complete.\n`,
  );
  return exit.done;
}

export interface BenchFlags {
  readonly provider: ProviderRequest;
  readonly precision: PrecisionRequest;
  readonly threads?: number;
  readonly format: 'text' | 'json';
}

/**
 * `omnivqa model bench`: what a model costs on this machine, on random pixels and embeddings: the arithmetic does
 * not depend on what is seen.
 */
export async function benchCommand(name: string, flags: BenchFlags, io: Io): Promise<number> {
  const model = await loadEngineModel(name, { ...flags, signal: io.signal });
  const { omni, config } = model;
  const timed = async (work: () => Promise<unknown>) => {
    const from = performance.now();
    await work();
    return (performance.now() - from) / 1000;
  };
  try {
    const [seconds, fps] = [10, 30];
    const { vision, motion } = config;
    const keyPixels = new Uint8Array(seconds * vision.views.length * vision.imageSize ** 2 * 3).map(
      (_, i) => i * 31,
    );
    const visionSeconds = await timed(() => omni.vision(keyPixels, seconds, { signal: io.signal }));
    const frames = omni.motionFrames(seconds * fps);
    const motionPixels = new Uint8Array(frames * (motion?.imageSize ?? 0) ** 2 * 3).map((_, i) => i * 17);
    const motionSeconds =
      frames > 0 ? await timed(() => omni.motion(motionPixels, frames, { signal: io.signal })) : 0;
    const prompt = Math.min(
      seconds * config.tokensPerFrame + frames + 48,
      config.tokenizerModelMaxLength,
      config.maxPositionEmbeddings - 16,
    );
    const context = await omni.newContext({ capacity: prompt + 16 });
    const row = omni.embed([0]);
    const embeddings = new Float32Array(prompt * config.hiddenSize).map(
      (_, i) => row[i % row.length]! + Math.sin(i) * 0.01,
    );
    const prefillSeconds = await timed(() => context.append(embeddings, prompt, { signal: io.signal }));
    const decodeSeconds = await timed(async () => {
      for (let i = 0; i < 16; i += 1) await context.append(row, 1, { signal: io.signal });
    });
    context.dispose();
    const figures = {
      model: model.id,
      provider: omni.choice.provider,
      reason: omni.choice.reason,
      precision: model.precision,
      loadSeconds: model.loadSeconds,
      visionSecondsPerKeyFrame: visionSeconds / seconds,
      motionSecondsPerFrame: frames > 0 ? motionSeconds / frames : null,
      promptTokens: prompt,
      prefillTokensPerSecond: prompt / prefillSeconds,
      decodeTokensPerSecond: 16 / decodeSeconds,
      secondsPer10sClip: visionSeconds + motionSeconds + prefillSeconds,
      peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    };
    if (flags.format === 'json') io.stdout.write(`${JSON.stringify(figures, null, 2)}\n`);
    else {
      for (const [key, value] of Object.entries(figures)) {
        const label = key.replace(/([A-Z]|\d+)/g, ' $1').toLowerCase();
        io.stdout.write(
          `${label.padEnd(32)}${typeof value === 'number' ? Number(value.toPrecision(4)) : value}\n`,
        );
      }
    }
    return exit.done;
  } finally {
    await omni.dispose();
  }
}
