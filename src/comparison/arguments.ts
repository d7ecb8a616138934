import { isPlainFilter, isTimeFilter, parseGraph, traceLabel } from './filters.ts';
import { bits, canonicalCodec, type EncodeOutput, pictureOptions, type SettingsProblem } from './settings.ts';

export interface OutputArguments {
  /** Options of ffmpeg between the input and the output's name; null where the settings cannot be carried out. */
  readonly value: readonly string[] | null;
  readonly problems: readonly SettingsProblem[];
}

/** A pass of an encode in two, and the prefix of the file that carries the first one's statistics. */
export interface Pass {
  readonly number: 1 | 2;
  readonly log: string;
}

const paramOptions = new Set([
  'x264-params',
  'x265-params',
  'svtav1-params',
  'aom-params',
  'vvenc-params',
  'rav1e-params',
]);

/** Parameters of encoders that name files, or say how fast and loudly to work; never ours to hand on. */
const idleParams =
  /^(threads|lookahead[-_]threads|pools?|numa-pools|frame-threads|wpp|no-wpp|pmode|pme|lp|pin|ss|log|log-level|log-file|log-file-level|progress|no-progress|psnr|no-psnr|ssim|no-ssim|stats?|pass|info|no-info|annexb|sliced-threads|no-sliced-threads|thread-input|sync-lookahead|non-deterministic|asm|cpu-independent|csv|csv-log-level|slow-firstpass|no-slow-firstpass)$/i;
const fileParams =
  /(file|dump|recon|csv|stats?$|analysis-(save|load)|qpfile|zones?file|scaling-list|cqm|lambda|roi-map|fgs-table|film-grain-table|dolby-vision-rpu|dhdr10-info|opencl|nalu|input|output|vmaf.*model|tune-vmaf|partition-info-path|vmaf|tonemap|videosignal-file|rpu)/i;

/** What a value may be made of: nothing that could name another place on the disk or a protocol. */
const safeValue = /^[\w.,+\-:=()*|!<>@ ]*$/;

/** Values that mean what the encoder does anyway, by the encoder (`x264 --fullhelp`, `x265 --help`). */
const defaults: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  libx264: { preset: 'medium', crf: '23', sws_flags: 'bicubic' },
  libx265: { preset: 'medium', crf: '28', sws_flags: 'bicubic' },
};

const rates = new Set(['b', 'maxrate', 'minrate', 'bufsize']);
const codecOnly = /^(copy)$/;

interface Canonical {
  readonly options: Map<string, string>;
  readonly problems: SettingsProblem[];
  readonly possible: boolean;
}

/** The options of an output in one form: aliases resolved, numbers plain, parameters sorted, filters without files. */
function canonical(output: EncodeOutput): Canonical {
  const problems: SettingsProblem[] = [];
  const options = new Map<string, string>();
  const refuse = (message: string, field: string | null, code: SettingsProblem['code'] = 'unresolved') => {
    problems.push({ code, message, field });
    return { options, problems, possible: false };
  };
  const { video } = output;
  if (!video || codecOnly.test(video.codec)) {
    return refuse('The output holds no picture that this command encodes.', 'c', 'not_an_encode');
  }
  const unresolved = output.holes.filter(({ field }) => field !== 'file');
  if (unresolved.length > 0) {
    const names = unresolved.flatMap((one) => one.names).join(', ');
    return refuse(`The file does not tell the value of ${names}.`, unresolved[0]!.field);
  }
  if (!/^[a-z0-9][a-z0-9_-]{1,40}$/i.test(video.codec)) {
    return refuse('The command names no encoder that is known here.', 'c', 'not_supported');
  }
  if (/^(rawvideo|png|mjpeg|gif|apng|bmp|tiff|libwebp|wrapped_avframe)$/.test(video.codec)) {
    return refuse(`${video.codec} is no encoder whose rate could be tuned.`, 'c', 'not_an_encode');
  }
  options.set('c', canonicalCodec(video.codec));
  for (const [name, value] of output.options) {
    if (name === 'c' || name === 'filter' || name === 'pass') continue;
    if (paramOptions.has(name)) {
      const params = safeParams(name, value, problems);
      if (params) options.set(name, params);
      continue;
    }
    if (!pictureOptions.has(name) || !safeValue.test(value) || value.length > 500) {
      problems.push({ code: 'option_ignored', message: `-${name} is not carried over.`, field: name });
      continue;
    }
    if (rates.has(name)) {
      const number = bits(value);
      if (number === null) return refuse(`-${name} ${value} is not a rate.`, name, 'bad_value');
      options.set(name, String(number));
    } else
      options.set(
        name,
        name !== 'level' && /^[-+]?\d*\.?\d+$/.test(value) ? String(Number(value)) : value.trim(),
      );
  }
  for (const word of output.other.filter((one) => /^-[A-Za-z]/.test(one))) {
    problems.push({
      code: 'option_ignored',
      message: `${word} is not carried over.`,
      field: word.replace(/^-/, ''),
    });
  }
  const filters = chainOf(output, problems);
  if (filters === null) {
    return refuse(
      'The picture is put together from several streams; only the whole command can make it.',
      'filter_complex',
      'not_supported',
    );
  }
  if (filters) options.set('filter', filters);
  if (video.pass !== null) options.set('pass', '2');
  return { options, problems, possible: true };
}

function chainOf(output: EncodeOutput, problems: SettingsProblem[]): string | null {
  const { filters, graph } = output.video!;
  const parsed = parseGraph(filters ?? graph?.text ?? '');
  let chain = filters ? (parsed[0] ?? []) : [];
  const labels = chain.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]);
  if (filters && (parsed.length > 1 || labels.some((label) => label !== 'in' && label !== 'out')))
    return null;
  if (!filters && graph) {
    const label = graph.label ?? parsed.at(-1)?.at(-1)?.outputs[0];
    const traced =
      label === undefined ? (parsed.length === 1 ? parsed[0]! : null) : traceLabel(parsed, label);
    if (traced === null || traced.some(({ inputs, outputs }) => inputs.length > 1 || outputs.length > 1))
      return null;
    chain = [...traced];
  }
  return chain
    .filter((filter) => {
      if (isTimeFilter(filter)) return false;
      if (isPlainFilter(filter) && safeFilter.test(filter.text)) return true;
      problems.push({
        code: 'filter_ignored',
        message: `The filter ${filter.name || filter.text.slice(0, 40)} is not carried over.`,
        field: 'filter',
      });
      return false;
    })
    .map(({ text }) => text.replace(/\s+/g, ''))
    .join(',');
}

/** Commas within a filter's arguments stand in quotes or behind a backslash. */
const safeFilter = /^[\w.+\-:=()*/|!<>@ ',\\]*$/;

function safeParams(option: string, text: string, problems: SettingsProblem[]): string {
  return (
    text
      .split(':')
      .map((pair) => pair.trim())
      .filter((pair) => {
        const name = pair.replace(/=.*$/s, '').replace(/^no-/, '');
        if (pair === '' || idleParams.test(name)) return false;
        if (!fileParams.test(name) && safeValue.test(pair)) return true;
        problems.push({
          code: 'option_ignored',
          message: `${name} of -${option} is not carried over.`,
          field: option,
        });
        return false;
      })
      // -x264opts takes a name alone for yes; the dictionaries of the -params options do not.
      .map((pair) => (pair.includes('=') ? pair : `${pair}=1`))
      .sort()
      .join(':')
  );
}

/** Options whose name alone could be the sound's; they are written with the picture's stream. */
const withStream = new Set(['c', 'b', 'q', 'profile', 'filter', 'r', 's', 'level', 'tag']);
const spelled = (name: string): string => (withStream.has(name) ? `-${name}:v` : `-${name}`);

/**
 * What decides the picture of an output, in one form whatever the command's way to write it: sorted, aliases resolved,
 * defaults left out. Part of a result's key; not meant to be run. Never throws.
 */
export function normaliseArguments(output: EncodeOutput): string[] {
  const { options, possible } = canonical(output);
  if (!possible) {
    // Nothing of ours can be encoded from it; as a key it still tells one such output from another.
    return [...output.options].flatMap(([name, value]) => [spelled(name), value]).concat(output.other);
  }
  const usual = defaults[options.get('c')!] ?? {};
  const rateControlled = options.has('b') || options.has('qp');
  return [...options]
    .filter(([name, value]) => usual[name] !== value || (name === 'crf' && rateControlled))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, value]) => [spelled(name), value]);
}

/**
 * Our own options for encoding a source with an output's settings: the first picture stream only, no sound, no
 * subtitles, no metadata. Only options, filters and parameters that are known to open no file are taken over; what is
 * left out is a problem. An argv for a process without a shell; the caller adds the inputs, `-f` and the name. Never
 * throws.
 *
 * @param pass for settings with two passes: which one this is
 */
export function outputArguments(output: EncodeOutput, pass: Pass | null = null): OutputArguments {
  const { options, problems, possible } = canonical(output);
  if (!possible) return { value: null, problems };
  options.delete('pass');
  const value = ['-map', '0:v:0', '-an', '-sn', '-dn', '-map_metadata', '-1'];
  for (const [name, text] of [...options].sort(([a], [b]) => order(a) - order(b) || (a < b ? -1 : 1))) {
    value.push(spelled(name), text);
  }
  if (pass) value.push('-pass', String(pass.number), '-passlogfile', pass.log);
  return { value, problems };
}

const first = ['filter', 'c', 'preset', 'crf', 'b'];
const order = (name: string): number => (first.includes(name) ? first.indexOf(name) : first.length);
