import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { plain } from '../../../src/assessment/report_text.ts';
import { errorText, type Io, ProgressLine, serialized, styleFor } from '../../../src/cli/io.ts';
import { OmniError } from '../../../src/protocol/errors.ts';
import { Collected } from '../../support/cli.ts';

const io = (stderr: Collected): Io => ({
  stdin: Readable.from([]),
  stdout: new Collected(),
  stderr,
  env: {},
  signal: new AbortController().signal,
});

describe('errorText', () => {
  it('says the code, the cause, the command, its last words and the next step', () => {
    expect(
      errorText(
        {
          code: 'not_a_video',
          message: 'a.mp4 is no video.',
          next: 'Play it.',
          command: "ffprobe -i 'file:a.mp4'",
          stderr: 'one\n\ntwo\nthree\nfour\n',
        },
        'a.mp4',
      ),
    ).toBe(
      "a.mp4 is no video. [not_a_video]\n  command: ffprobe -i 'file:a.mp4'\n  | two\n  | three\n  | four\n  next: Play it.\n",
    );
  });

  it('names the file where the cause does not', () => {
    const text = errorText({ code: 'ffmpeg_missing', message: 'ffmpeg is not on PATH.', next: 'x' }, 'a.mp4');
    expect(text).toMatch(/^a\.mp4: ffmpeg is not/);
  });

  it('lists findings that the cause does not name, up to twenty', () => {
    const findings = Array.from({ length: 30 }, (_, i) => `tensor ${i} is missing`);
    const text = errorText({ code: 'checkpoint_tensors', message: `${findings[0]}.`, next: 'x', findings });
    expect(text).not.toContain('- tensor 0 ');
    expect(text).toContain('- tensor 20 is missing');
    expect(text).not.toContain('- tensor 21 ');
    expect(text).toContain('and 9 more');
  });

  it('lets no text of others reach the terminal as a command', () => {
    const evil = 'a\u001b[2J\u009b\nb';
    const text = errorText(
      { code: 'x', message: evil, next: evil, command: evil, stderr: evil, findings: [evil] },
      `${evil}.mp4`,
    );
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  });

  it('calls what is not ours a fault of the program', () => {
    expect(serialized(new TypeError('x is not a function'))).toMatchObject({
      code: 'internal_error',
      message: expect.stringContaining('x is not a function'),
      findings: [expect.stringContaining('io.test.ts'), ...Array(4).fill(expect.any(String))],
    });
    const ours = new OmniError('file_empty', 'empty', 'next', { path: 'p' });
    expect(serialized(ours)).toEqual({ code: 'file_empty', message: 'empty', next: 'next', path: 'p' });
  });
});

describe('styleFor', () => {
  const terminal = new Collected({ isTTY: true });

  it.each([
    ['a pipe', new Collected(), {}],
    ['NO_COLOR', terminal, { NO_COLOR: '1' }],
    ['a dumb terminal', terminal, { TERM: 'dumb' }],
  ])('has no colour: %s', (_, stream, env) => {
    expect(styleFor(stream, env)).toBe(plain);
  });

  it('colours by quality on a terminal', () => {
    const { quality } = styleFor(terminal, {});
    expect(new Set([quality('x', 80), quality('x', 50), quality('x', 20)]).size).toBe(3);
  });
});

describe('ProgressLine', () => {
  it('prints nothing but to a terminal', () => {
    const stderr = new Collected();
    const line = new ProgressLine(io(stderr));
    line.show('clip.mp4', 1, 2, 'frames');
    line.clear();
    expect(stderr.text).toBe('');
  });

  it('shows how much is done, within the width, and takes itself away', () => {
    const stderr = new Collected({ isTTY: true, columns: 50 });
    const line = new ProgressLine(io(stderr));
    line.show(`${'long/'.repeat(20)}\u001b[2Jclip.mp4`, 50, 100, 'frames');
    const shown = stderr.text.replace('\r\u001b[K', '');
    expect(shown).toContain('██████████··········  50 %');
    expect(shown).toContain('clip.mp4');
    expect(shown).not.toContain('\u001b');
    expect([...shown].length).toBeLessThanOrEqual(50);
    line.clear();
    line.clear();
    expect(stderr.text.split('\r\u001b[K')).toHaveLength(3);
  });

  it('shows what is done where the end is not known', () => {
    const stderr = new Collected({ isTTY: true });
    new ProgressLine(io(stderr)).show('clip.mp4', 50, null, 'frames');
    expect(stderr.text).toContain('clip.mp4  50 frames');
  });
});
