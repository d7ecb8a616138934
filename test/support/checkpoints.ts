import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './media.ts';

export const fixtures = fileURLToPath(new URL('../fixtures/parity', import.meta.url));

/** A copy of a random checkpoint of test/fixtures/parity that a test may damage. */
export function copyCheckpoint(name = 'separate-patch'): string {
  const directory = join(temporaryDirectory(), name);
  cpSync(join(fixtures, name), directory, { recursive: true });
  return directory;
}

/**
 * Gives a checkpoint a `comparison` folder with one of the same shape that answers something else.
 *
 * @param omnivqa Fields of that one's `omnivqa` section.
 * @returns the folder.
 */
export function addComparison(directory: string, omnivqa: Readonly<Record<string, unknown>> = {}): string {
  const folder = join(directory, 'comparison');
  const copy = join(temporaryDirectory(), 'copy');
  cpSync(directory, copy, { recursive: true });
  cpSync(copy, folder, { recursive: true });
  editHeader(join(folder, 'model.safetensors'), (header) => {
    const name = (layer: number) => `model.layers.${layer}.self_attn.q_proj.weight`;
    const [first, second] = [header[name(0)]!, header[name(1)]!];
    [first.data_offsets, second.data_offsets] = [second.data_offsets, first.data_offsets];
  });
  editJson(join(folder, 'config.json'), (config) => {
    config.omnivqa = { ...(config.omnivqa as object), localization: null, chat: null, ...omnivqa };
  });
  return folder;
}

/** Rewrites a JSON file of a checkpoint. */
export function editJson(path: string, edit: (json: Record<string, unknown>) => void): void {
  const json = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  edit(json);
  writeFileSync(path, JSON.stringify(json));
}

export type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** Rewrites the header of a safetensors file and leaves its data as it is. */
export function editHeader(path: string, edit: (header: Header) => void): void {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length)) as Header;
  edit(header);
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([size, text, file.subarray(8 + length)]));
}
