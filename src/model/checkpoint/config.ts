import { OmniError } from '../../protocol/errors.ts';
import { families } from './families.ts';
import { type Localization, parseLocalization } from './localization.ts';

/** One picture made of a key frame; see `src/video` for how. */
export type View =
  | { readonly kind: 'squash' }
  | { readonly kind: 'fragments'; readonly cell: number; readonly area: number };

/** The vision tower (SigLIP; Zhai et al., ICCV 2023). */
export interface VisionConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numAttentionHeads: number;
  /** Encoder layers that are run: the tower's own number cut by `mm_vision_select_layer`. */
  readonly layers: number;
  /** Encoder layers that the published tower has; those beyond {@link layers} may be in the file and are not read. */
  readonly storedLayers: number;
  readonly imageSize: number;
  readonly patchSize: number;
  readonly channels: number;
  /** Patches per side. */
  readonly grid: number;
  readonly normEps: number;
  readonly activation: 'gelu_pytorch_tanh' | 'gelu';
  readonly postLayernorm: boolean;
  readonly embeddings: 'patch' | 'cell_statistics';
  readonly views: readonly View[];
}

/** The fast pathway (SlowFast; Feichtenhofer et al., ICCV 2019, section 3.2). */
export interface MotionConfig {
  readonly imageSize: number;
  readonly channels: number;
  readonly input: 'rgb' | 'rgb_logdiff';
  readonly stemWidth: number;
  readonly stemKernel: Triple;
  readonly stemStride: Triple;
  readonly poolKernel: Triple;
  readonly poolStride: Triple;
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  readonly innerWidths: readonly number[];
  readonly temporalKernel: number;
  readonly spatialStrides: readonly number[];
  readonly normEps: number;
  readonly maxPositions: number;
  readonly frameMultiple: number;
  /** Frames to the left and to the right that a frame's token depends on. */
  readonly radius: readonly [number, number];
}

/** Time, height, width. */
export type Triple = readonly [number, number, number];

export type TokenLayout = 'separate' | 'doubled' | 'joined';

/** What a checkpoint was trained to be asked, and how its answer is read. */
export interface Prompts {
  readonly tokenLayout: TokenLayout;
  /** Best first. */
  readonly levels: readonly string[];
  readonly levelWeights: readonly number[];
  readonly systemPrompt: string;
  readonly rating: { readonly user: string; readonly assistant: string };
  /** With {K}, {T} and {question}; null where the checkpoint was not trained to chat. */
  readonly chat: { readonly user: string } | null;
  /**
   * Whether it was trained to answer freely (`chat.converses`). A checkpoint that states a chat prompt of its own for
   * probes of its own answers only those, unless it says otherwise.
   */
  readonly converses: boolean;
  readonly windowSeconds: number;
  readonly stepSeconds: number;
  /** Key frames a second that encodes are compared by, each of them rated with those of the other seconds. */
  readonly comparisonKeyFrames: number;
  readonly branches: readonly string[];
  /** How it is asked what is wrong where; null where it was not trained to answer that. */
  readonly localization: Localization | null;
}

/** `config.json`, normalised: every shape the compiler and the runtime use comes from here. */
export interface ModelConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly vocabSize: number;
  readonly tieWordEmbeddings: boolean;
  /** Positions the language model was made for. */
  readonly maxPositionEmbeddings: number;
  /** Positions after which the embedded sequence is cut. */
  readonly tokenizerModelMaxLength: number;
  readonly eosTokenIds: readonly number[];
  readonly vision: VisionConfig;
  /** Tokens per side after pooling, and per key frame. */
  readonly pooledGrid: number;
  readonly tokensPerFrame: number;
  readonly projectorPosition: boolean;
  readonly motion: MotionConfig | null;
  readonly omnivqa: Prompts & { readonly family: string };
}

type Json = Readonly<Record<string, unknown>>;

/** Shapes of towers that published configs name without describing (huggingface.co model cards of the same id). */
const towers: Readonly<Record<string, Json>> = {
  'google/siglip-so400m-patch14-384': {
    model_type: 'siglip_vision_model',
    hidden_size: 1152,
    intermediate_size: 4304,
    num_hidden_layers: 27,
    num_attention_heads: 16,
    image_size: 384,
    patch_size: 14,
  },
};

/** Where the released code cuts a sequence, whatever its checkpoints' configs say (`llava_arch.py` of VQA²). */
const releasedLength = 10_000;

/** The fast pathway of SlowFast-R50 8x8 as pytorchvideo builds it: β = 1/8 of ResNet-50's widths. */
const slowfastR50: Json = {
  image_size: 384,
  stem_width: 8,
  stem_kernel: [5, 7, 7],
  stem_stride: [1, 2, 2],
  pool_kernel: [1, 3, 3],
  pool_stride: [1, 2, 2],
  depths: [3, 4, 6, 3],
  widths: [32, 64, 128, 256],
  inner_widths: [8, 16, 32, 64],
  temporal_kernel: 3,
  spatial_strides: [1, 2, 2, 2],
};

/** Reads fields of one JSON object, collecting what is wrong under the field's full name instead of stopping. */
class Fields {
  readonly #json: Json;
  readonly #prefix: string;
  readonly #findings: string[];

  constructor(json: Json, prefix: string, findings: string[]) {
    this.#json = json;
    this.#prefix = prefix;
    this.#findings = findings;
  }

  read<T>(name: string, wanted: string, check: (value: unknown) => value is T, fallback: T | undefined): T {
    const value = this.#json[name] ?? fallback;
    if (check(value)) return value;
    const found = value === undefined ? 'missing' : JSON.stringify(value)?.slice(0, 80);
    this.#findings.push(`${this.#prefix}${name} is ${found}; wanted ${wanted}`);
    return fallback as T;
  }

  count(name: string, fallback?: number, most = largest): number {
    const check = (value: unknown): value is number => isCount(value) && value <= most;
    return this.read(name, `a whole number from 1 to ${most}`, check, fallback);
  }

  number(name: string, fallback?: number): number {
    return this.read(name, 'a number', (value): value is number => Number.isFinite(value), fallback);
  }

  flag(name: string, fallback: boolean): boolean {
    return this.read(
      name,
      'true or false',
      (value): value is boolean => typeof value === 'boolean',
      fallback,
    );
  }

  text(name: string, fallback?: string): string {
    return this.read(name, 'text', isText, fallback);
  }

  choice<T extends string>(name: string, choices: readonly T[], fallback?: T): T {
    const check = (value: unknown): value is T => choices.includes(value as T);
    return this.read(name, choices.join(' or '), check, fallback);
  }

  counts(name: string, most = largest): readonly number[] {
    const check = (value: unknown): value is readonly number[] =>
      isList(value) && value.length > 0 && value.every((one) => isCount(one) && one <= most);
    return this.read(name, `a list of whole numbers from 1 to ${most}`, check, undefined);
  }

  triple(name: string): Triple {
    const check = (value: unknown): value is Triple =>
      isList(value) && value.length === 3 && value.every((one) => isCount(one) && one <= mostKernel);
    return this.read(name, `three whole numbers from 1 to ${mostKernel}`, check, undefined);
  }
}

/**
 * Bounds on what a config may ask for, far above any network of the family: beyond them the numbers are a damaged
 * file's, and listing tensors or filling a table of that size would take the process down before a shape is compared.
 */
const largest = 2 ** 31 - 1;
const mostLayers = 1024;
const mostPositions = 2 ** 20;
const mostPixels = 8192;
const mostKernel = 255;

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
const isText = (value: unknown): value is string => typeof value === 'string';
const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Normalises a parsed `config.json`.
 *
 * @param tensorNames The names in the weights: published configs do not say whether there is a motion branch.
 * @param hints Where the checkpoint came from (directory name, hub id): tells families apart that share a config.
 * @throws OmniError `checkpoint_architecture` for another network, `checkpoint_config` with every wrong field.
 */
export function parseModelConfig(
  json: unknown,
  tensorNames: Iterable<string> = [],
  hints: readonly string[] = [],
): ModelConfig {
  if (!isObject(json)) throw invalid(['config.json is not an object']);
  const architectures = isList(json.architectures) ? json.architectures : [];
  if (!architectures.includes('LlavaQwenForCausalLM')) {
    throw new OmniError(
      'checkpoint_architecture',
      `The checkpoint's architecture is ${JSON.stringify(json.architectures ?? json.model_type ?? null)}, not LlavaQwenForCausalLM.`,
      'Choose a checkpoint of the OmniVQA family (README, Models).',
    );
  }
  const findings: string[] = [];
  const top = new Fields(json, '', findings);
  // Variants of the network that the config could name and that would give other numbers in silence.
  for (const [name, value] of [
    ['mm_projector_type', 'mlp2x_gelu'],
    ['mm_spatial_pool_mode', 'bilinear'],
    ['mm_newline_position', 'one_token'],
    ['hidden_act', 'silu'],
  ] as const) {
    top.choice(name, [value], value);
  }
  if (top.flag('use_sliding_window', false)) {
    findings.push('use_sliding_window is true; wanted false: attention reaches over the whole clip');
  }
  // transformers 5 moved the rotary settings into one object; before, rope_scaling was null for plain positions.
  const rope = isObject(json.rope_parameters) ? json.rope_parameters : {};
  const scaling = isObject(json.rope_scaling) ? json.rope_scaling : rope;
  const ropeType = scaling.rope_type ?? scaling.type ?? 'default';
  if (ropeType !== 'default') {
    findings.push(`rope_scaling is of type ${JSON.stringify(ropeType)}; wanted plain rotary positions`);
  }
  const heads = top.count('num_attention_heads');
  const hiddenSize = top.count('hidden_size');
  const maxPositionEmbeddings = top.count('max_position_embeddings', 32768, mostPositions);
  const eos = json.eos_token_id ?? 151645;

  const tower = typeof json.mm_vision_tower === 'string' ? json.mm_vision_tower : '';
  const published = !isObject(json.vision_config);
  const visionJson = json.vision_config ?? towers[tower];
  if (!isObject(visionJson)) {
    throw invalid([`no vision_config, and the vision tower ${JSON.stringify(tower)} is not a known one`]);
  }
  const vision = parseVision(visionJson, json, findings);
  const stride = top.count('mm_spatial_pool_stride', 2);
  const pooledGrid = Math.ceil(vision.grid / stride);

  let motionJson: unknown = json.motion_config;
  if (motionJson === undefined && [...tensorNames].some((name) => name.startsWith('model.slowfast.'))) {
    motionJson = { ...slowfastR50, image_size: vision.imageSize };
  }
  if (motionJson !== undefined && motionJson !== null && !isObject(motionJson)) {
    findings.push('motion_config is not an object');
  }
  const motion = isObject(motionJson) ? parseMotion(motionJson, findings) : null;
  const longest = top.count('tokenizer_model_max_length', Math.min(releasedLength, maxPositionEmbeddings));

  const config: ModelConfig = {
    hiddenSize,
    intermediateSize: top.count('intermediate_size'),
    numHiddenLayers: top.count('num_hidden_layers', undefined, mostLayers),
    numAttentionHeads: heads,
    numKeyValueHeads: top.count('num_key_value_heads', heads),
    headDim: top.count('head_dim', hiddenSize / heads),
    rmsNormEps: top.number('rms_norm_eps', 1e-6),
    ropeTheta: top.number('rope_theta', Number(rope.rope_theta ?? 1e6)),
    vocabSize: top.count('vocab_size'),
    tieWordEmbeddings: top.flag('tie_word_embeddings', false),
    maxPositionEmbeddings,
    tokenizerModelMaxLength: Math.min(
      longest,
      maxPositionEmbeddings,
      published ? releasedLength : Number.POSITIVE_INFINITY,
    ),
    eosTokenIds: isList(eos) ? (eos as number[]) : [eos as number],
    vision,
    pooledGrid,
    tokensPerFrame: pooledGrid ** 2,
    projectorPosition: top.flag('mm_projector_position', false),
    motion,
    omnivqa: parseFamily(json, motion !== null, hints, findings),
  };
  if (config.numAttentionHeads % config.numKeyValueHeads !== 0) {
    findings.push(
      `num_attention_heads ${heads} is not a multiple of num_key_value_heads ${config.numKeyValueHeads}`,
    );
  }
  if (config.headDim % 2 !== 0)
    findings.push(`head_dim ${config.headDim} is odd; rotary positions need pairs`);
  if (!config.eosTokenIds.every((id) => Number.isSafeInteger(id) && id >= 0)) {
    findings.push(`eos_token_id is ${JSON.stringify(eos)}; wanted a token id or a list of them`);
  }
  if (findings.length > 0) throw invalid(findings);
  return config;
}

function parseVision(json: Json, whole: Json, findings: string[]): VisionConfig {
  const fields = new Fields(json, 'vision_config.', findings);
  const storedLayers = fields.count('num_hidden_layers', undefined, mostLayers);
  const select = new Fields(whole, '', findings).read(
    'mm_vision_select_layer',
    'a whole number',
    (value): value is number => Number.isSafeInteger(value),
    -2,
  );
  const layers = select >= 0 ? select : storedLayers + 1 + select;
  if (!(layers >= 0 && layers <= storedLayers)) {
    findings.push(`mm_vision_select_layer ${select} is outside the tower's ${storedLayers} layers`);
  }
  const imageSize = fields.count('image_size', undefined, mostPixels);
  const patchSize = fields.count('patch_size', undefined, mostPixels);
  if (patchSize > imageSize) {
    findings.push(`vision_config.patch_size ${patchSize} is larger than its image_size ${imageSize}`);
  }
  const embeddings = fields.choice('embeddings', ['patch', 'cell_statistics'] as const, 'patch');
  const views = fields.read(
    'views',
    'a list of {"kind": "squash"} and {"kind": "fragments", "cell", "area"}',
    (value): value is readonly View[] => isList(value) && value.length > 0 && value.every(isView),
    [{ kind: 'squash' }],
  );
  for (const view of views ?? []) {
    if (view.kind === 'fragments' && imageSize % view.cell !== 0) {
      findings.push(`vision_config.views: cells of ${view.cell} px do not fill image_size ${imageSize}`);
    }
  }
  const hiddenSize = fields.count('hidden_size');
  const heads = fields.count('num_attention_heads');
  if (hiddenSize % heads !== 0) {
    findings.push(`vision_config.hidden_size ${hiddenSize} is not a multiple of its ${heads} heads`);
  }
  if (embeddings === 'patch' && views.length > 1)
    findings.push('vision_config.views: patch embeddings take one view');
  if (embeddings === 'cell_statistics' && (patchSize % 8 !== 0 || imageSize % patchSize !== 0)) {
    findings.push(
      'vision_config: cell statistics need cells (patch_size) of a multiple of 8 px that fill image_size',
    );
  }
  return {
    hiddenSize,
    intermediateSize: fields.count('intermediate_size'),
    numAttentionHeads: heads,
    layers,
    storedLayers,
    imageSize,
    patchSize,
    channels: rgb(fields),
    grid: Math.floor(imageSize / patchSize),
    normEps: fields.number('layer_norm_eps', 1e-6),
    activation: fields.choice('hidden_act', ['gelu_pytorch_tanh', 'gelu'] as const, 'gelu_pytorch_tanh'),
    postLayernorm: fields.flag('use_post_layernorm', false),
    embeddings,
    views,
  };
}

/** Pictures and motion frames are RGB: other channel counts describe another network. */
function rgb(fields: Fields): number {
  const check = (value: unknown): value is number => value === 3;
  return fields.read('num_channels', '3', check, 3);
}

function isView(value: unknown): value is View {
  if (!isObject(value)) return false;
  return (
    value.kind === 'squash' || (value.kind === 'fragments' && isCount(value.cell) && isCount(value.area))
  );
}

function parseMotion(json: Json, findings: string[]): MotionConfig {
  const fields = new Fields({ ...slowfastR50, ...json }, 'motion_config.', findings);
  const motion: Omit<MotionConfig, 'radius'> = {
    imageSize: fields.count('image_size', undefined, mostPixels),
    channels: rgb(fields),
    input: fields.choice('input', ['rgb', 'rgb_logdiff'] as const, 'rgb'),
    stemWidth: fields.count('stem_width'),
    stemKernel: fields.triple('stem_kernel'),
    stemStride: fields.triple('stem_stride'),
    poolKernel: fields.triple('pool_kernel'),
    poolStride: fields.triple('pool_stride'),
    depths: fields.counts('depths', mostLayers),
    widths: fields.counts('widths'),
    innerWidths: fields.counts('inner_widths'),
    temporalKernel: fields.count('temporal_kernel', undefined, mostKernel),
    spatialStrides: fields.counts('spatial_strides', mostKernel),
    normEps: fields.number('norm_eps', 1e-5),
    maxPositions: fields.count('max_positions', 2000, mostPositions),
    frameMultiple: fields.count('frame_multiple', 4),
  };
  const stages = [motion.depths, motion.widths, motion.innerWidths, motion.spatialStrides].map(
    (list) => list?.length,
  );
  if (new Set(stages).size > 1) {
    findings.push(
      `motion_config: depths, widths, inner_widths and spatial_strides have ${stages.join(', ')} entries`,
    );
  }
  if (motion.stemStride?.[0] !== 1 || motion.poolStride?.[0] !== 1) {
    findings.push('motion_config: a temporal stride would lose the one token per frame');
  }
  const kernels = [motion.stemKernel?.[0], motion.poolKernel?.[0], motion.temporalKernel];
  if (kernels.some((kernel) => kernel !== undefined && kernel % 2 === 0)) {
    findings.push('motion_config: an even temporal kernel would give more tokens than frames');
  }
  if (findings.length > 0) return { ...motion, radius: [0, 0] };
  const half = (kernel: number) => Math.floor(kernel / 2);
  const blocks = motion.depths.reduce((sum, depth) => sum + depth, 0);
  const reach =
    half(motion.stemKernel[0]) + half(motion.poolKernel[0]) + blocks * half(motion.temporalKernel);
  return { ...motion, radius: [reach + (motion.input === 'rgb_logdiff' ? 1 : 0), reach] };
}

function parseFamily(
  json: Json,
  hasMotion: boolean,
  hints: readonly string[],
  findings: string[],
): ModelConfig['omnivqa'] {
  const own = isObject(json.omnivqa) ? json.omnivqa : {};
  const named = typeof own.family === 'string' ? own.family : undefined;
  // `_name_or_path` often still names the base model that a fine-tune started from: it counts last, and a checkpoint
  // with a motion branch is never that base. Without any hint such a checkpoint is taken for the scorer.
  const recognised =
    Object.keys(families).find((name) => name === named) ??
    [...hints, isText(json._name_or_path) ? json._name_or_path : '']
      .map((origin) =>
        Object.entries(families).find(
          ([, { pattern, motion }]) => (motion || !hasMotion) && pattern.test(origin),
        ),
      )
      .find((entry) => entry !== undefined)?.[0] ??
    (hasMotion ? 'ugc-scorer' : 'llava-onevision');
  const family = families[recognised]!;
  const fields = new Fields(own, 'omnivqa.', findings);
  const texts = (value: unknown): value is readonly string[] =>
    isList(value) && value.length > 0 && value.every(isText);
  const levels = fields.read('levels', 'a list of words, best first', texts, family.levels);
  const levelWeights = fields.read(
    'level_weights',
    'a number for each level',
    (value): value is readonly number[] =>
      isList(value) && value.length === levels.length && value.every((weight) => Number.isFinite(weight)),
    family.levelWeights,
  );
  const rating = fields.read(
    'rating',
    '{"user", "assistant"}',
    (value): value is Prompts['rating'] => isObject(value) && isText(value.user) && isText(value.assistant),
    family.rating,
  );
  const chat =
    own.chat === null
      ? null
      : fields.read(
          'chat',
          '{"user"} or null',
          (value): value is Prompts['chat'] => value === null || (isObject(value) && isText(value.user)),
          family.chat,
        );
  const localization =
    own.localization === undefined
      ? chat && family.localization
      : own.localization === null
        ? null
        : parseLocalization(own.localization, findings);
  const converses =
    chat !== null &&
    (isObject(own.chat) && typeof own.chat.converses === 'boolean'
      ? own.chat.converses
      : !(isObject(own.chat) && isObject(own.localization)));
  if (localization && !chat)
    findings.push('omnivqa.localization needs omnivqa.chat, whose prompt it asks in');
  return {
    family: named ?? recognised,
    tokenLayout: fields.choice(
      'token_layout',
      ['separate', 'doubled', 'joined'] as const,
      family.tokenLayout,
    ),
    levels,
    levelWeights,
    systemPrompt: fields.text('system_prompt', family.systemPrompt),
    rating,
    chat,
    converses,
    windowSeconds: fields.count('window_seconds', family.windowSeconds),
    stepSeconds: fields.count('step_seconds', family.stepSeconds),
    comparisonKeyFrames: fields.count('comparison_key_frames', family.comparisonKeyFrames),
    branches: fields.read('branches', 'a list of names', texts, family.branches),
    localization,
  };
}

function invalid(findings: readonly string[]): OmniError {
  return new OmniError(
    'checkpoint_config',
    `config.json does not describe a network that can be built: ${findings.join('; ')}.`,
    'Take config.json from where the checkpoint was published, or correct the fields named.',
    { findings },
  );
}
