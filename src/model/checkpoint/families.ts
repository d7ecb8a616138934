import type { Prompts } from './config.ts';
import type { Localization } from './localization.ts';

/** What the released code of one checkpoint family says about its prompts; data, no behaviour. */
export interface Family extends Omit<Prompts, 'converses'> {
  /** Whether a checkpoint directory's name, or the hub id in its config, belongs to the family. */
  readonly pattern: RegExp;
  /** Whether checkpoints of the family can have a motion branch. */
  readonly motion: boolean;
}

const levels = ['high', 'good', 'fair', 'poor', 'low'] as const;
const levelWeights = [1, 0.75, 0.5, 0.25, 0] as const;
const systemPrompt = 'You are a helpful assistant.';
/** What the released raters are asked. */
export const ratingQuestion = 'How would you rate the quality of this video?';
const answer = 'The quality of the video is';

/** The doubled "the" and the stray "." stand in the released script, and so in what the models were trained on. */
const chat = {
  user:
    'You will receive {K} distinct frames that have been uniformly sampled in each second from a video sequence, ' +
    'arranged in the same temporal order as they appear in the video. In addition, you will also obtain motion ' +
    'features extracted from all {T} frames of the the video.  Please analyze these images and answer the ' +
    'questions based on your observations.\nThe video frames:<image>\nThe video motion features:<image>\n.{question}',
};

const keyFramesAndMotion = {
  user: `The key frames of this video are:\n<image>. And the motion feature of the video is\n<image>. ${ratingQuestion}`,
  assistant: answer,
};

const shared = {
  motion: true,
  levels,
  levelWeights,
  systemPrompt,
  windowSeconds: 10,
  stepSeconds: 10,
  comparisonKeyFrames: 1,
  branches: ['technical'],
  localization: null,
};

/** The released multiple-choice form: the options a line each, then this; the answer begins with the option's letter. */
const choose = (question: string, options: readonly string[]) =>
  `${question}\n${options.map((option, i) => `${'ABCDEFGHI'[i]}. ${option}`).join('\n')}\n` +
  "Please answer the question in the following format: the uppercase letter of the correct answer option itself +'.'. " +
  'Please do not add any other answers beyond this.';

/**
 * The fixed-form questions of the fine-grained set as choices whose letters are read from the logits. Its places are a
 * quarter of the frame: the centre or a corner. Uncalibrated: no checkpoint was at hand to fit temperatures on.
 */
const choices: Localization = {
  scope: 'window',
  grid: 4,
  size: 2,
  spatial: {
    question: choose('Which local distortion does the video have at {second} second?', [
      'blur',
      'noise',
      'overexposure',
      'underexposure',
      'compression',
      'no distortion',
    ]),
    answer: '',
    types: { blur: 'A', noise: 'B', overexposure: 'C', underexposure: 'D', compression: 'E' },
    none: 'F',
  },
  severity: {
    question: choose('How severe is the {type} at {second} second?', [
      'noticeable',
      'relatively severe',
      'severe',
    ]),
    prefix: '',
    levels: ['A', 'B', 'C'],
  },
  place: {
    question: choose('Where in the frame is the {type} at {second} second?', [
      'Center',
      'upper left',
      'upper right',
      'lower left',
      'lower right',
      'the whole frame',
    ]),
    prefix: '',
    whole: 'F',
    regions: [
      { word: 'A', x: 0.25, y: 0.25, width: 0.5, height: 0.5 },
      { word: 'B', x: 0, y: 0, width: 0.5, height: 0.5 },
      { word: 'C', x: 0.5, y: 0, width: 0.5, height: 0.5 },
      { word: 'D', x: 0, y: 0.5, width: 0.5, height: 0.5 },
      { word: 'E', x: 0.5, y: 0.5, width: 0.5, height: 0.5 },
    ],
  },
  temporal: {
    question: choose('Does the video stutter at {second} second?', ['Yes', 'No']),
    answer: '',
    yes: 'A',
    no: 'B',
  },
  calibration: {
    spatial: { temperature: 1, threshold: 0.5 },
    temporal: { temperature: 1, threshold: 0.5 },
    place: { temperature: 1 },
    severity: { temperature: 1 },
  },
};

/**
 * The families that share the network (Jia et al., arXiv 2505.22543, and the released scripts of its sibling
 * models). The first pattern that matches wins; a config's own `omnivqa` section overrides every entry.
 */
export const families: Readonly<Record<string, Family>> = {
  'ugc-scorer': {
    ...shared,
    pattern: /ugc-scorer/i,
    tokenLayout: 'separate',
    rating: keyFramesAndMotion,
    chat: null,
  },
  'streaming-scorer': {
    ...shared,
    pattern: /streaming-scorer/i,
    tokenLayout: 'separate',
    rating: { user: `${ratingQuestion}\n<image>`, assistant: answer },
    chat: null,
  },
  'assistant-enhanced': {
    ...shared,
    pattern: /assistant.*enhanced/i,
    tokenLayout: 'doubled',
    rating: keyFramesAndMotion,
    chat,
    localization: choices,
  },
  assistant: {
    ...shared,
    pattern: /assistant/i,
    tokenLayout: 'separate',
    rating: keyFramesAndMotion,
    chat,
    localization: choices,
  },
  'llava-assessor': {
    ...shared,
    pattern: /llava-assessor/i,
    tokenLayout: 'joined',
    rating: { user: `<image>\n${ratingQuestion}`, assistant: answer },
    chat,
  },
  'llava-onevision': {
    ...shared,
    pattern: /onevision/i,
    motion: false,
    tokenLayout: 'joined',
    rating: { user: `<image>\n${ratingQuestion}`, assistant: answer },
    chat: { user: '<image>\n{question}' },
  },
};
