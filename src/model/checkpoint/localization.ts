import { type Static, Type } from 'typebox';
import { Check, Errors } from 'typebox/value';

/** The distortions that have a place in the frame (Jia et al., arXiv 2505.22543, in-context branch). */
export const spatialTypes = ['blur', 'noise', 'overexposure', 'underexposure', 'compression'] as const;
export type SpatialType = (typeof spatialTypes)[number];

const strict = { additionalProperties: false };
const text = Type.String();
/** A word of an answer that is one token: it is read from the logits of one position. */
const word = Type.String({ minLength: 1 });
const words = Type.Array(word, { minItems: 1 });
const share = Type.Number({ minimum: 0, maximum: 1 });
const calibration = Type.Object(
  { temperature: Type.Number({ exclusiveMinimum: 0 }), threshold: Type.Optional(share) },
  strict,
);

/**
 * How likely a run of steps is to be a distortion: a logistic function of what is known of it, and the probability from
 * which it is reported.
 */
const SegmentSchema = Type.Object(
  {
    threshold: share,
    bias: Type.Number(),
    weights: Type.Object(
      {
        /** Of its type's log odds against nothing: their mean. */
        mean: Type.Number(),
        /** By how much that is more than the median around it. */
        contrast: Type.Number(),
        /** By how much its least sure step is surer than the steps beside it. */
        edge: Type.Number(),
        /** 1 where there is nothing around it. */
        alone: Type.Number(),
        /** How likely it is to lie in a part of the frame. */
        local: Type.Number(),
        /** Logarithm of the number of its steps. */
        length: Type.Number(),
      },
      strict,
    ),
  },
  strict,
);

/** A place as two edges: the words of the left and of the top edge, in cells of a grid. */
const GridPlace = Type.Object(
  {
    question: Type.Optional(word),
    prefix: text,
    whole: word,
    part: word,
    columns: words,
    between: text,
    rows: words,
  },
  strict,
);

/** A place as one choice among regions of the frame. */
const ListedPlace = Type.Object(
  {
    question: Type.Optional(word),
    prefix: text,
    whole: word,
    regions: Type.Array(Type.Object({ word, x: share, y: share, width: share, height: share }, strict), {
      minItems: 1,
    }),
  },
  strict,
);

const LocalizationSchema = Type.Object(
  {
    /** `step`: each step of a window is asked about on its own; `window`: all seconds on the window's one prefix. */
    scope: Type.Union([Type.Literal('step'), Type.Literal('window')]),
    /** Cells per side, and the side of a place in cells. */
    grid: Type.Integer({ minimum: 1, maximum: 1000 }),
    size: Type.Integer({ minimum: 1, maximum: 1000 }),
    spatial: Type.Object(
      {
        /** {second} is the second that is asked about, counted from 1. */
        question: word,
        answer: text,
        none: word,
        types: Type.Object(
          { blur: word, noise: word, overexposure: word, underexposure: word, compression: word },
          strict,
        ),
      },
      strict,
    ),
    /** Without a question of its own the answer goes on after the type's word. {type} is the type that was found. */
    severity: Type.Object(
      { question: Type.Optional(word), prefix: text, levels: Type.Tuple([word, word, word]) },
      strict,
    ),
    place: Type.Union([GridPlace, ListedPlace]),
    temporal: Type.Union([
      Type.Object(
        { question: word, answer: text, yes: word, no: word, severity: Type.Optional(Type.Boolean()) },
        strict,
      ),
      Type.Null(),
    ]),
    calibration: Type.Object(
      {
        spatial: calibration,
        temporal: calibration,
        place: calibration,
        severity: calibration,
        segments: Type.Optional(SegmentSchema),
      },
      strict,
    ),
  },
  strict,
);

/** How a model is asked what is wrong where, and where in its answers the logits are read. */
export type Localization = Static<typeof LocalizationSchema>;

export type SegmentCalibration = Static<typeof SegmentSchema>;

/** Reads `omnivqa.localization`; what is wrong with it is added to `findings`. */
export function parseLocalization(value: unknown, findings: string[]): Localization | null {
  if (!Check(LocalizationSchema, value)) {
    const [first] = Errors(LocalizationSchema, value);
    findings.push(
      `omnivqa.localization${first ? `${first.instancePath} ${first.message}` : ' can not be read'}`,
    );
    return null;
  }
  if ('columns' in value.place) {
    const edges = value.grid - value.size + 1;
    const { columns, rows } = value.place;
    if (columns.length !== edges || rows.length !== edges) {
      findings.push(
        `omnivqa.localization.place: a side of ${value.size} in ${value.grid} cells has ${edges} places, not ${columns.length} columns and ${rows.length} rows`,
      );
    }
  }
  return value;
}
