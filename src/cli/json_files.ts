import { readFile } from 'node:fs/promises';
import { printable } from '../assessment/text.ts';
import { OmniError, type Problem } from '../protocol/errors.ts';
import type { Io } from './io.ts';

/** Says on stderr what was left out. */
export function note(problems: readonly Problem[], io: Io): void {
  for (const { message } of problems) io.stderr.write(`Note: ${printable(message)}\n`);
}

/** @throws OmniError `file_not_found`, `file_unreadable`. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new OmniError(
      code === 'ENOENT' ? 'file_not_found' : 'file_unreadable',
      code === 'ENOENT' ? `There is no file ${path}.` : `${path} can not be read (${code ?? message}).`,
      'Check the path and its permissions.',
      { path },
      { cause: error },
    );
  }
}

/** Reads a label file. @throws OmniError as {@link readText}, `bad_usage`. */
export async function readJson(path: string): Promise<unknown> {
  const text = await readText(path);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new OmniError(
      'bad_usage',
      `${path} is not JSON: ${(error as Error).message}.`,
      'Give a JSON list such as [{ "video": "a.mp4", "mos": 3.2 }, …].',
      { path },
      { cause: error },
    );
  }
}
