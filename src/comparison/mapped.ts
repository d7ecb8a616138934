import type { CommandWord, FoundCommand, SourceRange } from './found.ts';

/**
 * Text taken out of a larger one (a script out of YAML, a string out of code) that knows, for each of its characters,
 * which span of the larger one it came from.
 */
export class MappedText {
  readonly text: string;
  readonly #starts: readonly number[];
  readonly #ends: readonly number[];

  constructor(text: string, starts: readonly number[], ends: readonly number[]) {
    this.text = text;
    this.#starts = starts;
    this.#ends = ends;
  }

  /** The span of the larger text that a span of this one came from. */
  range(start: number, end: number): SourceRange {
    const last = this.#starts.length - 1;
    if (last < 0) return { start: 0, end: 0 };
    const from = this.#starts[Math.min(Math.max(0, start), last)]!;
    return { start: from, end: Math.max(from, this.#ends[Math.min(Math.max(start, end - 1), last)]!) };
  }

  /** Commands found in this text as commands of the larger one. */
  outer(commands: readonly FoundCommand[]): FoundCommand[] {
    const word = (one: CommandWord): CommandWord => ({ ...one, ...this.range(one.start, one.end) });
    return commands.map((command) => ({
      ...command,
      ...this.range(command.start, command.end),
      words: command.words.map(word),
    }));
  }
}

/** Collects a {@link MappedText} piece by piece. */
export class MappedBuilder {
  readonly #source: string;
  readonly #parts: string[] = [];
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  constructor(source: string) {
    this.#source = source;
  }

  get length(): number {
    return this.#starts.length;
  }

  /** Takes a span of the source as it stands. */
  copy(start: number, end: number): this {
    this.#parts.push(this.#source.slice(start, end));
    for (let at = start; at < end; at += 1) {
      this.#starts.push(at);
      this.#ends.push(at + 1);
    }
    return this;
  }

  /** Adds text that stands for a span of the source. */
  put(text: string, start: number, end: number): this {
    this.#parts.push(text);
    for (let at = 0; at < text.length; at += 1) {
      this.#starts.push(start);
      this.#ends.push(end);
    }
    return this;
  }

  build(): MappedText {
    return new MappedText(this.#parts.join(''), this.#starts, this.#ends);
  }
}

const escapes: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  v: '\v',
  '0': '\0',
};

/** How a string literal is written. */
export interface StringStyle {
  /** Backslashes escape. */
  readonly escapes: boolean;
  /** Turns what is inserted (`${x}`, `{x}`, `%s`) at an offset into the end and the expression of it. */
  readonly insertion?: (
    text: string,
    at: number,
  ) => { readonly end: number; readonly name: string; readonly literal?: string } | null;
}

/**
 * The content of a string literal, `start` and `end` within its quotes. Insertions become `${name}`, as a shell would
 * write them, and are listed in `holes`.
 */
export function unquote(
  source: string,
  start: number,
  end: number,
  style: StringStyle,
  into = new MappedBuilder(source),
): { readonly builder: MappedBuilder; readonly holes: string[] } {
  const holes: string[] = [];
  let at = start;
  let plain = start;
  const flush = () => {
    if (at > plain) into.copy(plain, at);
  };
  while (at < end) {
    const inserted = style.insertion?.(source, at);
    if (inserted && inserted.end <= end) {
      flush();
      if (inserted.literal === undefined) {
        holes.push(inserted.name);
        into.put(`\${${inserted.name}}`, at, inserted.end);
      } else into.put(inserted.literal, at, inserted.end);
      at = inserted.end;
      plain = at;
    } else if (style.escapes && source[at] === '\\' && at + 1 < end) {
      flush();
      const unicode = /^\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))/.exec(source.slice(at, at + 6));
      const next = source[at + 1]!;
      const length = unicode ? unicode[0].length : next === '\r' && source[at + 2] === '\n' ? 3 : 2;
      const text = unicode
        ? String.fromCharCode(Number.parseInt(unicode[1] ?? unicode[2]!, 16))
        : next === '\n' || next === '\r'
          ? ''
          : (escapes[next] ?? next);
      if (text) into.put(text, at, at + length);
      at += length;
      plain = at;
    } else at += 1;
  }
  flush();
  return { builder: into, holes };
}

/**
 * A value aligned with the source that it was read from, where only white space, quotes and escapes differ (the
 * scalars of YAML). Characters that cannot be found there stand for the whole span.
 */
export function align(source: string, start: number, end: number, value: string): MappedText {
  const starts: number[] = [];
  const ends: number[] = [];
  let at = start;
  for (const character of value.split('')) {
    let found = at;
    const blank = /\s/.test(character);
    while (found < end && !(blank ? /\s/.test(source[found]!) : source[found] === character)) found += 1;
    if (found < end && found - at < 400) {
      starts.push(found);
      ends.push(found + 1);
      at = found + 1;
    } else {
      starts.push(start);
      ends.push(end);
    }
  }
  return new MappedText(value, starts, ends);
}
