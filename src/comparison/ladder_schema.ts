import { type Static, Type } from 'typebox';

const strict = { additionalProperties: false };

const rate = (description: string) =>
  Type.Union([Type.Integer({ minimum: 1 }), Type.String({ pattern: '^(\\d+\\.?\\d*|\\.\\d+)[kKMG]?$' })], {
    description: `${description} Bits per second, or with ffmpeg's units: 4500k, 4.5M.`,
  });

const mos = Type.Number({ minimum: 1, maximum: 5, description: 'The MOS (1 to 5) to reach.' });

const settings = {
  codec: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9_-]*$',
      description:
        "ffmpeg's name of the encoder: libx264, libx265, libsvtav1, libvpx-vp9. By default libx264.",
    }),
  ),
  crf: Type.Optional(
    Type.Number({ minimum: 0, maximum: 63, description: 'Constant quality. Not with bitrate.' }),
  ),
  bitrate: Type.Optional(rate('Target rate. Not with crf.')),
  maxrate: Type.Optional(rate('Highest rate, with bufsize.')),
  bufsize: Type.Optional(rate('Size of the decoder’s buffer, bits.')),
  width: Type.Optional(
    Type.Integer({ minimum: 2, maximum: 16384, description: 'px; alone, the height follows.' }),
  ),
  height: Type.Optional(
    Type.Integer({ minimum: 2, maximum: 16384, description: 'px; alone, the width follows.' }),
  ),
  fps: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1000 })),
  preset: Type.Optional(
    Type.Union([Type.String(), Type.Integer()], { description: "The encoder's preset." }),
  ),
  tune: Type.Optional(Type.Union([Type.String(), Type.Integer()])),
  pixelFormat: Type.Optional(
    Type.String({ pattern: '^[a-z0-9_]+$', description: 'As -pix_fmt: yuv420p10le.' }),
  ),
  gop: Type.Optional(Type.Integer({ minimum: 1, description: 'Frames between key frames at most.' })),
  twoPass: Type.Optional(Type.Boolean({ description: 'Encode in two passes; with bitrate.' })),
  args: Type.Optional(
    Type.Array(Type.String(), {
      maxItems: 100,
      description: "More options of ffmpeg for the picture, one word each: ['-x264-params', 'aq-mode=3'].",
    }),
  ),
  targetMos: Type.Optional(mos),
};

/** The first name of a ladder's schema; a later version gets another. */
export const ladderSchemaId = 'omnivqa/ladder@1';

/** Most rungs of a ladder. */
export const mostRungs = 200;

/** An encoding ladder, `*.ladder.yaml` (or `.json`, `.toml`). */
export const LadderSchema = Type.Object(
  {
    schema: Type.Optional(Type.Literal(ladderSchemaId)),
    source: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'The clip to encode, relative to this file. The command line’s comes first.',
      }),
    ),
    targetMos: Type.Optional(mos),
    defaults: Type.Optional(
      Type.Object(settings, {
        ...strict,
        description: 'Settings of every rung that does not say otherwise.',
      }),
    ),
    rungs: Type.Array(
      Type.Object(
        {
          name: Type.Optional(
            Type.String({ minLength: 1, maxLength: 100, description: 'Unique; shown with results.' }),
          ),
          ...settings,
        },
        strict,
      ),
      { minItems: 1, maxItems: mostRungs, description: 'From the best to the cheapest.' },
    ),
  },
  { ...strict, $id: ladderSchemaId, title: 'OmniVQA encoding ladder' },
);

export type LadderFile = Static<typeof LadderSchema>;
