/** The words of the record, apart from its schema: a view needs them without the validator. */

/** Version of the record's schema. A reader takes records of its own major version and says so about others. */
export const schemaId = 'omnivqa/assessment@1';

/** The five quality levels; the paper's words, best first. */
export const levelNames = ['high', 'good', 'fair', 'poor', 'low'] as const;

export const distortionTypes = [
  'blur',
  'noise',
  'overexposure',
  'underexposure',
  'compression',
  'stutter',
] as const;
export type DistortionType = (typeof distortionTypes)[number];

export const severities = ['noticeable', 'relatively severe', 'severe'] as const;
export type Severity = (typeof severities)[number];
