import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseModelConfig } from '../src/model/checkpoint/config.ts';
import type { Shape } from '../src/model/checkpoint/shapes.ts';
import { writeCheckpoint } from './checkpoint.ts';
import { writeGguf } from './gguf.ts';
import type { Figure, Section } from './support.ts';

/** What goes in at once, and what is decoded one by one. */
const [prompt, answer] = [512, 32];

/** Tokens a second. */
interface Rates {
  readonly prefill: number;
  readonly decode: number;
}

export interface Peers {
  /** llama.cpp's own bench. */
  readonly llamaBench: string | undefined;
  /** A Python with the packages of training/requirements.txt. */
  readonly python: string | undefined;
}

/**
 * Our decoder beside others of the same shape on the same cores, one after the other in one run, ours first and last.
 * Weights are random: only the pace is looked at.
 */
export async function benchPeers(
  root: string,
  work: string,
  scale: Shape,
  { llamaBench, python }: Peers,
): Promise<readonly Section[]> {
  if (!llamaBench && !python) throw new Error('Name a peer with --llama-bench or --python.');
  mkdirSync(work, { recursive: true });
  const name = scale === 'full' ? 'ugc-scorer-random' : `ugc-scorer-random-${scale}`;
  const [source, compiled] = [join(work, name), join(work, `${name}-int4`)];
  if (!existsSync(join(compiled, 'manifest.json'))) {
    if (!existsSync(join(source, 'config.json'))) writeCheckpoint(source, scale);
    run(process.execPath, [
      join(root, 'dist', 'bench', 'compile_worker.mjs'),
      source,
      compiled,
      join(root, 'dist', 'pack_worker.mjs'),
    ]);
  }
  const ours = () =>
    ratesIn(
      run(process.execPath, [
        join(root, 'dist', 'bench', 'decoder_worker.mjs'),
        compiled,
        String(prompt),
        String(answer),
      ]),
    );

  const first = ours();
  const peers: { readonly name: string; readonly rates: Rates; readonly note: string }[] = [];
  if (llamaBench) peers.push(llama(llamaBench, compiled, work));
  if (python) {
    const call = [
      '-m',
      'omnivqa.speed',
      source,
      '--tokens',
      String(prompt),
      '--new',
      String(answer),
      '--device',
      'cpu',
    ];
    const out = run(python, call, join(root, 'training'));
    const { torch, dtype } = JSON.parse(out) as { readonly torch: string; readonly dtype: string };
    peers.push({ name: 'PyTorch', rates: ratesIn(out), note: `transformers on torch ${torch}, ${dtype}` });
  }
  const last = ours();
  const mean = (key: keyof Rates) => (first[key] + last[key]) / 2;
  const figures = (['prefill', 'decode'] as const).flatMap((key): Figure[] => [
    { name: `${key}, ours`, value: mean(key), unit: 'tokens/s', note: 'int4, mean of before and after' },
    ...peers.flatMap(({ name: peer, rates, note }): Figure[] => [
      { name: `${key}, ${peer}`, value: rates[key], unit: 'tokens/s', note },
      { name: `${key}, ours / ${peer}`, value: mean(key) / rates[key], unit: '×' },
    ]),
  ]);
  return [
    {
      title: `peers: the decoder alone, ${scale === 'full' ? '7 billion' : '0.2 billion'} parameters`,
      text: `${prompt} tokens in one prefill, ${answer} decoded one by one, random weights of one shape, ${availableParallelism()} threads, one process after the other.`,
      figures,
    },
  ];
}

function llama(program: string, compiled: string, work: string) {
  const config = parseModelConfig(
    JSON.parse(readFileSync(join(compiled, 'config.json'), 'utf8')),
    ['model.slowfast.position_embedding.weight'],
    ['ugc-scorer'],
  );
  const path = join(work, 'random.gguf');
  try {
    writeGguf(path, config);
    const threads = String(availableParallelism());
    const words = [
      '-m',
      path,
      '-p',
      String(prompt),
      '-n',
      String(answer),
      '-t',
      threads,
      '-r',
      '2',
      '-o',
      'json',
    ];
    const tests = JSON.parse(run(program, words)) as readonly {
      readonly n_prompt: number;
      readonly avg_ts: number;
      readonly build_number: number;
    }[];
    const rate = (prefill: boolean) => tests.find((test) => test.n_prompt > 0 === prefill)!.avg_ts;
    return {
      name: 'llama.cpp',
      rates: { prefill: rate(true), decode: rate(false) },
      note: 'llama-bench, Q4_0 layers, Q8_0 head',
    };
  } finally {
    rmSync(path, { force: true });
  }
}

const ratesIn = (out: string): Rates => JSON.parse(out) as Rates;

function run(program: string, args: readonly string[], cwd?: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    ...(cwd ? { cwd } : {}),
  });
  if (status === 0) return stdout;
  throw new Error(`${program} ended with ${status}: ${error?.message ?? stderr.slice(-2000)}`);
}
