import {
  type CommandWord,
  commandOf,
  type FoundCommand,
  holeName,
  mostCommands,
  toolOf,
  withHoles,
} from './found.ts';
import { MappedBuilder, type MappedText, type StringStyle, unquote } from './mapped.ts';
import { findInShell } from './shell.ts';

type Language = 'python' | 'javascript';

interface Token {
  readonly kind: 'string' | 'name' | 'number' | 'mark';
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** Where a string's content begins and ends. */
  readonly inner: readonly [number, number];
  /** Letters before a Python string's quote. */
  readonly prefix: string;
  readonly template: boolean;
  /** The first token of its line, and how far that line is indented. */
  readonly first: boolean;
  readonly indent: number;
  /** How many braces are open (JavaScript). */
  readonly depth: number;
}

/** A list of words that a variable holds, which later lines may add to. */
interface ListValue {
  readonly words: CommandWord[];
  readonly start: number;
  readonly end: number;
  readonly indent: number;
  readonly depth: number;
  /** The index of the command that it is itself. */
  command: number | null;
}

interface Loop {
  readonly name: string;
  readonly values: readonly string[];
  readonly end: number;
}

/**
 * The commands in Python and JavaScript or TypeScript: arrays of strings that start with the program, calls such as
 * `spawn('ffmpeg', […])`, and strings that hold a shell line. Variables with a literal value and loops over literal
 * lists are followed; any other expression is a hole.
 */
export function findInCode(source: string, language: Language): FoundCommand[] {
  return new CodeReader(source, language).read();
}

/** The hole for words that only some runs add. */
const sometimes = 'sometimes';

/** Tokens looked at in all, again and again: a bound for text that only looks like code. */
const mostSteps = 20_000_000;

const commandText =
  /(^|[|;&(]\s*|\n\s*)\s*((sudo|time|nice|exec)\s+(-\S+\s+)*)*["']?[\w./\\${}:-]*(ffmpeg|handbrakecli|svtav1encapp)[\w.}-]*["']?\s+[^\n]*?-[a-z-]/i;

class CodeReader {
  readonly #source: string;
  readonly #language: Language;
  readonly #tokens: readonly Token[];
  readonly #found: FoundCommand[] = [];
  readonly #scalars = new Map<string, string>();
  readonly #lists = new Map<string, ListValue>();
  #loops: Loop[] = [];
  #steps = 0;

  constructor(source: string, language: Language) {
    this.#source = source;
    this.#language = language;
    this.#tokens = tokenize(source, language);
  }

  read(): FoundCommand[] {
    const used = new Set<number>();
    for (let at = 0; at < this.#tokens.length && this.#found.length < mostCommands; at += 1) {
      if (this.#steps > mostSteps) break;
      const token = this.#tokens[at]!;
      this.loop(at);
      this.assignment(at, used);
      if (token.text === '(') this.call(at, used);
      if (token.text === '[' && !used.has(at)) {
        const list = this.list(at);
        if (list && startsTool(list.words)) {
          used.add(at);
          this.useTokens(at, list.next, used);
          this.emit(list.words);
        }
      }
      if (token.kind === 'string' && !used.has(at)) this.text(at, used);
    }
    return this.#found;
  }

  useTokens(from: number, to: number, used: Set<number>): void {
    for (let at = from; at < to; at += 1) used.add(at);
  }

  /** `for x in [1, 2]:`, `for (const x of [1, 2])`, `[1, 2].forEach((x) =>`. */
  loop(at: number): void {
    const token = this.#tokens[at]!;
    if (token.text === 'for') {
      let index = at + 1;
      while (/^(\(|const|let|var)$/.test(this.text_(index))) index += 1;
      const name = this.#tokens[index];
      if (name?.kind !== 'name' || !/^(in|of)$/.test(this.text_(index + 1))) return;
      const values = this.values(index + 2);
      if (values)
        this.#loops.push({ name: name.text, values: values.texts, end: this.blockEnd(at, values.next) });
      else this.#scalars.delete(name.text);
      return;
    }
    if (this.#language === 'javascript' && /^(forEach|map)$/.test(token.text) && this.text_(at - 1) === '.') {
      const name = this.text_(at + 2) === '(' ? at + 3 : this.text_(at + 2) === 'async' ? at + 4 : at + 2;
      const parameter = this.#tokens[name];
      if (parameter?.kind !== 'name') return;
      let open = at - 2;
      while (open > 0 && this.text_(open) !== '[') open -= 1;
      const values = this.text_(at - 2) === ']' ? this.values(open) : this.valuesOf(this.text_(at - 2));
      if (values) this.#loops.push({ name: parameter.text, values: values.texts, end: this.closing(at + 1) });
    }
  }

  valuesOf(name: string): { texts: string[]; next: number } | null {
    const list = this.#lists.get(name);
    return list && list.words.length > 0 && list.words.every(({ holes }) => holes.length === 0)
      ? { texts: list.words.map(({ text }) => text), next: 0 }
      : null;
  }

  /** A literal list of strings or numbers, a known list, or `range(18, 30, 4)`. */
  values(at: number): { texts: string[]; next: number } | null {
    const token = this.#tokens[at];
    if (!token) return null;
    if (token.text === '[' || token.text === '(') {
      const list = this.list(at);
      return list &&
        list.words.length > 0 &&
        list.words.length <= 64 &&
        list.words.every(({ holes }) => !holes.length)
        ? { texts: list.words.map(({ text }) => text), next: list.next }
        : null;
    }
    if (token.text === 'range' && this.text_(at + 1) === '(') {
      const list = this.list(at + 1);
      const numbers = list?.words.map(({ text }) => Number(text)) ?? [];
      if (!list || numbers.length === 0 || numbers.some((one) => !Number.isInteger(one))) return null;
      const [first, last, step] =
        numbers.length === 1 ? [0, numbers[0]!, 1] : [numbers[0]!, numbers[1]!, numbers[2] ?? 1];
      const count = step === 0 ? 0 : Math.ceil((last - first) / step);
      if (count < 1 || count > 64) return null;
      return {
        texts: Array.from({ length: count }, (_, index) => String(first + index * step)),
        next: list.next,
      };
    }
    const known = token.kind === 'name' ? this.valuesOf(token.text) : null;
    return known && { ...known, next: at + 1 };
  }

  blockEnd(at: number, from: number): number {
    const token = this.#tokens[at]!;
    if (this.#language === 'python') {
      const after = this.#tokens.find(
        (one, index) => index > from && one.first && one.indent <= token.indent,
      );
      return after?.start ?? this.#source.length;
    }
    const open = this.#tokens.findIndex((one, index) => index >= from && one.text === '{');
    return open < 0 ? this.#source.length : this.closing(open);
  }

  /** The offset of the bracket that closes the one at a token. */
  closing(at: number): number {
    let depth = 0;
    for (let index = at; index < this.#tokens.length; index += 1) {
      this.#steps += 1;
      const { text, kind, start } = this.#tokens[index]!;
      if (kind !== 'mark') continue;
      if (/^[([{]$/.test(text)) depth += 1;
      else if (/^[)\]}]$/.test(text)) {
        depth -= 1;
        if (depth <= 0) return start;
      }
    }
    return this.#source.length;
  }

  text_(at: number): string {
    const token = this.#tokens[at];
    return token && token.kind !== 'string' ? token.text : '';
  }

  assignment(at: number, used: Set<number>): void {
    const token = this.#tokens[at]!;
    if (token.kind !== 'name') return;
    const method = this.text_(at + 1) === '.' && this.text_(at + 3) === '(' ? this.text_(at + 2) : '';
    if (/^(append|extend|push)$/.test(method)) {
      const argument = this.text_(at + 4) === '[' ? at + 4 : at + 3;
      this.add(token, this.list(argument)?.words ?? null);
      return;
    }
    let equals = at + 1;
    if (this.text_(equals) === ':') {
      // An annotation: `args: string[] = […]`, `cmd: list[str] = […]`.
      while (equals < at + 10 && !/^(=|,|\)|\{|)$/.test(this.text_(equals))) equals += 1;
    }
    const operator = this.text_(equals);
    if (operator !== '=' && operator !== '+=') return;
    const value = this.#tokens[equals + 1];
    if (!value) return;
    if (operator === '+=') {
      if (value.text === '[') this.add(token, this.list(equals + 1)?.words ?? null);
      else {
        const known = this.#scalars.get(token.text);
        const text =
          value.kind === 'string' ? this.element(equals + 1, this.expressionEnd(equals + 1)) : null;
        this.#scalars.delete(token.text);
        if (
          known !== undefined &&
          text?.length === 1 &&
          !text[0]!.holes.length &&
          !this.inner(token, value)
        ) {
          this.#scalars.set(token.text, known + text[0]!.text);
        }
      }
      return;
    }
    this.#scalars.delete(token.text);
    this.#lists.delete(token.text);
    this.#loops = this.#loops.filter(({ name }) => name !== token.text);
    if (value.text === '[' && value.kind === 'mark') {
      const list = this.list(equals + 1);
      if (!list) return;
      const known: ListValue = {
        words: list.words,
        start: value.start,
        end: this.#tokens[list.next - 1]!.end,
        indent: token.indent,
        depth: token.depth,
        command: null,
      };
      if (startsTool(list.words)) {
        this.useTokens(equals + 1, list.next, used);
        known.command = this.emit(list.words);
      }
      this.#lists.set(token.text, known);
      return;
    }
    if (value.kind === 'string' || value.kind === 'number') {
      const end = this.expressionEnd(equals + 1);
      const words = this.element(equals + 1, end);
      const word = words.length === 1 ? words[0]! : null;
      if (word && word.holes.length === 0) this.#scalars.set(token.text, word.text);
    }
  }

  inner(token: Token, value: Token): boolean {
    return this.#language === 'python' ? value.indent > 0 && token.indent > 0 : value.depth > 0;
  }

  /** Words that a later line adds to a list; those that only some runs add are a hole. */
  add(token: Token, words: readonly CommandWord[] | null): void {
    const list = this.#lists.get(token.text);
    if (!list) return;
    const optional = this.#language === 'python' ? token.indent > list.indent : token.depth > list.depth;
    if (words && !optional) list.words.push(...words);
    else {
      const last = list.words.at(-1);
      if (last?.splits && last.holes[0] === sometimes) return;
      list.words.push({
        text: `\${${sometimes}}`,
        holes: [sometimes],
        splits: true,
        start: token.start,
        end: token.end,
      });
    }
    if (list.command === null || list.words.length > 2000) return;
    const before = this.#found[list.command]!;
    const command = commandOf(this.resolved(list.words), before.bindings);
    if (command) this.#found[list.command] = { ...command, start: before.start, end: before.end };
  }

  /** The token after an expression: a comma, a closing bracket or the end of the statement. */
  expressionEnd(at: number): number {
    let depth = 0;
    for (let index = at; index < this.#tokens.length; index += 1) {
      this.#steps += 1;
      const { text, kind, first } = this.#tokens[index]!;
      if (index > at && depth === 0 && first && !(kind === 'mark' && /^[.+?]$/.test(text))) {
        const before = this.#tokens[index - 1]!.text;
        if (!/^[+?,:=]$/.test(before)) return index;
      }
      if (kind !== 'mark') continue;
      if (/^[([{]$/.test(text)) depth += 1;
      else if (/^[)\]}]$/.test(text)) {
        if (depth === 0) return index;
        depth -= 1;
      } else if (depth === 0 && (text === ',' || text === ';')) return index;
    }
    return this.#tokens.length;
  }

  /** The words of the list (or of a call's arguments) whose bracket is at a token, with what is added by `+`. */
  list(at: number): { words: CommandWord[]; next: number } | null {
    const words: CommandWord[] = [];
    let index = at + 1;
    while (index < this.#tokens.length && words.length < 2000) {
      if (/^[\])]$/.test(this.text_(index))) {
        index += 1;
        break;
      }
      const end = this.itemEnd(index);
      words.push(...this.element(index, end));
      index = this.text_(end) === ',' ? end + 1 : end;
      if (end === index && !/^[\])]$/.test(this.text_(index))) return null;
    }
    while (this.text_(index) === '+' || (this.text_(index) === '.' && this.text_(index + 1) === 'concat')) {
      const from = this.text_(index) === '+' ? index + 1 : index + 3;
      if (this.text_(from) === '[') {
        const more = this.list(from);
        if (!more) break;
        words.push(...more.words);
        index = more.next;
      } else {
        const end = this.expressionEnd(from);
        words.push(...this.spread(from, Math.min(end, from + 1)));
        index = Math.max(from + 1, Math.min(end, from + 1));
      }
    }
    return { words, next: index };
  }

  itemEnd(at: number): number {
    let depth = 0;
    for (let index = at; index < this.#tokens.length; index += 1) {
      this.#steps += 1;
      const { text, kind } = this.#tokens[index]!;
      if (kind !== 'mark') continue;
      if (/^[([{]$/.test(text)) depth += 1;
      else if (/^[)\]}]$/.test(text)) {
        if (depth === 0) return index;
        depth -= 1;
      } else if (depth === 0 && text === ',') return index;
    }
    return this.#tokens.length;
  }

  /** What `*args` and `...args` stand for. */
  spread(from: number, to: number): CommandWord[] {
    const token = this.#tokens[from];
    if (!token || from >= to) return [];
    const list = to === from + 1 ? this.#lists.get(token.text) : undefined;
    if (list) return [...list.words];
    if (token.text === '[' && this.itemEnd(from + 1) < to) {
      const inner = this.list(from);
      if (inner && inner.next >= to) return inner.words;
    }
    const end = this.#tokens[to - 1]!.end;
    const name = holeName(this.#source.slice(token.start, Math.min(end, token.start + 200)));
    return [{ text: `\${${name}}`, holes: [name], splits: true, start: token.start, end }];
  }

  /** One item of a list as its words: one, or those of a list that is spread into it. */
  element(from: number, to: number): CommandWord[] {
    const token = this.#tokens[from];
    if (!token || from >= to) return [];
    if (token.text === '...' || (token.text === '*' && token.kind === 'mark'))
      return this.spread(from + 1, to);
    const end = this.#tokens[to - 1]!.end;
    const joined = this.joined(from, to);
    if (joined) {
      const { text } = joined.mapped;
      return [{ text, holes: joined.holes, splits: false, start: token.start, end }];
    }
    if (token.kind === 'number' && to === from + 1) {
      return [{ text: token.text, holes: [], splits: false, start: token.start, end }];
    }
    if (
      (token.text === '-' || token.text === '+') &&
      this.#tokens[from + 1]?.kind === 'number' &&
      to === from + 2
    ) {
      return [
        {
          text: `${token.text}${this.#tokens[from + 1]!.text}`,
          holes: [],
          splits: false,
          start: token.start,
          end,
        },
      ];
    }
    const wrapped =
      /^(str|String|int|Number)$/.test(token.text) && this.text_(from + 1) === '(' ? from + 2 : null;
    if (wrapped !== null && to > wrapped + 1) {
      const [inner] = this.element(wrapped, to - 1);
      if (inner) return [{ ...inner, splits: false, start: token.start, end }];
    }
    const name = holeName(this.#source.slice(token.start, Math.min(end, token.start + 200)));
    const plain =
      to === from + 1 || (this.text_(from + 1) === '.' && /^toString$/.test(this.text_(from + 2)));
    const known = plain ? this.#scalars.get(token.text) : undefined;
    if (known !== undefined) return [{ text: known, holes: [], splits: false, start: token.start, end }];
    return [{ text: `\${${name}}`, holes: [name], splits: false, start: token.start, end }];
  }

  /** A string, or strings and names put together, as one text. Null where the tokens are something else. */
  joined(from: number, to: number): { mapped: MappedText; holes: string[] } | null {
    let builder = new MappedBuilder(this.#source);
    const holes: string[] = [];
    let strings = 0;
    for (let at = from; at < to; at += 1) {
      const token = this.#tokens[at]!;
      if (token.kind === 'string') {
        strings += 1;
        const style = this.style(at);
        const inner = unquote(this.#source, token.inner[0], token.inner[1], style, builder);
        builder = inner.builder;
        holes.push(...inner.holes.filter((name) => !this.#scalars.has(name)));
      } else if (token.text === '+' && token.kind === 'mark' && at > from) {
        // Put together by the sign, or, in Python, by standing next to each other.
      } else if (token.text === '.' && at > from) {
        const method = this.text_(at + 1);
        if (!/^(format|split|trim|strip|join|replace|toString)$/.test(method) || this.text_(at + 2) !== '(')
          return null;
        at = this.itemEnd(at + 3);
      } else if (token.text === '%' && this.#language === 'python' && strings > 0) break;
      else if (token.kind === 'name' || token.kind === 'number') {
        if (at > from && this.text_(at - 1) !== '+') return null;
        let end = at + 1;
        while (end < to && !(this.text_(end) === '+' && this.#tokens[end]!.kind === 'mark')) {
          if (/^[([]$/.test(this.text_(end))) end = this.itemEnd(end + 1);
          end += 1;
        }
        const last = this.#tokens[Math.min(end, to) - 1]!;
        const expression = this.#source.slice(token.start, Math.min(last.end, token.start + 200));
        const known = this.#scalars.get(expression.replace(/^str\((\w+)\)$/, '$1'));
        const name = holeName(expression);
        if (token.kind === 'number') builder.put(token.text, token.start, token.end);
        else if (known !== undefined) builder.put(known, token.start, last.end);
        else {
          holes.push(name);
          builder.put(`\${${name}}`, token.start, last.end);
        }
        at = Math.min(end, to) - 1;
      } else return null;
    }
    return strings > 0 ? { mapped: builder.build(), holes } : null;
  }

  style(at: number): StringStyle {
    const token = this.#tokens[at]!;
    const known = (name: string, end: number) => {
      const literal = this.#scalars.get(name);
      return literal === undefined ? { end, name } : { end, name, literal };
    };
    if (this.#language === 'javascript') {
      if (!token.template) return { escapes: true };
      return {
        escapes: true,
        insertion: (text, offset) => {
          if (text[offset] !== '$' || text[offset + 1] !== '{') return null;
          const end = balanced(text, offset + 1);
          return end === null ? null : known(holeName(text.slice(offset + 2, end - 1)), end);
        },
      };
    }
    const escapes = !/r/i.test(token.prefix);
    const after = this.text_(at + 1);
    if (/f/i.test(token.prefix) || (after === '.' && this.text_(at + 2) === 'format')) {
      return {
        escapes,
        insertion: (text, offset) => {
          if (text[offset] === '{' && text[offset + 1] === '{')
            return { end: offset + 2, name: '', literal: '{' };
          if (text[offset] === '}' && text[offset + 1] === '}')
            return { end: offset + 2, name: '', literal: '}' };
          if (text[offset] !== '{') return null;
          const end = balanced(text, offset);
          if (end === null) return null;
          const name = holeName(text.slice(offset + 1, end - 1));
          // What `format` fills in is its argument's, not the variable's of that name.
          return /f/i.test(token.prefix) ? known(name, end) : { end, name };
        },
      };
    }
    if (after === '%') {
      return {
        escapes,
        insertion: (text, offset) => {
          const match = /^%(?:\((\w+)\))?[-+#0 ]*\d*(?:\.\d+)?([sdifgr%])/.exec(
            text.slice(offset, offset + 60),
          );
          if (!match) return null;
          const end = offset + match[0].length;
          return match[2] === '%' ? { end, name: '', literal: '%' } : known(match[1] ?? 'value', end);
        },
      };
    }
    return { escapes };
  }

  /** `spawn('ffmpeg', […])` and `exec('ffmpeg', '-i', …)`. */
  call(at: number, used: Set<number>): void {
    const firstEnd = this.itemEnd(at + 1);
    if (this.text_(firstEnd) !== ',' || firstEnd > at + 8) return;
    const [program] = this.element(at + 1, firstEnd);
    if (!program || !toolOf(program.text)) return;
    const second = this.#tokens[firstEnd + 1];
    if (!second) return;
    if (second.text === '[' && second.kind === 'mark') {
      const list = this.list(firstEnd + 1);
      if (!list?.words.some(({ text }) => /^--?\w/.test(text))) return;
      this.useTokens(at + 1, list.next, used);
      this.emit([program, ...list.words]);
      return;
    }
    const known =
      second.kind === 'name' && this.itemEnd(firstEnd + 1) === firstEnd + 2
        ? this.#lists.get(second.text)
        : null;
    if (known) {
      this.useTokens(at + 1, firstEnd + 1, used);
      // The settings stand where the list is written.
      known.command = this.emit([program, ...known.words], known);
      if (known.command !== null && !toolOf(known.words[0]?.text ?? '')) known.words.unshift(program);
      return;
    }
    const list = this.list(at);
    const words = list?.words.slice(1) ?? [];
    if (list && words.some(({ text, holes }) => text.startsWith('-') && holes.length === 0)) {
      this.useTokens(at + 1, list.next, used);
      this.emit([program, ...words]);
    }
  }

  /** A string that holds a shell line. */
  text(at: number, used: Set<number>): void {
    const token = this.#tokens[at]!;
    // A docstring explains; it is not run.
    const statement =
      token.first && /^("""|''')/.test(this.#source.slice(token.inner[0] - 3, token.inner[0]));
    if (statement && this.text_(at - 1) !== '(' && this.text_(at - 1) !== '=') return;
    let to = at + 1;
    while (to < this.#tokens.length && to < at + 400) {
      const next = this.#tokens[to]!;
      const adjacent =
        next.kind === 'string' && this.#language === 'python' && (!next.first || this.open(at, to));
      const plus = next.text === '+' && next.kind === 'mark';
      if (adjacent) to += 1;
      else if (plus) {
        const end = this.expressionEnd(to + 1);
        let stop = to + 1;
        while (stop < end && !(this.#tokens[stop]!.text === '+' && this.#tokens[stop]!.kind === 'mark')) {
          if (/^[([]$/.test(this.text_(stop))) stop = this.itemEnd(stop + 1);
          stop += 1;
        }
        to = Math.min(stop, end);
      } else break;
    }
    const joined = this.joined(at, to);
    if (!joined || !commandText.test(joined.mapped.text)) return;
    this.useTokens(at, to, used);
    for (const binding of this.combinations(joined.holes, token.start)) {
      const commands = findInShell(joined.mapped.text, binding, binding)
        .filter(({ words }) => words.some(({ text }) => /^--?\w/.test(text)))
        .map((command) => withHoles(command, joined.holes));
      for (const command of joined.mapped.outer(commands)) {
        if (this.#found.length >= mostCommands) return;
        const bound = Object.keys(binding);
        const words = command.words.map((word) => bind(word, binding, bound));
        this.#found.push({ ...command, words });
      }
    }
  }

  /** A bracket is open between two tokens or before them on the line: strings that follow belong to the first. */
  open(_from: number, to: number): boolean {
    let depth = 0;
    for (let index = to - 1; index >= 0 && index > to - 400; index -= 1) {
      const { text, kind } = this.#tokens[index]!;
      if (kind !== 'mark') continue;
      if (/^[)\]}]$/.test(text)) depth += 1;
      else if (/^[([{]$/.test(text)) {
        depth -= 1;
        if (depth < 0) return true;
      }
    }
    return false;
  }

  combinations(holes: readonly string[], at: number): Record<string, string>[] {
    let all: Record<string, string>[] = [{}];
    for (const { name, values, end } of this.#loops) {
      if (at < end && holes.includes(name) && !Object.hasOwn(all[0]!, name)) {
        all = all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))).slice(0, 64);
      }
    }
    return all;
  }

  resolved(words: readonly CommandWord[]): CommandWord[] {
    return words.map((word) => bind(word, Object.fromEntries(this.#scalars), word.holes));
  }

  /** Adds the command of these words, once per round of the loops that it stands in; the index of the first. */
  emit(words: readonly CommandWord[], place: { start: number; end: number } | null = null): number | null {
    const index = this.#found.length;
    const resolved = this.resolved(words);
    const holes = resolved.flatMap((word) => word.holes);
    const start = resolved[0]?.start ?? 0;
    for (const binding of this.combinations(holes, place?.start ?? start)) {
      const bound = Object.keys(binding);
      const command = commandOf(
        resolved.map((word) => bind(word, binding, bound)),
        binding,
      );
      if (!command || this.#found.length >= mostCommands) continue;
      this.#found.push(place ? { ...command, start: place.start, end: place.end } : command);
    }
    return this.#found.length > index ? index : null;
  }
}

function bind(
  word: CommandWord,
  values: Readonly<Record<string, string>>,
  names: readonly string[],
): CommandWord {
  let { text } = word;
  const holes = word.holes.filter((hole) => {
    if (!names.includes(hole) || !Object.hasOwn(values, hole)) return true;
    text = text.replaceAll(`\${${hole}}`, () => values[hole]!);
    return false;
  });
  return text === word.text ? word : { ...word, text, holes, splits: word.splits && holes.length > 0 };
}

const startsTool = (words: readonly CommandWord[]): boolean =>
  words.length > 2 &&
  commandOf(words) !== null &&
  words.some(({ text }, index) => index > 0 && /^--?\w/.test(text));

/** The end of the braces that open at an offset, on one line or more. */
function balanced(text: string, at: number): number | null {
  let depth = 0;
  for (let index = at; index < text.length && index < at + 2000; index += 1) {
    if (text[index] === '{') depth += 1;
    else if (text[index] === '}') {
      depth -= 1;
      if (depth === 0) return index + 1;
    }
  }
  return null;
}

function tokenize(source: string, language: Language): Token[] {
  const tokens: Token[] = [];
  const python = language === 'python';
  let [at, indent, depth] = [0, 0, 0];
  let first = true;
  const push = (
    kind: Token['kind'],
    end: number,
    inner: readonly [number, number],
    prefix = '',
    template = false,
  ) => {
    const text = kind === 'string' ? source.slice(inner[0], inner[1]) : source.slice(at, end);
    tokens.push({ kind, text, start: at, end, inner, prefix, template, first, indent, depth });
    first = false;
    at = end;
  };
  while (at < source.length) {
    const character = source[at]!;
    if (character === '\n') {
      at += 1;
      first = true;
      indent = /^[ \t]*/.exec(source.slice(at, at + 200))![0].length;
      continue;
    }
    if (/\s/.test(character) || (character === '\\' && /^\\\r?\n/.test(source.slice(at, at + 3)))) {
      if (character === '\\') {
        at += source[at + 1] === '\r' ? 3 : 2;
        continue;
      }
      at += 1;
      continue;
    }
    if (python ? character === '#' : source.startsWith('//', at)) {
      const end = source.indexOf('\n', at);
      at = end < 0 ? source.length : end;
      continue;
    }
    if (!python && source.startsWith('/*', at)) {
      const end = source.indexOf('*/', at + 2);
      at = end < 0 ? source.length : end + 2;
      continue;
    }
    const prefixed = python ? /^[rbfuRBFU]{0,2}(?=["'])/.exec(source.slice(at, at + 3)) : null;
    const quoteAt = at + (prefixed?.[0].length ?? 0);
    const quote = source[quoteAt]!;
    if ((python && prefixed) || (!python && /["'`]/.test(character))) {
      const triple = python && source.startsWith(quote.repeat(3), quoteAt) ? 3 : 1;
      const close = stringEnd(source, quoteAt + triple, quote.repeat(triple), triple === 3 || quote === '`');
      if (close === null) {
        at = quoteAt + triple;
        continue;
      }
      push('string', close + triple, [quoteAt + triple, close], prefixed?.[0] ?? '', quote === '`');
      continue;
    }
    const word = /^[\p{L}_$][\p{L}\p{N}_$]*/u.exec(source.slice(at, at + 200));
    if (word) {
      push('name', at + word[0].length, [0, 0]);
      continue;
    }
    const number = /^\d[\d_]*(\.\d+)?/.exec(source.slice(at, at + 60));
    if (number) {
      push('number', at + number[0].length, [0, 0]);
      continue;
    }
    if (!python && character === '/' && beforeRegex(tokens.at(-1))) {
      const regex = /^\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/.exec(source.slice(at, at + 500));
      if (regex) {
        push('mark', at + regex[0].length, [0, 0]);
        continue;
      }
    }
    if (character === '{') depth += 1;
    if (character === '}') depth = Math.max(0, depth - 1);
    const mark = /^(\.\.\.|[=!]==?|\+=|=>|[<>]=|&&|\|\|)/.exec(source.slice(at, at + 3));
    push('mark', at + (mark?.[0].length ?? 1), [0, 0]);
  }
  return tokens;
}

const beforeRegex = (token: Token | undefined): boolean =>
  !token ||
  (token.kind === 'mark' && !/^[)\]}]$/.test(token.text)) ||
  /^(return|typeof|case)$/.test(token.text);

function stringEnd(source: string, from: number, quote: string, lines: boolean): number | null {
  for (let at = from; at < source.length; at += 1) {
    if (source[at] === '\\') at += 1;
    else if (source.startsWith(quote, at)) return at;
    else if (source[at] === '\n' && !lines) return null;
    else if (quote === '`' && source.startsWith('${', at)) {
      const end = balanced(source, at + 1);
      if (end === null) return null;
      at = end - 1;
    }
  }
  return null;
}
