import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { densityFor } from '../../../src/engine/chat_clip.ts';
import { Chats } from '../../../src/engine/chats.ts';
import { type EngineModel, loadEngineModel } from '../../../src/engine/models.ts';
import type { ChatAnswer } from '../../../src/protocol/chat.ts';
import { checkpointWith, temporaryCache } from '../../support/engine.ts';
import { sharedDirectory, writeClip } from '../../support/media.ts';

let clip: string;
beforeAll(() => {
  clip = join(sharedDirectory(), 'clip.mp4');
  writeClip(clip, { seconds: 3, size: '160x120' });
});

const words = (answer: ChatAnswer) => answer.parts.map(({ text }) => text).join('');

async function conversation(name: string) {
  temporaryCache();
  const model: EngineModel = await loadEngineModel(name, { provider: 'cpu', threads: 1 });
  const chats = new Chats({ use: (_, __, work) => work(model), record: async () => null });
  onTestFinished(async () => {
    chats.dispose();
    await model.dispose();
  });
  const opened = await chats.open({ path: clip, span: null, model: name, provider: 'cpu', teamFolder: null });
  let turn = 0;
  const pieces: string[] = [];
  const ask = (
    question: string,
    attachments: readonly string[] = [],
    signal = new AbortController().signal,
  ) =>
    chats.ask(
      { chat: opened.chat, turn: String(turn++), question, span: null, attachments },
      signal,
      (text) => pieces.push(text),
    );
  return { chats, opened, ask, pieces };
}

it('holds answers against the result of the model that assessed the clip', async () => {
  temporaryCache();
  const model = await loadEngineModel('nano', { provider: 'cpu', threads: 1 });
  const asked: string[] = [];
  const chats = new Chats({
    use: (_, __, work) => work(model),
    record: async ({ model: by }) => {
      asked.push(by);
      return null;
    },
  });
  onTestFinished(async () => {
    chats.dispose();
    await model.dispose();
  });
  const where = { path: clip, span: null, model: 'nano', provider: 'cpu', teamFolder: null } as const;
  const turn = { question: 'Is it blur?', span: null, attachments: [] };
  for (const [i, opening] of [where, { ...where, assessedBy: '/first' }].entries()) {
    const { chat } = await chats.open(opening);
    await chats.ask({ chat, turn: String(i), ...turn }, new AbortController().signal, () => undefined);
  }
  expect(asked).toEqual(['nano', '/first']);
});

describe('a model that answers through its probes', () => {
  it('chooses, says how sure it is, and reads only the tokens of a second question', async () => {
    const { opened, ask, pieces } = await conversation('nano');
    expect(opened.converses).toBe(false);
    const first = await ask('Is it blur or noise?');
    expect(first.kind).toBe('probed');
    expect(first.options!.map(({ text }) => text)).toEqual(['blur', 'noise']);
    expect(first.options!.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1);
    expect(first.probability).toBe(Math.max(...first.options!.map(({ probability }) => probability)));
    expect(first).toMatchObject({ prefixReused: false, model: { id: 'omnivqa-nano' } });
    expect(pieces.join('')).toBe(words(first));
    const second = await ask('Does it stutter?');
    expect(second.prefixReused).toBe(true);
    expect(second.tokensPrefilled).toBeGreaterThan(0);
    expect(second.tokensPrefilled).toBeLessThan(first.tokensPrefilled / 2);
    const again = await ask('When does it stutter?');
    expect(again).toMatchObject({ prefixReused: true, tokensPrefilled: 0 });
    const links = second.parts.flatMap(({ target }) => (target ? [target] : []));
    expect(links.length).toBeGreaterThan(0);
    for (const { path, span } of links) {
      expect(path).toBe(clip);
      expect(span.start).toBeGreaterThanOrEqual(0);
      expect(span.end).toBeLessThanOrEqual(3.01);
    }
  });

  it('looks at a short span more closely and says so', async () => {
    const { ask } = await conversation('nano');
    const answer = await ask('How severe is the blur at 1-2 s?');
    expect(answer.span).toEqual({ start: 1, end: 2 });
    expect(answer.basis[0]!.keyFramesPerSecond).toBe(5);
    expect(words(answer)).toContain('5 key frames a second');
    expect([densityFor(10, 30), densityFor(3, 30), densityFor(1, 25), densityFor(1, 23)]).toEqual([
      1, 2, 5, 1,
    ]);
  });

  it('says what it can not tell, and reads nothing for it', async () => {
    const { ask } = await conversation('nano');
    const answer = await ask('Is it beautiful?');
    expect(answer).toMatchObject({ kind: 'unable', tokensPrefilled: 0, probability: null, options: null });
    expect(words(answer)).toContain('can not tell');
  });

  it('compares clips', async () => {
    const { ask } = await conversation('nano');
    const answer = await ask('How good is it?', [clip]);
    expect(answer.basis).toHaveLength(2);
    expect(words(answer)).toContain('clip.mp4 is the best, by 0.0 points');
  });

  it('refuses a time that the clip has not, an empty question and a stopped turn', async () => {
    const { ask, chats, opened } = await conversation('nano');
    await expect(ask('What is wrong at 0:12?')).rejects.toMatchObject({ code: 'bad_usage' });
    await expect(ask(' ')).rejects.toMatchObject({ code: 'bad_usage' });
    const stopped = chats.ask(
      { chat: opened.chat, turn: 'x', question: 'What is wrong?', span: null, attachments: [] },
      new AbortController().signal,
    );
    await expect(ask('What is wrong?')).rejects.toMatchObject({ code: 'bad_usage' });
    chats.stop('x');
    await expect(stopped).rejects.toMatchObject({ code: 'cancelled' });
    expect((await ask('Does it stutter?')).kind).toBe('probed');
  });

  it('goes on with a conversation that another engine opened', async () => {
    const { chats, opened, ask } = await conversation('nano');
    chats.close(opened.chat);
    expect((await ask('Is it blur?')).kind).toBe('probed');
  });
});

describe('a model that converses', () => {
  it('writes, on the tokens that it has read, and chooses where answers are offered', async () => {
    const { opened, ask, pieces } = await conversation(
      checkpointWith({ localization: null, chat: { user: '<image>\n{question}' } }),
    );
    expect(opened.converses).toBe(true);
    const first = await ask('Describe the scene');
    expect(first).toMatchObject({ kind: 'written', prefixReused: false, options: null });
    expect(pieces.join('')).toBe(words(first));
    pieces.length = 0;
    const second = await ask('Is it blur?');
    expect(second.options!.map(({ text }) => text)).toEqual(['Yes', 'No']);
    expect(second.prefixReused).toBe(true);
    expect(second.tokensPrefilled).toBeLessThan(first.tokensPrefilled);
  }, 60_000);
});
