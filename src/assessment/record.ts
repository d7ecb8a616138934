import { type Static, type TSchema, Type } from 'typebox';
import { Check, Clean, Clone, Errors } from 'typebox/value';
import { distortionTypes, schemaId, severities } from './vocabulary.ts';

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const seconds = (description: string) => Type.Number({ minimum: 0, description });
const fraction = (description: string) => Type.Number({ minimum: 0, maximum: 1, description });
const strict = { additionalProperties: false };

const Span = Type.Object(
  { start: seconds('Seconds of presentation time.'), end: seconds('Seconds, exclusive.') },
  strict,
);

const Levels = Type.Object(
  {
    high: fraction('Probability of "high" (P.800: excellent).'),
    good: fraction('Probability of "good".'),
    fair: fraction('Probability of "fair".'),
    poor: fraction('Probability of "poor".'),
    low: fraction('Probability of "low" (P.800: bad).'),
  },
  strict,
);

const mos = Type.Number({
  minimum: 1,
  maximum: 5,
  description: 'ITU-T P.800 / BT.500 five-grade scale: 1 + 4·score/100.',
});
const score = Type.Number({ minimum: 0, maximum: 100, description: 'The scale of the paper, 0 to 100.' });

const Pooling = Type.Object(
  {
    mean: score,
    harmonicMean: score,
    p5: score,
    worst: Type.Object({ start: seconds('Seconds.'), end: seconds('Seconds.'), score }, strict),
  },
  strict,
);

const Branch = Type.Object({ mos, score, levels: Levels, pooling: Pooling }, strict);

const Distortion = Type.Object(
  {
    type: Type.Enum(distortionTypes),
    start: seconds('Seconds.'),
    end: seconds('Seconds, exclusive.'),
    region: Type.Object(
      {
        x: fraction('Left edge, as a fraction of the displayed width.'),
        y: fraction('Top edge, as a fraction of the displayed height.'),
        width: fraction('Width, as a fraction of the displayed width.'),
        height: fraction('Height, as a fraction of the displayed height.'),
      },
      strict,
    ),
    severity: Type.Enum(severities),
    score: fraction('How sure the model is.'),
  },
  strict,
);

const Problem = Type.Object(
  {
    code: Type.String({ pattern: '^[a-z][a-z0-9_]*$' }),
    message: Type.String(),
    start: Type.Optional(seconds('Seconds.')),
    end: Type.Optional(seconds('Seconds.')),
  },
  strict,
);

const count = Type.Integer({ minimum: 0 });

const Model = Type.Object(
  {
    id: Type.String(),
    revision: Type.String({ description: 'Names the exact weights.' }),
    precision: Type.String(),
    provider: Type.String(),
    compiler: Type.String(),
    closely: Type.Optional(
      Type.Literal(true, {
        description: 'Several key frames of each second were rated, as of encodes that are compared.',
      }),
    ),
    comparison: Type.Optional(
      Type.String({
        description:
          'Names the weights for comparing encodes that scores are from; distortions are from those of the revision.',
      }),
    ),
  },
  strict,
);

const Refinement = Type.Object(
  {
    start: seconds('Seconds.'),
    end: seconds('Seconds, exclusive.'),
    mos,
    score,
    levels: Levels,
    model: Model,
  },
  { ...strict, description: 'What another model says of one window.' },
);

export const AssessmentSchema = Type.Object(
  {
    schema: Type.Literal(schemaId),
    video: Type.Object(
      {
        path: Type.String({ description: 'As given by the user.' }),
        sha256: nullable(Type.String({ pattern: '^[0-9a-f]{64}$' })),
        container: Type.String(),
        codec: Type.String(),
        profile: nullable(Type.String()),
        pixelFormat: Type.String(),
        width: Type.Integer({ minimum: 1, description: 'Displayed width, px.' }),
        height: Type.Integer({ minimum: 1, description: 'Displayed height, px.' }),
        fps: Type.Number({ exclusiveMinimum: 0, description: 'Average frame rate.' }),
        vfr: Type.Boolean(),
        frames: count,
        duration: nullable(seconds('What the container claims, s.')),
        bitrate: nullable(Type.Number({ minimum: 0, description: 'Bits per second.' })),
        color: Type.Object(
          {
            space: nullable(Type.String()),
            transfer: nullable(Type.String()),
            primaries: nullable(Type.String()),
            range: nullable(Type.String()),
          },
          strict,
        ),
        rotation: Type.Enum([0, 90, 180, 270]),
        interlaced: Type.Boolean(),
      },
      strict,
    ),
    model: Model,
    status: Type.Union([Type.Literal('complete'), Type.Literal('partial'), Type.Literal('cancelled')]),
    coverage: Type.Array(Type.Tuple([seconds('Start, s.'), seconds('End, s.')])),
    mos,
    score,
    levels: Levels,
    branches: Type.Object({ technical: nullable(Branch), aesthetic: nullable(Branch) }, strict),
    pooling: Pooling,
    timeline: Type.Array(Type.Object({ start: seconds('s'), end: seconds('s'), score }, strict), {
      minItems: 1,
    }),
    refinements: Type.Optional(
      Type.Array(Refinement, {
        description:
          'What a second model says of the windows that matter most, in order; every other figure is of `model`.',
      }),
    ),
    distortions: nullable(
      Type.Array(Distortion, { description: 'Null where the model was not trained to find any.' }),
    ),
    signals: Type.Object(
      {
        frameTypes: Type.String({ pattern: '^[IPB?]*$', description: 'One letter per frame.' }),
        frameBytes: Type.Array(count, { description: 'Coded size of each frame, bytes.' }),
        sceneCuts: Type.Array(seconds('s')),
        freezes: Type.Array(Span),
        black: Type.Array(Span),
      },
      { ...strict, description: 'Measured, not learned.' },
    ),
    problems: Type.Array(Problem),
    timing: Type.Object(
      {
        wall: seconds('Seconds.'),
        decode: seconds('Seconds spent waiting for frames.'),
        vision: seconds('Seconds.'),
        motion: seconds('Seconds.'),
        language: seconds('Seconds.'),
      },
      strict,
    ),
  },
  { ...strict, $id: schemaId, title: 'OmniVQA assessment' },
);

/** One assessment of one clip: what `*.omnivqa.json` holds. */
export type Assessment = Static<typeof AssessmentSchema>;
export type Distortion = Static<typeof Distortion>;
export type ModelFacts = Static<typeof Model>;
export type Refinement = Static<typeof Refinement>;
export type Levels = Static<typeof Levels>;
export type Pooling = Static<typeof Pooling>;
export type Span = Static<typeof Span>;
export type RecordProblem = Static<typeof Problem>;

/**
 * Reads an untrusted value as a record; never throws.
 *
 * A record of this version with fields that are not known here is read without them (`record_unknown_fields`): fields
 * may be added within a version. A later version may give a field another meaning, so nothing of it is read.
 *
 * @returns the record, or null with the reason in `problems`: `record_newer` for a later schema version,
 *   `record_invalid` for anything else that is not a record.
 */
export function parseAssessment(value: unknown): { value: Assessment | null; problems: RecordProblem[] } {
  const refused = (code: string, message: string) => ({ value: null, problems: [{ code, message }] });
  if (Check(AssessmentSchema, value)) return { value, problems: [] };
  const id = typeof value === 'object' && value !== null && 'schema' in value ? value.schema : undefined;
  const version = typeof id === 'string' ? /^omnivqa\/assessment@(\d{1,9})$/.exec(id) : null;
  if (version && Number(version[1]) > 1) {
    return refused(
      'record_newer',
      `The record was written by a newer OmniVQA (${version[0]}); this one reads ${schemaId}.`,
    );
  }
  let known: unknown;
  try {
    known = Clean(AssessmentSchema, Clone(value));
  } catch {
    return refused('record_invalid', 'This is not a valid assessment: it is nested too deeply.');
  }
  if (Check(AssessmentSchema, known)) {
    const message = 'The record has fields that this version does not know; they were left out.';
    return { value: known, problems: [{ code: 'record_unknown_fields', message }] };
  }
  const first = Errors(AssessmentSchema, known)[0];
  const where = first ? `${first.instancePath || 'the record'} ${first.message}` : 'it is not a record';
  return refused('record_invalid', `This is not a valid assessment: ${where}.`);
}
