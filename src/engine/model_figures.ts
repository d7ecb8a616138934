/** What was measured of a model on this machine, kept for the list of models. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { Check } from 'typebox/value';
import { writeWhole } from './files.ts';
import type { EngineModel } from './models.ts';
import { cacheDirectory } from './paths.ts';
import { parseJson } from './results.ts';

const amount = Type.Number({ minimum: 0 });

/** A later version of it may have more fields. */
const ModelFigures = Type.Object({
  /** Names the weights. */
  revision: Type.String({ pattern: '^[0-9a-f]{32}$' }),
  provider: Type.String({ pattern: '^[a-z]+$' }),
  /** Milliseconds since 1970. */
  measuredAt: amount,
  loadSeconds: amount,
  /** Rating a clip of 10 s without decoding it. */
  secondsPer10sClip: amount,
  prefillTokensPerSecond: amount,
  decodeTokensPerSecond: amount,
  peakMemoryBytes: amount,
  /** What the device makes of the same matrices alone. */
  limits: Type.Object({ prefillTokensPerSecond: amount, decodeTokensPerSecond: amount }),
});
export type ModelFigures = Static<typeof ModelFigures>;

const folder = () => join(cacheDirectory(), 'figures');

/**
 * Keeps what was measured, in the place of what was measured with the same weights and provider before.
 *
 * @throws OmniError `disk_full`, `not_writable`.
 */
export async function keepFigures(
  { revision, omni }: EngineModel,
  figures: Omit<ModelFigures, 'revision' | 'provider' | 'measuredAt'>,
): Promise<void> {
  const { loadSeconds, secondsPer10sClip, prefillTokensPerSecond, decodeTokensPerSecond, peakMemoryBytes } =
    figures;
  const { provider } = omni.choice;
  const { limits } = figures;
  const kept: ModelFigures = {
    ...{ revision, provider, measuredAt: Date.now(), loadSeconds, secondsPer10sClip },
    ...{ prefillTokensPerSecond, decodeTokensPerSecond, peakMemoryBytes },
    limits: {
      prefillTokensPerSecond: limits.prefillTokensPerSecond,
      decodeTokensPerSecond: limits.decodeTokensPerSecond,
    },
  };
  await writeWhole(join(folder(), `${revision}-${provider}.json`), JSON.stringify(kept));
}

/** The newest figures of some weights, on whatever provider; null where none were measured, or they can not be read. */
export async function newestFigures(revision: string): Promise<ModelFigures | null> {
  const names = await readdir(folder()).catch(() => []);
  const texts = names
    .filter((name) => name.startsWith(`${revision}-`) && name.endsWith('.json'))
    .map((name) => readFile(join(folder(), name), 'utf8').catch(() => ''));
  const found = (await Promise.all(texts))
    .map(parseJson)
    .filter((value) => Check(ModelFigures, value))
    .filter((one) => one.revision === revision);
  return found.sort((a, b) => b.measuredAt - a.measuredAt)[0] ?? null;
}
