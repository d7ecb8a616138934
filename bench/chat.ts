import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Chats } from '../src/engine/chats.ts';
import { loadEngineModel } from '../src/engine/models.ts';
import { median, runFfmpeg, type Section } from './support.ts';

/** Asked of a clip that was read before; each needs other words of the model. */
const questions = ['How good is it?', 'Does it stutter?', 'Where is the blur?', 'How severe is the noise?'];

/** How soon Nano answers about a clip of 10 s that was prefilled, and what it reads for it. */
export async function benchChat(work: string): Promise<readonly Section[]> {
  mkdirSync(work, { recursive: true });
  const folder = mkdtempSync(join(work, 'chat-'));
  const model = await loadEngineModel('nano', { provider: 'cpu' });
  const chats = new Chats({ use: (_, __, use) => use(model), record: async () => null });
  try {
    const path = join(folder, 'clip.mp4');
    await runFfmpeg([
      ...['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=30', '-t', '10'],
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', path],
    ]);
    const opened = await chats.open({ path, span: null, model: 'nano', provider: 'cpu', teamFolder: null });
    const { signal } = new AbortController();
    let turn = 0;
    const ask = async (question: string) => {
      const from = performance.now();
      let first = Number.NaN;
      const answer = await chats.ask(
        { chat: opened.chat, turn: String(turn++), question, span: null, attachments: [] },
        signal,
        () => {
          if (Number.isNaN(first)) first = performance.now() - from;
        },
      );
      return { answer, first, whole: performance.now() - from };
    };
    const opening = await ask('Is it blur or noise?');
    const asked: Awaited<ReturnType<typeof ask>>[] = [];
    for (const question of questions) asked.push(await ask(question));
    return [
      {
        title: 'chat: questions about a clip',
        text: 'Nano on the CPU, 10 s of 640x360 at 30 fps; the first question reads the clip, the others re-use its tokens.',
        figures: [
          { name: 'first question', value: opening.whole / 1000, unit: 's', note: 'decoding included' },
          { name: 'tokens of the first question', value: opening.answer.tokensPrefilled, unit: 'tokens' },
          {
            name: 'to the first text, prefilled clip',
            value: median(asked.map(({ first }) => first)),
            unit: 'ms',
            note: 'median of four questions; limit 150 ms',
          },
          {
            name: 'to the first text, the slowest of them',
            value: Math.max(...asked.map(({ first }) => first)),
            unit: 'ms',
          },
          {
            name: 'tokens of a further question',
            value: median(asked.map(({ answer }) => answer.tokensPrefilled)),
            unit: 'tokens',
            note: 'median; the clip is not read again',
          },
        ],
      },
    ];
  } finally {
    chats.dispose();
    await model.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}
