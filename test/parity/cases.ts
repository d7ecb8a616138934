import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The random checkpoints of test/fixtures/parity; its README says what each of them is there for. */
export const cases = [
  'separate-patch',
  'doubled-patch',
  'separate-statistics',
  'joined-patch',
  'frames-statistics',
] as const;

export type CaseName = (typeof cases)[number];

/** `case.json`, as far as the tests read it. */
export interface CaseFacts {
  readonly keyFrames: number;
  readonly frames: number;
  readonly motionFrames: number;
  readonly levelIds: readonly number[];
  readonly stopIds: readonly number[];
  readonly chat: {
    readonly question: string;
    readonly maxNewTokens: number;
    readonly nextQuestion: string;
    readonly longQuestion?: string;
  } | null;
}

type Data = Float32Array | Int32Array | Uint8Array;

export interface Case {
  readonly directory: string;
  readonly facts: CaseFacts;
  float(name: string): Float32Array;
  int(name: string): Int32Array;
  bytes(name: string): Uint8Array;
}

const root = fileURLToPath(new URL('../fixtures/parity', import.meta.url));

export async function openCase(name: CaseName): Promise<Case> {
  const directory = join(root, name);
  const facts = JSON.parse(await readFile(join(directory, 'case.json'), 'utf8')) as CaseFacts;
  const file = await readFile(join(directory, 'expected.safetensors'));
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { dtype: string; data_offsets: [number, number] }
  >;
  const get = (tensor: string, dtype: string): Data => {
    const entry = header[tensor];
    if (entry?.dtype !== dtype)
      throw new Error(`${name}: no ${dtype} tensor ${tensor} in expected.safetensors`);
    const [from, to] = entry.data_offsets;
    const bytes = new Uint8Array(file.subarray(8 + headerBytes + from, 8 + headerBytes + to));
    if (dtype === 'U8') return bytes;
    return dtype === 'F32' ? new Float32Array(bytes.buffer) : new Int32Array(bytes.buffer);
  };
  return {
    directory,
    facts,
    float: (tensor) => get(tensor, 'F32') as Float32Array,
    int: (tensor) => get(tensor, 'I32') as Int32Array,
    bytes: (tensor) => get(tensor, 'U8') as Uint8Array,
  };
}

/** A directory that is removed when the test file is done. */
export async function temporaryDirectory(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'omnivqa-test-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Largest absolute difference; fails on different lengths and on values that are no numbers. */
export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} values where ${expected.length} are expected`);
  }
  let most = 0;
  for (let i = 0; i < actual.length; i += 1) {
    const one = Math.abs(actual[i]! - expected[i]!);
    if (Number.isNaN(one)) return Number.NaN;
    if (one > most) most = one;
  }
  return most;
}
