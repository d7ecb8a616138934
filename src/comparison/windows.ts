import { type CommandWord, commandOf, type FoundCommand, mostCommands } from './found.ts';

/** How one of the two Windows shells writes what both have. */
interface Dialect {
  readonly escape: string;
  readonly comment: RegExp;
  readonly assignment: RegExp;
  /** A variable at an offset: its length and name. */
  readonly variable: (text: string, at: number) => { readonly length: number; readonly name: string } | null;
  readonly quotes: string;
  readonly separators: RegExp;
}

const powershell: Dialect = {
  escape: '`',
  comment: /^\s*#/,
  assignment: /^\s*\$(?:\w+:)?(\w+)\s*=\s*(?:"([^"`$]*)"|'([^']*)'|(-?[\d.]+))\s*;?\s*$/,
  variable: (text, at) => {
    const match = /^\$(?:\{([\w:]+)\}|\(([^()]*)\)|((?:\w+:)?\w+(?:\.\w+)*))/.exec(text.slice(at, at + 120));
    return match && { length: match[0].length, name: match[1] ?? match[2] ?? match[3]! };
  },
  quotes: `"'`,
  separators: /^(\|\||&&|[|;{}])/,
};

const batch: Dialect = {
  escape: '^',
  comment: /^\s*@?(rem\b|::)/i,
  assignment: /^\s*@?set\s+(?:"(\w+)=([^"%!]*)"|(\w+)=([^%!\r\n"]*?)\s*)$/i,
  variable: (text, at) => {
    const match = /^(?:%~?\w*(\d|\*)|%%~?\w*?([A-Za-z])(?![A-Za-z])|%([\w.:~,=-]+)%|!([\w.:~,=-]+)!)/.exec(
      text.slice(at, at + 120),
    );
    return match && { length: match[0].length, name: match[1] ?? match[2] ?? match[3] ?? match[4]! };
  },
  quotes: '"',
  separators: /^(\|\||&&|[|&])/,
};

/** The commands of a PowerShell script: backtick continuations, quotes and variables with a literal value. */
export const findInPowershell = (source: string): FoundCommand[] => read(source, powershell);

/** The commands of a batch file of cmd.exe: caret continuations, quotes and variables that `set` gives a literal. */
export const findInBatch = (source: string): FoundCommand[] => read(source, batch);

function read(source: string, dialect: Dialect): FoundCommand[] {
  const found: FoundCommand[] = [];
  const known = new Map<string, string>();
  let at = 0;
  while (at < source.length && found.length < mostCommands) {
    const lineEnd = source.indexOf('\n', at) < 0 ? source.length : source.indexOf('\n', at);
    const line = source.slice(at, lineEnd).replace(/\r$/, '');
    const set = dialect.assignment.exec(line);
    if (dialect.comment.test(line)) at = lineEnd + 1;
    else if (set) {
      const [name, value] =
        dialect === powershell
          ? [set[1]!, set[2] ?? set[3] ?? set[4]!]
          : [(set[1] ?? set[3])!, (set[2] ?? set[4])!];
      known.set(name.toLowerCase(), value);
      at = lineEnd + 1;
    } else {
      const { words, end } = command(source, at, dialect, known);
      const assignedTo = dialect === powershell && words[1]?.text === '=' ? 2 : 0;
      const lead = words.findIndex(
        ({ text }, index) => index >= assignedTo && !/^(&|@|\(|do|@?call|start|\/\w+|for)$/i.test(text),
      );
      const body = /^for$/i.test(words[0]?.text ?? '')
        ? words.findIndex(({ text }) => /^do$/i.test(text)) + 1
        : lead;
      const one = body >= 0 ? commandOf(words.slice(body).map(plain)) : null;
      if (one) found.push(one);
      at = Math.max(end, at + 1);
    }
  }
  return found;
}

/** `@ffmpeg` and `(ffmpeg` start ffmpeg too. */
const plain = (word: CommandWord, index: number): CommandWord =>
  index === 0 && /^[@(&]./.test(word.text)
    ? { ...word, text: word.text.replace(/^[@(&]+/, ''), start: word.start + 1 }
    : word;

function command(
  source: string,
  from: number,
  dialect: Dialect,
  known: ReadonlyMap<string, string>,
): { words: CommandWord[]; end: number } {
  const words: CommandWord[] = [];
  let word: { text: string; holes: string[]; start: number; quoted: boolean; whole: boolean } | null = null;
  let quote = '';
  let at = from;
  const open = () => {
    word ??= { text: '', holes: [], start: at, quoted: false, whole: false };
    return word;
  };
  const close = (end: number) => {
    if (!word) return;
    const splits = word.whole && !word.quoted && word.text === `\${${word.holes[0]}}`;
    words.push({ text: word.text, holes: word.holes, splits, start: word.start, end });
    word = null;
  };
  for (; at < source.length && words.length < 2000; at += 1) {
    const character = source[at]!;
    const rest = source.slice(at, at + 3);
    if (character === '\n' && quote === '') break;
    if (character === dialect.escape && quote !== "'" && !(dialect === batch && quote)) {
      const newline = /^.\r?\n/s.exec(rest);
      if (newline) {
        close(at);
        at += newline[0].length - 1;
      } else if (at + 1 < source.length) {
        at += 1;
        open().text += source[at];
      }
      continue;
    }
    if (quote === '' && dialect.quotes.includes(character)) {
      quote = character;
      open().quoted = true;
      continue;
    }
    if (character === quote) {
      if (dialect === powershell && source[at + 1] === quote) {
        open().text += quote;
        at += 1;
      } else quote = '';
      continue;
    }
    const variable = quote === "'" ? null : dialect.variable(source, at);
    if (variable) {
      const value = known.get(variable.name.toLowerCase());
      const into = open();
      if (value === undefined) {
        into.whole ||= into.text === '';
        into.text += `\${${variable.name}}`;
        into.holes.push(variable.name);
      } else into.text += value;
      at += variable.length - 1;
      continue;
    }
    if (quote !== '') {
      if (character === '\n' && dialect === batch) break;
      open().text += character;
      continue;
    }
    if (/\s/.test(character)) {
      close(at);
      continue;
    }
    const separator = dialect.separators.exec(rest);
    // In PowerShell a leading & calls; in braces stand the bodies of loops.
    if (separator && !(dialect === batch && character === '&' && words.length === 0 && !word)) {
      close(at);
      return { words, end: at + separator[0].length };
    }
    if (dialect === powershell && character === '#' && !word) {
      close(at);
      const lineEnd = source.indexOf('\n', at);
      return { words, end: lineEnd < 0 ? source.length : lineEnd };
    }
    open().text += character;
  }
  close(at);
  return { words, end: at + 1 };
}
