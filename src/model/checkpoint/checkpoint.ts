import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { OmniError } from '../../protocol/errors.ts';
import { type ModelConfig, parseModelConfig } from './config.ts';
import { readSafetensorsHeader, type StoredTensor } from './safetensors.ts';
import { expectedTensors, isDroppable } from './tensors.ts';

/** A checkpoint directory whose tensors are all there, with the shapes that its config asks for. */
export interface Checkpoint {
  readonly directory: string;
  readonly config: ModelConfig;
  /** The tensors that the network reads, by name. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** The weight files, in order. */
  readonly files: readonly string[];
  /** The one in its `comparison` folder, trained for nothing but telling encodes of one source apart; null: none. */
  readonly comparison: Checkpoint | null;
}

/**
 * Opens a checkpoint directory: config.json, model.safetensors or the shards of model.safetensors.index.json.
 * Weights are not read, only headers.
 *
 * @throws OmniError `model_not_found`, `checkpoint_config`, `checkpoint_architecture`, `checkpoint_corrupt`,
 *   `lfs_pointer`, `file_unreadable`, or `checkpoint_tensors` with one finding per missing, unknown or wrongly shaped
 *   tensor.
 */
export function openCheckpoint(directory: string): Checkpoint {
  const checkpoint = openAlone(directory);
  const folder = join(directory, 'comparison');
  if (!existsSync(join(folder, 'config.json'))) return checkpoint;
  const comparison = openAlone(folder);
  const findings = compareInputs(checkpoint.config, comparison.config);
  if (findings.length === 0) return { ...checkpoint, comparison };
  throw new OmniError(
    'checkpoint_config',
    `${folder} does not take the frames, or answer in the levels, of the model that it belongs to.`,
    'Take both from the same place, or remove the folder: the model then compares encodes by itself.',
    { path: folder, findings },
  );
}

/** What two models, which are given the same windows and whose ratings stand for each other, differ in. */
function compareInputs(one: ModelConfig, other: ModelConfig): string[] {
  const inputs = ({ vision, motion, omnivqa }: ModelConfig) => ({
    'vision_config.views': vision.views,
    'vision_config.image_size': vision.imageSize,
    'motion_config.image_size': motion?.imageSize,
    'motion_config.max_positions': motion?.maxPositions,
    'omnivqa.levels': omnivqa.levels,
    'omnivqa.branches': omnivqa.branches,
  });
  const others: Readonly<Record<string, unknown>> = inputs(other);
  return Object.entries(inputs(one))
    .filter(([name, value]) => !isDeepStrictEqual(value, others[name]))
    .map(([name, value]) => `${name} is ${JSON.stringify(others[name])}, wanted ${JSON.stringify(value)}`);
}

/** As {@link openCheckpoint}, without what is in its folders. */
function openAlone(directory: string): Checkpoint {
  const json = readJson(directory, 'config.json');
  const files = weightFiles(directory);
  const stored = new Map<string, StoredTensor>();
  const findings: string[] = [];
  for (const file of files) {
    for (const tensor of readSafetensorsHeader(file)) {
      if (stored.has(tensor.name)) findings.push(`${tensor.name} is in two files`);
      stored.set(tensor.name, tensor);
    }
  }
  const config = parseModelConfig(json, stored.keys(), [nameOf(directory)]);
  const tensors = new Map<string, StoredTensor>();
  for (const { name, shape } of expectedTensors(config)) {
    const tensor = stored.get(name);
    stored.delete(name);
    if (!tensor) findings.push(`${name} is missing (wanted [${shape.join(', ')}])`);
    else if (tensor.shape.join() !== shape.join()) {
      findings.push(`${name} is [${tensor.shape.join(', ')}], wanted [${shape.join(', ')}]`);
    } else if (!['F32', 'F16', 'BF16'].includes(tensor.type)) {
      findings.push(`${name} is stored as ${tensor.type}, wanted F32, F16 or BF16`);
    } else tensors.set(name, tensor);
  }
  for (const name of stored.keys()) {
    if (!isDroppable(name, config)) findings.push(`${name} is unknown to this network`);
  }
  if (findings.length > 0) {
    throw new OmniError(
      'checkpoint_tensors',
      `${directory} does not hold the tensors its config.json asks for: ${findings.slice(0, 3).join('; ')}${findings.length > 3 ? ` and ${findings.length - 3} more` : ''}.`,
      'Check that all shards and the config.json come from the same checkpoint.',
      { path: directory, findings },
    );
  }
  return { directory, config, tensors, files, comparison: null };
}

/** What a checkpoint is called: a pulled one lies in `<owner>--<name>/<commit>`. */
function nameOf(directory: string): string {
  const name = basename(directory);
  return /^[0-9a-f]{40}$/.test(name) ? basename(dirname(directory)) : name;
}

/** model.safetensors, or the shards that model.safetensors.index.json names. */
function weightFiles(directory: string): string[] {
  const single = join(directory, 'model.safetensors');
  const index = join(directory, 'model.safetensors.index.json');
  if (!existsSync(index)) {
    if (existsSync(single)) return [single];
    throw new OmniError(
      'model_not_found',
      `There are no weights in ${directory}: neither model.safetensors nor model.safetensors.index.json.`,
      'Download the weight files into the same directory.',
      { path: directory },
    );
  }
  const json = readJson(directory, 'model.safetensors.index.json') as { weight_map?: object } | null;
  const names = [...new Set(Object.values(json?.weight_map ?? {}).map(String))].sort();
  const missing = names.filter((name) => name !== basename(name) || !existsSync(join(directory, name)));
  if (names.length === 0 || missing.length > 0) {
    throw new OmniError(
      'checkpoint_tensors',
      missing.length > 0
        ? `${directory} lacks ${missing.length} of ${names.length} weight files: ${missing.slice(0, 5).join(', ')}.`
        : `${index} names no weight file.`,
      'Download the missing files into the same directory.',
      { path: directory, findings: missing.map((name) => `${name} is missing`) },
    );
  }
  return names.map((name) => join(directory, name));
}

function readJson(directory: string, name: string): unknown {
  const path = join(directory, name);
  if (!existsSync(path)) {
    throw new OmniError(
      'model_not_found',
      `There is no ${name} in ${directory}.`,
      'Name a checkpoint directory with config.json, *.safetensors and tokenizer.json.',
      { path: directory },
    );
  }
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new OmniError(
      'checkpoint_config',
      `${path} is not JSON: ${(error as Error).message}.`,
      'Take the file from where the checkpoint was published.',
      { path },
      { cause: error },
    );
  }
}
