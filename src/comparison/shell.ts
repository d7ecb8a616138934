import {
  type ArithmeticExpression,
  type Command,
  type CompoundList,
  forEachChild,
  parse,
  type Statement,
  type SyntaxNode,
  type Word,
  type WordPart,
} from 'unbash';
import {
  type CommandWord,
  commandOf,
  type FoundCommand,
  holeName,
  mostCommands,
  withHoles,
} from './found.ts';
import { align, MappedBuilder, unquote } from './mapped.ts';

/** What a word became: one field of the command's argv. */
interface Field {
  text: string;
  holes: string[];
  splits: boolean;
}

/** A variable's value: the words of an array, or one word. Null where the file does not tell it. */
type Value = { readonly fields: readonly Field[]; readonly array: boolean } | null;

interface Scope {
  readonly variables: Map<string, Value>;
  readonly functions: Map<string, SyntaxNode>;
  readonly bindings: Readonly<Record<string, string>>;
  readonly depth: number;
}

const deepest = 12;
const mostRounds = 64;
const mostSteps = 20_000;

/**
 * The commands of a shell script (POSIX sh, bash). Variables with a literal value, defaults (`${CRF:-23}`), arrays,
 * loops over literal lists (`for crf in 18 23 28`, `$(seq 18 2 30)`, `{18..30..2}`), arithmetic and calls of the
 * script's own functions are followed; nothing is run.
 *
 * @param known values of variables that are set outside, by name
 */
export function findInShell(
  source: string,
  known: Readonly<Record<string, string>> = {},
  bindings: Readonly<Record<string, string>> = {},
  depth = 0,
): FoundCommand[] {
  if (placeholder.test(source)) {
    const { mapped, names } = fillPlaceholders(source);
    return mapped.outer(
      findInShell(mapped.text, known, bindings, depth).map((command) => withHoles(command, names)),
    );
  }
  const variables = new Map<string, Value>(
    Object.entries(known).map(([name, text]) => [
      name,
      { fields: [{ text, holes: [], splits: false }], array: false },
    ]),
  );
  const reader = new Reader(source);
  reader.list(parse(source).commands, { variables, functions: new Map(), bindings, depth });
  reader.uncalled();
  return reader.found;
}

/** `<input>`, as documentation writes what the reader is to fill in. A shell would read from a file. */
const placeholder = /(?<![<\w&])<[A-Za-z](?:[\w .:/-]{0,60}\w)?>(?=["'\s.,;:/_-]|$)/m;

function fillPlaceholders(source: string) {
  const builder = new MappedBuilder(source);
  const names: string[] = [];
  let at = 0;
  for (const match of source.matchAll(new RegExp(placeholder, 'gm'))) {
    const name = holeName(match[0]);
    names.push(name);
    builder.copy(at, match.index).put(`\${${name}}`, match.index, match.index + match[0].length);
    at = match.index + match[0].length;
  }
  return { mapped: builder.copy(at, source.length).build(), names };
}

class Reader {
  readonly found: FoundCommand[] = [];
  readonly #source: string;
  readonly #seen = new Set<string>();
  readonly #functions = new Map<SyntaxNode, Scope>();
  readonly #called = new Set<SyntaxNode>();
  readonly #running = new Set<SyntaxNode>();
  #steps = 0;

  constructor(source: string) {
    this.#source = source;
  }

  /** Functions that the script never calls (another file does) are read with holes for their arguments. */
  uncalled(): void {
    for (const [body, scope] of this.#functions) if (!this.#called.has(body)) this.node(body, scope);
  }

  list(statements: readonly Statement[], scope: Scope): void {
    for (const { command } of statements) this.node(command, scope);
  }

  node(node: SyntaxNode, scope: Scope): void {
    this.#steps += 1;
    if (this.#steps > mostSteps || scope.depth > deepest || this.found.length >= mostCommands) return;
    switch (node.type) {
      case 'Command':
        this.command(node, scope);
        return;
      case 'Pipeline':
      case 'AndOr':
        for (const child of node.commands) this.node(child, scope);
        return;
      case 'Statement':
        this.node(node.command, scope);
        return;
      case 'CompoundList':
        this.list(node.commands, scope);
        return;
      case 'Redirected':
        this.node(node.command, scope);
        return;
      case 'BraceGroup':
        this.list(node.body.commands, scope);
        return;
      case 'Coproc':
        this.node(node.body, scope);
        return;
      case 'Subshell':
        this.list(node.body.commands, { ...scope, variables: new Map(scope.variables) });
        return;
      case 'If':
        this.list(node.clause.commands, scope);
        this.branches(
          scope,
          [node.then, ...node.elif.map((one) => one.then), ...(node.else ? [node.else] : [])],
          node.else !== undefined,
        );
        return;
      case 'Case':
        this.branches(
          scope,
          node.items.map((item) => item.body),
          node.items.some((item) => item.pattern.some(({ text }) => text === '*')),
        );
        return;
      case 'For':
      case 'Select': {
        const values = (node.wordlist ?? []).flatMap((word) => this.expand(word, scope));
        const literal =
          values.length > 0 && values.every(({ holes, text }) => !holes.length && !/[*?[]/.test(text));
        this.rounds(node.body, scope, node.name.value, node.type === 'For' && literal ? values : null);
        return;
      }
      case 'ArithmeticFor': {
        const counted = countedLoop(this.#source.slice(node.pos, node.body.pos), scope);
        this.rounds(
          node.body,
          scope,
          counted?.name ?? '',
          counted?.values.map((text) => ({ text, holes: [], splits: false })) ?? null,
        );
        return;
      }
      case 'While':
        for (const name of assigned(node)) scope.variables.set(name, null);
        this.list(node.clause.commands, scope);
        this.list(node.body.commands, scope);
        return;
      case 'Function':
        scope.functions.set(node.name.value, node.body);
        this.#functions.set(node.body, { ...scope, variables: scope.variables });
        return;
      default:
        return;
    }
  }

  /** Each branch sees what stood before; afterwards a variable that the branches disagree on is not known. */
  branches(scope: Scope, bodies: readonly CompoundList[], exhaustive: boolean): void {
    const outcomes = bodies.map((body) => {
      const variables = new Map(scope.variables);
      this.list(body.commands, { ...scope, variables });
      return variables;
    });
    if (!exhaustive) outcomes.push(new Map(scope.variables));
    for (const name of new Set(outcomes.flatMap((one) => [...one.keys()]))) {
      // A variable that only some branches set, and nothing did before, has what they set: a default.
      const values = outcomes.filter((one) => one.has(name)).map((one) => one.get(name) ?? null);
      const first = values[0] ?? null;
      const same = values.every((value) => JSON.stringify(value) === JSON.stringify(first));
      scope.variables.set(name, same ? first : null);
    }
  }

  rounds(body: CompoundList, scope: Scope, name: string, values: readonly Field[] | null): void {
    const before = new Map(scope.variables);
    for (const variable of assigned(body)) if (values === null) scope.variables.set(variable, null);
    if (values === null || values.length > mostRounds) {
      if (name) scope.variables.set(name, null);
      this.list(body.commands, scope);
    } else {
      for (const value of values) {
        scope.variables.set(name, { fields: [value], array: false });
        this.list(body.commands, {
          ...scope,
          bindings: { ...scope.bindings, [name]: value.text },
          depth: scope.depth + 1,
        });
      }
    }
    if (values === null && name && !before.has(name)) scope.variables.delete(name);
  }

  command(node: Command, scope: Scope): void {
    for (const part of node.prefix) {
      if (part.type !== 'Assignment') continue;
      if (part.value.type === 'Word') this.substitutions(part.value, scope);
      if (!node.name) this.assign(scope, part);
    }
    if (!node.name) return;
    const name = node.name.value;
    if (/^(local|export|declare|readonly|typeset)$/.test(name)) {
      for (const arg of node.args) if (arg.type === 'Assignment') this.assign(scope, arg);
      return;
    }
    if (
      name === 'read' ||
      name === 'unset' ||
      name === 'mapfile' ||
      name === 'readarray' ||
      name === 'getopts'
    ) {
      for (const arg of node.args) if (/^\w+$/.test(arg.text)) scope.variables.set(arg.text, null);
      return;
    }
    const words: CommandWord[] = [];
    for (const arg of [node.name, ...node.args]) {
      if (words.length > 2000) return;
      if (arg.type === 'Assignment') {
        const value = arg.value.type === 'Word' ? this.expand(arg.value, scope)[0] : undefined;
        const text = `${arg.name}=${value?.text ?? ''}`;
        words.push({ text, holes: value?.holes ?? [], splits: false, start: arg.pos, end: arg.end });
        continue;
      }
      this.substitutions(arg, scope);
      for (const field of this.expand(arg, scope)) words.push({ ...field, start: arg.pos, end: arg.end });
    }
    if (words.length === 0) return;
    if (name === 'shift') {
      this.shift(scope);
      return;
    }
    const body = scope.functions.get(name);
    if (body) {
      this.call(body, words.slice(1), scope);
      return;
    }
    const script = scriptOf(words);
    if (script !== null) {
      const arg = node.args.find((one) => one.pos === script.start);
      this.nested(arg?.type === 'Word' ? arg : null, script, scope);
      return;
    }
    const command = commandOf(words, scope.bindings);
    if (!command) return;
    const key = JSON.stringify([command.start, command.end, command.words.map(({ text }) => text)]);
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    // A command that came out of one variable (`$CMD`) stands where the variable is used.
    this.found.push(command);
  }

  call(body: SyntaxNode, args: readonly CommandWord[], scope: Scope): void {
    this.#called.add(body);
    // A function that calls itself would go on for ever.
    if (this.#running.has(body)) return;
    const variables = new Map(scope.variables);
    for (let index = 1; index <= 9; index += 1) variables.delete(String(index));
    const fields = args.map(({ text, holes, splits }) => ({ text, holes: [...holes], splits }));
    for (const [index, field] of fields.entries()) {
      variables.set(String(index + 1), { fields: [field], array: false });
    }
    variables.set('@', { fields, array: true });
    this.#running.add(body);
    this.node(body, { ...scope, variables, depth: scope.depth + 1 });
    this.#running.delete(body);
  }

  shift(scope: Scope): void {
    const all = scope.variables.get('@');
    if (!all) return;
    const fields = all.fields.slice(1);
    scope.variables.set('@', { fields, array: true });
    for (let index = 0; index <= fields.length; index += 1) {
      const field = fields[index];
      if (field) scope.variables.set(String(index + 1), { fields: [field], array: false });
      else scope.variables.delete(String(index + 1));
    }
  }

  /** `sh -c '…'` and `eval "…"`: a script within a word. */
  nested(word: Word | null, script: CommandWord, scope: Scope): void {
    const known = knownOf(scope);
    const quoted = word?.parts?.length === 1 ? word.parts[0]! : null;
    const plain =
      quoted?.type === 'SingleQuoted' || quoted?.type === 'DoubleQuoted'
        ? unquote(this.#source, quoted.pos + 1, quoted.end - 1, {
            escapes: false,
            insertion: (text, at) => {
              if (quoted.type === 'SingleQuoted' || text[at] !== '\\' || !/["\\$`]/.test(text[at + 1] ?? ''))
                return null;
              return { end: at + 2, name: '', literal: text[at + 1]! };
            },
          }).builder.build()
        : align(this.#source, script.start, script.end, script.text);
    this.found.push(...plain.outer(findInShell(plain.text, known, scope.bindings, scope.depth + 1)));
  }

  assign(
    scope: Scope,
    part: {
      name: string;
      value: Word | { type: 'ArrayValue'; elements: readonly Word[] };
      append: boolean | undefined;
      index: Word | undefined;
    },
  ): void {
    if (part.index) {
      scope.variables.set(part.name, null);
      return;
    }
    const before = part.append ? scope.variables.get(part.name) : undefined;
    if (part.append && before === null) return;
    if (part.value.type === 'ArrayValue') {
      const fields = part.value.elements.flatMap((word) => this.expand(word, scope));
      scope.variables.set(part.name, {
        fields: [...(before?.fields ?? []), ...fields].slice(0, 2000),
        array: true,
      });
      return;
    }
    const field = joined(this.expand(part.value, scope, true));
    // `CRF=$1` leaves CRF as unknown as $1, under its own name.
    if (field.holes.length === 1 && field.text === `\${${field.holes[0]}}`) {
      scope.variables.set(part.name, null);
      return;
    }
    const text = (before ? joined([...before.fields]).text : '') + field.text;
    if (text.length > 100_000) scope.variables.set(part.name, null);
    else
      scope.variables.set(part.name, {
        fields: [{ text, holes: [...(before?.fields[0]?.holes ?? []), ...field.holes], splits: false }],
        array: false,
      });
  }

  /** Scripts inside words, `$(ffmpeg …)`. */
  substitutions(word: Word, scope: Scope): void {
    const visit = (node: SyntaxNode): void => {
      if (node.type === 'CommandExpansion' || node.type === 'ProcessSubstitution') {
        if (node.script && node.script.source === undefined) {
          this.list(node.script.commands, {
            ...scope,
            variables: new Map(scope.variables),
            depth: scope.depth + 1,
          });
        }
      } else forEachChild(node, visit);
    };
    if (word.parts) for (const part of word.parts) visit(part);
  }

  /** A word as the fields that it becomes. In an assignment nothing splits. */
  expand(word: Word, scope: Scope, whole = false): Field[] {
    const parts = word.parts;
    if (!parts) return [{ text: word.value, holes: [], splits: false }];
    const braces = parts.filter((part) => part.type === 'BraceExpansion');
    if (braces.length === 1 && !whole) {
      const at = parts.indexOf(braces[0]!);
      const choices = bracesOf(braces[0]!.text);
      if (choices) {
        const around = (some: readonly WordPart[]) => joined(this.fields(some, scope, true));
        const [head, tail] = [around(parts.slice(0, at)), around(parts.slice(at + 1))];
        return choices.map((choice) => ({
          text: head.text + choice + tail.text,
          holes: [...head.holes, ...tail.holes],
          splits: false,
        }));
      }
    }
    return this.fields(parts, scope, whole);
  }

  fields(parts: readonly WordPart[], scope: Scope, whole: boolean): Field[] {
    const done: Field[] = [];
    let open: Field | null = null;
    const field = (): Field => {
      open ??= { text: '', holes: [], splits: false };
      return open;
    };
    const append = (text: string, holes: readonly string[] = []) => {
      const into = field();
      if (into.text.length > 100_000) return;
      into.text += text;
      into.holes.push(...holes);
    };
    const close = () => {
      if (open) done.push(open);
      open = null;
    };
    const insert = (value: Value, name: string, quoted: boolean, alone: boolean) => {
      if (value === null) {
        append(`\${${name}}`, [name]);
        if (alone && (!quoted || name === '@')) field().splits = true;
        return;
      }
      const list = name === '@' || name.endsWith('[@]');
      if (quoted && !(value.array && list)) {
        const one = value.array ? joined([...value.fields]) : value.fields[0];
        append(one?.text ?? '', one?.holes);
        return;
      }
      for (const [index, one] of value.fields.entries()) {
        if (index > 0) close();
        if (quoted || whole) {
          append(one.text, one.holes);
          continue;
        }
        // White space splits, but none within a hole.
        const pieces = one.text.split(/[ \t\n]+(?![^{}]*\})/);
        for (const [at, piece] of pieces.entries()) {
          if (at > 0) close();
          if (piece)
            append(
              piece,
              one.holes.filter((hole) => piece.includes(`\${${hole}}`)),
            );
        }
      }
    };
    const part = (one: WordPart, quoted: boolean, alone: boolean): void => {
      switch (one.type) {
        case 'Literal':
        case 'AnsiCQuoted':
        case 'SingleQuoted':
          append(one.value);
          return;
        case 'Glob':
        case 'BraceExpansion':
        case 'ExtendedGlob':
          append(one.text);
          return;
        case 'DoubleQuoted':
        case 'LocaleString':
          if (!one.parts.some((child) => /^\$(@$|\{@\}|\{\w+\[@\]\})/.test(child.text))) append('');
          for (const child of one.parts) part(child, true, alone && one.parts.length === 1);
          return;
        case 'SimpleExpansion': {
          const name = one.text.slice(1);
          insert(scope.variables.get(name === '*' ? '@' : name) ?? null, name, quoted, alone);
          return;
        }
        case 'ParameterExpansion': {
          const { value, name } = this.parameter(one, scope);
          insert(value, name, quoted, alone);
          return;
        }
        case 'ArithmeticExpansion': {
          const value = one.expression ? calculate(one.expression, scope) : null;
          if (value === null) append(`\${${one.text.slice(0, 40)}}`, [one.text.slice(0, 40)]);
          else append(String(value));
          return;
        }
        case 'CommandExpansion':
          insert(this.sequence(one.script?.commands, scope), shortened(one.text), quoted, alone);
          return;
        case 'ProcessSubstitution':
          append(`\${${shortened(one.text)}}`, [shortened(one.text)]);
          return;
      }
    };
    for (const one of parts) part(one, false, parts.length === 1);
    close();
    return done;
  }

  parameter(
    part: Extract<WordPart, { type: 'ParameterExpansion' }>,
    scope: Scope,
  ): { readonly value: Value; readonly name: string } {
    const { parameter: name, operation } = part;
    const value = scope.variables.get(name) ?? null;
    const text = value && !value.array && value.fields[0]?.holes.length === 0 ? value.fields[0].text : null;
    const insert = (one: Value, as: string) => ({ value: one, name: as });
    const result = (one: string | null) =>
      insert(one === null ? null : { fields: [{ text: one, holes: [], splits: false }], array: false }, name);
    if (part.prefix) return result(null);
    if (part.index) {
      if (part.index.text === '@' || part.index.text === '*') return insert(value, `${name}[@]`);
      const at = /^\d+$/.test(part.index.text) ? value?.fields[Number(part.index.text)] : undefined;
      return insert(at ? { fields: [at], array: false } : null, name);
    }
    if (!operation) return insert(value, name);
    if (operation.type === 'Default') {
      const operator = operation.operator.replace(':', '');
      if (operator === '+')
        return value && text !== '' ? insert(this.valueOf(operation.operand, scope), name) : result(null);
      if (operator === '?') return insert(value, name);
      const empty = text === '' && operation.operator.startsWith(':');
      if (value && !empty) return insert(value, name);
      const fallback = this.valueOf(operation.operand, scope);
      if (operator === '=') scope.variables.set(name, fallback);
      return insert(fallback, name);
    }
    if (operation.type === 'Remove' && text !== null) {
      const pattern = this.valueOf(operation.operand, scope)?.fields[0];
      return result(pattern?.holes.length ? null : removed(text, operation.operator, pattern?.text ?? ''));
    }
    if (operation.type === 'CaseModification' && text !== null && operation.operator.length === 2) {
      return result(operation.operator === '^^' ? text.toUpperCase() : text.toLowerCase());
    }
    return result(null);
  }

  valueOf(word: Word, scope: Scope): Value {
    return { fields: [joined(this.expand(word, scope, true))], array: false };
  }

  /** `$(seq 18 2 30)` and `$(echo 18 20)`, the substitutions whose output the file tells. */
  sequence(commands: readonly Statement[] | undefined, scope: Scope): Value {
    const command = commands?.length === 1 ? commands[0]!.command : null;
    if (command?.type !== 'Command' || command.redirects.length > 0) return null;
    const name = command.name?.value;
    if (name !== 'seq' && name !== 'echo') return null;
    const words = command.args.flatMap((arg) => (arg.type === 'Word' ? this.expand(arg, scope) : []));
    if (words.some(({ holes, text }) => holes.length > 0 || /[*?]/.test(text))) return null;
    if (name === 'echo') return { fields: [joined(words)], array: false };
    const numbers = words.map(({ text }) => Number(text));
    if (numbers.some((one) => !Number.isFinite(one)) || numbers.length < 1 || numbers.length > 3) return null;
    const [first, step, last] =
      numbers.length === 1
        ? [1, 1, numbers[0]!]
        : numbers.length === 2
          ? [numbers[0]!, 1, numbers[1]!]
          : (numbers as [number, number, number]);
    const values = counted(first, last, step);
    return values && { fields: [{ text: values.join(' '), holes: [], splits: false }], array: false };
  }
}

const shortened = (text: string) => (text.length > 40 ? `${text.slice(0, 39)}…` : text).replace(/[{}]/g, '');

function joined(fields: readonly Field[]): Field {
  return {
    text: fields.map(({ text }) => text).join(' '),
    holes: fields.flatMap(({ holes }) => holes),
    splits: false,
  };
}

/** The literal values of a scope, for a script within a script. */
function knownOf(scope: Scope): Record<string, string> {
  const known: Record<string, string> = {};
  for (const [name, value] of scope.variables) {
    const field = value && !value.array ? value.fields[0] : undefined;
    if (field?.holes.length === 0) known[name] = field.text;
  }
  return known;
}

/** The word that holds a script: `sh -c …`, `eval …`, with or without a wrapper. */
function scriptOf(words: readonly CommandWord[]): CommandWord | null {
  const texts = words.map(({ text }) => text.replace(/^.*\//, ''));
  if (texts[0] === 'eval' && words.length === 2) return words[1]!;
  const shell = texts.findIndex((text) => /^(ba|da|z|k)?sh$/.test(text));
  if (
    shell < 0 ||
    !/^(sudo|env|nice|nohup|docker|podman|timeout|xargs|exec|time|find|(ba|da|z|k)?sh)$/.test(texts[0]!)
  )
    return null;
  const flag = texts.findIndex((text, index) => index > shell && /^-\w*c$/.test(text));
  return flag > 0 ? (words[flag + 1] ?? null) : null;
}

/** Names that a part of a script assigns, reads or counts. */
function assigned(node: SyntaxNode): Set<string> {
  const names = new Set<string>();
  const visit = (child: SyntaxNode, depth: number): void => {
    if (depth > 60) return;
    if (child.type === 'Assignment') names.add(child.name);
    else if (child.type === 'Command' && child.name?.value === 'read') {
      for (const arg of child.args) if (/^\w+$/.test(arg.text)) names.add(arg.text);
    } else if (child.type === 'ArithmeticCommand') {
      for (const name of child.body.match(/[A-Za-z_]\w*/g) ?? []) names.add(name);
    }
    forEachChild(child, (one) => visit(one, depth + 1));
  };
  visit(node, 0);
  return names;
}

function counted(first: number, last: number, step: number): string[] | null {
  if (step === 0 || !Number.isFinite(first + last + step)) return null;
  const count = Math.floor((last - first) / step + 1e-9) + 1;
  if (count < 1 || count > mostRounds) return null;
  const digits = Math.max(...[first, step].map((one) => (String(one).split('.')[1] ?? '').length));
  return Array.from({ length: count }, (_, index) => (first + index * step).toFixed(digits));
}

/** `for ((crf = 18; crf <= 30; crf += 4))` as its rounds. */
function countedLoop(head: string, scope: Scope): { name: string; values: string[] } | null {
  const match =
    /\(\(\s*(\w+)\s*=\s*(\d+)\s*;\s*(\w+)\s*(<=?)\s*\$?(\w+)\s*;\s*(\w+)\s*(\+\+|\+=\s*(\d+))\s*\)\)/.exec(
      head,
    );
  if (!match || match[1] !== match[3] || match[1] !== match[6]) return null;
  const bound = /^\d+$/.test(match[5]!) ? match[5]! : scope.variables.get(match[5]!)?.fields[0]?.text;
  if (bound === undefined || !/^\d+$/.test(bound)) return null;
  const last = Number(bound) - (match[4] === '<' ? 1 : 0);
  const values = counted(Number(match[2]), last, match[8] ? Number(match[8]) : 1);
  return values && { name: match[1]!, values };
}

/** `{a,b}` and `{1..9..2}`; null where it is neither. */
function bracesOf(text: string): string[] | null {
  const body = text.slice(1, -1);
  const range = /^(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?$/.exec(body);
  if (range) {
    const [first, last] = [Number(range[1]), Number(range[2])];
    const step = Math.abs(Number(range[3] ?? 1)) || 1;
    return counted(first, last, last < first ? -step : step);
  }
  return /^[^{}$`"'\\]*,[^{}$`"'\\]*$/.test(body) ? body.split(',').slice(0, mostRounds) : null;
}

/** `${file%.mp4}` and its kin, for patterns of `*` and `?`. */
function removed(text: string, operator: string, pattern: string): string | null {
  if (pattern.length > 50 || text.length > 1000 || /[[\]()]/.test(pattern)) return null;
  const matches = (some: string) => globMatches(pattern, some);
  const lengths = Array.from({ length: text.length + 1 }, (_, index) => index);
  const longest = operator.length === 2;
  const ordered = longest ? lengths.reverse() : lengths;
  const length = ordered.find((one) =>
    operator.startsWith('#') ? matches(text.slice(0, one)) : matches(text.slice(text.length - one)),
  );
  if (length === undefined) return text;
  return operator.startsWith('#') ? text.slice(length) : text.slice(0, text.length - length);
}

function globMatches(pattern: string, text: string): boolean {
  let reached = new Set([0]);
  for (const character of pattern) {
    const next = new Set<number>();
    for (const at of reached) {
      if (character === '*') for (let to = at; to <= text.length; to += 1) next.add(to);
      else if (at < text.length && (character === '?' || text[at] === character)) next.add(at + 1);
    }
    reached = next;
  }
  return reached.has(text.length);
}

/** The value of whole-number arithmetic, null where the file does not tell it. */
function calculate(expression: ArithmeticExpression, scope: Scope, depth = 0): number | null {
  if (depth > 30) return null;
  switch (expression.type) {
    case 'ArithmeticGroup':
      return calculate(expression.expression, scope, depth + 1);
    case 'ArithmeticWord': {
      const name = expression.value.replace(/^\$\{?(\w+)\}?$/, '$1');
      if (/^\d{1,12}$/.test(expression.value)) return Number(name);
      const field = scope.variables.get(name)?.fields[0];
      return field && /^-?\d{1,12}$/.test(field.text) ? Number(field.text) : null;
    }
    case 'ArithmeticUnary': {
      const operand = calculate(expression.operand, scope, depth + 1);
      return operand !== null && expression.operator === '-' ? -operand : null;
    }
    case 'ArithmeticBinary': {
      const left = calculate(expression.left, scope, depth + 1);
      const right = calculate(expression.right, scope, depth + 1);
      if (left === null || right === null) return null;
      switch (expression.operator) {
        case '+':
          return left + right;
        case '-':
          return left - right;
        case '*':
          return left * right;
        case '/':
          return right === 0 ? null : Math.trunc(left / right);
        case '%':
          return right === 0 ? null : left % right;
        default:
          return null;
      }
    }
    default:
      return null;
  }
}
