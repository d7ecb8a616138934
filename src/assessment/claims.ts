/** Holds what a text says about a clip against the clip's record: a claim that the record contradicts can be marked. */
import { denies, liesIn, namedPlaces, namedSeverities, namedTimes, namedTypes, timeIn } from './mentions.ts';
import type { Assessment, Distortion } from './record.ts';
import { placeOf } from './report_text.ts';

export interface CheckedClaim {
  /** UTF-16 units in the text; `to` is not included. */
  readonly from: number;
  readonly to: number;
  readonly text: string;
  readonly verdict: 'agrees' | 'contradicts' | 'unknown';
  /** What the record says, in words. */
  readonly because: string;
}

/** Claims that are looked at in one text. */
const mostClaims = 50;

const said = ({ type, start, end, severity, region }: Distortion) =>
  `${severity} ${type} at ${Number(start.toFixed(2))}–${Number(end.toFixed(2))} s, ${placeOf(region)}`;

/**
 * Finds the claims of a text and checks them. A claim is a clause that names one or more distortions, with the time, the
 * place and the severity that the clause gives them.
 *
 * @param text As it is shown.
 * @param record null: every claim is unknown.
 */
export function checkClaims(text: string, record: Assessment | null): CheckedClaim[] {
  const claims: CheckedClaim[] = [];
  // A clause ends with a sentence; decimal points and clock times are inside of one.
  for (const match of text.matchAll(/(?:[^.;!?\n]|[.](?=\d))+/g)) {
    const clause = match[0];
    const types = namedTypes(clause);
    if (types.length === 0) continue;
    const times = namedTimes(clause);
    const places = namedPlaces(clause);
    const severities = namedSeverities(clause);
    for (const [i, type] of types.entries()) {
      if (claims.length >= mostClaims) return claims;
      // With several distortions in a clause each has what stands between it and its neighbours.
      const left = i === 0 ? 0 : types[i - 1]!.to;
      const right = types[i + 1]?.from ?? clause.length;
      const near = <T extends { from: number; to: number }>(all: readonly T[]) =>
        types.length === 1 ? all[0] : all.find(({ from, to }) => from >= left && to <= right);
      const [time, place, severity] = [near(times), near(places), near(severities)];
      const parts = [type, time, place, severity].flatMap((one) => (one ? [one] : []));
      const denied = denies(types.length === 1 ? clause : clause.slice(left, type.from));
      const lead = clause.length - clause.trimStart().length;
      const from =
        match.index + (denied && types.length === 1 ? lead : Math.min(...parts.map((part) => part.from)));
      const to = match.index + Math.max(...parts.map((part) => part.to));
      const verdict = check(record, {
        type: type.value,
        denied,
        time: time?.value ?? null,
        place: place?.value ?? null,
        severity: severity?.value ?? null,
      });
      claims.push({ from, to, text: text.slice(from, to), ...verdict });
    }
  }
  return claims;
}

interface Claim {
  readonly type: Distortion['type'];
  readonly denied: boolean;
  readonly time: ReturnType<typeof namedTimes>[number]['value'] | null;
  readonly place: ReturnType<typeof namedPlaces>[number]['value'] | null;
  readonly severity: Distortion['severity'] | null;
}

function check(record: Assessment | null, claim: Claim): Pick<CheckedClaim, 'verdict' | 'because'> {
  const unknown = (because: string) => ({ verdict: 'unknown' as const, because });
  if (!record) return unknown('The clip was not assessed.');
  if (record.distortions === null) return unknown('The model of the record finds no single distortions.');
  const reach = record.coverage.reduce((most, [, end]) => Math.max(most, end), 0);
  const time = claim.time && timeIn(claim.time, reach);
  if (claim.time && !time) return unknown('The record does not reach that time.');
  const shared = ({ start, end }: { start: number; end: number }) =>
    !time || (start < time.end && end > time.start);
  if (time && !record.coverage.some(([start, end]) => shared({ start, end }))) {
    return unknown('That time was not assessed.');
  }
  const same = record.distortions.filter(({ type }) => type === claim.type);
  const there = same.filter(shared);
  const listed = (some: readonly Distortion[]) => some.slice(0, 3).map(said).join('; ');
  if (claim.denied) {
    return there.length === 0
      ? { verdict: 'agrees', because: `The record has no ${claim.type}${time ? ' there' : ''}.` }
      : { verdict: 'contradicts', because: `The record has ${listed(there)}.` };
  }
  if (there.length === 0) {
    return {
      verdict: 'contradicts',
      because:
        same.length === 0
          ? `The record has no ${claim.type}.`
          : `The record has it at another time: ${listed(same)}.`,
    };
  }
  const fits = there.filter(
    ({ severity, region }) =>
      (claim.severity === null || severity === claim.severity) &&
      (claim.place === null || liesIn(region, claim.place)),
  );
  return fits.length > 0
    ? { verdict: 'agrees', because: `The record has ${listed(fits)}.` }
    : { verdict: 'contradicts', because: `The record says otherwise: ${listed(there)}.` };
}
