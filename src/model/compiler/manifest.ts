import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OmniError } from '../../protocol/errors.ts';
import type { ModelConfig } from '../checkpoint/config.ts';
import type { Precision } from './weights.ts';

/** Changes whenever the compiler writes something else for the same checkpoint and options. */
export const compilerVersion = 2;

export interface CompileOptions {
  readonly precision: { readonly decoder: Precision; readonly vision: Exclude<Precision, 'int4'> };
  /** MatMulNBits' accuracy level: 4 multiplies in int8 (fast), 0 in float32. */
  readonly accuracyLevel: number;
}

/** `manifest.json` of a compiled directory: written last, so that a directory without it is unfinished. */
export interface Manifest {
  readonly compiler: number;
  /** SHA-256 over the rest of the manifest. */
  readonly digest: string;
  /** SHA-256 that tells the checkpoint from others; the same for copies of a small one. */
  readonly source: string;
  readonly options: CompileOptions;
  readonly files: Readonly<Record<string, { readonly size: number; readonly sha256: string }>>;
  /** The checkpoint's tensor names matter to its config where that does not say whether there is a motion branch. */
  readonly config: ModelConfig;
  readonly motion: { readonly radius: readonly [number, number] } | null;
  /** Vocabulary ids of the quality levels, best first. */
  readonly levelIds: readonly number[];
  /** Ids that end an answer, from config.json and generation_config.json. */
  readonly stopIds: readonly number[];
  /** Rows [vocabSize, hiddenSize] in embeddings.weights, and the vector that ends a video's vision tokens. */
  readonly embeddings: {
    readonly type: 'float16' | 'float32';
    readonly offset: number;
    /** Byte offset of the float32 vector [hiddenSize]. */
    readonly newlineOffset: number;
  };
  /** Digest of the manifest in the `comparison` folder, where the checkpoint has one. */
  readonly comparison?: string;
}

export interface CompiledModel {
  readonly directory: string;
  readonly manifest: Manifest;
  readonly config: ModelConfig;
  /** What it compares encodes by; null: itself. */
  readonly comparison: CompiledModel | null;
}

/** How much of a compiled directory is looked at: file sizes, or every byte. */
export type Depth = 'quick' | 'deep';

/**
 * Opens a compiled directory.
 *
 * @throws OmniError `compiled_invalid` when a file is missing or altered, or another compiler version wrote it.
 */
export async function openCompiled(directory: string, depth: Depth = 'quick'): Promise<CompiledModel> {
  const invalid = (cause: string, error?: unknown) =>
    new OmniError(
      'compiled_invalid',
      `${directory} is not a usable compiled model: ${cause}.`,
      'Compile the checkpoint again (omnivqa model compile).',
      { path: directory },
      { cause: error },
    );
  let manifest: Manifest | null;
  try {
    manifest = JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8')) as Manifest | null;
  } catch (error) {
    throw invalid('its manifest.json is missing or unreadable', error);
  }
  if (manifest?.compiler !== compilerVersion) {
    throw invalid(`it was written by compiler version ${manifest?.compiler}, this is ${compilerVersion}`);
  }
  if (manifest.digest !== digestOf(manifest)) throw invalid('its manifest.json was altered');
  for (const [name, { size, sha256 }] of Object.entries(manifest.files)) {
    const found = await stat(join(directory, name)).catch(() => undefined);
    if (found?.size !== size) throw invalid(`${name} has ${found?.size ?? 'no'} bytes instead of ${size}`);
    if (depth === 'deep' && (await sha256Of(join(directory, name))) !== sha256) {
      throw invalid(`${name} was altered: its SHA-256 is another`);
    }
  }
  if (manifest.comparison === undefined) {
    return { directory, manifest, config: manifest.config, comparison: null };
  }
  const comparison = await openCompiled(join(directory, 'comparison'), depth);
  if (comparison.manifest.digest !== manifest.comparison) {
    throw invalid('its comparison folder is that of another model');
  }
  return { directory, manifest, config: manifest.config, comparison };
}

/** What {@link Manifest.digest} must be. */
export function digestOf({ digest: _, ...rest }: Omit<Manifest, 'digest'> & { digest?: string }): string {
  return createHash('sha256').update(JSON.stringify(rest)).digest('hex');
}

/** SHA-256 of a file, read in pieces. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 4 * 2 ** 20 }))
    hash.update(chunk as Buffer);
  return hash.digest('hex');
}
