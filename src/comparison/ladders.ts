import { parse as parseToml } from 'smol-toml';
import { Check, Errors } from 'typebox/value';
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { SourceRange } from './found.ts';
import { type LadderFile, LadderSchema, mostRungs } from './ladder_schema.ts';
import { bits, type EncodeOutput, parseArguments } from './settings.ts';

/** One encode that a ladder asks for. */
export interface LadderRung extends SourceRange {
  /** Unique within its ladder. Untrusted text. */
  readonly name: string;
  readonly output: EncodeOutput;
  /** The MOS that it should reach. */
  readonly targetMos: number | null;
  readonly twoPass: boolean;
}

export interface Ladder extends SourceRange {
  /** `ladder`: our own format; `renditions`: a list of another tool's that was recognised. */
  readonly kind: 'ladder' | 'renditions';
  /** Where the list stands in the file: `profiles.hls`. */
  readonly path: string;
  /** The clip, as the file names it. Untrusted text. */
  readonly source: string | null;
  readonly targetMos: number | null;
  readonly rungs: readonly LadderRung[];
}

export interface LadderProblem extends SourceRange {
  readonly code: 'not_readable' | 'too_large' | 'bad_field' | 'bad_args' | 'duplicate_name' | 'assumed';
  readonly message: string;
}

export interface ParsedLadders {
  readonly value: readonly Ladder[];
  readonly problems: readonly LadderProblem[];
}

/** Files longer than this are not read, in UTF-16 code units. */
const longest = 1_000_000;
const deepest = 12;
const mostNodes = 50_000;
const mostAliases = 100;

/** Whether a file is one of our own ladders, by its name. */
export const isLadderFile = (file: string): boolean => /\.ladder\.(ya?ml|json|toml)$/i.test(file);

/**
 * The ladders of a YAML, JSON or TOML file with the span of every rung: our own `*.ladder.yaml`, and in other files the
 * lists of renditions (height, bit rate, codec, CRF under the names that tools give them). Reads only; never throws. In
 * files of others, what is not a ladder is no problem.
 */
export function parseLadders(text: string, file: string): ParsedLadders {
  const own = isLadderFile(file);
  const all = { start: 0, end: text.length };
  if (
    !own &&
    !(
      /bit_?rate|crf|bandwidth|kbps|\bbv\b|rate/i.test(text) &&
      /height|width|res|scale|size|\d{3,4}p/i.test(text)
    )
  ) {
    return { value: [], problems: [] };
  }
  if (text.length > longest) {
    return refused(own, { code: 'too_large', message: 'The file is too large to be a ladder.', ...all });
  }
  try {
    const tree = /\.toml$/i.test(file) ? tomlTree(text) : yamlTree(text, file);
    return own ? ownLadder(tree) : renditions(tree);
  } catch (error) {
    const message = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    const large = error instanceof TooLarge || error instanceof RangeError;
    return refused(own, {
      code: large ? 'too_large' : 'not_readable',
      message:
        large && !(error instanceof TooLarge) ? 'The file is nested too deeply to be a ladder.' : message,
      ...all,
    });
  }
}

const refused = (own: boolean, problem: LadderProblem): ParsedLadders => ({
  value: [],
  problems: own ? [problem] : [],
});

class TooLarge extends Error {}

/** A file's content with the span of each part, whatever it is written in. */
interface Tree extends SourceRange {
  readonly value: unknown;
  readonly list: readonly Tree[] | null;
  readonly map: ReadonlyMap<string, Tree> | null;
}

function yamlTree(text: string, file: string): Tree {
  const json = /\.json[c5]?$/i.test(file);
  const lines = new LineCounter();
  const document: Document = parseDocument(text, {
    uniqueKeys: false,
    logLevel: 'silent',
    lineCounter: lines,
  });
  const error = document.errors[0];
  // JSON with comments or trailing commas is read all the same.
  if (error && !(json && document.contents)) {
    const at = lines.linePos(error.pos[0]);
    throw new Error(`Line ${at.line}: ${error.message.split('\n')[0]!.replace(/ at line \d+.*$/, '')}`);
  }
  let nodes = 0;
  let aliases = 0;
  const convert = (node: unknown, range: SourceRange, depth: number, open: ReadonlySet<unknown>): Tree => {
    nodes += 1;
    if (nodes > mostNodes) throw new TooLarge('The file has too many entries to be a ladder.');
    if (depth > deepest + 20) throw new TooLarge('The file is nested too deeply to be a ladder.');
    if (isAlias(node)) {
      aliases += 1;
      if (aliases > mostAliases) throw new TooLarge('The file has too many aliases to be a ladder.');
      const target = node.resolve(document);
      if (!target || open.has(target)) throw new TooLarge('An alias of the file contains itself.');
      const inner = convert(target, range, depth + 1, new Set([...open, target]));
      return { ...inner, ...range };
    }
    const own = rangeOf(node as Node, range);
    const inside = new Set([...open, node]);
    if (isSeq(node)) {
      const list = node.items.map((item) => convert(item, own, depth + 1, inside));
      return { ...own, value: null, list, map: null };
    }
    if (isMap(node)) {
      const map = new Map<string, Tree>();
      const merged = new Map<string, Tree>();
      for (const pair of node.items) {
        const key = isScalar(pair.key) ? String(pair.key.value) : '';
        const at = isScalar(pair.key) ? rangeOf(pair.key, own) : own;
        const value = convert(pair.value, at, depth + 1, inside);
        if (key === '<<') {
          for (const one of value.list ?? [value]) {
            for (const [name, inherited] of one.map ?? []) if (!merged.has(name)) merged.set(name, inherited);
          }
        } else map.set(key, { ...value, start: Math.min(at.start, value.start) });
      }
      for (const [name, inherited] of merged) if (!map.has(name)) map.set(name, inherited);
      return { ...own, value: null, list: null, map };
    }
    return { ...own, value: isScalar(node) ? node.value : null, list: null, map: null };
  };
  return convert(document.contents, { start: 0, end: text.length }, 0, new Set());
}

function rangeOf(node: Node, fallback: SourceRange): SourceRange {
  return node?.range ? { start: node.range[0], end: Math.max(node.range[0], node.range[1]) } : fallback;
}

/** TOML by value; spans are found by the headers of tables and the braces of inline ones. */
function tomlTree(text: string): Tree {
  const all = { start: 0, end: text.length };
  const headers = [...text.matchAll(/^[ \t]*(\[\[?)[ \t]*([^\]\n]+?)[ \t]*\]\]?[ \t]*(?:#.*)?$/gm)].map(
    (match) => ({
      start: match.index,
      list: match[1] === '[[',
      path: match[2]!
        .split('.')
        .map((part) => part.trim().replace(/^["']|["']$/g, ''))
        .join('.'),
    }),
  );
  const spanOf = (index: number): SourceRange => {
    const { start, path } = headers[index]!;
    const next = headers.find((one, at) => at > index && !one.path.startsWith(`${path}.`));
    const block = text.slice(start, next?.start ?? text.length);
    return { start, end: start + block.trimEnd().length };
  };
  let nodes = 0;
  const convert = (value: unknown, range: SourceRange, path: string, depth: number): Tree => {
    nodes += 1;
    if (nodes > mostNodes) throw new TooLarge('The file has too many entries to be a ladder.');
    if (depth > deepest + 20) throw new TooLarge('The file is nested too deeply to be a ladder.');
    if (Array.isArray(value)) {
      const tables = headers.flatMap((one, index) => (one.list && one.path === path ? [spanOf(index)] : []));
      const spans = tables.length === value.length ? tables : inlineSpans(text, path, value.length);
      const list = value.map((item, index) => convert(item, spans?.[index] ?? range, path, depth + 1));
      return { ...range, value: null, list, map: null };
    }
    if (value !== null && typeof value === 'object' && !(value instanceof Date)) {
      const map = new Map<string, Tree>();
      for (const [key, inner] of Object.entries(value)) {
        const below = path === '' ? key : `${path}.${key}`;
        const header = headers.findIndex((one) => !one.list && one.path === below);
        const line = new RegExp(`^[ \\t]*"?${escaped(key)}"?[ \\t]*=.*$`, 'm').exec(
          text.slice(range.start, range.end),
        );
        const place =
          header >= 0
            ? spanOf(header)
            : line
              ? { start: range.start + line.index, end: range.start + line.index + line[0].length }
              : range;
        map.set(key, convert(inner, place, below, depth + 1));
      }
      return { ...range, value: null, list: null, map };
    }
    return { ...range, value, list: null, map: null };
  };
  return convert(parseToml(text), all, '', 0);
}

const escaped = (text: string): string => text.slice(0, 200).replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** The spans of `{ … }` in the array of a key, where there are as many as the array has items. */
function inlineSpans(text: string, path: string, count: number): SourceRange[] | null {
  const key = path.slice(path.lastIndexOf('.') + 1);
  const match = new RegExp(`^[ \\t]*"?${escaped(key)}"?[ \\t]*=[ \\t]*\\[`, 'm').exec(text);
  if (!match) return null;
  const spans: SourceRange[] = [];
  let [depth, start] = [0, 0];
  let quote = '';
  for (let at = match.index + match[0].length; at < text.length; at += 1) {
    const character = text[at]!;
    if (quote) {
      if (character === '\\' && quote === '"') at += 1;
      else if (character === quote) quote = '';
    } else if (character === '"' || character === "'") quote = character;
    else if (character === '#') at = text.indexOf('\n', at) < 0 ? text.length : text.indexOf('\n', at);
    else if (character === '{' || character === '[') {
      if (depth === 0) start = at;
      depth += 1;
    } else if (character === '}' || character === ']') {
      depth -= 1;
      if (depth < 0) break;
      if (depth === 0) spans.push({ start, end: at + 1 });
    }
  }
  return spans.length === count ? spans : null;
}

/** A tree as plain data, without what could reach a prototype. */
function plain({ value, list, map }: Tree): unknown {
  if (list) return list.map(plain);
  if (map) return Object.fromEntries([...map].map(([key, inner]) => [key, plain(inner)]));
  return value;
}

/** Our own format. What does not fit the schema is a problem; the rungs that do fit are there all the same. */
function ownLadder(tree: Tree): ParsedLadders {
  const problems: LadderProblem[] = [];
  const rungs = tree.map?.get('rungs');
  const say = (code: LadderProblem['code'], message: string, { start, end }: SourceRange) =>
    problems.push({ code, message, start, end });
  if (!rungs?.list || rungs.list.length === 0) {
    say('bad_field', 'A ladder needs a list of rungs: “rungs: [{ height: 720, crf: 24 }]”.', rungs ?? tree);
    return { value: [], problems };
  }
  if (rungs.list.length > mostRungs) {
    const message = `The ladder has ${rungs.list.length} rungs; at most ${mostRungs} are encoded.`;
    return { value: [], problems: [{ code: 'too_large', message, start: rungs.start, end: rungs.end }] };
  }
  const data = plain(tree) as LadderFile;
  const bad = new Set<string>();
  if (!Check(LadderSchema, data)) {
    for (const error of Errors(LadderSchema, data).slice(0, 50)) {
      const path = error.instancePath.split('/').slice(1);
      const extra =
        error.keyword === 'additionalProperties'
          ? error.params.additionalProperties.map((name) => [...path, name])
          : [path];
      for (const one of extra) {
        // A value that fits none of several types fails once for each, and again as a whole.
        const key = one.join('.');
        if (bad.has(key)) continue;
        bad.add(key);
        // The name itself fails too, against the schema that nothing fits.
        const unknown = error.keyword === 'additionalProperties' || error.keyword === 'boolean';
        const what = unknown ? 'is not a field of a ladder' : error.message;
        say('bad_field', `${one.join('.') || 'The ladder'} ${what}.`, at(tree, one));
      }
    }
  }
  const usable = (path: string) => ![...bad].some((one) => one === path || one.startsWith(`${path}.`));
  const fields = (map: ReadonlyMap<string, Tree> | null | undefined, path: string): Record<string, unknown> =>
    Object.fromEntries(
      [...(map ?? [])].filter(([key]) => usable(`${path}.${key}`)).map(([key, inner]) => [key, plain(inner)]),
    );
  const targetMos = usable('targetMos') ? (data.targetMos ?? null) : null;
  const defaults = fields(tree.map?.get('defaults')?.map, 'defaults');
  const names = new Set<string>();
  const read = rungs.list.flatMap((rung, index): LadderRung[] => {
    if (!rung.map) return [];
    const said = fields(rung.map, `rungs.${index}`) as LadderFile['rungs'][number];
    // A rung's own way to steer the rate replaces the defaults'.
    const { crf: _, bitrate: __, ...others } = defaults;
    const steered = said.crf !== undefined || said.bitrate !== undefined;
    const one = { ...(steered ? others : defaults), ...said } as LadderFile['rungs'][number];
    if (one.crf !== undefined && one.bitrate !== undefined) {
      say('bad_field', 'A rung has either a crf or a bitrate, not both.', rung);
      return [];
    }
    const output = outputOf(one, rung);
    if (typeof output === 'string') {
      say('bad_args', output, rung.map.get('args') ?? rung);
      return [];
    }
    const name = said.name ?? nameOf(one, index);
    if (said.name !== undefined && names.has(name)) {
      say('duplicate_name', `There is more than one rung “${name}”.`, rung.map.get('name') ?? rung);
    }
    return [
      {
        start: rung.start,
        end: rung.end,
        name: unique(name, names, index),
        output,
        targetMos: one.targetMos ?? targetMos,
        twoPass: one.twoPass === true && one.bitrate !== undefined,
      },
    ];
  });
  const source = usable('source') ? (data.source ?? null) : null;
  const ladder: Ladder = {
    kind: 'ladder',
    path: 'rungs',
    source,
    targetMos,
    rungs: read,
    start: rungs.start,
    end: rungs.end,
  };
  return { value: read.length > 0 ? [ladder] : [], problems };
}

function at(tree: Tree, path: readonly string[]): SourceRange {
  let here = tree;
  for (const part of path) here = here.map?.get(part) ?? here.list?.[Number(part)] ?? here;
  return here;
}

interface RungFields {
  readonly codec?: string;
  readonly crf?: number;
  readonly qp?: number;
  readonly bitrate?: number | string;
  readonly maxrate?: number | string;
  readonly bufsize?: number | string;
  readonly width?: number;
  readonly height?: number;
  readonly fps?: number;
  readonly preset?: string | number;
  readonly tune?: string | number;
  readonly profile?: string | number;
  readonly level?: string | number;
  readonly pixelFormat?: string;
  readonly gop?: number;
  readonly args?: readonly string[];
  readonly twoPass?: boolean;
}

/** A rung as the output of the command that it stands for; in words what keeps it from being one. */
function outputOf(rung: RungFields, range: SourceRange): EncodeOutput | string {
  const filters = [
    ...(rung.width !== undefined || rung.height !== undefined
      ? [`scale=${rung.width ?? -2}:${rung.height ?? -2}`]
      : []),
  ];
  const pairs: (readonly [string, string | number | undefined])[] = [
    ['-c:v', rung.codec],
    ['-crf', rung.crf],
    ['-qp', rung.qp],
    ['-b:v', rung.bitrate],
    ['-maxrate', rung.maxrate],
    ['-bufsize', rung.bufsize],
    ['-r', rung.fps],
    ['-preset', rung.preset],
    ['-tune', rung.tune],
    ['-profile:v', rung.profile],
    ['-level', rung.level],
    ['-pix_fmt', rung.pixelFormat],
    ['-g', rung.gop],
    ['-vf', filters[0]],
    ['-pass', rung.twoPass && rung.bitrate !== undefined ? 2 : undefined],
  ];
  const argv = pairs.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)]));
  const { value, problems } = parseArguments([
    'ffmpeg',
    '-i',
    'source',
    ...argv,
    ...(rung.args ?? []),
    'rung.mkv',
  ]);
  const bad = problems.find(({ code }) => code === 'bad_value' || code === 'missing_value');
  if (bad) return bad.message;
  const [output] = value.outputs;
  if (
    !output ||
    value.outputs.length > 1 ||
    value.inputs.length > 1 ||
    output.file !== 'rung.mkv' ||
    output.muxer !== 'mkv'
  ) {
    return 'args may only hold options of one output, not inputs, outputs or a format.';
  }
  return { ...output, file: '', muxer: null, range };
}

const nameOf = (rung: RungFields, index: number): string => {
  const size =
    rung.height !== undefined ? `${rung.height}p` : rung.width !== undefined ? `${rung.width} wide` : '';
  const quality =
    rung.crf !== undefined ? `crf ${rung.crf}` : rung.bitrate !== undefined ? String(rung.bitrate) : '';
  return [size, quality].filter(Boolean).join(' ') || `rung ${index + 1}`;
};

/** A name that no rung before has. */
function unique(name: string, taken: Set<string>, index: number): string {
  const free = taken.has(name) ? `${name} (${index + 1})` : name;
  taken.add(free);
  return free;
}

// Ladders of other tools.

/** Names of fields without case and punctuation, by what they mean. */
const fieldNames: Readonly<Record<string, readonly string[]>> = {
  height: [
    'height',
    'h',
    'codedheight',
    'coddedheight',
    'containerheight',
    'frameheight',
    'videoheight',
    'outputheight',
    'maxheight',
    'targetheight',
  ],
  width: [
    'width',
    'w',
    'codedwidth',
    'coddedwidth',
    'containerwidth',
    'framewidth',
    'videowidth',
    'outputwidth',
    'maxwidth',
    'targetwidth',
  ],
  size: [
    'resolution',
    'size',
    'scale',
    'dimensions',
    'res',
    'framesize',
    'videosize',
    'videoresolution',
    's',
  ],
  bitrate: [
    'bitrate',
    'videobitrate',
    'vbitrate',
    'bv',
    'vb',
    'br',
    'targetbitrate',
    'avgbitrate',
    'averagebitrate',
    'bandwidth',
    'targetrate',
    'rate',
    'videorate',
    'kbps',
    'mbps',
    'vbr',
    'tbr',
    'bitratetarget',
  ],
  maxrate: [
    'maxrate',
    'maxbitrate',
    'peakbitrate',
    'peakrate',
    'vbvmaxrate',
    'videomaxrate',
    'maxvideobitrate',
    'bitratemax',
  ],
  bufsize: [
    'bufsize',
    'buffersize',
    'vbvbufsize',
    'buffer',
    'hrdbuffersize',
    'vbvbuffersize',
    'videobufsize',
  ],
  codec: ['codec', 'videocodec', 'vcodec', 'encoder', 'videoencoder', 'cv', 'codecs'],
  crf: ['crf', 'rf', 'constantratefactor', 'videocrf', 'crfvalue'],
  qp: ['qp'],
  preset: ['preset', 'encoderpreset', 'encodespeed', 'x264preset', 'videopreset', 'speedpreset'],
  tune: ['tune'],
  profile: ['profile', 'videoprofile', 'encodeprofile', 'codecprofile', 'h264profile'],
  level: ['level', 'encodelevel', 'codeclevel'],
  fps: ['fps', 'framerate', 'maxfps', 'videoframerate'],
  gop: ['gop', 'gopsize', 'keyint', 'goplength'],
  pixelFormat: ['pixfmt', 'pixelformat'],
  name: [
    'name',
    'id',
    'label',
    'title',
    'rendition',
    'key',
    'quality',
    'prefix',
    'namemodifier',
    'mastertitle',
  ],
  targetMos: ['targetmos', 'mos', 'minmos'],
};

const meaning = new Map(
  Object.entries(fieldNames).flatMap(([field, names]) => names.map((name) => [name, field] as const)),
);

interface Field {
  readonly key: string;
  readonly value: string | number;
}

/** The fields of an item by what they mean; those of the sound are not looked at. */
function meanings(
  map: ReadonlyMap<string, Tree>,
  depth = 0,
  into = new Map<string, Field>(),
): Map<string, Field> {
  for (const [key, inner] of map) {
    if (/audio|sound|subtitle|caption/i.test(key)) continue;
    const field = unitless(key);
    if (inner.map) {
      const size = field === 'size' ? sizeFields(inner.map) : null;
      if (size) {
        if (!into.has('width')) into.set('width', { key, value: size[0] });
        if (!into.has('height')) into.set('height', { key, value: size[1] });
      } else if (depth < 4) meanings(inner.map, depth + 1, into);
    } else if (
      field &&
      (typeof inner.value === 'string' || typeof inner.value === 'number') &&
      !into.has(field)
    ) {
      into.set(field, { key, value: inner.value });
    } else if (field === 'size' && inner.list?.length === 2) {
      const [width, height] = inner.list.map((one) => Number(one.value));
      if (width! > 0 && height! > 0) {
        into.set('width', { key, value: width! });
        into.set('height', { key, value: height! });
      }
    }
  }
  return into;
}

/** A field's meaning, whether its name ends in a unit (`bitrate_kbps`) or not. */
function unitless(key: string): string | undefined {
  const name = key.toLowerCase().replace(/[^a-z0-9]/g, '');
  return meaning.get(name) ?? meaning.get(name.replace(/(in)?(kbps|mbps|bps|kbits?|mbits?|px)$/, ''));
}

function sizeFields(map: ReadonlyMap<string, Tree>): [number, number] | null {
  const fields = meanings(map, 4);
  const [width, height] = [Number(fields.get('width')?.value), Number(fields.get('height')?.value)];
  return width > 0 && height > 0 ? [width, height] : null;
}

function renditions(tree: Tree): ParsedLadders {
  const problems: LadderProblem[] = [];
  const value: Ladder[] = [];
  const walk = (node: Tree, path: string, inherited: ReadonlyMap<string, Field>, depth: number): void => {
    if (depth > deepest || value.length >= 20) return;
    const items: (readonly [string, Tree])[] = node.list
      ? node.list.map((item, index) => [String(index), item])
      : [...(node.map ?? [])];
    const maps = items.filter(([, item]) => item.map);
    const ladder = maps.length >= 2 ? ladderOf(node, maps, path, inherited, problems) : null;
    if (ladder) {
      value.push(ladder);
      return;
    }
    const own = new Map(inherited);
    for (const [key, inner] of node.map ?? []) {
      const field = unitless(key);
      if (
        field &&
        /^(codec|preset|tune|pixelFormat|fps|crf|targetMos)$/.test(field) &&
        (typeof inner.value === 'string' || typeof inner.value === 'number')
      ) {
        own.set(field, { key, value: inner.value });
      }
      if (/^(defaults?|common|video|encoder|encoding)$/i.test(key) && inner.map) {
        for (const [name, one] of meanings(inner.map)) {
          if (/^(codec|preset|tune|pixelFormat|fps|crf|targetMos)$/.test(name)) own.set(name, one);
        }
      }
    }
    for (const [key, item] of items) {
      if (item.map || item.list) walk(item, path === '' ? key : `${path}.${key}`, own, depth + 1);
    }
  };
  walk(tree, '', new Map(), 0);
  return { value, problems };
}

function ladderOf(
  node: Tree,
  items: readonly (readonly [string, Tree])[],
  path: string,
  inherited: ReadonlyMap<string, Field>,
  problems: LadderProblem[],
): Ladder | null {
  const read = items.map(([key, item]) => ({ key, item, fields: meanings(item.map!) }));
  const sized = read.filter(
    ({ key, fields }) =>
      (fields.has('height') ||
        fields.has('width') ||
        fields.has('size') ||
        /^\d{3,4}p/.test(key) ||
        /\d{3,4}p/.test(String(fields.get('name')?.value ?? ''))) &&
      (fields.has('bitrate') || fields.has('crf') || fields.has('maxrate') || fields.has('qp')),
  );
  if (sized.length < 2 || sized.length * 2 < items.length) return null;
  const range = { start: node.start, end: node.end };
  if (sized.length > mostRungs) {
    problems.push({
      code: 'too_large',
      message: `The list has ${sized.length} renditions; at most ${mostRungs} are encoded.`,
      ...range,
    });
    return null;
  }
  const scale = rateScale(sized.map(({ fields }) => fields.get('bitrate') ?? fields.get('maxrate')));
  if (scale.assumed) {
    problems.push({
      code: 'assumed',
      message: `Bit rates without a unit are taken as ${scale.assumed}.`,
      ...range,
    });
  }
  const taken = new Set<string>();
  const rungs = sized.flatMap(({ key, item, fields }, index): LadderRung[] => {
    const rung = rungOf(new Map([...inherited, ...fields]), scale.factor);
    const name = String(fields.get('name')?.value ?? (node.map ? key : nameOf(rung, index)));
    const height =
      rung.height ??
      (rung.width === undefined ? Number(/(\d{3,4})p/.exec(`${key} ${name}`)?.[1]) || undefined : undefined);
    const output = outputOf(height === undefined ? rung : { ...rung, height }, item);
    if (typeof output === 'string') {
      problems.push({ code: 'bad_field', message: output, start: item.start, end: item.end });
      return [];
    }
    const mos = Number(fields.get('targetMos')?.value ?? inherited.get('targetMos')?.value);
    return [
      {
        start: item.start,
        end: item.end,
        name: unique(name.slice(0, 100), taken, index),
        output,
        targetMos: mos >= 1 && mos <= 5 ? mos : null,
        twoPass: false,
      },
    ];
  });
  return rungs.length >= 2
    ? { kind: 'renditions', path, source: null, targetMos: null, rungs, ...range }
    : null;
}

/** The unit of bit rates that have none, by the size of the largest. */
function rateScale(fields: readonly (Field | undefined)[]): { factor: number; assumed: string | null } {
  const bare = fields.flatMap((one) =>
    one &&
    !/(k|m)?b(it)?(ps|s)$/i.test(one.key.replace(/[^A-Za-z]/g, '')) &&
    /^\d+(\.\d+)?$/.test(String(one.value))
      ? [Number(one.value)]
      : [],
  );
  if (bare.length === 0) return { factor: 1, assumed: null };
  const largest = Math.max(...bare);
  if (largest >= 200_000) return { factor: 1, assumed: null };
  return largest >= 60 ? { factor: 1000, assumed: 'kb/s' } : { factor: 1e6, assumed: 'Mb/s' };
}

function rateIn({ key, value }: Field, factor: number): number | undefined {
  const text = String(value)
    .replace(/\s+/g, '')
    .replace(/(bits?\/s|b\/s|bps|bits?\/?s?|b)$/i, '');
  const unit = /(kbps|kbits?|mbps|mbits?|bps)$/.exec(key.toLowerCase().replace(/[^a-z]/g, ''))?.[1];
  const bare = /^\d+(\.\d+)?$/.test(text);
  const scale = !bare
    ? 1
    : unit === undefined
      ? factor
      : unit.startsWith('k')
        ? 1000
        : unit.startsWith('m')
          ? 1e6
          : 1;
  const number = bits(text.replace(/m$/, 'M').replace(/K$/, 'k'));
  return number === null || number <= 0 ? undefined : Math.round((bare ? Number(text) : number) * scale);
}

/** Encoders by the names that codecs go by. */
const codecNames: readonly (readonly [RegExp, string])[] = [
  [/^(avc|avc1|h\.?264|h_264|x264|libx264|mpeg-?4 ?avc)/i, 'libx264'],
  [/^(hevc|hvc1|hev1|h\.?265|h_265|x265|libx265)/i, 'libx265'],
  [/^(vp9|vp09|libvpx-vp9)/i, 'libvpx-vp9'],
  [/^(vp8|libvpx)$/i, 'libvpx'],
  [/^(av1|av01|svt-?av1|libsvtav1)/i, 'libsvtav1'],
];

function rungOf(fields: ReadonlyMap<string, Field>, factor: number): RungFields {
  const number = (name: string): number | undefined => {
    const value = Number(fields.get(name)?.value);
    return fields.has(name) && Number.isFinite(value) && value >= 0 ? value : undefined;
  };
  const word = (name: string): string | undefined => {
    const value = fields.get(name)?.value;
    return value !== undefined && /^[\w.:-]{1,40}$/.test(String(value)) && !String(value).startsWith('-')
      ? String(value)
      : undefined;
  };
  const rate = (name: string) => (fields.has(name) ? rateIn(fields.get(name)!, factor) : undefined);
  const size = /^(\d{2,5})\s*[x×*:]\s*(\d{2,5})$/i.exec(String(fields.get('size')?.value ?? '').trim());
  const lines = /^(\d{3,4})[pi]?$/i.exec(String(fields.get('size')?.value ?? '').trim());
  const codec = String(fields.get('codec')?.value ?? '').trim();
  const known = codecNames.find(([pattern]) => pattern.test(codec))?.[1];
  const even = (value: number | undefined) =>
    value !== undefined && Number.isInteger(value) && value >= 2 && value <= 16384 ? value : undefined;
  const pieces: Record<string, string | number | undefined> = {
    codec:
      known ??
      (/^[a-z0-9]+_(nvenc|qsv|amf|vaapi|videotoolbox)$|^lib[a-z0-9-]+$/i.test(codec) ? codec : undefined),
    width: even(number('width')) ?? (size ? Number(size[1]) : undefined),
    height: even(number('height')) ?? (size ? Number(size[2]) : lines ? Number(lines[1]) : undefined),
    crf: number('crf'),
    qp: number('qp'),
    bitrate: rate('bitrate'),
    maxrate: rate('maxrate'),
    bufsize: rate('bufsize'),
    fps: number('fps') || undefined,
    preset: word('preset'),
    tune: word('tune'),
    profile: word('profile')?.toLowerCase(),
    level: word('level'),
    pixelFormat: word('pixelFormat'),
    gop: number('gop') || undefined,
  };
  return Object.fromEntries(Object.entries(pieces).filter(([, value]) => value !== undefined)) as RungFields;
}
