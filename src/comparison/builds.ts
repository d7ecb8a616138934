import { type CommandWord, commandOf, type FoundCommand, holeName, mostCommands } from './found.ts';
import { MappedBuilder, unquote } from './mapped.ts';
import { findInShell } from './shell.ts';

const automatic: Readonly<Record<string, string>> = {
  '@': 'TARGET',
  '<': 'PREREQUISITE',
  '^': 'PREREQUISITES',
  '+': 'PREREQUISITES',
  '*': 'STEM',
  '?': 'NEWER',
  '|': 'ORDER_ONLY',
};

/** The commands in the recipes of a Makefile: its variables, automatic variables of literal targets, `$$`. */
export function findInMakefile(source: string): FoundCommand[] {
  const found: FoundCommand[] = [];
  const variables = new Map<string, string>();
  let rule: { target: string; prerequisites: readonly string[] } = { target: '', prerequisites: [] };
  for (const { start, end } of logicalLines(source, '\\')) {
    if (found.length >= mostCommands) break;
    const line = source.slice(start, end);
    if (line.startsWith('\t')) {
      const lead = /^\t[ \t]*([@+-]+[ \t]*)*/.exec(line)![0].length;
      const recipe = expandMake(source, start + lead, end, variables, rule);
      found.push(...recipe.outer(findInShell(recipe.text)));
      continue;
    }
    const text = line.replace(/\\\r?\n[ \t]*/g, ' ').replace(/(^|[^\\])#.*$/s, '$1');
    const assignment = /^\s*(?:export\s+|override\s+)*([\w.-]+)\s*(::?:?=|\?=|\+=|=)\s*(.*?)\s*$/s.exec(text);
    if (assignment) {
      const [, name, operator, value] = assignment as unknown as [string, string, string, string];
      const before = variables.get(name);
      if (operator === '+=') variables.set(name, [before, value].filter(Boolean).join(' '));
      else if (operator !== '?=' || before === undefined) variables.set(name, value);
      continue;
    }
    const header = /^([^\s:=][^:=]*?)\s*::?(?!=)\s*([^;|]*)(?:;(.*))?/s.exec(text);
    if (header) {
      const resolve = (one: string) => expandMake(one, 0, one.length, variables, rule).text.trim();
      rule = { target: resolve(header[1]!), prerequisites: resolve(header[2]!).split(/\s+/).filter(Boolean) };
    }
  }
  return found;
}

function expandMake(
  source: string,
  start: number,
  end: number,
  variables: ReadonlyMap<string, string>,
  rule: { readonly target: string; readonly prerequisites: readonly string[] },
) {
  const builder = new MappedBuilder(source);
  const automaticValue = (name: string): string | null => {
    const value =
      name === '@'
        ? rule.target
        : name === '<'
          ? (rule.prerequisites[0] ?? '')
          : name === '^' || name === '+'
            ? rule.prerequisites.join(' ')
            : '';
    return value === '' || /[%$\s]/.test(value) ? null : value;
  };
  const emit = (name: string, from: number, to: number, depth: number): void => {
    const value = name in automatic ? automaticValue(name) : variables.get(name);
    if (value === undefined || value === null || depth > 8 || builder.length > 100_000) {
      builder.put(`\${${automatic[name] ?? holeName(name)}}`, from, to);
      return;
    }
    walk(value, 0, value.length, { from, to }, depth + 1);
  };
  const walk = (
    text: string,
    from: number,
    to: number,
    as: { readonly from: number; readonly to: number } | null,
    depth: number,
  ): void => {
    let at = from;
    while (at < to) {
      const next = text.indexOf('$', at);
      const stop = next < 0 || next >= to ? to : next;
      if (stop > at) {
        if (as) builder.put(text.slice(at, stop), as.from, as.to);
        else builder.copy(at, stop);
      }
      at = stop;
      if (at >= to) return;
      const close = reference(text, at, to);
      const span = as ?? { from: at, to: close };
      const inside = /^\$[({]/.test(text.slice(at, at + 2))
        ? text.slice(at + 2, close - 1)
        : text.slice(at + 1, close);
      if (inside === '$') builder.put('$', span.from, span.to);
      else emit(/[\s,]/.test(inside) ? `make ${inside}` : inside, span.from, span.to, depth);
      at = close;
    }
  };
  walk(source, start, end, null, 0);
  return builder.build();
}

/** The end of `$x`, `$(…)` or `${…}`. */
function reference(text: string, at: number, end: number): number {
  const bracket = text[at + 1];
  if (bracket !== '(' && bracket !== '{') return Math.min(at + 2, end);
  let depth = 0;
  for (let index = at + 1; index < end; index += 1) {
    if (text[index] === bracket) depth += 1;
    else if (text[index] === (bracket === '(' ? ')' : '}')) {
      depth -= 1;
      if (depth === 0) return index + 1;
    }
  }
  return end;
}

/** Lines with those that continue them. Offsets without the line break at the end. */
function logicalLines(source: string, continuation: string): { start: number; end: number }[] {
  const lines: { start: number; end: number }[] = [];
  let start = 0;
  let at = 0;
  while (at <= source.length) {
    const newline = source.indexOf('\n', at);
    const end = newline < 0 ? source.length : newline;
    const text = source.slice(at, end).replace(/[ \t\r]+$/, '');
    if (newline >= 0 && text.endsWith(continuation)) {
      at = end + 1;
      continue;
    }
    lines.push({ start, end });
    start = end + 1;
    at = start;
  }
  if (start < source.length && lines.at(-1)!.end < source.length) lines.push({ start, end: source.length });
  return lines;
}

/** The commands of a Dockerfile's RUN, CMD and ENTRYPOINT, shell and exec form and here-documents; ENV and ARG. */
export function findInDockerfile(source: string): FoundCommand[] {
  const found: FoundCommand[] = [];
  const known: Record<string, string> = {};
  const continuation = /^#\s*escape\s*=\s*(\S)/im.exec(source.slice(0, 400))?.[1] ?? '\\';
  let at = 0;
  while (at < source.length && found.length < mostCommands) {
    const builder = new MappedBuilder(source);
    // An instruction ends with the first line that does not continue; comment lines within do not count.
    let more = true;
    while (more && at < source.length) {
      const newline = source.indexOf('\n', at);
      const end = newline < 0 ? source.length : newline;
      const line = source.slice(at, end).replace(/\r$/, '');
      if (/^\s*(#|$)/.test(line) && (builder.length > 0 || /^\s*#/.test(line) || line.trim() === '')) {
        at = end + 1;
        more = builder.length > 0;
        continue;
      }
      const trimmed = line.trimEnd();
      more = trimmed.endsWith(continuation);
      builder.copy(at, at + trimmed.length - (more ? 1 : 0));
      if (more) builder.put(' ', at + trimmed.length - 1, at + trimmed.length);
      at = end + 1;
    }
    const instruction = builder.build();
    const match =
      /^\s*(?:ONBUILD\s+)?(RUN|CMD|ENTRYPOINT|ENV|ARG|HEALTHCHECK\s+.*?CMD)\s+((?:--\w[\w-]*(?:=\S+)?\s+)*)/i.exec(
        instruction.text,
      );
    if (!match) continue;
    const body = instruction.text.slice(match[0].length);
    const keyword = match[1]!.toUpperCase();
    if (keyword === 'ENV' || keyword === 'ARG') {
      for (const [, name, double, single, bare] of body.matchAll(
        /(\w+)=(?:"([^"$]*)"|'([^']*)'|([^\s"'$]*)(?=\s|$))/g,
      )) {
        known[name!] = double ?? single ?? bare ?? '';
      }
      const spaced = keyword === 'ENV' ? /^(\w+)\s+([^=$]+)$/.exec(body) : null;
      if (spaced) known[spaced[1]!] = spaced[2]!.trim();
      continue;
    }
    const heredoc = /<<-?\s*(["']?)(\w+)\1/.exec(body);
    if (heredoc && keyword === 'RUN') {
      const close = new RegExp(`^\\t*${heredoc[2]}\\s*$`, 'm');
      const rest = close.exec(source.slice(at));
      if (rest && /^\s*<</.test(body)) {
        const script = new MappedBuilder(source).copy(at, at + rest.index).build();
        found.push(...script.outer(findInShell(script.text, known)));
      }
      if (rest) at += rest.index + rest[0].length;
      continue;
    }
    if (body.startsWith('[')) {
      const words: CommandWord[] = [];
      for (const item of body.matchAll(/"((?:[^"\\]|\\.)*)"/g)) {
        const text = unquote(body, item.index + 1, item.index + item[0].length - 1, {
          escapes: true,
        }).builder.build().text;
        words.push({
          text,
          holes: [],
          splits: false,
          start: match[0].length + item.index,
          end: match[0].length + item.index + item[0].length,
        });
      }
      const shell = words.findIndex(({ text }) => /^-\w*c$/.test(text));
      const script = words[shell + 1];
      if (shell === 1 && script && /(^|\/)(ba|da)?sh$/.test(words[0]!.text)) {
        const inner = new MappedBuilder(instruction.text).put(script.text, script.start, script.end).build();
        found.push(...instruction.outer(inner.outer(findInShell(script.text, known))));
      } else {
        const command = commandOf(words);
        if (command) found.push(...instruction.outer([command]));
      }
      continue;
    }
    const blank = ' '.repeat(match[0].length);
    found.push(...instruction.outer(findInShell(blank + body, known)));
  }
  return found;
}
