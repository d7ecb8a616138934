import { createInterface } from 'node:readline/promises';
import { clock, printable } from '../assessment/text.ts';
import { clipTokens } from '../engine/clip.ts';
import { loadEngineModel, type PrecisionRequest } from '../engine/models.ts';
import { ChatSession } from '../model/chatter.ts';
import type { ProviderRequest } from '../model/runtime/providers.ts';
import { OmniError } from '../protocol/errors.ts';
import { exit, type Io, ProgressLine } from './io.ts';

export interface ChatFlags {
  readonly model: string;
  readonly provider: ProviderRequest;
  readonly precision: PrecisionRequest;
  readonly threads?: number;
}

/** `omnivqa chat`: one question, or a conversation on a terminal; the clip is read and prefilled once. */
export async function chatCommand(
  path: string,
  question: string | undefined,
  flags: ChatFlags,
  io: Io,
): Promise<number> {
  const conversation = question === undefined;
  if (conversation && !process.stdin.isTTY) {
    throw new OmniError(
      'bad_usage',
      'There is no question and no terminal to ask for one.',
      'Give the question after the clip.',
    );
  }
  const progress = new ProgressLine(io);
  const model = await loadEngineModel(flags.model, {
    provider: flags.provider,
    precision: flags.precision,
    signal: io.signal,
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    onCompile: ({ done, total }) => progress.show('Compiling the model', done / 1e6, total / 1e6, 'MB'),
  });
  try {
    if (model.config.omnivqa.chat === null) {
      throw new OmniError(
        'bad_usage',
        `${model.id} rates and was not trained to answer questions.`,
        'Name a checkpoint that chats with --model (README, Models), or use: omnivqa assess.',
      );
    }
    const { clip, problems, span } = await clipTokens(path, model, {
      signal: io.signal,
      onProgress: ({ frames, total }) => progress.show(path, frames, total, 'frames'),
    });
    progress.clear();
    const session = await ChatSession.open(model.omni, clip, { signal: io.signal });
    try {
      for (const { message } of [...problems, ...session.problems])
        io.stderr.write(`Note: ${printable(message)}\n`);
      const ask = async (text: string) => {
        await session.ask(text, { signal: io.signal, onText: (piece) => io.stdout.write(speakable(piece)) });
        io.stdout.write('\n');
      };
      if (!conversation) {
        await ask(question);
        return exit.done;
      }
      io.stderr.write(`${clock(span)} of ${printable(path)} are read. Ask; an empty line ends.\n`);
      const lines = createInterface({ input: process.stdin, output: process.stderr });
      try {
        for (;;) {
          const text = (await lines.question('> ', { signal: io.signal })).trim();
          if (text === '') return exit.done;
          await ask(text);
        }
      } finally {
        lines.close();
      }
    } finally {
      session.dispose();
    }
  } finally {
    await model.omni.dispose();
  }
}

/** A model's answer is untrusted: line breaks stay, everything else a terminal would obey is shown. */
const speakable = (text: string) => text.split('\n').map(printable).join('\n');
