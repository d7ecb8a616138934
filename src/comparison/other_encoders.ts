import { rateOf } from './filters.ts';
import type { CommandWord } from './found.ts';
import type { EncodeOutput, Hole, ParsedSettings, SettingsProblem, VideoSettings } from './settings.ts';

interface Given {
  readonly value: CommandWord | null;
  readonly name: string;
}

/** The options of an argv in the long and short style of getopt, by canonical name; the last of a name counts. */
function options(
  words: readonly CommandWord[],
  names: Readonly<Record<string, string>>,
  isFlag: (name: string) => boolean,
  problems: SettingsProblem[],
): { given: Map<string, Given>; rest: CommandWord[] } {
  const given = new Map<string, Given>();
  const rest: CommandWord[] = [];
  for (let at = 1; at < words.length; at += 1) {
    const word = words[at]!;
    if (!/^-./.test(word.text)) {
      rest.push(word);
      continue;
    }
    const equals = word.text.startsWith('--') ? word.text.indexOf('=') : -1;
    const written = equals < 0 ? word.text : word.text.slice(0, equals);
    const name = Object.hasOwn(names, written) ? names[written]! : written.replace(/^--?/, '');
    if (equals >= 0) given.set(name, { name, value: { ...word, text: word.text.slice(equals + 1) } });
    else if (isFlag(name)) given.set(name, { name, value: null });
    else if (words[at + 1]) {
      given.set(name, { name, value: words[at + 1]! });
      at += 1;
    } else problems.push({ code: 'missing_value', message: `${word.text} has no value.`, field: name });
  }
  return { given, rest };
}

const empty: VideoSettings = {
  codec: '',
  codecStated: true,
  crf: null,
  qp: null,
  cq: null,
  qscale: null,
  bitrate: null,
  maxrate: null,
  minrate: null,
  bufsize: null,
  preset: null,
  tune: null,
  profile: null,
  level: null,
  pixelFormat: null,
  gop: null,
  keyintMin: null,
  bframes: null,
  refs: null,
  size: null,
  fps: null,
  filters: null,
  graph: null,
  params: null,
  pass: null,
};

const handBrakeNames: Readonly<Record<string, string>> = {
  '-i': 'input',
  '-o': 'output',
  '-e': 'encoder',
  '-q': 'quality',
  '-b': 'vb',
  '-r': 'rate',
  '-w': 'width',
  '-l': 'height',
  '-X': 'maxWidth',
  '-Y': 'maxHeight',
  '-x': 'encopts',
  '-Z': 'preset',
  '-f': 'format',
  '-2': 'multi-pass',
  '--two-pass': 'multi-pass',
  '--video-bitrate': 'vb',
  '-T': 'turbo',
  '-O': 'optimize',
  '-m': 'markers',
  '-a': 'audio',
  '-E': 'aencoder',
  '-B': 'ab',
  '-6': 'mixdown',
  '-R': 'arate',
  '-s': 'subtitle',
  '-t': 'title',
  '-c': 'chapters',
};

const handBrakeFlags =
  /^(multi-pass|no-multi-pass|turbo|optimize|no-optimize|markers|no-markers|align-av|all-audio|first-audio|all-subtitles|first-subtitle|vfr|cfr|pfr|main-feature|ipod-atom|inline-parameter-sets|json|help|version|loose-crop|keep-display-aspect|auto-anamorphic|non-anamorphic|loose-anamorphic|strict-anamorphic|no-\w[\w-]*|comb-detect|deinterlace|decomb|detelecine|hqdn3d|nlmeans|deblock|grayscale|z|preset-list|scan)$/;

/** HandBrake's names of encoders (`HandBrakeCLI --help`, "-e, --encoder") as ffmpeg's, with the pixel format they imply. */
const handBrakeEncoders: Readonly<Record<string, readonly [codec: string, pixelFormat: string | null]>> = {
  x264: ['libx264', 'yuv420p'],
  x264_10bit: ['libx264', 'yuv420p10le'],
  x265: ['libx265', 'yuv420p'],
  x265_10bit: ['libx265', 'yuv420p10le'],
  x265_12bit: ['libx265', 'yuv420p12le'],
  svt_av1: ['libsvtav1', 'yuv420p'],
  svt_av1_10bit: ['libsvtav1', 'yuv420p10le'],
  VP8: ['libvpx', 'yuv420p'],
  VP9: ['libvpx-vp9', 'yuv420p'],
  VP9_10bit: ['libvpx-vp9', 'yuv420p10le'],
  mpeg4: ['mpeg4', 'yuv420p'],
  mpeg2: ['mpeg2video', 'yuv420p'],
  theora: ['libtheora', 'yuv420p'],
  nvenc_h264: ['h264_nvenc', 'yuv420p'],
  nvenc_h265: ['hevc_nvenc', 'yuv420p'],
  nvenc_h265_10bit: ['hevc_nvenc', 'p010le'],
  nvenc_av1: ['av1_nvenc', 'yuv420p'],
  qsv_h264: ['h264_qsv', null],
  qsv_h265: ['hevc_qsv', null],
  qsv_av1: ['av1_qsv', null],
  vce_h264: ['h264_amf', null],
  vce_h265: ['hevc_amf', null],
  vt_h264: ['h264_videotoolbox', null],
  vt_h265: ['hevc_videotoolbox', null],
  vt_h265_10bit: ['hevc_videotoolbox', 'p010le'],
};

/** The settings of a HandBrakeCLI command, as those of the ffmpeg encoder of the same name. Never throws. */
export function parseHandBrake(words: readonly CommandWord[]): ParsedSettings {
  const problems: SettingsProblem[] = [];
  const { given } = options(words, handBrakeNames, (name) => handBrakeFlags.test(name), problems);
  const reader = readerOf(given, problems);
  const encoder = reader.text('encoder');
  const known = encoder && Object.hasOwn(handBrakeEncoders, encoder) ? handBrakeEncoders[encoder]! : null;
  if (encoder && !known) {
    problems.push({
      code: 'not_supported',
      message: `HandBrake's encoder ${encoder} is not known here.`,
      field: 'encoder',
    });
  }
  if (given.has('preset') || given.has('preset-import-file')) {
    problems.push({
      code: 'not_supported',
      message: "HandBrake's presets are not read; only what the command says itself counts.",
      field: 'preset',
    });
  }
  for (const name of [
    'decomb',
    'deinterlace',
    'detelecine',
    'hqdn3d',
    'nlmeans',
    'crop',
    'rotate',
    'pad',
    'grayscale',
  ]) {
    if (given.has(name)) {
      problems.push({ code: 'option_ignored', message: `--${name} is not carried over.`, field: name });
    }
  }
  const codec = known?.[0] ?? (encoder ? '' : 'libx264');
  const quality = reader.number('quality');
  const [exactWidth, exactHeight] = [reader.number('width'), reader.number('height')];
  const [width, height] = [
    exactWidth ?? reader.number('maxWidth'),
    exactHeight ?? reader.number('maxHeight'),
  ];
  // --maxWidth and --maxHeight never enlarge.
  const side = (exact: number | null, most: number | null, name: string) =>
    exact ?? (most === null ? -2 : `'min(${most},${name})'`);
  const rate = reader.text('rate');
  const kilobits = reader.number('vb');
  const params = reader.text('encopts');
  const hardware = /_(nvenc|qsv|amf|videotoolbox)$/.test(codec);
  const video: VideoSettings = {
    ...empty,
    codec,
    codecStated: encoder !== null,
    crf: hardware || codec === 'mpeg4' ? null : quality,
    cq: hardware ? quality : null,
    qscale: codec === 'mpeg4' ? quality : null,
    bitrate: kilobits === null ? null : kilobits * 1000,
    preset: reader.text('encoder-preset'),
    tune: reader.text('encoder-tune'),
    profile: reader.text('encoder-profile'),
    level: reader.text('encoder-level'),
    pixelFormat: known?.[1] ?? null,
    size: width === null && height === null ? null : { width, height },
    fps: rate === null ? null : rateOf(rate),
    filters:
      width === null && height === null
        ? null
        : `scale=${side(exactWidth, width, 'iw')}:${side(exactHeight, height, 'ih')}`,
    params,
    pass: given.has('multi-pass') ? 2 : null,
  };
  return finish(given, reader.holes, problems, video, paramName(codec));
}

const svtNames: Readonly<Record<string, string>> = {
  '-i': 'input',
  '--input': 'input',
  '-b': 'output',
  '--output': 'output',
  '-q': 'qp',
  '-w': 'width',
  '-h': 'height',
  '-n': 'frames',
  '-intra-period': 'keyint',
  '--intra-period': 'keyint',
  '-enc-mode': 'preset',
  '--fps-denom': 'fps-denom',
  '-o': 'recon',
  '-tune': 'tune',
  '--profile': 'profile',
};

/** Parameters of SvtAv1EncApp that ffmpeg hands on under `-svtav1-params`, by the names they share. */
const svtParams =
  /^(tune|film-grain|film-grain-denoise|enable-qm|qm-min|qm-max|chroma-qm-min|chroma-qm-max|aq-mode|enable-variance-boost|variance-boost-strength|variance-octile|sharpness|lookahead|hierarchical-levels|pred-struct|enable-overlays|enable-tf|tf-strength|scd|tile-rows|tile-columns|irefresh-type|enable-dlf|enable-cdef|enable-restoration|scm|fast-decode|superres-mode|resize-mode|bias-pct|undershoot-pct|overshoot-pct|max-qp|min-qp|color-primaries|transfer-characteristics|matrix-coefficients|color-range|mastering-display|content-light|startup-mg-size|qp-scale-compress-strength|luminance-qp-bias|max-tx-size|ac-bias|complex-hvs)$/;

/** The settings of a SvtAv1EncApp command, as those of ffmpeg's libsvtav1. Never throws. */
export function parseSvtAv1(words: readonly CommandWord[]): ParsedSettings {
  const problems: SettingsProblem[] = [];
  const { given } = options(
    words,
    svtNames,
    (name) => /^(help|version|color-help|rc-help|no-progress)$/.test(name) && name !== 'no-progress',
    problems,
  );
  const reader = readerOf(given, problems);
  const mode = reader.number('rc');
  const kilobits = reader.number('tbr');
  const adaptive = reader.text('aq-mode') !== '0' && reader.text('adaptive-quantization') !== '0';
  const qp = reader.number('qp');
  const pairs = [...given.values()].flatMap(({ name, value }) =>
    value && svtParams.test(name) && value.holes.length === 0 ? [`${name}=${value.text}`] : [],
  );
  const keyint = reader.text('keyint');
  const seconds = keyint !== null && /s$/.test(keyint);
  if (seconds) pairs.push(`keyint=${keyint}`);
  const passes = reader.number('passes');
  const fps = reader.number('fps') ?? ratio(reader.number('fps-num'), reader.number('fps-denom'));
  const video: VideoSettings = {
    ...empty,
    codec: 'libsvtav1',
    // --qp is the quality of the mode with adaptive quantisation, --crf's other name, unless that is off.
    crf: reader.number('crf') ?? (mode === 0 || mode === null ? (adaptive ? qp : null) : null),
    qp: adaptive ? null : qp,
    bitrate: kilobits === null ? null : kilobits * 1000,
    maxrate: scaled(reader.number('mbr'), 1000),
    preset: reader.text('preset'),
    tune: reader.text('tune'),
    profile: reader.text('profile'),
    level: reader.text('level'),
    pixelFormat: reader.number('input-depth') === 10 ? 'yuv420p10le' : null,
    gop: seconds || keyint === null || !/^-?\d+$/.test(keyint) ? null : Number(keyint),
    fps,
    params: pairs.length > 0 ? pairs.join(':') : null,
    pass: passes !== null && passes > 1 ? passes : reader.number('pass'),
  };
  return finish(given, reader.holes, problems, video, 'svtav1-params');
}

const scaled = (value: number | null, by: number) => (value === null ? null : value * by);
const ratio = (a: number | null, b: number | null) => (a === null || b === null || b === 0 ? null : a / b);

const paramName = (codec: string): string | null =>
  ({ libx264: 'x264-params', libx265: 'x265-params', libsvtav1: 'svtav1-params' })[codec] ?? null;

function readerOf(given: ReadonlyMap<string, Given>, problems: SettingsProblem[]) {
  const holes: Hole[] = [];
  const text = (name: string): string | null => {
    const value = given.get(name)?.value;
    if (!value) return null;
    if (value.holes.length === 0) return value.text;
    if (!holes.some(({ field }) => field === name)) holes.push({ field: name, names: value.holes });
    return null;
  };
  const number = (name: string): number | null => {
    const value = text(name);
    if (value === null) return null;
    if (/^-?(\d+\.?\d*|\.\d+)$/.test(value)) return Number(value);
    problems.push({ code: 'bad_value', message: `--${name} ${value} is not a number.`, field: name });
    return null;
  };
  return { holes, text, number };
}

function finish(
  given: ReadonlyMap<string, Given>,
  holes: readonly Hole[],
  problems: SettingsProblem[],
  video: VideoSettings,
  params: string | null,
): ParsedSettings {
  const input = given.get('input')?.value;
  const output = given.get('output')?.value;
  const inputs = input ? [{ file: input.text, muxer: null, options: [] }] : [];
  if (!output) {
    problems.push({ code: 'no_output', message: 'The command names no output.', field: null });
    return { value: { inputs, outputs: [], holes }, problems };
  }
  const all = output.holes.length > 0 ? [...holes, { field: 'file', names: output.holes }] : [...holes];
  const one: EncodeOutput = {
    file: output.text,
    muxer: /\.([A-Za-z0-9]{1,8})$/.exec(output.text)?.[1]?.toLowerCase() ?? null,
    stream: 0,
    range: { start: output.start, end: output.end },
    video,
    options: asOptions(video, params),
    other: [],
    holes: all,
  };
  return { value: { inputs, outputs: [one], holes: all }, problems };
}

/** The settings as ffmpeg's options. */
function asOptions(video: VideoSettings, params: string | null): (readonly [string, string])[] {
  const pairs: (readonly [string, string | number | null])[] = [
    ['c', video.codec],
    ['crf', video.crf],
    ['qp', video.qp],
    ['cq', video.cq],
    ['q', video.qscale],
    ['b', video.bitrate],
    ['maxrate', video.maxrate],
    ['preset', video.preset],
    ['tune', params === 'svtav1-params' ? null : video.tune],
    ['profile', params === 'svtav1-params' ? null : video.profile],
    ['level', params === 'svtav1-params' ? null : video.level],
    ['pix_fmt', video.pixelFormat],
    ['g', video.gop !== null && video.gop > 0 ? video.gop : null],
    ['r', params === 'svtav1-params' ? null : video.fps],
    ['filter', video.filters],
    ['pass', video.pass],
    ...(params ? ([[params, video.params]] as const) : []),
  ];
  return pairs.flatMap(([name, value]) =>
    value === null || value === '' ? [] : [[name, String(value)] as const],
  );
}
