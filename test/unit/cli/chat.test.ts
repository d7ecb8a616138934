import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { clipTokens } from '../../../src/engine/clip.ts';
import { ChatSession } from '../../../src/model/chatter.ts';
import { sanitise } from '../../../src/protocol/chat.ts';
import { fixtures } from '../../support/checkpoints.ts';
import { Collected, Keyboard, omnivqa } from '../../support/cli.ts';
import { loadForTest, smallModel, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

const clip = () => writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 1 });

describe('omnivqa chat', () => {
  it('answers as a session does, one line per question', async () => {
    temporaryCache();
    const path = clip();
    const model = await loadForTest(join(fixtures, 'separate-patch'));
    const session = await ChatSession.open(model.omni, (await clipTokens(path, model)).clip);
    const questions = ['Describe the scene', 'And the people?'];
    const answers: string[] = [];
    for (const question of questions) answers.push((await session.ask(question)).text);
    session.dispose();

    const one = await omnivqa(['chat', path, questions[0]!, ...smallModel]);
    expect(one.status).toBe(0);
    expect(one.stdout).toBe(shown(answers[0]!));
    const both = await omnivqa(['chat', path, ...smallModel], { input: `${questions.join('\n\n')}\n` });
    expect(both.status).toBe(0);
    expect(both.stdout).toBe(answers.map(shown).join(''));
  });

  it('lets no answer reach the terminal as a command', async () => {
    temporaryCache();
    const { stdout } = await omnivqa(['chat', clip(), 'Describe it', ...smallModel]);
    expect(stdout.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  });

  it('on a terminal: a prompt, Ctrl+C ends an answer and Ctrl+D the conversation', async () => {
    temporaryCache();
    const [keyboard, stdout, stderr] = [
      new Keyboard(),
      new Collected({ isTTY: true }),
      new Collected({ isTTY: true }),
    ];
    const write = stdout._write.bind(stdout);
    let interrupted = false;
    stdout._write = (chunk, encoding, done) => {
      write(chunk, encoding, done);
      if (interrupted) return;
      interrupted = true;
      // Ctrl+C as the first word appears; then Ctrl+D at the next prompt.
      keyboard.write('\u0003');
      keyboard.write('\u0004');
    };
    keyboard.write('Describe the scene\r');
    const call = ['chat', clip(), ...smallModel];
    const whole = await omnivqa([...call, 'Describe the scene']);
    const { status } = await omnivqa(call, { stdin: keyboard, stdout, stderr });
    expect(status).toBe(0);
    expect(interrupted).toBe(true);
    expect(stdout.text.length).toBeLessThan(whole.stdout.length);
    expect(whole.stdout.startsWith(stdout.text.trimEnd())).toBe(true);
    expect(stderr.text).toContain('Ask about ');
    expect(stderr.text).toContain('> ');
    expect(stderr.text).not.toContain('next:');
  });

  it('answers through the embedded model: a span, as JSON', async () => {
    temporaryCache();
    const { status, stdout } = await omnivqa([
      ...['chat', clip(), 'Is this compression?', '--span', '0-1', '--format', 'json'],
      ...['--provider', 'cpu', '--threads', '1'],
    ]);
    expect(status).toBe(0);
    const answer = JSON.parse(stdout);
    expect(answer).toMatchObject({ schema: 'omnivqa/answer@1', kind: 'probed', span: { start: 0, end: 1 } });
    expect(answer.text).toMatch(/^(?:Yes|No): /);
    const beyond = await omnivqa(['chat', clip(), 'Is it beautiful?', '--provider', 'cpu', '--threads', '1']);
    expect(beyond).toMatchObject({ status: 0, stdout: expect.stringContaining('can not tell') });
  }, 60_000);

  it('refuses a span that is none', async () => {
    const run = await omnivqa(['chat', 'clip.mp4', 'What?', '--span', 'soon']);
    expect(run.status).toBe(2);
    expect(run.stderr).toContain('3-5 or 0:03-0:05');
  });

  it.each([['a clip that is not there', smallModel, 'file_not_found', 3]])(
    'says why it can not: %s',
    async (_, flags, code, status) => {
      temporaryCache();
      const run = await omnivqa(['chat', 'missing.mp4', 'What?', ...flags]);
      expect(run.stderr).toContain(`[${code}]\n  next: `);
      expect({ status: run.status, stdout: run.stdout }).toEqual({ status, stdout: '' });
    },
  );
});

/** An answer as the terminal gets it. */
const shown = (answer: string) => `${sanitise(answer).text}\n`;
