import { findInDockerfile, findInMakefile } from './builds.ts';
import { findInCode } from './code.ts';
import { findInDocument } from './documents.ts';
import { type FoundCommand, mostCommands } from './found.ts';
import { MappedBuilder } from './mapped.ts';
import { findInShell } from './shell.ts';
import { findInBatch, findInPowershell } from './windows.ts';

/** Files longer than this are not read, in UTF-16 code units. */
export const longestFile = 1_000_000;

type Finder = (text: string) => FoundCommand[];

const python: Finder = (text) => findInCode(text, 'python');
const javascript: Finder = (text) => findInCode(text, 'javascript');
const shell: Finder = (text) => findInShell(text);

/** Finders by VS Code's language id, by the name of a fenced block's language, and by a file's extension. */
const finders: Readonly<Record<string, Finder>> = {
  shellscript: shell,
  sh: shell,
  bash: shell,
  zsh: shell,
  ksh: shell,
  shell,
  ebuild: shell,
  command: shell,
  makefile: findInMakefile,
  make: findInMakefile,
  mk: findInMakefile,
  mak: findInMakefile,
  dockerfile: findInDockerfile,
  docker: findInDockerfile,
  containerfile: findInDockerfile,
  yaml: findInDocument,
  yml: findInDocument,
  dockercompose: findInDocument,
  'github-actions-workflow': findInDocument,
  'azure-pipelines': findInDocument,
  json: findInDocument,
  jsonc: findInDocument,
  python,
  py: python,
  pyw: python,
  javascript,
  js: javascript,
  mjs: javascript,
  cjs: javascript,
  jsx: javascript,
  javascriptreact: javascript,
  typescript: javascript,
  ts: javascript,
  mts: javascript,
  cts: javascript,
  tsx: javascript,
  typescriptreact: javascript,
  powershell: findInPowershell,
  pwsh: findInPowershell,
  ps1: findInPowershell,
  psm1: findInPowershell,
  bat: findInBatch,
  cmd: findInBatch,
  batch: findInBatch,
  dosbatch: findInBatch,
  markdown: findInMarkdown,
  md: findInMarkdown,
  mdx: findInMarkdown,
};

/** The finder's key for a VS Code language id or a file's name, null where commands are not looked for. */
export function languageOf(languageOrFile: string, text = ''): string | null {
  const name = languageOrFile.replace(/^.*[/\\]/, '').toLowerCase();
  if (Object.hasOwn(finders, name)) return name;
  if (/^(gnu)?makefile(\..+)?$/.test(name)) return 'makefile';
  if (/^(dockerfile|containerfile)(\..+)?$|\.dockerfile$/.test(name)) return 'dockerfile';
  const extension = /\.([a-z0-9]+)$/.exec(name)?.[1];
  if (extension && Object.hasOwn(finders, extension)) return extension;
  const interpreter = /^#!.*?\b(bash|zsh|ksh|dash|sh|python|node)[\d.]*\b/.exec(text.slice(0, 200))?.[1];
  if (!interpreter) return null;
  return interpreter === 'python' ? 'python' : interpreter === 'node' ? 'javascript' : 'sh';
}

/**
 * The ffmpeg, HandBrakeCLI and SvtAv1EncApp commands of a file, in the order of the file, with the span of each and of
 * its words. Reads only; never throws. What is not understood is left alone.
 *
 * @param languageOrFile a VS Code language id (`shellscript`, `python`, …) or the file's name
 */
export function findCommands(text: string, languageOrFile: string): FoundCommand[] {
  // A byte of zero is none of a text's: a program or a clip whose name ends like a script's.
  if (text.length > longestFile || text.includes('\u0000') || !/ffmpeg|handbrake|svtav1/i.test(text))
    return [];
  const language = languageOf(languageOrFile, text);
  if (language === null) return [];
  let found: FoundCommand[];
  try {
    found = finders[language]!(text);
  } catch {
    // A parser met what it cannot read (nesting beyond its stack, say): the file is left alone.
    return [];
  }
  return pairPasses(
    found
      .filter(({ start, end }) => start >= 0 && end > start && end <= text.length)
      .sort((a, b) => a.start - b.start || b.end - a.end)
      .slice(0, mostCommands),
  );
}

const promptLine = /^[ \t]*(?:\([\w.-]+\)[ \t]*)?(?:[\w.-]+@[\w.-]+[^$#\n]{0,60})?[$%#❯➜>][ \t]+/;

/** The commands in the fenced code blocks of Markdown, each read as its language. */
function findInMarkdown(text: string): FoundCommand[] {
  const found: FoundCommand[] = [];
  const lines = text.matchAll(/[^\n]*(?:\n|$)/g);
  let block: {
    fence: string;
    language: string;
    lines: { start: number; text: string }[];
    indent: number;
  } | null = null;
  const finish = () => {
    if (block) found.push(...readBlock(text, block.language, block.lines));
    block = null;
  };
  for (const match of lines) {
    if (match[0] === '' || found.length >= mostCommands) continue;
    const quote = /^(?:[ \t]*>)*[ \t]?/.exec(match[0])![0];
    const inQuote = quote.includes('>');
    const offset = inQuote ? quote.length : 0;
    const line = match[0].slice(offset);
    const fence = /^([ \t]*)(?:[-*+][ \t]+|\d+[.)][ \t]+)?(`{3,}|~{3,})[ \t]*(\{?\.?[\w#+.-]*)[^`\n]*$/.exec(
      line.trimEnd(),
    );
    if (block) {
      const trimmed = line.trim();
      if (
        fence &&
        trimmed.length >= block.fence.length &&
        trimmed === block.fence[0]!.repeat(trimmed.length)
      ) {
        finish();
        continue;
      }
      const lead = Math.min(/^[ \t]*/.exec(line)![0].length, block.indent);
      block.lines.push({ start: match.index + offset + lead, text: line.slice(lead) });
    } else if (fence) {
      block = {
        fence: fence[2]!,
        language: fence[3]!.replace(/^\{?\.?/, '').toLowerCase(),
        lines: [],
        indent: fence[1]!.length,
      };
    }
  }
  finish();
  return found;
}

function readBlock(
  text: string,
  language: string,
  lines: readonly { readonly start: number; readonly text: string }[],
): FoundCommand[] {
  const session = /^(console|shell-session|shellsession|terminal|sh-session|bash-session)$/.test(language);
  const plain =
    session || language === '' || /^(text|txt|none|plain|plaintext|shell|sh|bash|zsh)$/.test(language);
  if (!plain && !Object.hasOwn(finders, language)) return [];
  const builder = new MappedBuilder(text);
  const prompts = plain && lines.some((line) => /^[ \t]*\$[ \t]+\S/.test(line.text));
  let continued = false;
  for (const { start, text: line } of lines) {
    const prompt = prompts || session ? promptLine.exec(line)?.[0].length : undefined;
    // In a session, lines without a prompt are what the program wrote.
    if (prompts && prompt === undefined && !continued) continue;
    const from = continued ? 0 : (prompt ?? 0);
    builder.copy(start + from, start + line.length);
    continued = /\\\s*$/.test(line);
  }
  const block = builder.build();
  if (!/ffmpeg|handbrake|svtav1/i.test(block.text)) return [];
  const finder = plain ? shellOf(block.text) : finders[language]!;
  try {
    return block.outer(finder(block.text));
  } catch {
    return [];
  }
}

/** What continues its lines with a caret or a backtick is written for a shell of Windows. */
function shellOf(text: string): Finder {
  if (/\^[ \t]*\r?\n/.test(text)) return findInBatch;
  if (/[^`]`[ \t]*\r?\n/.test(text) && !/`[^`\n]+`/.test(text)) return findInPowershell;
  return shell;
}

/** Which pass of several a command is, by the options of the encoders. */
function passOf(command: FoundCommand): number | null {
  const texts = command.words.map(({ text }) => text);
  for (const [index, text] of texts.entries()) {
    const value = texts[index + 1] ?? '';
    if (/^--?pass(:v(:\d+)?)?$/.test(text) && /^[123]$/.test(value)) return Number(value);
    if (/^-x26[45]-(params|opts)(:v)?$/.test(text)) {
      const pass = /(?:^|:)pass=([123])(?::|$)/.exec(value)?.[1];
      if (pass) return Number(pass);
    }
  }
  return null;
}

/** Notes which commands are the two passes of one encode: a first, and the next second with the same loop round. */
function pairPasses(commands: readonly FoundCommand[]): FoundCommand[] {
  const numbers = commands.map(passOf);
  const others = new Map<number, number>();
  for (const [index, number] of numbers.entries()) {
    if (number !== 1) continue;
    const bindings = JSON.stringify(commands[index]!.bindings);
    const second = numbers.findIndex(
      (one, at) =>
        at > index &&
        (one === 2 || one === 3) &&
        !others.has(at) &&
        commands[at]!.tool === commands[index]!.tool &&
        JSON.stringify(commands[at]!.bindings) === bindings,
    );
    if (second < 0) continue;
    others.set(index, second);
    others.set(second, index);
  }
  return commands.map((command, index) => {
    const number = numbers[index] ?? null;
    if (number === null) return command;
    const other = others.get(index);
    const { start, end } = other === undefined ? { start: -1, end: -1 } : commands[other]!;
    return { ...command, pass: { number, other: other === undefined ? null : { start, end } } };
  });
}
