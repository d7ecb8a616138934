import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkClaims } from '../../../src/assessment/claims.ts';
import { linkTimes } from '../../../src/engine/chat_links.ts';
import type { ChatText } from '../../../src/protocol/chat.ts';
import { longestAnswer, sanitise } from '../../../src/protocol/chat.ts';
import { OmniError } from '../../../src/protocol/errors.ts';
import { nanoWith, removeBundles, startEngine } from '../../support/engine_process.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

removeBundles();

describe('what a model writes', () => {
  it.each([
    ['markup', '<img src=x onerror=alert(1)> **bold** `code`'],
    ['links', '[here](https://example.com) https://example.com'],
    ['command URIs', '[run](command:workbench.action.terminal.new) vscode://file/etc'],
    ['scripts', '<script>fetch("//example.com")</script>'],
  ])('%s stays the text it is, and leads nowhere', (_, text) => {
    expect(sanitise(text)).toEqual({ text, cut: false });
    const parts = linkTimes(text, 'clip.mp4', { start: 0, end: 10 });
    expect(parts).toEqual([{ text, target: null }]);
  });

  it('loses control characters and marks that turn text, keeps lines and emoji', () => {
    const hidden = 'a\u0000b\u001b[31mc\u202ed\u2066e\u200bf\u009bg\ufeff\u2028h\ud800';
    expect(sanitise(hidden).text).toBe('ab[31mcdefgh');
    expect(sanitise('one\r\ntwo\t👩\u200d👧').text).toBe('one\ntwo\t👩\u200d👧');
  });

  it('is bounded, between characters', () => {
    const long = sanitise('x'.repeat(100_000));
    expect(long).toEqual({ text: 'x'.repeat(longestAnswer), cut: true });
    expect(sanitise('😀'.repeat(5), 3)).toEqual({ text: '😀', cut: true });
  });

  it('is read for times and claims in little time, however it is written', () => {
    const hostile = [
      '1:'.repeat(10_000),
      'blur '.repeat(4_000),
      'between 1 and '.repeat(1_400),
      `${'9'.repeat(20_000)}`,
      'in the '.repeat(2_800),
    ];
    for (const text of hostile) {
      const parts = linkTimes(text, 'clip.mp4', { start: 0, end: 10 });
      expect(parts.map((part) => part.text).join('')).toBe(text);
      expect(checkClaims(text, null).length).toBeLessThanOrEqual(50);
    }
  });

  it('links times to their place, and no time that the clip has not', () => {
    const text = 'There is blur at 0:03-0:05 in the upper right. At 0:50 it is fine.';
    const linked = linkTimes(text, 'clip.mp4', { start: 0, end: 10 }).filter(({ target }) => target);
    expect(linked).toEqual([
      {
        text: '0:03-0:05',
        target: {
          path: 'clip.mp4',
          span: { start: 3, end: 5 },
          region: { x: 0.5, y: 0, width: 0.5, height: 0.5 },
          type: 'blur',
        },
      },
    ]);
  });
});

describe('an engine that is asked', () => {
  it('answers while a clip is assessed, and the job goes on; is asked again after it was killed', async () => {
    const store = temporaryDirectory();
    const clip = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 8 });
    const model = nanoWith(1);
    const pieces: ChatText[] = [];
    const engine = await startEngine(store, temporaryDirectory(), model, {
      onChatText: (piece) => void pieces.push(piece),
    });
    const { client } = engine;
    const where = { path: clip, model, provider: 'cpu' as const, teamFolder: null };
    const { chat, converses } = await client.request('chatOpen', { ...where, span: null });
    expect(converses).toBe(false);
    const job = engine.assess({ path: clip });
    const ask = (turn: string, question = 'Is it blur or noise?') =>
      client.request('ask', { chat, turn, question, span: null, attachments: [] });
    const answer = await ask('1');
    expect(answer).toMatchObject({ kind: 'probed', prefixReused: false });
    expect(pieces.map(({ text }) => text).join('')).toBe(answer.parts.map(({ text }) => text).join(''));
    expect((await job).record?.status).toBe('complete');
    expect((await client.request('suggestions', where)).length).toBeGreaterThan(0);

    const pid = await engine.pid();
    const asked = ask('2', 'How good is it at 1-2 s?').catch((error: unknown) => error);
    process.kill(pid, 'SIGKILL');
    const outcome = await asked;
    if (outcome instanceof Error) {
      expect(OmniError.is(outcome) && ['engine_crashed', 'disconnected'].includes(outcome.code)).toBe(true);
    }
    // The conversation is known by its name to the engine that was started anew.
    expect((await ask('3')).kind).toBe('probed');
  }, 120_000);
});
