import { filteredRate, isSound, parseGraph, rateOf, scaledSize, sizeOf, traceLabel } from './filters.ts';
import type { CommandWord, FoundCommand, SourceRange } from './found.ts';
import { parseHandBrake, parseSvtAv1 } from './other_encoders.ts';

/** Something about a command that keeps it from being read in full. */
export interface SettingsProblem {
  readonly code:
    | 'unresolved'
    | 'bad_value'
    | 'missing_value'
    | 'trailing_options'
    | 'no_output'
    | 'not_supported'
    | 'option_ignored'
    | 'filter_ignored'
    | 'not_an_encode';
  readonly message: string;
  /** The option or field that it is about. */
  readonly field: string | null;
}

/** A value that the file does not tell. */
export interface Hole {
  /** The option it stands in, `file` for an output's name, `options` where it may be any options. */
  readonly field: string;
  readonly names: readonly string[];
}

export interface InputSettings {
  readonly file: string;
  readonly muxer: string | null;
  /** Options before `-i`, as written. */
  readonly options: readonly string[];
}

/** What decides one encoded picture stream. Null: not stated (the encoder's default) or not known (see the holes). */
export interface VideoSettings {
  /** The encoder, or the one that the muxer takes by default; `copy` where nothing is encoded. */
  readonly codec: string;
  /** Whether the command names the encoder. */
  readonly codecStated: boolean;
  readonly crf: number | null;
  readonly qp: number | null;
  /** Target of constant-quality modes of hardware encoders (`-cq`, `-global_quality`). */
  readonly cq: number | null;
  /** `-q:v`. */
  readonly qscale: number | null;
  /** Bits per second. */
  readonly bitrate: number | null;
  readonly maxrate: number | null;
  readonly minrate: number | null;
  /** Bits. */
  readonly bufsize: number | null;
  readonly preset: string | null;
  readonly tune: string | null;
  readonly profile: string | null;
  readonly level: string | null;
  readonly pixelFormat: string | null;
  /** Frames between key frames at most. */
  readonly gop: number | null;
  readonly keyintMin: number | null;
  readonly bframes: number | null;
  readonly refs: number | null;
  /** Displayed size asked for, px; null for a side that follows from the other. */
  readonly size: { readonly width: number | null; readonly height: number | null } | null;
  readonly fps: number | null;
  /** The simple filter chain, as written. */
  readonly filters: string | null;
  /** The complex graph that the stream comes from, whole, and its label there. */
  readonly graph: { readonly text: string; readonly label: string | null } | null;
  /** The encoder's own parameters (`-x264-params`, `-x265-params`, `-svtav1-params`, …), `key=value` with colons. */
  readonly params: string | null;
  readonly pass: number | null;
}

/** One picture stream that a command writes; an output with several has one each. */
export interface EncodeOutput {
  readonly file: string;
  /** The container, by `-f` or the name's extension. */
  readonly muxer: string | null;
  /** The index among the output's picture streams. */
  readonly stream: number;
  /** Where the file's name stands. */
  readonly range: SourceRange;
  readonly video: VideoSettings | null;
  /** Options that decide the picture: canonical name and value, in order. */
  readonly options: readonly (readonly [name: string, value: string])[];
  /** Options of this output that are neither of the picture nor known to be without effect on it, as written. */
  readonly other: readonly string[];
  readonly holes: readonly Hole[];
}

export interface EncodeSettings {
  readonly inputs: readonly InputSettings[];
  readonly outputs: readonly EncodeOutput[];
  readonly holes: readonly Hole[];
}

export interface ParsedSettings {
  readonly value: EncodeSettings;
  readonly problems: readonly SettingsProblem[];
}

/** The settings of a command. Never throws. */
export function parseSettings(command: FoundCommand): ParsedSettings {
  if (command.tool === 'handbrake') return parseHandBrake(command.words);
  if (command.tool === 'svtav1') return parseSvtAv1(command.words);
  return parseFfmpeg(command.words);
}

/** The settings of an argv of ffmpeg, the program first. Never throws. */
export const parseArguments = (argv: readonly string[]): ParsedSettings =>
  parseFfmpeg(argv.map((text) => ({ text, holes: [], splits: false, start: 0, end: 0 })));

/** Options of ffmpeg that take no value (fftools/ffmpeg_opt.c, OPT_TYPE_BOOL and OPT_TYPE_FUNC without OPT_FUNC_ARG). */
const flags = new Set(
  (
    'y n hide_banner nostdin stdin stats nostats an vn sn dn re shortest copyts start_at_zero accurate_seek ' +
    'noaccurate_seek autorotate noautorotate autoscale noautoscale benchmark benchmark_all dump hex hwaccels version L ' +
    'formats muxers demuxers devices codecs decoders encoders bsfs protocols filters pix_fmts layouts sample_fmts colors ' +
    'dispositions buildconf report psnr vstats bitexact copyinkf debug_ts deinterlace fix_sub_duration ignore_unknown ' +
    'copy_unknown find_stream_info qphist xerror intra recast_media fix_sub_duration_heartbeat print_graphs ' +
    'dn_threshold isync'
  ).split(' '),
);

const globalFlags =
  /^(y|n|hide_banner|nostdin|stdin|stats|nostats|report|benchmark|benchmark_all|xerror|copyts|start_at_zero|ignore_unknown|copy_unknown|dump|hex|vstats|debug_ts|psnr|qphist|print_graphs)$/;
const globalValues = new Set(
  (
    'loglevel v progress stats_period max_error_rate filter_threads filter_complex_threads abort_on timelimit ' +
    'cpuflags cpucount vstats_file vstats_version init_hw_device filter_hw_device sdp_file max_alloc copytb dts_delta_threshold ' +
    'dts_error_threshold frame_drop_threshold vsync_method hwaccel hwaccel_device hwaccel_output_format thread_queue_size'
  ).split(' '),
);

/** Options of an output that leave the picture as it is (muxing, sound, metadata, threads, times). */
const withoutEffect =
  /^(movflags|metadata|map_metadata|map_chapters|disposition|tag|vtag|atag|brand|threads|t|to|ss|sseof|fs|frames|vframes|dframes|aframes|shortest|async|ar|ac|ab|aq|acodec|scodec|dcodec|af|channel_layout|ch_layout|sample_fmt|passlogfile|max_muxing_queue_size|muxdelay|muxpreload|muxrate|flush_packets|fflags|avoid_negative_ts|timestamp|hls_.*|seg_.*|segment_.*|dash|.*_duration|window_size|extra_window_size|use_.*|adaptation_sets|var_stream_map|master_pl_name|master_pl_publish_rate|init_seg_name|media_seg_name|single_file.*|streaming|ldash|start_number|update|strftime|reset_timestamps|individual_header_trim|write_.*|id3v2_version|cues_to_front|reserve_index_space|cluster_.*|live|bsf|vbsf|absf|absf|copyts|y|n|an|sn|dn|vn|f|map|map_channel|attach|dump_attachment|target|aspect|enc_time_base|video_track_timescale|movie_timescale|empty_hdlr_name|http_.*|method|headers|user_agent|rtsp_transport|protocol_whitelist|pkt_size|listen|reconnect.*|loop|final_delay|stats|nostats|stats_.*|row-mt|frame-parallel|slices|surfaces|gpu|async_depth|low_power|vaapi_device|qsv_device|hwaccel.*|init_hw_device|filter_hw_device|strict|copytb|copyinkf|bitexact|encryption_.*|hls_key_info_file|tee|onfail|use_fifo|fifo_.*|extra.*|flvflags|mpegts_.*|pat_period|pes_payload_size|pcr_period|min_delay|max_delay|packetsize|max_interleave_delta|dn|itsoffset|itsscale|stream_loop|re|readrate|apad|sub_charenc|fix_sub_duration|canvas_size|c_a|ignore_unknown|max_packet_size|rtbufsize|thread_type|accurate_seek|noaccurate_seek|autorotate|discard|chunk_duration|chunk_size|cutoff|compression_level|vbr|application|frame_duration|packet_loss|fec|mapping_family|xerror|recovery_.*|frag_.*|min_frag_duration|ism_lookahead|skip_iods|default_mode|rw_timeout|timeout|tcp_nodelay|buffer_size|fifo_size|burst_bits|bitrate|ttl|localaddr|broadcast|dscp)$/;

/** Names that mean the same; `:v` is implied by those that only the picture has. */
const aliases: Readonly<Record<string, readonly [name: string, spec: string | null]>> = {
  vcodec: ['c', 'v'],
  acodec: ['c', 'a'],
  scodec: ['c', 's'],
  dcodec: ['c', 'd'],
  codec: ['c', null],
  vf: ['filter', 'v'],
  af: ['filter', 'a'],
  qscale: ['q', null],
  sameq: ['q', null],
  vb: ['b', 'v'],
  ab: ['b', 'a'],
  aq: ['q', 'a'],
  vframes: ['frames', 'v'],
  aframes: ['frames', 'a'],
  vtag: ['tag', 'v'],
  atag: ['tag', 'a'],
  vsync: ['fps_mode', 'v'],
  x264opts: ['x264-params', 'v'],
  vpre: ['preset', 'v'],
  vprofile: ['profile', 'v'],
  aprofile: ['profile', 'a'],
  lavfi: ['filter_complex', null],
  quality: ['deadline', 'v'],
  speed: ['cpu-used', 'v'],
  spatial_aq: ['spatial-aq', 'v'],
  temporal_aq: ['temporal-aq', 'v'],
  keyint: ['g', 'v'],
  bit_rate: ['b', 'v'],
};

/** Options that decide the picture (ffmpeg-codecs, ffmpeg.html, `ffmpeg -h encoder=…`), by canonical name. */
export const pictureOptions = new Set(
  (
    'c pass crf qp cq q global_quality b maxrate minrate bufsize preset tune profile level pix_fmt g keyint_min ' +
    'sc_threshold bf refs b_strategy r s filter fps_mode force_key_frames x264-params x265-params svtav1-params ' +
    'aom-params vvenc-params rav1e-params xavs2-params crf_max qmin qmax qdiff qcomp qblur i_qfactor b_qfactor i_qoffset ' +
    'b_qoffset rc_init_occupancy rc rc-lookahead rc_lookahead lookahead look_ahead look_ahead_depth extbrc rc_mode ' +
    'deadline cpu-used tile-columns tile-rows tiles auto-alt-ref lag-in-frames arnr-maxframes arnr-strength arnr-type ' +
    'arnr_max_frames arnr_strength aq-mode aq_mode aq-strength aq_strength usage lossless undershoot-pct overshoot-pct ' +
    'noise-sensitivity sharpness static-thresh max-intra-rate error-resilient error-resilience tune-content ' +
    'corpus-complexity enable-tpl ts-parameters min-gf-interval denoise-noise-level denoise-block-size still-picture ' +
    'enable-cdef enable-restoration enable-global-motion enable-intrabc enable-obmc enable-palette superres ' +
    'spatial-aq temporal-aq b_ref_mode multipass weighted_pred no-scenecut forced-idr forced_idr strict_gop 2pass ' +
    'b_adapt zerolatency nonref_p init_qpP init_qpB init_qpI qp_i qp_p qp_b qp_cb_offset qp_cr_offset cbr highbitdepth ' +
    'split_encode_mode tf_level lookahead_level uhq allow_sw realtime require_sw prio_speed constant_bit_rate power_efficient ' +
    'bf_ref max_qp_i min_qp_i vbaq preanalysis enforce_hrd filler_data me_range me_method motion-est subq trellis cmp subcmp ' +
    'mbcmp mbd flags flags2 coder context weightp weightb partitions deblock direct-pred mbtree mixed-refs psy psy-rd ' +
    'fast-pskip 8x8dct fast_pskip dct8x8 nr noise_reduction b-pyramid b-bias chromaoffset ssim intra-refresh ' +
    'bluray-compat nal-hrd avcintra-class a53cc rc_eq dct idct dc intra_vlc qscale_type non_linear_quant ' +
    'color_primaries color_trc colorspace color_range chroma_sample_location sws_flags field_order top mpv_flags ' +
    'qsquish hier-mode rc-strategy vendor mbs_per_slice bits_per_mb alpha_bits quant_mat dither ' +
    'speed_level drp qp_min fast hqslice gpb tier load_plugin max_frame_size scenario profile_idc b_depth dia_size'
  ).split(' '),
);

const soundExtensions =
  /^(mp3|aac|m4a|wav|flac|ogg|oga|opus|wma|ac3|eac3|aiff?|mka|amr|m4b|alac|dts|caf|srt|vtt|ass)$/;
const soundMuxers =
  /^(mp3|adts|wav|flac|ogg|oga|opus|ac3|eac3|aiff|s16le|s24le|s32le|f32le|pcm_\w+|srt|webvtt|ass|ffmetadata|chromaprint|alsa|pulse|md5a|ipod_audio)$/;

/** The encoder that ffmpeg takes for a muxer where the command names none (default of a usual build). */
const defaultCodecs: readonly (readonly [RegExp, string])[] = [
  [
    /^(mp4|m4v|mov|mkv|matroska|3gp|3g2|ipod|psp|ismv|f4v|h264|264|hls|m3u8|dash|mpd|segment|nut|mxf_h264)$/,
    'libx264',
  ],
  [/^(webm|webm_chunk|webm_dash_manifest)$/, 'libvpx-vp9'],
  [/^(hevc|h265|265)$/, 'libx265'],
  [/^(avi|divx)$/, 'mpeg4'],
  [/^(ts|mpegts|m2ts|mts|mpg|vob|svcd|dvd|mpeg2video|m2v|mxf)$/, 'mpeg2video'],
  [/^(mpeg|mpeg1video|m1v|vcd)$/, 'mpeg1video'],
  [/^flv$/, 'flv1'],
  [/^(ogv|theora)$/, 'libtheora'],
  [/^gif$/, 'gif'],
  [/^(apng)$/, 'apng'],
  [/^png$/, 'png'],
  [/^(jpg|jpeg|mjpeg|mjpg|image2|mpjpeg)$/, 'mjpeg'],
  [/^(webp)$/, 'libwebp'],
  [/^avif$/, 'libaom-av1'],
  [/^(bmp)$/, 'bmp'],
  [/^tiff?$/, 'tiff'],
  [/^(wmv|asf)$/, 'msmpeg4v3'],
  [/^(ivf)$/, 'libvpx-vp8'],
  [/^(yuv|rawvideo|y4m|yuv4mpegpipe|rgb|sdl|null|framemd5|md5|hash|framehash)$/, 'rawvideo'],
  [/^(rm|rmvb)$/, 'rv10'],
  [/^(dv)$/, 'dvvideo'],
];

interface Option {
  readonly name: string;
  readonly spec: string | null;
  readonly value: CommandWord | null;
  readonly written: readonly string[];
}

function parseFfmpeg(words: readonly CommandWord[]): ParsedSettings {
  const problems: SettingsProblem[] = [];
  const inputs: InputSettings[] = [];
  const outputs: { file: CommandWord; options: Option[]; holes: Hole[] }[] = [];
  const graphs: Option[] = [];
  const commandHoles: Hole[] = [];
  let group: Option[] = [];
  let groupHoles: Hole[] = [];
  for (let at = 1; at < words.length; at += 1) {
    const word = words[at]!;
    const next = words[at + 1];
    if (word.splits && !standsForFile(word, next)) {
      groupHoles.push({ field: 'options', names: word.holes });
      continue;
    }
    if (!/^-./.test(word.text)) {
      outputs.push({ file: word, options: group, holes: groupHoles });
      group = [];
      groupHoles = [];
      continue;
    }
    const [, base, spec] = /^--?([^:]*)(?::(.*))?$/s.exec(word.text)!;
    const name = base!;
    const plain = name.startsWith('no') && !flags.has(name) ? name.slice(2) : name;
    if (flags.has(name) || (plain !== name && flags.has(plain))) {
      if (!globalFlags.test(name))
        group.push({ name, spec: spec ?? null, value: null, written: [word.text] });
      continue;
    }
    if (!next) {
      problems.push({ code: 'missing_value', message: `-${name} has no value.`, field: name });
      continue;
    }
    at += 1;
    if (globalValues.has(name) && !/^(hwaccel|thread_queue_size)/.test(name)) continue;
    if (name === 'i') {
      const muxer = group.find((one) => one.name === 'f')?.value?.text ?? null;
      inputs.push({ file: next.text, muxer, options: group.flatMap(({ written }) => written) });
      commandHoles.push(...groupHoles);
      group = [];
      groupHoles = [];
      continue;
    }
    const [canonical, implied] = (Object.hasOwn(aliases, name) ? aliases[name] : undefined) ?? [name, null];
    const option: Option = {
      name: canonical,
      spec: spec ?? implied,
      value: next,
      written: [word.text, next.text],
    };
    if (canonical === 'filter_complex' || canonical === 'filter_complex_script') graphs.push(option);
    else group.push(option);
  }
  if (group.length > 0 && outputs.length > 0) {
    problems.push({
      code: 'trailing_options',
      message: 'ffmpeg ignores options after the last output.',
      field: group[0]!.name,
    });
  }
  commandHoles.push(...groupHoles);
  // Without an input nothing is encoded: `ffmpeg -version`, or words that only look like a command.
  if (inputs.length === 0 && graphs.length === 0 && !groupsHide(outputs)) outputs.length = 0;
  if (outputs.length === 0) {
    problems.push({ code: 'no_output', message: 'The command names no output.', field: null });
  }
  const streams = outputs.flatMap((one) => readOutput(one, graphs, problems));
  const seen = new Set<string>();
  const holes = [...commandHoles, ...streams.flatMap((one) => one.holes)].filter((hole) => {
    const key = JSON.stringify(hole);
    return !seen.has(key) && seen.add(key);
  });
  return { value: { inputs, outputs: streams, holes }, problems };
}

/** Options that the file does not tell may hold the input. */
const groupsHide = (outputs: readonly { readonly holes: readonly Hole[] }[]): boolean =>
  outputs.some(({ holes }) => holes.some(({ field }) => field === 'options'));

/**
 * Whether an unquoted variable in the place of an output is one, and not a bundle of options: by its name, or because
 * nothing follows.
 */
function standsForFile(word: CommandWord, next: CommandWord | undefined): boolean {
  const name = word.holes[0] ?? '';
  if (
    /opt|(^|_)args?(_|$)|[a-z0-9]Args|ARGS$|flag|param|setting|preset|filter|sometimes|^[@*]|\[@\]$|codec/i.test(
      name,
    ) &&
    !/target/i.test(name)
  ) {
    return false;
  }
  return next === undefined || /out|file|dest|dst|target/i.test(name);
}

function readOutput(
  output: {
    readonly file: CommandWord;
    readonly options: readonly Option[];
    readonly holes: readonly Hole[];
  },
  graphs: readonly Option[],
  problems: SettingsProblem[],
): EncodeOutput[] {
  const { file, options } = output;
  const format = options.findLast((one) => one.name === 'f')?.value?.text ?? null;
  const extension =
    /\.([A-Za-z0-9]{1,8})$/.exec(file.text.replace(/[?#].*$/, ''))?.[1]?.toLowerCase() ?? null;
  const muxer = format ?? extension;
  const range = { start: file.start, end: file.end };
  const fileHoles: Hole[] = file.holes.length > 0 ? [{ field: 'file', names: file.holes }] : [];
  const graphText = graphs.map((one) => one.value!.text).join(';');
  const graph = parseGraph(graphText);
  // What each output stream is taken from, in order.
  const maps = options
    .filter((one) => one.name === 'map' && one.value && !one.value.text.startsWith('-'))
    .map((one) => one.value!.text);
  const pictures = maps.flatMap((map, index): { index: number; label: string | null }[] => {
    const label = /^\[(.+)\]$/.exec(map)?.[1];
    if (label !== undefined) return isSound(graph, label) ? [] : [{ index, label }];
    return /^\d+(:[vV](:\d+)?|:0|:p:\d+.*)?\??$/.test(map) || /\$\{/.test(map)
      ? [{ index, label: null }]
      : [];
  });
  const soundOnly =
    options.some((one) => one.name === 'vn') ||
    (format !== null ? soundMuxers.test(format) : extension !== null && soundExtensions.test(extension)) ||
    (maps.length > 0 && pictures.length === 0);
  const other: string[] = [];
  const named = options.flatMap((one) => {
    const index = /^[vV]:(\d{1,2})$/.exec(one.spec ?? '')?.[1];
    return index === undefined ? [] : [Number(index)];
  });
  const count = Math.min(64, Math.max(1, pictures.length, ...named.map((index) => index + 1)));
  if (soundOnly) {
    return [
      {
        file: file.text,
        muxer,
        stream: 0,
        range,
        video: null,
        options: [],
        other,
        holes: [...output.holes, ...fileHoles],
      },
    ];
  }
  return Array.from({ length: count }, (_, stream) => {
    const holes: Hole[] = [...output.holes, ...fileHoles];
    const chosen = new Map<string, string>();
    const rest: string[] = [];
    for (const option of options) {
      if (!applies(option.spec, stream, pictures[stream]?.index ?? stream)) continue;
      if (!pictureOptions.has(option.name)) {
        if (!withoutEffect.test(option.name)) rest.push(...option.written);
        continue;
      }
      if (option.value!.holes.length > 0) holes.push({ field: option.name, names: option.value!.holes });
      chosen.delete(option.name);
      chosen.set(option.name, option.value!.text);
    }
    const label = pictures[stream]?.label ?? null;
    const graphHoles = graphs.flatMap((one) => one.value!.holes);
    if (graphHoles.length > 0) holes.push({ field: 'filter_complex', names: graphHoles });
    const fromGraph =
      graphText !== '' && (label !== null || maps.length === 0 || pictures[stream] === undefined);
    const video = videoOf(chosen, holes, muxer, fromGraph ? { text: graphText, label } : null, problems);
    return {
      file: file.text,
      muxer,
      stream,
      range,
      video,
      options: [...chosen].map(([name, value]) => [name, value] as const),
      other: [...other, ...rest],
      holes,
    };
  });
}

/** Whether a stream specifier takes in a picture stream (ffmpeg.html, "Stream specifiers"). */
function applies(spec: string | null, stream: number, index: number): boolean {
  if (spec === null || spec === '' || spec === 'v' || spec === 'V') return true;
  const numbered = /^(?:([vV]):)?(\d+)$/.exec(spec);
  if (numbered) return Number(numbered[2]) === (numbered[1] ? stream : index);
  return /^(u|disp:|m:language|i:|#|p:)/.test(spec) || /^[vV]:\D/.test(spec);
}

const encoderNames: Readonly<Record<string, string>> = {
  h264: 'libx264',
  x264: 'libx264',
  hevc: 'libx265',
  h265: 'libx265',
  x265: 'libx265',
  vp8: 'libvpx',
  vp9: 'libvpx-vp9',
  theora: 'libtheora',
  'libvpx-vp8': 'libvpx',
};

const paramNames = [
  'x264-params',
  'x265-params',
  'svtav1-params',
  'aom-params',
  'vvenc-params',
  'rav1e-params',
];

function videoOf(
  chosen: ReadonlyMap<string, string>,
  holes: readonly Hole[],
  muxer: string | null,
  graph: VideoSettings['graph'],
  problems: SettingsProblem[],
): VideoSettings {
  const unknown = new Set(holes.map(({ field }) => field));
  const text = (name: string): string | null => (unknown.has(name) ? null : (chosen.get(name) ?? null));
  const number = (name: string, read: (value: string) => number | null): number | null => {
    const value = text(name);
    if (value === null) return null;
    const result = read(value);
    if (result === null) {
      problems.push({
        code: 'bad_value',
        message: `-${name} ${value} is not a value that ffmpeg takes.`,
        field: name,
      });
    }
    return result;
  };
  const stated = text('c');
  const paramName = paramNames.find((name) => chosen.has(name));
  const params = paramName ? text(paramName) : null;
  const inner = new Map(
    (params ?? '').split(':').map((pair) => {
      const equals = pair.indexOf('=');
      return equals < 0 ? ([pair, ''] as const) : ([pair.slice(0, equals), pair.slice(equals + 1)] as const);
    }),
  );
  const param = (name: string, scale = 1): number | null => {
    const value = inner.get(name);
    return value !== undefined && /^-?[\d.]+$/.test(value) ? Number(value) * scale : null;
  };
  const filters = text('filter');
  const chain = filters
    ? (parseGraph(filters)[0] ?? [])
    : graph?.label
      ? (traceLabel(parseGraph(graph.text), graph.label) ??
        parseGraph(graph.text)
          .flat()
          .filter(({ outputs }) => outputs.includes(graph.label!)))
      : graph
        ? (parseGraph(graph.text).at(-1) ?? [])
        : [];
  const size = text('s');
  const fps = text('r');
  return {
    codec: canonicalCodec(
      unknown.has('c')
        ? ''
        : (stated ?? defaultCodecs.find(([pattern]) => pattern.test(muxer ?? ''))?.[1] ?? ''),
    ),
    codecStated: stated !== null,
    crf: number('crf', decimal) ?? param('crf'),
    qp: number('qp', decimal) ?? param('qp'),
    cq: number('cq', decimal) ?? number('global_quality', decimal),
    qscale: number('q', decimal),
    bitrate: number('b', bits) ?? param('bitrate', 1000) ?? param('tbr', 1000),
    maxrate: number('maxrate', bits) ?? param('vbv-maxrate', 1000) ?? param('mbr', 1000),
    minrate: number('minrate', bits),
    bufsize: number('bufsize', bits) ?? param('vbv-bufsize', 1000),
    preset: text('preset') ?? text('cpu-used') ?? inner.get('preset') ?? null,
    tune: text('tune') ?? inner.get('tune') ?? null,
    profile: text('profile') ?? inner.get('profile') ?? null,
    level: text('level') ?? inner.get('level') ?? inner.get('level-idc') ?? null,
    pixelFormat: text('pix_fmt'),
    gop: number('g', decimal) ?? param('keyint'),
    keyintMin: number('keyint_min', decimal) ?? param('min-keyint'),
    bframes: number('bf', decimal) ?? param('bframes'),
    refs: number('refs', decimal) ?? param('ref'),
    size: size !== null ? (sizeOf(size) ?? null) : scaledSize(chain),
    fps: fps !== null ? number('r', rateOf) : filteredRate(chain),
    filters,
    graph,
    params,
    pass: number('pass', decimal) ?? param('pass'),
  };
}

/** The encoder that a name given to `-c:v` stands for, where ffmpeg has one usual choice. */
export const canonicalCodec = (name: string): string =>
  Object.hasOwn(encoderNames, name.toLowerCase()) ? encoderNames[name.toLowerCase()]! : name;

const decimal = (text: string): number | null => {
  const value = /^[-+]?(\d+\.?\d*|\.\d+)$/.test(text.trim()) ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? value : null;
};

/** A number with ffmpeg's unit prefixes (`1500k`, `2.5M`, `1Mi`, `800kB`), as libavutil's av_strtod reads it. */
export function bits(text: string): number | null {
  const match = /^\+?(\d+\.?\d*|\.\d+)\s*(?:([kKMG])(i?))?(B|bps|b)?$/.exec(text.trim());
  if (!match) return null;
  const power = match[2] ? ' kmg'.indexOf(match[2].toLowerCase()) : 0;
  return Math.round(Number(match[1]) * (match[3] ? 1024 : 1000) ** power * (match[4] === 'B' ? 8 : 1));
}
