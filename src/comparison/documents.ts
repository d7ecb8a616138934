import {
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseAllDocuments,
  type Scalar,
  type YAMLMap,
} from 'yaml';
import {
  type CommandWord,
  commandOf,
  type FoundCommand,
  holeName,
  mostCommands,
  toolOf,
  withHoles,
} from './found.ts';
import { align, MappedBuilder, MappedText } from './mapped.ts';
import { findInShell } from './shell.ts';
import { findInBatch, findInPowershell } from './windows.ts';

/** Keys under which CI systems, task runners, Compose and Kubernetes keep shell text or an argv. */
const shellKeys =
  /^(run|script|before_script|after_script|commands?|cmds?|args|entrypoint|bash|sh|shell|pwsh|powershell|inlineScript|steps?|install|before_install|after_success|build|test|deploy|pre_build|post_build|on_success|test_script|build_script|.*_script)$/;

const deepest = 100;

/** What a place in the document knows: variables, matrices of values, and the shell. */
interface Place {
  readonly known: Readonly<Record<string, string>>;
  readonly matrix: Readonly<Record<string, readonly string[]>>;
  readonly shell: string;
}

/**
 * The commands in YAML and JSON: CI pipelines (GitHub, GitLab, CircleCI, Azure and their kin), task files, Compose and
 * Kubernetes, the scripts of package.json. Expressions of the pipeline (`${{ matrix.crf }}`, `{{.CRF}}`) are filled in
 * where the document has a literal for them.
 */
export function findInDocument(source: string): FoundCommand[] {
  const found: FoundCommand[] = [];
  for (const document of parseAllDocuments(source, {
    uniqueKeys: false,
    logLevel: 'silent',
    keepSourceTokens: false,
  })) {
    if ('contents' in document && document.contents) {
      walk(source, document.contents as Node, { known: {}, matrix: {}, shell: '' }, found, 0);
    }
  }
  return found;
}

const keyOf = (pair: Pair): string => (isScalar(pair.key) ? String(pair.key.value) : '');

function walk(source: string, node: unknown, place: Place, found: FoundCommand[], depth: number): void {
  if (depth > deepest || found.length >= mostCommands) return;
  if (isSeq(node)) {
    for (const item of node.items) walk(source, item, place, found, depth + 1);
    return;
  }
  if (!isMap(node)) return;
  const here = placeOf(node, place);
  const command = argvOf(source, node);
  if (command) found.push(...command);
  for (const pair of node.items) {
    const key = keyOf(pair);
    const value = pair.value;
    if (command && /^(command|args|entrypoint)$/.test(key)) continue;
    if (isScalar(value) && typeof value.value === 'string') {
      if (shellKeys.test(key) || (key === 'ffmpeg' && /^\s*ffmpeg\s/.test(value.value))) {
        scriptOf(source, [value as Scalar<string>], here, key, node, found);
      }
    } else if (isSeq(value) && shellKeys.test(key)) {
      const lines = value.items.filter(
        (item): item is Scalar<string> => isScalar(item) && typeof item.value === 'string',
      );
      scriptOf(source, lines, here, key, node, found);
      for (const item of value.items) if (!isScalar(item)) walk(source, item, here, found, depth + 1);
    } else if (key === 'scripts' && isMap(value)) {
      for (const script of value.items) {
        if (isScalar(script.value) && typeof script.value.value === 'string') {
          scriptOf(source, [script.value as Scalar<string>], here, 'run', null, found);
        } else walk(source, script.value, here, found, depth + 1);
      }
    } else walk(source, value, here, found, depth + 1);
  }
}

function placeOf(node: YAMLMap, place: Place): Place {
  const known = { ...place.known };
  const matrix: Record<string, readonly string[]> = { ...place.matrix };
  let shell = place.shell;
  for (const pair of node.items) {
    const key = keyOf(pair);
    if (/^(env|environment|variables|vars)$/.test(key) && isMap(pair.value)) {
      for (const one of pair.value.items) {
        const text = scalarText(one.value);
        if (text !== null && !/\$|\{\{/.test(text)) known[keyOf(one)] = text;
      }
    } else if (/^(env|environment)$/.test(key) && isSeq(pair.value)) {
      for (const item of pair.value.items) {
        const match = /^(\w+)=([^$]*)$/.exec(scalarText(item) ?? '');
        if (match) known[match[1]!] = match[2]!;
      }
    } else if (key === 'strategy' && isMap(pair.value)) {
      const values = pair.value.items.find((one) => keyOf(one) === 'matrix')?.value;
      for (const one of isMap(values) ? values.items : []) {
        if (!isSeq(one.value)) continue;
        const texts = one.value.items.map(scalarText);
        if (texts.length > 0 && texts.every((text) => text !== null))
          matrix[`matrix_${keyOf(one)}`] = texts as string[];
      }
    } else if (key === 'defaults' && isMap(pair.value)) {
      const run = pair.value.items.find((one) => keyOf(one) === 'run')?.value;
      shell = (isMap(run) && scalarText(run.get('shell', true))) || shell;
    }
  }
  return { known, matrix, shell };
}

function scalarText(node: unknown): string | null {
  if (!isScalar(node)) return null;
  const { value } = node;
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : null;
}

function mapScalar(source: string, node: Scalar<string>): MappedText {
  const [start, end] = node.range ?? [0, 0];
  // The header of a block (`|`, `>-`) is none of its text.
  const header = /^BLOCK/.test(node.type ?? '') ? source.indexOf('\n', start) + 1 : start;
  return align(source, Math.max(start, header), end, node.value);
}

function scriptOf(
  source: string,
  lines: readonly Scalar<string>[],
  place: Place,
  key: string,
  parent: YAMLMap | null,
  found: FoundCommand[],
): void {
  if (!lines.some((line) => /ffmpeg|handbrakecli|svtav1encapp/i.test(line.value))) return;
  const starts: number[] = [];
  const ends: number[] = [];
  const texts: string[] = [];
  for (const line of lines) {
    const mapped = mapScalar(source, line);
    const text = line.value.endsWith('\n') ? line.value : `${line.value}\n`;
    texts.push(text);
    for (let at = 0; at < text.length; at += 1) {
      const { start, end } = mapped.range(
        Math.min(at, line.value.length - 1),
        Math.min(at, line.value.length - 1) + 1,
      );
      starts.push(start);
      ends.push(end);
    }
  }
  const script = new MappedText(texts.join(''), starts, ends);
  const shell = parent ? (scalarText(parent.get('shell', true)) ?? place.shell) : place.shell;
  const find = /^(pwsh|powershell)/.test(key === 'pwsh' || key === 'powershell' ? key : shell)
    ? findInPowershell
    : shell === 'cmd'
      ? findInBatch
      : null;
  if (/^python/.test(shell)) return;
  for (const binding of combinations(script.text, place.matrix)) {
    const known = { ...place.known, ...binding };
    const { mapped, holes } = fillTemplates(script.text, known);
    const commands = find ? find(mapped.text) : findInShell(mapped.text, known, binding);
    found.push(...script.outer(mapped.outer(commands.map((command) => withHoles(command, holes)))));
  }
}

/** The values of the matrices that a script mentions, one combination after another. */
function combinations(text: string, matrix: Place['matrix']): Record<string, string>[] {
  let all: Record<string, string>[] = [{}];
  for (const [name, values] of Object.entries(matrix)) {
    if (!new RegExp(`\\bmatrix\\.${name.slice(7).replace(/[^\w-]/g, '.')}\\b`).test(text)) continue;
    all = all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))).slice(0, 64);
  }
  return all;
}

/** Fills in `${{ … }}`, `{{ … }}` and `<< … >>`; what is not known becomes a variable of the shell. */
function fillTemplates(text: string, known: Readonly<Record<string, string>>) {
  const builder = new MappedBuilder(text);
  const holes: string[] = [];
  let at = 0;
  for (const match of text.matchAll(
    /\$?\{\{-?\s*([^{}]{1,200}?)\s*-?\}\}|<<\s*((?:pipeline\.)?parameters\.[\w.-]+)\s*>>/g,
  )) {
    const name = holeName((match[1] ?? match[2]!).replace(/^(env|vars|variables)\./, ''));
    builder.copy(at, match.index);
    at = match.index + match[0].length;
    const value = Object.hasOwn(known, name) ? known[name]! : null;
    if (value === null) holes.push(name);
    builder.put(value ?? `\${${name}}`, match.index, at);
  }
  return { mapped: builder.copy(at, text.length).build(), holes };
}

/** `command: [ffmpeg, …]` with `args: […]`, and the command of an image that is ffmpeg's. */
function argvOf(source: string, node: YAMLMap): FoundCommand[] | null {
  const scalars = (key: string): Scalar[] => {
    const value = node.get(key, true);
    const items: unknown[] = isSeq(value) ? value.items : [];
    return items.filter((item): item is Scalar => isScalar(item) && scalarText(item) !== null);
  };
  const word = (item: Scalar): CommandWord => ({
    text: scalarText(item)!,
    holes: [],
    splits: false,
    start: item.range?.[0] ?? 0,
    end: item.range?.[1] ?? 0,
  });
  const program = node.get('command', true);
  const named = isScalar(program) && toolOf(scalarText(program) ?? '') ? [program as Scalar] : [];
  const items = [...scalars('entrypoint'), ...named, ...scalars('command'), ...scalars('args')];
  const first = items[0] ? scalarText(items[0]) : null;
  if (first && /(^|\/)(ba|da)?sh$/.test(first)) {
    const script = items.find((item) => /\s/.test(scalarText(item) ?? ''));
    if (!script || typeof script.value !== 'string') return null;
    const mapped = mapScalar(source, script as Scalar<string>);
    return mapped.outer(findInShell(mapped.text));
  }
  const words = items.map(word);
  const image = (scalarText(node.get('image', true)) ?? '').replace(/:[\w.-]+$/, '');
  const tool = toolOf(image);
  if (tool) {
    const place = words[0] ?? { start: program && isScalar(program) ? (program.range?.[0] ?? 0) : 0 };
    if (isScalar(program) && typeof program.value === 'string' && /^\s*-/.test(program.value)) {
      const mapped = mapScalar(source, program as Scalar<string>);
      const builder = new MappedBuilder(mapped.text).put('ffmpeg ', 0, 1).copy(0, mapped.text.length).build();
      return mapped.outer(builder.outer(findInShell(builder.text)));
    }
    if (words.length > 0 && !toolOf(words[0]!.text)) {
      words.unshift({ text: 'ffmpeg', holes: [], splits: false, start: place.start, end: place.start });
    }
  }
  const command = words.length > 1 ? commandOf(words) : null;
  return command && [command];
}
