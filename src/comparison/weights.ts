import type { Assessment } from '../assessment/record.ts';

/** What measured an encode. */
export interface Rated {
  /** As the user names it. */
  readonly model: string;
  /** {@link weightsOf} the record; undefined in results of earlier versions. */
  readonly weights?: string;
  /** Milliseconds since 1970. */
  readonly measuredAt: number;
}

/** Names the weights of a record: a model of one name has others after an update, whose MOS is another. */
export const weightsOf = ({ revision, comparison }: Assessment['model']): string =>
  comparison ? `${revision}+${comparison}` : revision;

/** The weights that a model has by the newest of the results: those of other ones do not stand beside its. */
export function newestWeights(results: Iterable<Rated>, model: string): string | undefined {
  let newest: Rated | undefined;
  for (const one of results) {
    if (one.model === model && one.measuredAt >= (newest?.measuredAt ?? Number.NEGATIVE_INFINITY))
      newest = one;
  }
  return newest?.weights;
}
