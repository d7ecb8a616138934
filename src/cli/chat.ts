import { createInterface } from 'node:readline';
import { clock, printable, printableLines } from '../assessment/text.ts';
import { clipTokens } from '../engine/clip.ts';
import { modelConfig } from '../engine/models.ts';
import { ChatSession } from '../model/chatter.ts';
import { OmniError } from '../protocol/errors.ts';
import { errorText, exit, type Io, ProgressLine, serialized } from './io.ts';
import { loadForCommand, type RuntimeFlags } from './load.ts';

export interface ChatFlags extends RuntimeFlags {
  readonly model: string;
}

/** `omnivqa chat`: one question, or a conversation; the clip is read and prefilled once. */
export async function chatCommand(
  path: string,
  question: string | undefined,
  flags: ChatFlags,
  io: Io,
): Promise<number> {
  if (question?.trim() === '') {
    throw new OmniError('bad_usage', 'The question is empty.', 'Write it after the clip, in quotes.');
  }
  const { chat } = (await modelConfig(flags.model)).omnivqa;
  if (chat === null) {
    throw new OmniError(
      'bad_usage',
      `The model ${flags.model} rates; it was not trained to answer questions.`,
      'Name a checkpoint that chats with --model (omnivqa model list says which do), or use omnivqa assess.',
    );
  }
  const progress = new ProgressLine(io);
  const model = await loadForCommand(flags.model, flags, io, progress);
  try {
    progress.show(path, 0, null, 'frames');
    const { clip, problems, span } = await clipTokens(path, model, {
      signal: io.signal,
      onProgress: ({ frames, total }) => progress.show(path, frames, total, 'frames'),
    });
    progress.clear();
    const session = await ChatSession.open(model.omni, clip, { signal: io.signal });
    try {
      for (const { message } of [...problems, ...session.problems]) {
        io.stderr.write(`Note: ${printable(message)}\n`);
      }
      if (question === undefined) return await converse(session, `${clock(span)} of ${printable(path)}`, io);
      await answer(session, question, io, io.signal);
      return exit.done;
    } finally {
      session.dispose();
    }
  } finally {
    progress.clear();
    await model.dispose();
  }
}

/** Streams the answer to one question to stdout. */
async function answer(session: ChatSession, question: string, io: Io, signal: AbortSignal): Promise<void> {
  const { ended } = await session.ask(question, {
    signal,
    onText: (piece) => io.stdout.write(printableLines(piece)),
  });
  io.stdout.write('\n');
  if (ended === 'length') io.stderr.write('Note: The answer was cut at its longest length.\n');
}

/**
 * One question per line, until the end of the input. On a terminal there is a prompt; Ctrl+C ends an answer, and the
 * conversation where none is being written. A question that fails leaves the conversation as it was before it.
 */
async function converse(session: ChatSession, about: string, io: Io): Promise<number> {
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
      io.stderr.write(`Ask about ${about}. Ctrl+C stops an answer, Ctrl+D ends the conversation.\n`);
      lines.prompt();
    }
    for await (const line of lines) {
      if (line.trim() !== '') {
        answering = new AbortController();
        try {
          await answer(session, line, io, answering.signal);
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
