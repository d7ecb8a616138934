/**
 * What a sentence in English names of a clip: distortions, times, places and severities, each with where in the text it
 * stands. Questions are understood by it, and what a model writes is held against the record by it.
 */
import type { DistortionType, Severity } from './vocabulary.ts';

/** Part of a text in UTF-16 units; `to` is not included. */
export interface Mention<T> {
  readonly from: number;
  readonly to: number;
  readonly value: T;
}

/** Seconds; `end` is infinite for "after 3 s". Both are negative where they count from the clip's end: "the last 2 s". */
export interface NamedTime {
  readonly start: number;
  readonly end: number;
}

/** A part of the frame in words; null for a direction that is not said: "the left side". */
export interface NamedPlace {
  readonly horizontal: 'left' | 'center' | 'right' | null;
  readonly vertical: 'upper' | 'center' | 'lower' | null;
}

const typeWords: Readonly<Record<DistortionType, RegExp>> = {
  blur: /\b(?:blur(?:s|red|ry|riness|ring)?|out[ -]of[ -]focus|unsharp(?:ness)?|defocus(?:ed)?|soft(?:ness)? focus|not sharp)\b/gi,
  noise: /\b(?:nois(?:e|y|iness)|grain(?:y|iness)?|speckl(?:e|es|ed))\b/gi,
  overexposure:
    /\b(?:over[ -]?expos(?:ure|ed)|too (?:bright|light)|blown[ -]out|washed[ -]out|clipped highlights)\b/gi,
  underexposure: /\b(?:under[ -]?expos(?:ure|ed)|too dark|crushed (?:blacks|shadows))\b/gi,
  compression:
    /\b(?:compress(?:ion|ed)(?: artifacts?| artefacts?)?|block(?:s|y|iness|ing)(?: artifacts?| artefacts?)?|macro ?block(?:s|ing)?|pixelat(?:ed|ion)|(?:encoding|codec|coding) arti?e?facts?|banding)\b/gi,
  stutter:
    /\b(?:stutter(?:s|ing|ed|y)?|jerk(?:y|s|iness)?|judder(?:s|ing|y)?|jank(?:y)?|(?:frame )?drops?|dropped frames|dropping frames|chopp(?:y|iness)|freez(?:e|es|ing)|frozen|hitch(?:es|ing)?)\b/gi,
};

function all<T>(text: string, pattern: RegExp, value: (match: RegExpExecArray) => T | null): Mention<T>[] {
  return [...text.matchAll(pattern)].flatMap((match) => {
    const said = value(match as RegExpExecArray);
    return said === null ? [] : [{ from: match.index, to: match.index + match[0].length, value: said }];
  });
}

/** Mentions that lie in a longer one before them, or in one that came earlier in the list, are left out. */
function apart<T>(mentions: readonly Mention<T>[]): Mention<T>[] {
  const kept: Mention<T>[] = [];
  for (const one of mentions) {
    if (!kept.some(({ from, to }) => one.from < to && from < one.to)) kept.push(one);
  }
  return kept.sort((a, b) => a.from - b.from);
}

/** The distortions that are named, in the order of the text. */
export function namedTypes(text: string): Mention<DistortionType>[] {
  return apart(
    (Object.entries(typeWords) as [DistortionType, RegExp][]).flatMap(([type, words]) =>
      all(text, words, () => type),
    ),
  );
}

const clockText = '(?:\\d{1,3}:)?\\d{1,3}:\\d{2}(?:\\.\\d+)?';
const number = '\\d+(?:[.,]\\d+)?';
const moment = `(?:${clockText}|${number})`;
const unit = '(?: ?(?:seconds?|secs?|s)\\b)';
const ordinals = [
  'first',
  'second',
  'third',
  'fourth',
  'fifth',
  'sixth',
  'seventh',
  'eighth',
  'ninth',
  'tenth',
];
const counted = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];

function secondsOf(text: string): number {
  const parts = text.split(':').map((part) => Number(part.replace(',', '.')));
  return parts.reduce((sum, part) => 60 * sum + part, 0);
}

function spanOf(a: string, b: string): NamedTime | null {
  const [start, end] = [secondsOf(a), secondsOf(b)];
  return end > start ? { start, end } : null;
}

/** How many seconds a word or a figure says. */
const countOf = (word: string) => {
  const at = counted.indexOf(word.toLowerCase());
  return at < 0 ? secondsOf(word) : at + 1;
};

/** Times as a player shows them or in seconds: "at 0:12", "3-5 s", "between 3 and 5 seconds", "the last two seconds". */
export function namedTimes(text: string): Mention<NamedTime>[] {
  const find = (pattern: string, value: (match: RegExpExecArray) => NamedTime | null) =>
    all(text, new RegExp(pattern, 'gi'), value);
  const many = `(${number}|${counted.join('|')})`;
  return apart([
    ...find(`\\b(${clockText})${unit}? ?(?:-|–|—|to|until|and|through) ?(${clockText})\\b`, ([, a, b]) =>
      spanOf(a!, b!),
    ),
    ...find(
      `\\b(?:between|from) (${moment})${unit}? ?(?:-|–|—|to|until|till|and|through) ?(${moment})${unit}?`,
      ([, a, b]) => spanOf(a!, b!),
    ),
    ...find(`\\b(${number})${unit}? ?(?:-|–|—|to|until) ?(${number})${unit}`, ([, a, b]) => spanOf(a!, b!)),
    ...find(`\\bseconds? (${number}) ?(?:-|–|—|to|until|and|through) ?(${number})\\b`, ([, a, b]) =>
      spanOf(a!, b!),
    ),
    ...find(`\\bfirst ${many} (?:seconds|secs|s)\\b`, ([, n]) => ({ start: 0, end: countOf(n!) })),
    ...find(`\\blast ${many} (?:seconds|secs|s)\\b`, ([, n]) => ({ start: -countOf(n!), end: -0 })),
    ...find('\\blast second\\b', () => ({ start: -1, end: -0 })),
    ...find(`\\b(${ordinals.join('|')}) second\\b`, ([, word]) => {
      const at = ordinals.indexOf(word!.toLowerCase());
      return { start: at, end: at + 1 };
    }),
    ...find('\\b(\\d+)(?:st|nd|rd|th) second\\b', ([, n]) => ({ start: Number(n) - 1, end: Number(n) })),
    ...find(`\\bafter (${clockText}|${number}(?=${unit}))${unit}?`, ([, a]) => ({
      start: secondsOf(a!),
      end: Number.POSITIVE_INFINITY,
    })),
    ...find(`\\b(?:before|until) (${clockText}|${number}(?=${unit}))${unit}?`, ([, a]) => ({
      start: 0,
      end: secondsOf(a!),
    })),
    ...find(`\\b(?:at |around |near )?second (${number})\\b`, ([, a]) => ({
      start: secondsOf(a!),
      end: secondsOf(a!) + 1,
    })),
    ...find(`\\b(?:at |around |near |@ ?)?(${clockText})${unit}?`, ([, a]) => ({
      start: secondsOf(a!),
      end: secondsOf(a!) + 1,
    })),
    ...find(`\\b(?:at |around |near )(?:about |the )?(${number})${unit}`, ([, a]) => ({
      start: secondsOf(a!),
      end: secondsOf(a!) + 1,
    })),
    ...find(`\\bat (${number})(?=[?.!,;]|$)`, ([, a]) => ({ start: secondsOf(a!), end: secondsOf(a!) + 1 })),
    ...find(`\\b(${number})${unit}`, ([, a]) => ({ start: secondsOf(a!), end: secondsOf(a!) + 1 })),
  ]);
}

const vertical = (word: string): NamedPlace['vertical'] =>
  /^(?:upper|top)/i.test(word) ? 'upper' : /^(?:lower|bottom)/i.test(word) ? 'lower' : 'center';
const horizontal = (word: string): NamedPlace['horizontal'] =>
  /^left/i.test(word) ? 'left' : /^right/i.test(word) ? 'right' : 'center';

/** Parts of the frame: "upper right", "the left side", "in the middle", "the whole frame" (null, null). */
export function namedPlaces(text: string): Mention<NamedPlace>[] {
  const area =
    '(?: (?:corner|quarter|quadrant|part|side|half|edge|area|region|third|of the (?:frame|picture|image|video|screen)))*';
  return apart<NamedPlace>([
    ...all<NamedPlace>(
      text,
      /\b(?:the )?(?:whole|entire|full) (?:frame|picture|image|screen|view)\b|\beverywhere\b|\b(?:all over|throughout) the (?:frame|picture|image|screen)\b/gi,
      () => ({ horizontal: null, vertical: null }),
    ),
    ...all<NamedPlace>(
      text,
      new RegExp(`\\b(upper|top|lower|bottom|middle|center)[ -]+(left|right|center|middle)\\b${area}`, 'gi'),
      ([, a, b]) => ({ vertical: vertical(a!), horizontal: horizontal(b!) }),
    ),
    ...all<NamedPlace>(
      text,
      new RegExp(`\\b(left|right)[ -]+(upper|top|lower|bottom)\\b${area}`, 'gi'),
      ([, a, b]) => ({
        vertical: vertical(b!),
        horizontal: horizontal(a!),
      }),
    ),
    ...all<NamedPlace>(
      text,
      new RegExp(
        `\\b(?:on|in|at|to|of|near) the (left|right)\\b(?! moment| time)${area}|\\b(left|right)(?: hand)?(?: |-)(?:side|half|part|edge|third)\\b`,
        'gi',
      ),
      ([, a, b]) => ({ vertical: null, horizontal: horizontal(a ?? b!) }),
    ),
    ...all<NamedPlace>(
      text,
      new RegExp(
        `\\b(?:on|in|at|to|of|near) the (upper|top|lower|bottom)\\b${area}|\\b(upper|top|lower|bottom)(?: |-)(?:side|half|part|edge|third)\\b`,
        'gi',
      ),
      ([, a, b]) => ({ vertical: vertical(a ?? b!), horizontal: null }),
    ),
    ...all<NamedPlace>(
      text,
      /\b(?:in|at|near) the (?:center|centre|middle)\b(?! of the (?:clip|video|shot))|\bcent(?:er|re)\b/gi,
      () => ({ horizontal: 'center', vertical: 'center' }),
    ),
    ...all<NamedPlace>(text, /^\s*(left|right|upper|top|lower|bottom|middle)\s*$/gi, ([, a]) =>
      /left|right/i.test(a!)
        ? { horizontal: horizontal(a!), vertical: null }
        : /middle/i.test(a!)
          ? { horizontal: 'center', vertical: 'center' }
          : { horizontal: null, vertical: vertical(a!) },
    ),
  ]);
}

/** Severities in the record's words, and those near them. */
export function namedSeverities(text: string): Mention<Severity>[] {
  return apart([
    ...all(
      text,
      /\b(?:relatively|fairly|rather|moderately|quite) severe\b|\bmoderate(?:ly)?\b|\bmedium\b/gi,
      () => 'relatively severe' as const,
    ),
    ...all(
      text,
      /\b(?:noticeabl[ey]|mild(?:ly)?|slight(?:ly)?|minor|weak(?:ly)?|light(?:ly)?)\b/gi,
      () => 'noticeable' as const,
    ),
    ...all(
      text,
      /\b(?:very |extremely )?(?:severe(?:ly)?|heav(?:y|ily)|strong(?:ly)?|bad(?:ly)?)\b/gi,
      () => 'severe' as const,
    ),
  ]);
}

/** Whether a clause denies what it names: "no blur", "not noisy", "free of compression". */
export function denies(clause: string): boolean {
  return /\b(?:no|not|n['’]t|without|free (?:of|from)|never|none|nothing|neither|nor|lacks?|absent)\b|n['’]t\b/i.test(
    clause,
  );
}

/** Share of the frame's thirds that a region's middle lies in: whether it is in a named part of the frame. */
export function liesIn(
  region: { readonly x: number; readonly y: number; readonly width: number; readonly height: number },
  { horizontal: across, vertical: down }: NamedPlace,
): boolean {
  const whole = region.width * region.height > 0.9;
  if (across === null && down === null) return whole;
  if (whole) return false;
  const centre = (from: number, length: number) => from + length / 2;
  const fits = (at: number, low: boolean, high: boolean) =>
    low ? at < 0.5 : high ? at > 0.5 : Math.abs(at - 0.5) <= 0.2;
  const x = centre(region.x, region.width);
  const y = centre(region.y, region.height);
  return (
    (across === null || fits(x, across === 'left', across === 'right')) &&
    (down === null || fits(y, down === 'upper', down === 'lower'))
  );
}

/** A time that may count from the end, or go on to it, in a clip of this length; null where nothing of it is there. */
export function timeIn(time: NamedTime, duration: number): { start: number; end: number } | null {
  const fromEnd = Object.is(time.end, -0);
  const start = fromEnd ? Math.max(0, duration + time.start) : time.start;
  const end = fromEnd ? duration : Math.min(time.end, duration);
  return end > start ? { start, end } : null;
}
