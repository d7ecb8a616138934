/** A program whose settings are read. */
export type Tool = 'ffmpeg' | 'handbrake' | 'svtav1';

/** A span of the file, UTF-16 code units, end exclusive. */
export interface SourceRange {
  readonly start: number;
  readonly end: number;
}

/** One word of a command as the program would get it. */
export interface CommandWord extends SourceRange {
  /** The word's text; what could not be resolved stands in it as `${name}`, named in {@link CommandWord.holes}. */
  readonly text: string;
  /** The variables and expressions whose value the file does not tell, in order. */
  readonly holes: readonly string[];
  /** The whole word is one unquoted hole, which may stand for no word, one or several. */
  readonly splits: boolean;
}

/** A command as found in a file. Untrusted text: it is shown and read, never run. */
export interface FoundCommand extends SourceRange {
  readonly tool: Tool;
  /** The words of the command, the program first. */
  readonly words: readonly CommandWord[];
  /** The loop variables that this reading of the command is for; a loop over a literal list gives one per round. */
  readonly bindings: Readonly<Record<string, string>>;
  /** Which pass of an encode in two passes it is, and where the other one stands. */
  readonly pass: { readonly number: number; readonly other: SourceRange | null } | null;
}

/** Most commands that one file yields; the rest of a longer file is left alone. */
export const mostCommands = 500;

const programs: readonly (readonly [RegExp, Tool])[] = [
  [/^ffmpeg(-?[\d.]+)?(\.exe)?$/i, 'ffmpeg'],
  [/^HandBrakeCLI(\.exe)?$/i, 'handbrake'],
  [/^SvtAv1EncApp(\.exe)?$/i, 'svtav1'],
  [/^\$\{((\w*_)?ffmpeg(_?(bin|path|cmd|exe|command|binary|exec|executable))?)\}$/i, 'ffmpeg'],
  [/^\$\{((\w*_)?handbrake(_?cli)?(_?(bin|path|cmd|exe))?)\}$/i, 'handbrake'],
  [/^\$\{((\w*_)?svtav1(_?encapp)?(_?(bin|path|cmd|exe))?)\}$/i, 'svtav1'],
];

/** The program that a command's first word starts, by its name or by that of the variable that holds it. */
export function toolOf(word: string): Tool | null {
  const name = word
    .replace(/^.*[/\\](?=[^/\\]+$)/, '')
    .replace(/@sha256.*$/, '')
    .trim();
  return programs.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

/** Programs that run the command that follows among their own arguments. */
const wrappers = new Set(
  (
    'sudo doas time nice ionice nohup exec env command builtin timeout gtimeout taskset stdbuf setsid chrt xargs ' +
    'parallel find fd docker podman nerdctl docker-compose systemd-run systemd-inhibit caffeinate srun firejail ' +
    'flatpak-spawn script unbuffer chronic start call winpty wsl xvfb-run numactl cgexec perf strace ' +
    '/usr/bin/time hyperfine progress busybox poetry uv npx nix-shell ssh do then else'
  ).split(' '),
);

/**
 * The tool's own words within a command's words: what a wrapper (`sudo`, `docker run image`, `find -exec`) adds is
 * cut off. Null where the command is none of ours: `apt install ffmpeg` and `which ffmpeg` are not.
 */
export function ownWords(
  words: readonly CommandWord[],
): { readonly tool: Tool; readonly words: readonly CommandWord[] } | null {
  const first = words[0];
  if (!first) return null;
  const direct = toolOf(first.text);
  if (direct) return words.length > 1 ? { tool: direct, words } : null;
  const wrapper = first.text.replace(/^.*[/\\]/, '').replace(/\.exe$/i, '');
  if (!wrappers.has(wrapper)) return null;
  const container = words.some(({ text }) => /^(docker|podman|nerdctl|docker-compose)$/.test(text));
  if (container && !words.some(({ text }) => text === 'run' || text === 'exec')) return null;
  const at = words.findIndex(({ text }, index) => {
    if (index === 0 || (text.startsWith('-') && !text.startsWith('--'))) return false;
    // An image's name ends in a tag: jrottenberg/ffmpeg:4.4-alpine.
    const name = container ? text.replace(/:[\w.-]+$/, '') : text;
    return toolOf(name) !== null && !/^--?(name|entrypoint)$/.test(words[index - 1]!.text);
  });
  if (at < 0 || at === words.length - 1) return null;
  const tool = toolOf(container ? words[at]!.text.replace(/:[\w.-]+$/, '') : words[at]!.text)!;
  let own = words.slice(at);
  if (container && own[1] && toolOf(own[1].text) === tool) own = own.slice(1);
  const within = words.slice(0, at).map(({ text }) => text);
  const end = own.findIndex(({ text }) =>
    within.includes('parallel')
      ? text.startsWith(':::')
      : within.some((one) => one === 'find' || one === 'fd') && (text === ';' || text === '+'),
  );
  if (end > 0) own = own.slice(0, end);
  return own.length > 1 ? { tool, words: own } : null;
}

/** A command made of words, or null where they are none of a known tool. */
export function commandOf(
  words: readonly CommandWord[],
  bindings: Readonly<Record<string, string>> = {},
): FoundCommand | null {
  const own = ownWords(words);
  if (!own) return null;
  const start = Math.min(...own.words.map((word) => word.start));
  const end = Math.max(...own.words.map((word) => word.end));
  return { tool: own.tool, start, end, words: own.words, bindings, pass: null };
}

/** A hole's name, fit to be one of a shell variable too: `opts.crf + 1` is `opts_crf`. */
export function holeName(expression: string): string {
  const name = /[\p{L}_$][\p{L}\p{N}_$]*(\s*\.\s*[\p{L}_$][\p{L}\p{N}_$]*)*/u
    .exec(expression.replace(/^\s*(str|String|int|Number|this|self)\b[\s.(]*/, ''))?.[0]
    .replace(/[^A-Za-z0-9]+/g, '_')
    .slice(0, 60);
  return name && /^[A-Za-z_]/.test(name) ? name : 'value';
}

/** Holes stay holes within single quotes, where a shell would not fill them but a pipeline's template or a program's string does. */
export function withHoles(command: FoundCommand, names: readonly string[]): FoundCommand {
  if (names.length === 0) return command;
  const words = command.words.map((word): CommandWord => {
    const missing = names.filter((name) => word.text.includes(`\${${name}}`) && !word.holes.includes(name));
    return missing.length > 0 ? { ...word, holes: [...word.holes, ...missing] } : word;
  });
  return { ...command, words };
}
