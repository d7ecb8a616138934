/** One filter of a graph, `[in]name@id=arguments[out]`. */
export interface Filter {
  readonly name: string;
  readonly arguments: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** As written, without its labels. */
  readonly text: string;
}

/** A filter graph: chains of filters. Never throws; what is not a filter comes out as one with an empty name. */
export function parseGraph(text: string): Filter[][] {
  return split(text.slice(0, 20_000), ';')
    .map((chain) => split(chain, ',').map(parseFilter))
    .filter((chain) => chain.some(({ name, inputs }) => name !== '' || inputs.length > 0));
}

function parseFilter(text: string): Filter {
  const match = /^\s*((?:\[[^\]]*\]\s*)*)(.*?)((?:\s*\[[^\]]*\])*)\s*$/s.exec(text)!;
  const labels = (some: string) => [...some.matchAll(/\[([^\]]*)\]/g)].map(([, label]) => label!.trim());
  const body = match[2]!.trim();
  const equals = body.indexOf('=');
  const name = (equals < 0 ? body : body.slice(0, equals)).trim().replace(/@.*$/, '');
  return {
    name: /^[\w.]+$/.test(name) ? name : '',
    arguments: equals < 0 ? '' : unquoted(body.slice(equals + 1).trim()),
    inputs: labels(match[1]!),
    outputs: labels(match[3]!),
    text: body,
  };
}

/** Splits at a separator that stands outside quotes, escapes and labels. */
function split(text: string, separator: string): string[] {
  const parts: string[] = [];
  let quoted = false;
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (!quoted && text[at] === '\\') at += 1;
    else if (text[at] === "'") quoted = !quoted;
    else if (!quoted && text[at] === separator) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return [...parts, text.slice(from)];
}

const unquoted = (text: string): string => text.replace(/\\(.)|'([^']*)'/gs, (_, one, two) => one ?? two);

/** The arguments of a filter by name, with the names that positions have. */
export function filterArguments(filter: Filter, positions: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  for (const [index, part] of filter.arguments.split(':').entries()) {
    const named = /^\s*(\w+)\s*=(.*)$/s.exec(part);
    if (named) values.set(named[1]!, named[2]!.trim());
    else if (positions[index] && part.trim()) values.set(positions[index], part.trim());
  }
  return values;
}

/** Filters that work on one picture stream and open no file. */
const plainFilters = new Set(
  (
    'scale zscale fps framerate crop pad format noformat setsar setdar yadif bwdif estdif w3fdif kerndeint ' +
    'fieldmatch decimate pullup field fieldorder tinterlace separatefields weave idet hqdn3d nlmeans bm3d vaguedenoiser ' +
    'owdenoise dctdnoiz fftdnoiz atadenoise chromanr median unsharp cas smartblur sab gblur boxblur avgblur dblur ' +
    'deband gradfun deblock pp pp7 spp fspp uspp eq hue huesaturation colorbalance colorchannelmixer colorlevels ' +
    'curves exposure vibrance normalize limiter lutyuv lutrgb lut negate grayscale monochrome colorspace colormatrix ' +
    'setparams setrange setfield tonemap transpose hflip vflip rotate noise vignette removegrain minterpolate ' +
    'mpdecimate dejudder deflicker tmix trim select framestep copy null setpts settb lenscorrection perspective ' +
    'cropdetect shuffleframes telecine il phase fieldhint histeq bilateral guided sharpen_npp'
  ).split(' '),
);

/** `curves=psfile=…` reads a file. */
const fileArguments = /(^|:)\s*(psfile|filename|file|textfile|fontfile|stats_file|model|clut|stats)\s*=/i;

export const isPlainFilter = (filter: Filter): boolean =>
  plainFilters.has(filter.name) && !fileArguments.test(filter.arguments);

/** Filters that change which frames there are rather than how they look; an excerpt of our own has no use for them. */
export const isTimeFilter = (filter: Filter): boolean => /^(trim|select|setpts)$/.test(filter.name);

/**
 * The filters between the first input's picture and a label of a complex graph, in order; null where other streams
 * flow in (overlay, concat, stack) or the way back is not plain.
 */
export function traceLabel(graph: readonly (readonly Filter[])[], label: string): Filter[] | null {
  const filters: Filter[] = [];
  let wanted = label;
  for (let step = 0; step < 100; step += 1) {
    const chain = graph.find((one) => one.some(({ outputs }) => outputs.includes(wanted)));
    if (!chain) return /^0(:v(:0)?)?$/.test(wanted) ? filters : null;
    const last = chain.findIndex(({ outputs }) => outputs.includes(wanted));
    for (let at = last; at >= 0; at -= 1) {
      const filter = chain[at]!;
      if (filter.inputs.length > 1) return null;
      if (filter.name === '') return null;
      if (!/^(split|null|copy)$/.test(filter.name)) filters.unshift(filter);
      if (filter.inputs.length === 1) {
        wanted = filter.inputs[0]!;
        break;
      }
      // Without a label the graph takes the first free picture.
      if (at === 0) return sourceFilters.test(filter.name) ? null : filters;
    }
  }
  return null;
}

const sourceFilters =
  /^(color|testsrc2?|smptebars|smptehdbars|nullsrc|movie|amovie|life|mandelbrot|gradients|overlay|[hvx]stack|concat|blend|mix)$/;

/** Whether a label of a graph carries sound. */
export function isSound(graph: readonly (readonly Filter[])[], label: string): boolean {
  const filter = graph.flat().find(({ outputs }) => outputs.includes(label));
  if (!filter) return /:a(:|$)/.test(label);
  if (
    /^(alphamerge|alphaextract|addroi|atadenoise|amplify|ass|avgblur|alphaoverlay|apply)$/.test(filter.name)
  )
    return false;
  if (filter.name === 'concat') {
    const values = filterArguments(filter, []);
    return filter.outputs.indexOf(label) >= Number(values.get('v') ?? 1);
  }
  return /^(a[a-z]+|loudnorm|volume|pan|dynaudnorm|highpass|lowpass|equalizer|bass|treble|stereo\w*|compand|silence\w*|sidechain\w*)$/.test(
    filter.name,
  );
}

const namedSizes: Readonly<Record<string, readonly [number, number]>> = {
  ntsc: [720, 480],
  pal: [720, 576],
  qntsc: [352, 240],
  qpal: [352, 288],
  film: [352, 240],
  sqcif: [128, 96],
  qcif: [176, 144],
  cif: [352, 288],
  '4cif': [704, 576],
  '16cif': [1408, 1152],
  qqvga: [160, 120],
  qvga: [320, 240],
  vga: [640, 480],
  svga: [800, 600],
  xga: [1024, 768],
  uxga: [1600, 1200],
  sxga: [1280, 1024],
  wvga: [852, 480],
  hd480: [852, 480],
  hd720: [1280, 720],
  hd1080: [1920, 1080],
  '2k': [2048, 1080],
  '2kflat': [1998, 1080],
  nhd: [640, 360],
  qhd: [960, 540],
  uhd2160: [3840, 2160],
  '4k': [4096, 2160],
  uhd4320: [7680, 4320],
};

/** A picture's size as `1280x720` or by ffmpeg's names for sizes (ffmpeg-utils, "Video size"). */
export function sizeOf(text: string): { readonly width: number; readonly height: number } | null {
  const pixels = /^(\d{1,5})\s*[x*:]\s*(\d{1,5})$/.exec(text.trim());
  const [width, height] = pixels
    ? [Number(pixels[1]), Number(pixels[2])]
    : ((Object.hasOwn(namedSizes, text.trim()) ? namedSizes[text.trim()] : undefined) ?? [0, 0]);
  return width! > 0 && height! > 0 ? { width: width!, height: height! } : null;
}

/** What a chain's last `scale` asks for, px; null for a side that follows from the other or from an expression. */
export function scaledSize(
  filters: readonly Filter[],
): { readonly width: number | null; readonly height: number | null } | null {
  const scale = filters.findLast(({ name }) => /^(scale|zscale|scale_\w+|libplacebo)$/.test(name));
  if (!scale) return null;
  const values = filterArguments(scale, ['w', 'h']);
  const size = values.get('s') ?? values.get('size') ?? (values.has('h') ? undefined : values.get('w'));
  const named = size === undefined ? null : sizeOf(size);
  if (named) return named;
  const side = (text: string | undefined) =>
    text !== undefined && /^\d{2,5}$/.test(text) ? Number(text) : null;
  const width = side(values.get('w') ?? values.get('width'));
  const height = side(values.get('h') ?? values.get('height'));
  return width === null && height === null ? null : { width, height };
}

/** Frames per second of a rate as ffmpeg reads it: `25`, `30000/1001`, `ntsc`. */
export function rateOf(text: string): number | null {
  const named: Readonly<Record<string, number>> = {
    ntsc: 30000 / 1001,
    pal: 25,
    film: 24,
    'ntsc-film': 24000 / 1001,
    ntsc_film: 24000 / 1001,
  };
  if (Object.hasOwn(named, text)) return named[text]!;
  const match = /^(\d+(?:\.\d+)?)(?:[/:](\d+(?:\.\d+)?))?$/.exec(text.trim());
  const value = match ? Number(match[1]) / Number(match[2] ?? 1) : 0;
  return Number.isFinite(value) && value > 0 ? value : null;
}

/** What a chain's last `fps` asks for. */
export function filteredRate(filters: readonly Filter[]): number | null {
  const filter = filters.findLast(({ name }) => name === 'fps');
  const value = filter && filterArguments(filter, ['fps']).get('fps');
  return value ? rateOf(value) : null;
}
