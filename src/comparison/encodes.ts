import { normaliseArguments, outputArguments } from './arguments.ts';
import { findCommands } from './commands.ts';
import type { FoundCommand, SourceRange } from './found.ts';
import { isLadderFile, type LadderProblem, parseLadders } from './ladders.ts';
import { qualityScales } from './search.ts';
import { type EncodeOutput, parseSettings, type SettingsProblem } from './settings.ts';

/** One encode that a file describes: an output of a command, or a rung of a ladder. */
export interface FileEncode extends SourceRange {
  /** The same for the same command or rung while the file is edited elsewhere; unique within the file. */
  readonly id: string;
  /** What it is called in lists. Untrusted text. */
  readonly label: string;
  readonly output: EncodeOutput;
  /** What decides the picture, as text that can be compared: {@link normaliseArguments}. */
  readonly settings: string;
  /** The clip that it encodes as the file names it; null where the file does not tell. Untrusted text. */
  readonly source: string | null;
  /** The ladder it is a rung of, null for a command's. */
  readonly ladder: string | null;
  /** The MOS that the file asks of it. */
  readonly targetMos: number | null;
  /** Where its CRF stands as digits, null where the file has none to replace. */
  readonly crfRange: SourceRange | null;
  /** Whether another CRF can be tried in place of its own: {@link atCrf}. */
  readonly crfSearch: boolean;
  /** What is not carried over when it is encoded. */
  readonly problems: readonly SettingsProblem[];
}

export interface FileEncodes {
  readonly encodes: readonly FileEncode[];
  /** What is wrong with a ladder of our own format. */
  readonly problems: readonly LadderProblem[];
}

/**
 * Files longer than this are not read, in UTF-16 code units: an editor waits for it, and this much takes some 0.2 s.
 * JSON, YAML and TOML are made into trees, which takes longer; ladders by name are read at any length.
 */
const longestText = 250_000;
const longestDocument = 40_000;
/** Most encodes of a file that are shown. */
const mostEncodes = 200;

/**
 * Everything in a file that could be encoded and assessed, in the order of the file. Reads only; never throws.
 *
 * @param language VS Code's language id
 * @param file the file's name
 */
export function encodesIn(text: string, language: string, file: string): FileEncodes {
  const document =
    /^(jsonc?|ya?ml|toml|dockercompose)$/.test(language) || /\.(json[c5]?|ya?ml|toml)$/i.test(file);
  const own = isLadderFile(file);
  if (!own && text.length > (document ? longestDocument : longestText)) return { encodes: [], problems: [] };
  const commands = own ? [] : commandsOf(text, language);
  const { value: ladders, problems } = document ? parseLadders(text, file) : { value: [], problems: [] };
  const rungs = ladders.flatMap((ladder) =>
    ladder.rungs.flatMap((rung): FileEncode[] => {
      const { value, problems } = outputArguments(rung.output);
      if (value === null) return [];
      return [
        {
          start: rung.start,
          end: rung.end,
          id: `${ladder.path}/${rung.name}`,
          label: rung.name,
          output: rung.output,
          settings: settingsOf(rung.output),
          source: ladder.source,
          ladder: ladder.path,
          targetMos: rung.targetMos,
          crfRange: fieldRange(text, rung, rung.output.video?.crf ?? null),
          crfSearch: hasScale(rung.output),
          problems,
        },
      ];
    }),
  );
  const encodes = [...commands, ...rungs].sort((a, b) => a.start - b.start || a.end - b.end);
  return { encodes: encodes.slice(0, mostEncodes), problems };
}

/** Whether a `-crf` of a scale that is known steers an encode. */
const hasScale = ({ options, video }: EncodeOutput): boolean =>
  options.some(([name]) => name === 'crf') &&
  video !== null &&
  Object.hasOwn(qualityScales, video.codec) &&
  !/\bcrf=/.test(video.params ?? '');

/** The same encode at another CRF, for one that the file has not written: everything else as it stands there. */
export function atCrf(encode: FileEncode, crf: number): FileEncode {
  const { video } = encode.output;
  if (!video || video.crf === crf) return encode;
  const options = [...new Map(encode.output.options).set('crf', String(crf))];
  const output = { ...encode.output, video: { ...video, crf }, options };
  const described = describeOutput(encode.output);
  const label = encode.label.startsWith(described)
    ? describeOutput(output) + encode.label.slice(described.length)
    : `${encode.label}, crf ${crf}`;
  return { ...encode, output, settings: settingsOf(output), label };
}

const settingsOf = (output: EncodeOutput): string => JSON.stringify(normaliseArguments(output));

function commandsOf(text: string, language: string): FileEncode[] {
  const taken = new Map<string, number>();
  return findCommands(text, language).flatMap((command) => {
    // The first of two passes writes nothing to look at.
    if (command.pass?.number === 1) return [];
    const { value } = parseSettings(command);
    const input = value.inputs[0];
    // What is made by a device or a generator is no clip.
    const file = input && input.muxer === null && !/\$\{/.test(input.file) ? input.file : null;
    return value.outputs.flatMap((output): FileEncode[] => {
      const { value: args, problems } = outputArguments(output);
      if (args === null) return [];
      const name = output.holes.some(({ field }) => field === 'file') ? '' : output.file;
      // By what it writes, so that a command keeps its results while others are put before it.
      const base = `${name || command.tool}:${output.stream}`;
      const nth = taken.get(base) ?? 0;
      taken.set(base, nth + 1);
      return [
        {
          start: command.start,
          end: command.end,
          id: `${base}#${nth}`,
          label: labelOf(output, name, command),
          output,
          settings: settingsOf(output),
          source: file,
          ladder: null,
          targetMos: null,
          crfRange: crfOf(text, command, output),
          crfSearch: hasScale(output),
          problems,
        },
      ];
    });
  });
}

/** "libx264 crf 23, 1280×720 (out.mp4)" */
function labelOf(output: EncodeOutput, file: string, command: FoundCommand): string {
  const settings = describeOutput(output);
  const round = Object.entries(command.bindings).map(([name, value]) => `${name}=${value}`);
  const inside = [...round, ...(file && round.length === 0 ? [file.replace(/^.*[/\\]/, '')] : [])].join(', ');
  return inside ? `${settings} (${inside.slice(0, 80)})` : settings;
}

/** The settings that people name an encode by: "libx264 crf 23, 1280×720". */
export function describeOutput({ video }: EncodeOutput): string {
  if (!video) return '';
  const rate =
    video.crf !== null
      ? `crf ${video.crf}`
      : video.qp !== null
        ? `qp ${video.qp}`
        : video.cq !== null
          ? `cq ${video.cq}`
          : video.bitrate !== null
            ? `${Number((video.bitrate / 1000).toFixed(0))} kb/s`
            : '';
  const { width = null, height = null } = video.size ?? {};
  const size = width !== null && height !== null ? `${width}×${height}` : height !== null ? `${height}p` : '';
  return [[video.codec, rate].filter(Boolean).join(' '), size, video.preset ? `preset ${video.preset}` : '']
    .filter(Boolean)
    .join(', ');
}

/** Where the value of `-crf` stands in the file as the digits that it is. */
function crfOf(text: string, command: FoundCommand, output: EncodeOutput): SourceRange | null {
  const crf = output.video?.crf ?? null;
  if (crf === null) return null;
  // Of several outputs' words, the last one before the output's name is its own.
  const at = command.words.findLastIndex(
    (word, index) =>
      word.end <= Math.max(output.range.start, 0) &&
      /^-{1,2}(crf|q|quality)(:v(:\d+)?)?$/.test(command.words[index - 1]?.text ?? '') &&
      Number(word.text) === crf,
  );
  const word = command.words[at];
  if (!word) return null;
  const written = text.slice(word.start, word.end);
  const digits = /^["']?(\d+(?:\.\d+)?)["']?$/.exec(written)?.[1];
  if (!digits) return null;
  const start = word.start + written.indexOf(digits);
  return { start, end: start + digits.length };
}

/** Where a rung says `crf: 23`, in YAML, JSON or TOML. */
function fieldRange(text: string, { start, end }: SourceRange, crf: number | null): SourceRange | null {
  if (crf === null) return null;
  const match = /(["']?\bcrf["']?\s*[:=]\s*["']?)(\d+(?:\.\d+)?)/i.exec(text.slice(start, end));
  if (!match || Number(match[2]) !== crf) return null;
  const at = start + match.index + match[1]!.length;
  return { start: at, end: at + match[2]!.length };
}
