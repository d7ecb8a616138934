import { describe, expect, it } from 'vitest';
import { TextStream } from '../../../src/model/runtime/text_stream.ts';

/** A byte-level decoder: one id is one byte. */
const bytes = (ids: number[]) => new TextDecoder().decode(Uint8Array.from(ids));

function stream(
  ids: readonly number[],
  decode: (ids: number[]) => string,
): { pieces: string[]; end: string } {
  const text = new TextStream(decode);
  return { pieces: ids.map((id) => text.push(id)), end: text.end() };
}

describe('text stream', () => {
  it.each(['plain', 'Größe', '時刻 0:12 の映像', '👩‍👩‍👧 ok', 'a\u0301\u0302', ''])(
    'gives %s back whole',
    (text) => {
      const { pieces, end } = stream([...new TextEncoder().encode(text)], bytes);
      expect(pieces.join('') + end).toBe(text);
      for (const piece of pieces) expect(piece).not.toContain('\uFFFD');
    },
  );

  it('holds a character back until its last byte', () =>
    expect(stream([...new TextEncoder().encode('é👍')], bytes)).toEqual({
      pieces: ['', 'é', '', '', '', '👍'],
      end: '',
    }));

  it('shows bytes that never become a character at the end', () =>
    expect(stream([0x61, 0xf0, 0x9f], bytes)).toEqual({ pieces: ['a', '', ''], end: '\uFFFD' }));

  it('goes on after bytes that are no character', () => {
    const { pieces, end } = stream([0x61, 0x8f, 0x62, 0xff, 0x63, 0x64], bytes);
    expect(pieces.join('') + end).toBe('a\uFFFDb\uFFFDcd');
  });

  it('shows the replacement character that the model itself wrote', () => {
    const { pieces, end } = stream([...new TextEncoder().encode('\uFFFDx\uFFFD')], bytes);
    expect(pieces.join('') + end).toBe('\uFFFDx\uFFFD');
  });

  it('keeps the space that a decoder strips from the beginning of a text', () => {
    const words = ['▁the', '▁sky', 's'];
    const decode = (ids: number[]) =>
      ids
        .map((id) => words[id])
        .join('')
        .replaceAll('▁', ' ')
        .trimStart();
    expect(stream([0, 1, 2], decode)).toEqual({ pieces: ['the', ' sky', 's'], end: '' });
  });
});
