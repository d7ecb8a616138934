import { createInterface } from 'node:readline';
import { namedTimes } from '../assessment/mentions.ts';
import { printable, printableLines, safeJson } from '../assessment/text.ts';
import { Chats } from '../engine/chats.ts';
import { sha256OfFile } from '../engine/content.ts';
import { cacheDirectory } from '../engine/paths.ts';
import { ResultCache, resultKey } from '../engine/results.ts';
import type { ChatAnswer } from '../protocol/chat.ts';
import { OmniError } from '../protocol/errors.ts';
import type { Span } from '../protocol/timeline.ts';
import { errorText, exit, type Io, ProgressLine, serialized } from './io.ts';
import { loadForCommand, type RuntimeFlags } from './load.ts';

export interface ChatFlags extends RuntimeFlags {
  readonly model: string;
  readonly span?: Span;
  readonly format: 'text' | 'json';
}

/** Reads `3-5`, `0:03-0:05`, `3 s to 5 s`; null where it is no span. */
export function parseSpan(text: string): Span | null {
  const [time] = namedTimes(/[a-z:]/i.test(text) ? text : `${text} s`);
  const span = time?.value;
  return span && span.start >= 0 && Number.isFinite(span.end) ? { start: span.start, end: span.end } : null;
}

/** Asks one question; writes the answer. */
type Asking = (question: string, signal: AbortSignal) => Promise<void>;

/** `omnivqa chat`: one question, or a conversation; the clip is read once. */
export async function chatCommand(
  path: string,
  question: string | undefined,
  flags: ChatFlags,
  io: Io,
): Promise<number> {
  if (question?.trim() === '') {
    throw new OmniError('bad_usage', 'The question is empty.', 'Write it after the clip, in quotes.');
  }
  const progress = new ProgressLine(io);
  const model = await loadForCommand(flags.model, flags, io, progress);
  const cache = new ResultCache(`${cacheDirectory()}/results`);
  const chats = new Chats({
    use: (_, __, work) => work(model),
    // What was assessed before is what answers are held against; nothing is assessed for it.
    record: async ({ path: clip }) =>
      (await cache.get(clip, await sha256OfFile(clip, io.signal), resultKey(model))) ?? null,
  });
  try {
    const { chat, ability } = await chats.open({
      path,
      span: flags.span ?? null,
      model: flags.model,
      provider: 'auto',
      teamFolder: null,
    });
    let turn = 0;
    const ask: Asking = async (text, signal) => {
      turn++;
      const answer = await chats.ask(
        { chat, turn: String(turn), question: text, span: null, attachments: [] },
        signal,
        flags.format === 'json' ? undefined : (piece) => io.stdout.write(printableLines(piece)),
      );
      if (flags.format === 'json') io.stdout.write(`${safeJson(answerJson(text, answer))}\n`);
      else {
        io.stdout.write('\n');
        note(answer, io);
      }
    };
    if (question === undefined) return await converse(ask, printable(path), ability, io);
    await ask(question, io.signal);
    return exit.done;
  } finally {
    progress.clear();
    chats.dispose();
    await model.dispose();
  }
}

/** What there is to say about an answer beside it. */
function note({ cut, claims, kind }: ChatAnswer, { stderr }: Io): void {
  if (cut) stderr.write('Note: The answer was cut at its longest length.\n');
  if (kind !== 'written') return;
  for (const { text, verdict, because } of claims) {
    if (verdict === 'contradicts') stderr.write(`Note: “${printable(text)}”: ${printable(because)}\n`);
  }
}

/** One line of `--format json`. */
const answerJson = (question: string, answer: ChatAnswer) => ({
  schema: 'omnivqa/answer@1',
  question,
  text: answer.parts.map(({ text }) => text).join(''),
  ...answer,
});

/**
 * One question per line, until the end of the input. On a terminal there is a prompt; Ctrl+C ends an answer, and the
 * conversation where none is being written. A question that fails leaves the conversation as it was before it.
 */
async function converse(ask: Asking, about: string, ability: string, io: Io): Promise<number> {
  const terminal = io.stdin.isTTY === true;
  const lines = createInterface({
    input: io.stdin,
    terminal,
    ...(terminal ? { output: io.stderr } : {}),
    prompt: '> ',
  });
  let answering: AbortController | undefined;
  const interrupt = () => (answering ? answering.abort() : lines.close());
  const end = () => {
    answering?.abort();
    lines.close();
  };
  lines.on('SIGINT', interrupt);
  io.signal.addEventListener('abort', end, { once: true });
  let status: number = exit.done;
  try {
    if (terminal) {
      io.stderr.write(
        `Ask about ${about}. ${ability}\nCtrl+C stops an answer, Ctrl+D ends the conversation.\n`,
      );
      lines.prompt();
    }
    for await (const line of lines) {
      if (line.trim() !== '') {
        answering = new AbortController();
        try {
          await ask(line, answering.signal);
        } catch (error) {
          if (io.signal.aborted) throw error;
          io.stdout.write('\n');
          if (!OmniError.is(error, 'cancelled')) {
            status = exit.failed;
            io.stderr.write(errorText(serialized(error)));
          }
        } finally {
          answering = undefined;
        }
      }
      if (terminal) lines.prompt();
    }
    return io.signal.aborted ? exit.interrupted : status;
  } finally {
    io.signal.removeEventListener('abort', end);
    lines.close();
  }
}
