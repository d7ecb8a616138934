/** What was done to each clip of a rendered data set: one JSON line per clip in `truth.jsonl`, beside the clips. */
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { Check } from 'typebox/value';
import { safeJson } from '../assessment/text.ts';
import { distortionTypes, severities } from '../assessment/vocabulary.ts';
import { OmniError, type Problem } from '../protocol/errors.ts';

const strict = { additionalProperties: false };
const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);
const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });
const fraction = Type.Number({ minimum: 0, maximum: 1 });
const type = Type.Enum(distortionTypes);
const severity = nullable(Type.Enum(severities));

export const truthId = 'omnivqa/truth@1';

export const TruthSchema = Type.Object(
  {
    schema: Type.Literal(truthId),
    index: Type.Integer({ minimum: 0 }),
    file: Type.String({ description: 'Name of the clip, in the folder of the truth.' }),
    sha256,
    source: Type.String({ description: 'The source, as it was named in the call.' }),
    sourceSha256: sha256,
    recipe: Type.String({ description: 'Its id in the recipe book.' }),
    level: Type.Integer({ minimum: 0, description: "Index of the recipe's level, 0 the mildest." }),
    parameters: Type.Record(Type.String(), Type.Number(), { description: 'As they went into the filters.' }),
    type: nullable(type),
    severity,
    distortions: Type.Array(
      Type.Object(
        {
          type,
          start: Type.Number({ minimum: 0, description: "Seconds after the clip's first frame." }),
          end: Type.Number({ minimum: 0, description: 'Seconds, exclusive.' }),
          region: Type.Object({ x: fraction, y: fraction, width: fraction, height: fraction }, strict),
          severity,
        },
        strict,
      ),
      { description: "What there is to be found, in the record's words; none in a pristine clip." },
    ),
    clip: Type.Object(
      {
        start: Type.Number({ minimum: 0, description: 'Seconds into the source.' }),
        frames: Type.Integer({ minimum: 1 }),
        rate: Type.String({ description: 'Frames per second, a fraction.' }),
        width: Type.Integer({ minimum: 1 }),
        height: Type.Integer({ minimum: 1 }),
      },
      strict,
    ),
    seed: Type.Integer({ minimum: 0 }),
    ffmpeg: Type.String({ description: 'Version: another may make other bytes.' }),
  },
  { ...strict, $id: truthId, title: 'OmniVQA truth of a degraded clip' },
);

export type Truth = Static<typeof TruthSchema>;

/**
 * Reads the lines of a truth file. A last line that was cut by a crash, and lines that are none of ours, are left out
 * with a problem; of two lines for one clip the later counts.
 */
export function parseTruth(text: string): { readonly value: Truth[]; readonly problems: Problem[] } {
  const problems: Problem[] = [];
  const byIndex = new Map<number, Truth>();
  const lines = text.split('\n');
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      value = undefined;
    }
    if (Check(TruthSchema, value)) byIndex.set(value.index, value);
    else {
      const last = i === lines.length - 1;
      problems.push({
        code: last ? 'truth_line_cut' : 'truth_line_invalid',
        message: last
          ? 'The last line of the truth was cut short; it was left out.'
          : `Line ${i + 1} of the truth is not valid; it was left out.`,
      });
    }
  }
  return { value: [...byIndex.values()].sort((a, b) => a.index - b.index), problems };
}

export const truthName = 'truth.jsonl';

/** The truth file of a folder, held by one writer at a time. Lines are appended as clips are finished. */
export class TruthFile {
  readonly #folder: string;
  readonly #path: string;
  readonly #lock: string;
  readonly #lines: Map<number, Truth>;
  readonly problems: readonly Problem[];

  private constructor(folder: string, lock: string, lines: readonly Truth[], problems: readonly Problem[]) {
    this.#folder = folder;
    this.#path = join(folder, truthName);
    this.#lock = lock;
    this.#lines = new Map(lines.map((line) => [line.index, line]));
    this.problems = problems;
  }

  /** @throws OmniError `bad_usage` where another process writes to the folder, `not_writable`, `disk_full` */
  static async open(folder: string): Promise<TruthFile> {
    const lock = join(folder, `.${truthName}.lock`);
    await holdLock(lock, folder);
    try {
      const text = await readFile(join(folder, truthName), 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return '';
        throw unwritable(error, join(folder, truthName));
      });
      const { value, problems } = parseTruth(text);
      return new TruthFile(folder, lock, value, problems);
    } catch (error) {
      await rm(lock, { force: true });
      throw error;
    }
  }

  get lines(): readonly Truth[] {
    return [...this.#lines.values()].sort((a, b) => a.index - b.index);
  }

  at(index: number): Truth | undefined {
    return this.#lines.get(index);
  }

  forget(index: number): void {
    this.#lines.delete(index);
  }

  /** @throws OmniError `not_writable`, `disk_full` */
  async add(line: Truth): Promise<void> {
    this.#lines.set(line.index, line);
    try {
      const file = await open(this.#path, 'a');
      try {
        await file.appendFile(`${safeJson(line)}\n`);
        await file.datasync();
      } finally {
        await file.close();
      }
    } catch (error) {
      throw unwritable(error, this.#path);
    }
  }

  /** Writes all lines in the order of their clips, as a whole or not at all. @throws OmniError as {@link add} */
  async rewrite(): Promise<void> {
    const partial = join(this.#folder, `.${truthName}.partial`);
    try {
      await writeFile(partial, this.lines.map((line) => `${safeJson(line)}\n`).join(''));
      await rename(partial, this.#path);
    } catch (error) {
      await rm(partial, { force: true }).catch(() => undefined);
      throw unwritable(error, this.#path);
    }
  }

  async close(): Promise<void> {
    await rm(this.#lock, { force: true }).catch(() => undefined);
  }
}

/** Makes the lock, which holds the number of its process; one whose process has ended is taken over. */
async function holdLock(lock: string, folder: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await writeFile(lock, String(process.pid), { flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unwritable(error, lock);
    }
    const holder = Number(await readFile(lock, 'utf8').catch(() => ''));
    if (attempt > 0 || (holder > 0 && holder !== process.pid && isRunning(holder))) {
      throw new OmniError(
        'bad_usage',
        `Another process${holder > 0 ? ` (${holder})` : ''} is writing to ${folder}.`,
        'Wait for it to end, or name another folder.',
        { path: folder },
      );
    }
    await rm(lock, { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** What a failed write is to the user. */
export function unwritable(error: unknown, path: string): OmniError {
  if (OmniError.is(error)) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  const full = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code);
  return new OmniError(
    full ? 'disk_full' : 'not_writable',
    full
      ? `There is no room left to write ${path} (${code}).`
      : `${path} can not be written (${code || message}).`,
    full ? 'Free some space on that disk.' : 'Check the permissions of its folder.',
    { path },
    { cause: error },
  );
}
