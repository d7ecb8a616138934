/**
 * What a question in plain English asks, as far as it is one of those that a model answers through its probes: what is
 * wrong, where, when, how severely, how good it is, whether it is one distortion, which of several. No model is asked.
 */
import {
  denies,
  type Mention,
  type NamedPlace,
  type NamedTime,
  namedPlaces,
  namedSeverities,
  namedTimes,
  namedTypes,
} from '../assessment/mentions.ts';
import type { DistortionType, Severity } from '../assessment/vocabulary.ts';

/** One of the answers that a question offers. */
export interface Choice {
  /** As it stands in the question, without its letter. */
  readonly text: string;
  /** `A`; null where there are no letters. */
  readonly letter: string | null;
  readonly means:
    | { readonly kind: 'type'; readonly type: DistortionType }
    | { readonly kind: 'none' }
    | { readonly kind: 'time'; readonly time: NamedTime }
    | { readonly kind: 'severity'; readonly severity: Severity }
    | { readonly kind: 'place'; readonly place: NamedPlace }
    | { readonly kind: 'yes'; readonly yes: boolean }
    /** Index of the quality level, 0 the best. */
    | { readonly kind: 'level'; readonly level: number };
}

export type QuestionForm =
  /** What is wrong. */
  | 'what'
  | 'where'
  | 'when'
  | 'severity'
  | 'quality'
  /** Is there …? Yes or no. */
  | 'is'
  /** Which of those that the question offers. */
  | 'choice'
  /** None of these. */
  | 'other';

export interface Question {
  readonly form: QuestionForm;
  /** The distortions that it names. */
  readonly types: readonly DistortionType[];
  /** When, where the question says so. */
  readonly time: NamedTime | null;
  readonly place: NamedPlace | null;
  /** The severity that a yes-or-no question is about. */
  readonly severity: Severity | null;
  /** Empty but for `choice`. */
  readonly choices: readonly Choice[];
  /** Whether a yes-or-no question is about the absence: "is it free of blur?" */
  readonly denied: boolean;
}

const levelWords: readonly RegExp[] = [
  /^(?:high|excellent)(?: quality)?$/i,
  /^good(?: quality)?$/i,
  /^(?:fair|average|okay)(?: quality)?$/i,
  /^poor(?: quality)?$/i,
  /^(?:low|bad)(?: quality)?$/i,
];

function meaningOf(option: string): Choice['means'] | null {
  const text = option.trim().replace(/[.?!,;]+$/, '');
  if (/^(?:yes|true|it does|it is|there is)$/i.test(text)) return { kind: 'yes', yes: true };
  if (/^(?:no|false|it does not|it is not|there is not)$/i.test(text)) return { kind: 'yes', yes: false };
  const [time] = namedTimes(text);
  if (time) return { kind: 'time', time: time.value };
  const [type] = namedTypes(text);
  if (type && !denies(text)) return { kind: 'type', type: type.value };
  const [place] = namedPlaces(text);
  if (place) return { kind: 'place', place: place.value };
  if (
    /^(?:none|nothing|no distortions?|no (?:visible )?(?:flaw|defect|problem)s?|clean|pristine|it is (?:fine|clean)|none of (?:these|them|the above))\b/i.test(
      text,
    )
  )
    return { kind: 'none' };
  const level = levelWords.findIndex((words) => words.test(text));
  const [severity] = namedSeverities(text);
  if (severity && level < 0) return { kind: 'severity', severity: severity.value };
  if (level >= 0) return { kind: 'level', level };
  return null;
}

/** `A) blur B) noise`, `A. 0-1 s`, `(a) left`: the options, and the question before them. */
function lettered(question: string): { readonly stem: string; readonly choices: Choice[] } | null {
  const marks = [...question.matchAll(/(?:^|[\s,;])\(?([A-Ha-h])[).:]\s+/g)];
  const first = marks.findIndex(([, letter]) => letter!.toUpperCase() === 'A');
  if (first < 0) return null;
  const run = marks
    .slice(first)
    .filter(([, letter], i) => letter!.toUpperCase() === String.fromCharCode(65 + i));
  if (run.length < 2) return null;
  const choices = run.map((mark, i) => {
    const text = question
      .slice(mark.index + mark[0].length, run[i + 1]?.index ?? question.length)
      .trim()
      .replace(/[,;?]+$|\bor$/, '')
      .trim();
    return { text, letter: mark[1]!.toUpperCase(), means: meaningOf(text) };
  });
  if (choices.some(({ means }) => means === null)) return null;
  return { stem: question.slice(0, run[0]!.index).trim(), choices: choices as Choice[] };
}

/** "blur or noise", "at 1 s, 3 s or 5 s": what stands beside an "or". */
function alternatives<T>(text: string, mentions: readonly Mention<T>[]): readonly Mention<T>[] {
  if (mentions.length < 2) return [];
  const between = (a: Mention<T>, b: Mention<T>) => text.slice(a.to, b.from);
  const joined = mentions.slice(1).map((one, i) => between(mentions[i]!, one));
  const listed = joined.every((gap) => gap.length < 30 && /^[^.?!]*(?:,|\bor\b)[^.?!]*$/i.test(gap));
  const closed = /^,? or (?:neither|none|nothing|no )/i.test(text.slice(mentions.at(-1)!.to));
  return listed && (closed || joined.some((gap) => /\bor\b/i.test(gap))) ? mentions : [];
}

const beyond =
  /\b(?:beautiful|beauty|pretty|ugly|aesthetic(?:s|ally)?|artistic|composition|composed|cinematic|pleasing|attractive|who|person|people|man|woman|men|women|child|children|face|name|says?|said|speak(?:s|ing)?|music|sound|audio|subtitles?|story|plot|colou?rs?|weather|animal|dog|cat|car|actor|mood|emotion|happen(?:s|ing|ed)?|doing|scene|describe|summari[sz]e|caption|transcribe|translate|joke|poem|write|funny|boring|interesting)\b/i;

/** Understands a question; `other` where it is none of those that probes answer. Never throws. */
export function parseQuestion(question: string): Question {
  const text = question.normalize('NFKC').replace(/\s+/g, ' ').trim();
  const offered = lettered(text);
  const stem = offered ? offered.stem : text;
  const types = namedTypes(stem);
  const times = namedTimes(stem);
  const places = namedPlaces(stem);
  const [graded] = namedSeverities(stem);
  const base = {
    types: [...new Set(types.map(({ value }) => value))],
    time: times[0]?.value ?? null,
    place: places[0]?.value ?? null,
    severity: graded?.value ?? null,
    choices: [] as readonly Choice[],
    denied: false,
  };
  const other: Question = { ...base, form: 'other' };
  if (text === '') return other;

  if (offered) {
    const [first] = offered.choices;
    const kinds = new Set(offered.choices.map(({ means }) => (means.kind === 'none' ? 'type' : means.kind)));
    if (kinds.size > 1 || beyond.test(stem.replace(/\bscene\b/gi, ''))) return other;
    if (first!.means.kind === 'yes') {
      return base.types.length === 1 || asksWrong(stem)
        ? { ...base, form: 'choice', choices: offered.choices, denied: denies(stem) }
        : other;
    }
    return {
      ...base,
      severity: null,
      form: 'choice',
      choices: offered.choices,
      ...(kinds.has('time') ? { time: null } : {}),
    };
  }

  if (beyond.test(text)) {
    const about = base.types.length > 0 || asksWrong(text);
    // "What happens at 3 s, is it blur?" is about the blur; "who is blurred?" is not.
    if (!about || /\b(?:who|beautiful|aesthetic|describe|summari[sz]e|write|poem|joke)\b/i.test(text))
      return other;
  }

  const either = alternatives(text, types);
  const distinct = new Set(either.map(({ value }) => value));
  if (distinct.size > 1 && !/\b(?:any|some) (?:kind|sort)? ?(?:of )?/i.test(text)) {
    const choices = [...distinct].map((type) => ({
      text: type,
      letter: null,
      means: { kind: 'type' as const, type },
    }));
    const none = /\bor (?:neither|none|nothing|no distortion)\b/i.test(text)
      ? [{ text: 'none', letter: null, means: { kind: 'none' as const } }]
      : [];
    return { ...base, form: 'choice', choices: [...choices, ...none] };
  }
  const moments = alternatives(text, times);
  if (moments.length > 1 && (base.types.length > 0 || asksWrong(text) || /\b(?:when|which)\b/i.test(text))) {
    const choices = moments.map(({ value: time, from, to }) => ({
      text: text.slice(from, to).trim(),
      letter: null,
      means: { kind: 'time' as const, time },
    }));
    return { ...base, time: null, form: 'choice', choices };
  }

  const has = (pattern: RegExp) => pattern.test(text);
  if (
    has(
      /^(?:and )?(?:what|which)\b.*\b(?:severity|severe)\b|\bhow (?:bad|severe|strong|heavy|serious|noticeable|visible|intense|blurry|blurred|noisy|grainy|dark|bright|blocky|compressed|over ?exposed|under ?exposed)\b(?!.*\bquality\b)|\b(?:severity|intensity|extent) of\b|\bto what (?:extent|degree)\b|\bseverity\b/i,
    )
  ) {
    const dark = has(/\bhow dark\b/i)
      ? (['underexposure'] as const)
      : has(/\bhow bright\b/i)
        ? (['overexposure'] as const)
        : [];
    return { ...base, form: 'severity', severity: null, types: base.types.length > 0 ? base.types : dark };
  }
  if (
    has(
      /^(?:and |so |but )?what(?:'s| is| are|’s)?\b.*\b(?:wrong|defects?|flaws?|distort(?:ions?|ed)|problems?|issues?|artifacts?|artefacts?|degrad(?:ation|ed)|bad)\b/i,
    )
  ) {
    return { ...base, form: 'what', severity: null };
  }
  if (
    has(
      /\bwhere\b|\b(?:in )?(?:which|what) (?:part|area|region|corner|side|quarter|half|place)\b|\blocat(?:e|ed|ion)\b|\bposition of\b/i,
    )
  ) {
    // "Where in the clip" asks for a time.
    const timely = has(
      /\bwhere in (?:the |this )?(?:clip|video|timeline|shot|file)\b|\bwhich (?:part|section) of the (?:clip|video|timeline)\b/i,
    );
    if (has(/\bwhere (?:was|is) (?:this|it) (?:filmed|shot|taken|recorded)\b/i)) return other;
    return { ...base, form: timely ? 'when' : 'where', severity: null };
  }
  if (
    has(
      /\bwhen\b|\b(?:at )?(?:what|which) (?:time|times|second|seconds|moment|moments|point|timestamp|span)\b|\bhow long\b/i,
    )
  ) {
    if (has(/\bwhen (?:was|is) (?:this|it) (?:filmed|shot|taken|recorded|made)\b/i)) return other;
    if (has(/\bhow long is (?:the |this )?(?:clip|video)\b/i)) return other;
    return { ...base, form: 'when', severity: null };
  }
  if (
    has(
      /\bhow (?:good|well|bad|high|low)\b|\b(?:quality|mos|score|rating)\b|\brate (?:it|this|the)\b|\bhow does (?:it|this|the (?:clip|video)) look\b|\bis (?:it|this|the (?:clip|video)) (?:any )?good\b|\blook(?:s)? good\b/i,
    ) &&
    base.types.length === 0 &&
    !has(/\b(?:wrong|problem|issue|defect|flaw|distort)/i)
  ) {
    return { ...base, form: 'quality', severity: null };
  }
  if (
    base.types.length === 0 &&
    has(
      /\b(?:is|are|was|were|does|do|has|have|any|anything|something)\b.*\b(?:wrong|defects?|flaws?|distort(?:ions?|ed)|problems?|issues?|artifacts?|artefacts?|degrad(?:ation|ed)|broken|clean|pristine|fine|ok|okay)\b/i,
    ) &&
    !has(/^(?:what|which|list|tell|show|find|name)\b/i)
  ) {
    return {
      ...base,
      form: 'is',
      denied: has(/\b(?:clean|pristine|fine|ok|okay|nothing|free of|without)\b/i),
    };
  }
  if (asksWrong(text)) return { ...base, form: 'what', severity: null };
  if (base.types.length > 0) {
    if (
      has(
        /^(?:and |so |but |then |ok,? )?(?:is|are|was|were|does|do|did|has|have|can you see|do you see|could|would|isn['’]t|aren['’]t|doesn['’]t)\b|\b(?:is|does|are|do|has) (?:it|this|there|that|the|he)\b|\?$/i,
      )
    ) {
      if (has(/^(?:what|which|why|how)\b(?!.*, (?:is|are|does) )/i))
        return has(/^why\b/i) ? other : { ...base, form: 'what', severity: null };
      return {
        ...base,
        form: 'is',
        denied: has(
          /\b(?:free (?:of|from)|without)\b|\bno (?=blur|nois|grain|compress|block|stutter|over|under)/i,
        ),
      };
    }
    if (has(/^(?:find|show|list|tell|name|look for|check)\b/i))
      return { ...base, form: has(/^check\b/i) ? 'is' : 'when', severity: null };
    if (text.split(' ').length <= 6) return { ...base, form: 'is' };
    return other;
  }
  if (
    has(
      /^(?:this span|this part|here|what about (?:this|here|it|that).*|and (?:here|this|there|now).*|.*\bat this (?:moment|time)\b.*)\??$/i,
    ) &&
    !beyond.test(text)
  ) {
    return { ...base, form: 'what', severity: null };
  }
  if (base.time !== null && has(/^(?:what about|and|how about)\b/i))
    return { ...base, form: 'what', severity: null };
  return other;
}

/** Whether a text asks for what is wrong in general. */
function asksWrong(text: string): boolean {
  return (
    /\bwhat(?:['’]s| is| are| was| do you see| can you see)?\b.*\b(?:wrong|defects?|flaws?|distort(?:ions?|ed)|problems?|issues?|artifacts?|artefacts?|degrad(?:ation|ed)|bad|happened to the quality)\b/i.test(
      text,
    ) ||
    /\b(?:which|what|list|find|name|show|tell|identify|detect|any)\b.*\b(?:distortions?|defects?|flaws?|problems?|issues?|artifacts?|artefacts?)\b/i.test(
      text,
    ) ||
    /\bwhat(?:['’]s| is) (?:the )?(?:matter|going on)\b.*\b(?:quality|here|picture)\b/i.test(text)
  );
}
