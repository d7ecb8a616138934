import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { type Assessment, parseAssessment } from '../../../src/assessment/record.ts';
import { schemaId } from '../../../src/assessment/vocabulary.ts';
import { recordOf } from './records.ts';

interface Generator {
  readonly schemaPath: string;
  schemaText(): Promise<string>;
}
const generator: string = '../../../scripts/schema.mjs';
const { schemaPath, schemaText } = (await import(generator)) as Generator;
const published = readFileSync(schemaPath, 'utf8');
const accepts = new Ajv({ allErrors: true }).compile(JSON.parse(published));

const distortion = {
  type: 'blur',
  start: 1,
  end: 3,
  region: { x: 0.5, y: 0, width: 0.5, height: 0.5 },
  severity: 'relatively severe',
  score: 0.8,
} as const;

const good: Readonly<Record<string, Assessment>> = {
  plain: recordOf(),
  'with distortions': recordOf({ distortions: [distortion] }),
  'that found none': recordOf({ distortions: [] }),
  'with a branch': recordOf({
    branches: {
      technical: { mos: 3, score: 50, levels: recordOf().levels, pooling: recordOf().pooling },
      aesthetic: null,
    },
  }),
  cancelled: recordOf({ status: 'cancelled', video: { ...recordOf().video, sha256: null, duration: null } }),
  'refined by another model': recordOf({
    refinements: [
      {
        ...{ start: 2, end: 3, mos: 2.2, score: 30, levels: recordOf().levels },
        model: { ...recordOf().model, id: 'full', revision: 'f'.repeat(32) },
      },
    ],
  }),
  'with gaps and problems': recordOf({
    status: 'partial',
    coverage: [
      [0, 1],
      [2, 4],
    ],
    problems: [
      { code: 'truncated', message: 'cut', start: 1, end: 2 },
      { code: 'vfr', message: '\u001b[2J' },
    ],
  }),
};

const { mos: _, ...withoutMos } = recordOf();
const bad: Readonly<Record<string, unknown>> = {
  null: null,
  'a number': 3,
  'a list': [recordOf()],
  empty: {},
  'another schema': { ...recordOf(), schema: 'omnivqa/other@1' },
  'a schema that is no text': { ...recordOf(), schema: 1 },
  'without a MOS': withoutMos,
  'a MOS of 0': recordOf({ mos: 0 }),
  'a score of 101': recordOf({ score: 101 }),
  'a score as text': { ...recordOf(), score: '58' },
  'an unknown status': { ...recordOf(), status: 'done' },
  'no timeline': recordOf({ timeline: [] }),
  'an unknown distortion': { ...recordOf(), distortions: [{ ...distortion, type: 'banding' }] },
  'a region outside the frame': {
    ...recordOf(),
    distortions: [{ ...distortion, region: { ...distortion.region, x: 2 } }],
  },
  'a coverage of one number': { ...recordOf(), coverage: [[0]] },
  'a negative time': recordOf({ coverage: [[-1, 2]] }),
  'a hash that is none': recordOf({ video: { ...recordOf().video, sha256: 'xyz' } }),
  'a rotation of 45 degrees': { ...recordOf(), video: { ...recordOf().video, rotation: 45 } },
};

describe('the schema of a record', () => {
  it('is the one that is published', async () => {
    expect(published).toBe(await schemaText());
  });

  it.each(Object.entries(good))('accepts a record: %s', (_, record) => {
    expect(accepts(record), JSON.stringify(accepts.errors)).toBe(true);
    expect(parseAssessment(JSON.parse(JSON.stringify(record)))).toEqual({ value: record, problems: [] });
  });

  it.each(Object.entries(bad))('refuses what is none: %s', (_, value) => {
    expect(accepts(value)).toBe(false);
    expect(parseAssessment(value)).toMatchObject({ value: null, problems: [{ code: 'record_invalid' }] });
  });
});

describe('parseAssessment', () => {
  it('names the first thing that is wrong', () => {
    const { problems } = parseAssessment(recordOf({ mos: 9 }));
    expect(problems[0]?.message).toContain('/mos');
  });

  it('reads nothing of a later version, and says so', () => {
    const { value, problems } = parseAssessment({ ...recordOf(), schema: 'omnivqa/assessment@2' });
    expect(value).toBeNull();
    expect(problems[0]?.code).toBe('record_newer');
    expect(problems[0]?.message).toContain(schemaId);
  });

  it('leaves out fields that a later release added, without touching what it was given', () => {
    const given = { ...recordOf(), mood: 'calm', video: { ...recordOf().video, grain: 3 } };
    const { value, problems } = parseAssessment(given);
    expect(value).toEqual(recordOf());
    expect(problems.map(({ code }) => code)).toEqual(['record_unknown_fields']);
    expect(given.video.grain).toBe(3);
  });

  it('never throws, however deep the value', () => {
    const value: unknown = JSON.parse(`{"schema":${'['.repeat(200_000)}${']'.repeat(200_000)}}`);
    expect(parseAssessment(value)).toMatchObject({ value: null, problems: [{ code: 'record_invalid' }] });
  });
});
