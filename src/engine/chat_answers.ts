/** Turns what a model said about the steps of a span into the answer to a question, in sentences of ours. */
import { liesIn, timeIn } from '../assessment/mentions.ts';
import { clampScore, gradeOf, mosOf } from '../assessment/pooling.ts';
import type { Distortion } from '../assessment/record.ts';
import { placeOf } from '../assessment/report_text.ts';
import { clock } from '../assessment/text.ts';
import { levelNames, severities } from '../assessment/vocabulary.ts';
import { spatialTypes } from '../model/checkpoint/localization.ts';
import type { Details, StepProbes } from '../model/localizer.ts';
import type { Choice, Question } from '../model/questions.ts';
import { asksDetails, likeliest, mergeProbes, type ProbedStep, thresholdsOf } from '../model/segments.ts';
import type { AnswerOption, AnswerPart, AnswerTarget } from '../protocol/chat.ts';
import type { Region, Span } from '../protocol/timeline.ts';
import type { ReadSpan, Step } from './chat_clip.ts';
import type { EngineModel } from './models.ts';

export interface Probed {
  readonly parts: readonly AnswerPart[];
  readonly options: readonly AnswerOption[] | null;
  /** Of what was chosen; null where the model can not tell. */
  readonly probability: number | null;
  /** For comparing clips: the score where quality was asked for, 0..100. */
  readonly score: number | null;
}

type Type = Distortion['type'];
type Spatial = (typeof spatialTypes)[number];

/** A step with what was said about it. */
interface Seen {
  readonly step: Step;
  readonly none: number;
  readonly types: StepProbes['types'];
  readonly stutter: number | null;
}

const percent = (probability: number) => {
  const share = 100 * probability;
  return share > 99 && share < 100 ? '> 99 %' : share < 1 && share > 0 ? '< 1 %' : `${Math.round(share)} %`;
};
const spanWords = ({ start, end }: Span) => `${clock(start)}–${clock(end)}`;
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
const isSpatial = (type: Type): type is Spatial => type !== 'stutter';

/** What the model of a clip can be asked, in words. */
export function abilityOf(config: EngineModel['config']): string {
  const { localization, converses } = config.omnivqa;
  const probes = localization
    ? `what is wrong (${[...spatialTypes, ...(localization.temporal ? ['stutter'] : [])].join(', ')}), where, when and how severe it is, whether it is one thing or another, and how good a span is`
    : 'how good a span is';
  return converses
    ? `Ask anything about the clip; it is most sure about ${probes}.`
    : `It answers ${probes}.`;
}

/** Writes an answer: text, and times that lead to their place. */
class Sentence {
  readonly parts: AnswerPart[] = [];
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  say(text: string): this {
    const last = this.parts.at(-1);
    if (last && last.target === null)
      this.parts[this.parts.length - 1] = { text: last.text + text, target: null };
    else if (text !== '') this.parts.push({ text, target: null });
    return this;
  }

  link(text: string, { start, end }: Span, region: Region | null = null, type: Type | null = null): this {
    const target: AnswerTarget = { path: this.#path, span: { start, end }, region, type };
    this.parts.push({ text, target });
    return this;
  }
}

/** The chosen one is the likeliest. */
function optionsOf(
  texts: readonly string[],
  weights: readonly number[],
): { options: AnswerOption[]; best: number } {
  const total = weights.reduce((sum, one) => sum + one, 0);
  const shares = weights.map((one) => (total > 0 ? one / total : 1 / weights.length));
  const best = shares.indexOf(Math.max(...shares));
  return { best, options: texts.map((text, i) => ({ text, probability: shares[i]!, chosen: i === best })) };
}

/**
 * Answers a question about a span.
 *
 * @returns null where this model was not trained to say that.
 * @throws OmniError those of asking the model.
 */
export async function answerProbed(
  question: Question,
  path: string,
  read: ReadSpan,
  model: EngineModel,
  signal?: AbortSignal,
): Promise<Probed | null> {
  const { localization } = model.config.omnivqa;
  const levels = question.choices[0]?.means.kind === 'level';
  if (question.form === 'quality' || levels) return quality(question, path, read, signal);
  if (!localization) return null;
  return new Finder(question, path, read, model, signal).answer();
}

async function quality(
  { choices }: Question,
  path: string,
  { steps, span }: ReadSpan,
  signal: AbortSignal | undefined,
): Promise<Probed> {
  const sums = levelNames.map(() => 0);
  let [score, length] = [0, 0];
  for (const asker of new Set(steps.map((step) => step.asker))) {
    const own = steps.filter((step) => step.asker === asker);
    const weight = Math.max(
      1e-6,
      own.reduce((sum, { start, end }) => sum + (end - start), 0),
    );
    const rating = await asker.rating(signal);
    for (const [i, level] of rating.levels.entries()) sums[i] = (sums[i] ?? 0) + weight * level;
    score += weight * rating.score;
    length += weight;
  }
  const value = clampScore((100 * score) / length);
  const texts = choices.length > 0 ? choices.map(optionText) : [...levelNames];
  const weights =
    choices.length > 0 ? choices.map(({ means }) => (means.kind === 'level' ? sums[means.level]! : 0)) : sums;
  const { options, best } = optionsOf(texts, weights);
  const sentence = new Sentence(path)
    .say(
      `${choices.length > 0 ? `${texts[best]}: ` : ''}${gradeOf(mosOf(value))}, MOS ${mosOf(value).toFixed(2)} of 5 for `,
    )
    .link(spanWords(span), span)
    .say(`; the likeliest level is ${texts[best]!.toLowerCase()} (${percent(options[best]!.probability)}).`);
  return { parts: sentence.parts, options, probability: options[best]!.probability, score: value };
}

const optionText = ({ letter, text }: Choice) => (letter === null ? text : `${letter}) ${text}`);

/** Finds what is wrong in the steps of a span. */
class Finder {
  readonly #question: Question;
  readonly #path: string;
  readonly #read: ReadSpan;
  readonly #model: EngineModel;
  readonly #signal: AbortSignal | undefined;
  readonly #thresholds: ReturnType<typeof thresholdsOf>;

  constructor(
    question: Question,
    path: string,
    read: ReadSpan,
    model: EngineModel,
    signal: AbortSignal | undefined,
  ) {
    this.#question = question;
    this.#path = path;
    this.#read = read;
    this.#model = model;
    this.#signal = signal;
    this.#thresholds = thresholdsOf(model.config.omnivqa.localization!);
  }

  async answer(): Promise<Probed | null> {
    const { form, types, choices } = this.#question;
    const temporal = this.#model.config.omnivqa.localization!.temporal !== null;
    if (!temporal && types.length > 0 && types.every((type) => type === 'stutter')) return null;
    switch (form) {
      case 'is':
        return this.#is(types[0] ?? null, ['Yes', 'No']);
      case 'where':
        return this.#where();
      case 'when':
        return this.#when();
      case 'severity':
        return this.#severity(null);
      case 'what':
        return this.#what();
      case 'choice':
        switch (choices[0]!.means.kind) {
          case 'type':
          case 'none':
            return this.#which();
          case 'time':
            return this.#whichTime();
          case 'severity':
            return this.#severity(choices);
          case 'place':
            return this.#whichPlace();
          case 'yes':
            return this.#yesOrNo();
          default:
            return null;
        }
      default:
        return null;
    }
  }

  /** @param stutter Whether stutter is asked about: where it is not, that question is spared. */
  async #look({ stutter, types = true }: { stutter: boolean; types?: boolean }): Promise<Seen[]> {
    const seen: Seen[] = [];
    for (const step of this.#read.steps) {
      const nothing = {
        none: 1,
        types: Object.fromEntries(spatialTypes.map((type) => [type, 0])) as Seen['types'],
      };
      seen.push({
        step,
        ...(types ? await step.asker.types(step.second, this.#signal) : nothing),
        stutter: stutter ? await step.asker.stutter(step.second, this.#signal) : null,
      });
    }
    return seen;
  }

  /** Only what is needed for a type is asked. */
  #lookFor(type: Type | null): Promise<Seen[]> {
    return this.#look({ stutter: type === null || type === 'stutter', types: type !== 'stutter' });
  }

  #details(step: Step, type: Spatial): Promise<Details> {
    return step.asker.details(step.second, type, this.#signal);
  }

  /** How likely a type is in a step; null: anything. */
  #chance({ none, types, stutter }: Seen, type: Type | null): number {
    if (type === null) return Math.max(1 - none, stutter ?? 0);
    return isSpatial(type) ? types[type] : (stutter ?? 0);
  }

  /** From how sure a second is reported; null where whole runs of seconds are judged. */
  #least(type: Type | null): number | null {
    const { spatial, temporal, segments } = this.#thresholds;
    if (type === 'stutter') return temporal;
    return segments ? null : spatial;
  }

  #surest(seen: readonly Seen[], type: Type | null): Seen {
    return seen.reduce((a, b) => (this.#chance(b, type) > this.#chance(a, type) ? b : a));
  }

  /** The likeliest type of what has a place, over the span. */
  #likeliest(seen: readonly Seen[]): Spatial {
    const sums = spatialTypes.map((type) => seen.reduce((sum, { types }) => sum + types[type], 0));
    return spatialTypes[sums.indexOf(Math.max(...sums))]!;
  }

  async #chanceOf(type: Type | null): Promise<{ probability: number; at: Seen; region: Region | null }> {
    const { place, severity } = this.#question;
    const seen = await this.#lookFor(type);
    const at = this.#surest(seen, type);
    let probability = this.#chance(at, type);
    const best = type ?? this.#likeliest([at]);
    if (!isSpatial(best)) return { probability, at, region: null };
    const asks = place !== null || severity !== null;
    // Where it is, is shown with a yes; it is asked only where there may be one.
    if (!asks && probability < 0.5) return { probability, at, region: null };
    const { places, severity: degrees } = await this.#details(at.step, best);
    if (place) {
      probability *= places
        .filter(({ region }) => liesIn(region, place))
        .reduce((sum, one) => sum + one.probability, 0);
    }
    if (severity) probability *= degrees[severities.indexOf(severity)]!;
    return { probability: Math.min(1, probability), at, region: places[0]?.region ?? null };
  }

  async #is(type: Type | null, [yes, no]: readonly [string, string]): Promise<Probed> {
    const { denied, severity, place } = this.#question;
    const { probability, at, region } = await this.#chanceOf(type);
    const there = probability >= 0.5;
    const said = there !== denied;
    const share = there ? probability : 1 - probability;
    const what = `${severity ? `${severity} ` : ''}${type ?? 'a distortion'}`;
    const where = region ? `, ${placeOf(region)}` : place ? ' there' : '';
    const sentence = new Sentence(this.#path).say(`${said ? yes : no}: `);
    if (there) {
      sentence
        .say(`${what} at `)
        .link(spanWords(at.step), at.step, region, type)
        .say(`${where} (${percent(share)}).`);
      const least = this.#least(type);
      if (least !== null && probability < least) {
        sentence.say(` That is less sure than what the model reports by itself (${percent(least)}).`);
      }
    } else {
      sentence
        .say(`no ${what} is likely${place ? ' there' : ''} in `)
        .link(spanWords(this.#read.span), this.#read.span)
        .say(` (${percent(share)} sure); the likeliest moment is `)
        .link(spanWords(at.step), at.step)
        .say(` with ${percent(probability)}.`);
    }
    const [forYes, forNo] = denied ? [1 - probability, probability] : [probability, 1 - probability];
    return {
      parts: sentence.parts,
      options: [
        { text: yes, probability: forYes, chosen: said },
        { text: no, probability: forNo, chosen: !said },
      ],
      probability: share,
      score: null,
    };
  }

  async #yesOrNo(): Promise<Probed> {
    const { choices, types } = this.#question;
    const find = (yes: boolean) => choices.find(({ means }) => means.kind === 'yes' && means.yes === yes);
    const [yes, no] = [find(true), find(false)];
    const answer = await this.#is(types[0] ?? null, [
      yes ? optionText(yes) : 'Yes',
      no ? optionText(no) : 'No',
    ]);
    // In the order in which they were offered.
    return choices[0]!.means.kind === 'yes' && !choices[0]!.means.yes
      ? { ...answer, options: answer.options!.toReversed() }
      : answer;
  }

  async #which(): Promise<Probed> {
    const { choices } = this.#question;
    const offered = choices.map(({ means }) => (means.kind === 'type' ? means.type : null));
    const stutter = offered.includes('stutter') || offered.includes(null);
    const seen = await this.#look({ stutter, types: offered.some((type) => type !== 'stutter') });
    // Whether there is anything is told by the second that has most of it; which of several, by all of them.
    const surest = this.#surest(seen, null);
    const over = offered.includes(null) ? [surest] : seen;
    const weights = offered.map((type) =>
      type === null
        ? Math.min(surest.none, 1 - (surest.stutter ?? 0))
        : over.reduce((sum, one) => sum + this.#chance(one, type), 0) / over.length,
    );
    const { options, best } = optionsOf(choices.map(optionText), weights);
    const type = offered[best] ?? null;
    const at = this.#surest(seen, type);
    const sentence = new Sentence(this.#path).say(`${capital(options[best]!.text)}`);
    if (type) sentence.say(', most at ').link(spanWords(at.step), at.step, null, type);
    sentence.say(` (${percent(options[best]!.probability)} among these).`);
    return { parts: sentence.parts, options, probability: options[best]!.probability, score: null };
  }

  async #whichTime(): Promise<Probed> {
    const { choices, types } = this.#question;
    const type = types[0] ?? null;
    const seen = await this.#lookFor(type);
    const reach = Math.max(...seen.map(({ step }) => step.end));
    const spans = choices.map(({ means }) => (means.kind === 'time' ? timeIn(means.time, reach) : null));
    const weights = spans.map((span) => {
      if (!span) return 0;
      const shared = seen.map((one) => ({
        one,
        seconds: Math.max(0, Math.min(one.step.end, span.end) - Math.max(one.step.start, span.start)),
      }));
      const length = shared.reduce((sum, { seconds }) => sum + seconds, 0);
      return length === 0
        ? 0
        : shared.reduce((sum, { one, seconds }) => sum + seconds * this.#chance(one, type), 0) / length;
    });
    const { options, best } = optionsOf(choices.map(optionText), weights);
    const sentence = new Sentence(this.#path).say(
      `${options[best]!.text}: ${type ?? 'what is wrong'} is likeliest at `,
    );
    const span = spans[best];
    if (span) sentence.link(spanWords(span), span, null, type);
    else sentence.say('that time');
    sentence.say(` (${percent(options[best]!.probability)} among these).`);
    return { parts: sentence.parts, options, probability: options[best]!.probability, score: null };
  }

  /** The steps in which a type is about as likely as it gets, and what was said of it there. */
  async #found(type: Spatial): Promise<{ at: Seen; weight: number; details: Details }[]> {
    const seen = await this.#lookFor(type);
    const most = this.#chance(this.#surest(seen, type), type);
    const found: { at: Seen; weight: number; details: Details }[] = [];
    for (const at of seen) {
      const weight = this.#chance(at, type);
      if (weight < most / 2 && weight < most) continue;
      found.push({ at, weight, details: await this.#details(at.step, type) });
    }
    return found;
  }

  async #typeAsked(): Promise<Spatial> {
    const named = this.#question.types.find(isSpatial);
    return named ?? this.#likeliest(await this.#look({ stutter: false }));
  }

  /** The places of a type with their shares, likeliest first. */
  #places(found: readonly { weight: number; details: Details }[]): { region: Region; share: number }[] {
    const shares = new Map<string, { region: Region; share: number }>();
    for (const { weight, details } of found) {
      for (const { region, probability } of details.places) {
        const key = JSON.stringify(region);
        const known = shares.get(key) ?? { region, share: 0 };
        known.share += weight * probability;
        shares.set(key, known);
      }
    }
    const total = [...shares.values()].reduce((sum, { share }) => sum + share, 0);
    return [...shares.values()]
      .map(({ region, share }) => ({ region, share: total > 0 ? share / total : 0 }))
      .sort((a, b) => b.share - a.share);
  }

  async #where(): Promise<Probed> {
    const { types } = this.#question;
    if (types.length > 0 && types.every((type) => type === 'stutter')) return this.#when();
    const type = await this.#typeAsked();
    const found = await this.#found(type);
    const places = this.#places(found);
    const named = new Map<string, { share: number; region: Region }>();
    for (const { region, share } of places) {
      const name = placeOf(region);
      const known = named.get(name);
      if (known) known.share += share;
      else named.set(name, { region, share });
    }
    const { options, best } = optionsOf(
      [...named.keys()],
      [...named.values()].map(({ share }) => share),
    );
    const at = this.#surest(
      found.map((one) => one.at),
      type,
    );
    const { region } = [...named.values()][best]!;
    const sure = this.#chance(at, type);
    const sentence = new Sentence(this.#path);
    if (sure < 0.5)
      sentence.say(`It is not likely that there is ${type} (${percent(sure)}). If there is, it is: `);
    sentence
      .say(`${capital(type)}: `)
      .link(`${options[best]!.text}`, at.step, region, type)
      .say(', at ')
      .link(spanWords(at.step), at.step, region, type)
      .say(` (${percent(options[best]!.probability)} for the place).`);
    const listed = options.toSorted((a, b) => b.probability - a.probability).slice(0, 6);
    return { parts: sentence.parts, options: listed, probability: options[best]!.probability, score: null };
  }

  async #whichPlace(): Promise<Probed> {
    const { choices } = this.#question;
    const type = await this.#typeAsked();
    const found = await this.#found(type);
    const places = this.#places(found);
    const weights = choices.map(({ means }) =>
      means.kind === 'place'
        ? places
            .filter(({ region }) => liesIn(region, means.place))
            .reduce((sum, { share }) => sum + share, 0)
        : 0,
    );
    const { options, best } = optionsOf(choices.map(optionText), weights);
    const at = this.#surest(
      found.map((one) => one.at),
      type,
    );
    const sentence = new Sentence(this.#path)
      .say(`${options[best]!.text}: ${type} at `)
      .link(spanWords(at.step), at.step, places[0]?.region ?? null, type)
      .say(` (${percent(options[best]!.probability)} among these).`);
    return { parts: sentence.parts, options, probability: options[best]!.probability, score: null };
  }

  async #when(): Promise<Probed> {
    const type = this.#question.types[0] ?? null;
    const seen = await this.#lookFor(type);
    const runs: { start: number; end: number; sum: number; count: number }[] = [];
    for (const one of seen) {
      const chance = this.#chance(one, type);
      if (chance < 0.5) continue;
      const last = runs.at(-1);
      if (last && one.step.start - last.end < 0.1) {
        last.end = one.step.end;
        last.sum += chance;
        last.count++;
      } else runs.push({ start: one.step.start, end: one.step.end, sum: chance, count: 1 });
    }
    const what = type ?? 'something wrong';
    const sentence = new Sentence(this.#path);
    const at = this.#surest(seen, type);
    if (runs.length === 0) {
      const chance = this.#chance(at, type);
      sentence
        .say(`${capital(what)} is not likely at any time in `)
        .link(spanWords(this.#read.span), this.#read.span)
        .say('; the likeliest moment is ')
        .link(spanWords(at.step), at.step, null, type)
        .say(` with ${percent(chance)}.`);
      return { parts: sentence.parts, options: null, probability: 1 - chance, score: null };
    }
    sentence.say(`${capital(what)} at `);
    for (const [i, run] of runs.entries()) {
      if (i > 0) sentence.say(i === runs.length - 1 ? ' and ' : ', ');
      sentence.link(spanWords(run), run, null, type).say(` (${percent(run.sum / run.count)})`);
    }
    sentence.say('.');
    const mean = runs.reduce((sum, run) => sum + run.sum, 0) / runs.reduce((sum, run) => sum + run.count, 0);
    return { parts: sentence.parts, options: null, probability: mean, score: null };
  }

  async #severity(choices: readonly Choice[] | null): Promise<Probed | null> {
    const { types } = this.#question;
    if (types.length > 0 && types.every((type) => type === 'stutter')) {
      // How severe a stutter is follows from how long it is: the times are the answer.
      return this.#when();
    }
    const type = await this.#typeAsked();
    const found = await this.#found(type);
    const total = found.reduce((sum, { weight }) => sum + weight, 0);
    const degrees = severities.map((_, i) =>
      total > 0
        ? found.reduce((sum, { weight, details }) => sum + weight * details.severity[i]!, 0) / total
        : (found[0]?.details.severity[i] ?? 0),
    );
    const { options, best } = optionsOf(
      choices ? choices.map(optionText) : [...severities],
      choices
        ? choices.map(({ means }) =>
            means.kind === 'severity' ? degrees[severities.indexOf(means.severity)]! : 0,
          )
        : degrees,
    );
    const at = this.#surest(
      found.map((one) => one.at),
      type,
    );
    const sure = this.#chance(at, type);
    const sentence = new Sentence(this.#path);
    if (sure < 0.5)
      sentence.say(`It is not likely that there is ${type} (${percent(sure)}). If there is, it is: `);
    sentence
      .say(`${capital(options[best]!.text)}: ${type} at `)
      .link(spanWords(at.step), at.step, this.#places(found)[0]?.region ?? null, type)
      .say(` (${percent(options[best]!.probability)}).`);
    return { parts: sentence.parts, options, probability: options[best]!.probability, score: null };
  }

  async #what(): Promise<Probed> {
    const { place, types: named } = this.#question;
    const { temporal } = this.#model.config.omnivqa.localization!;
    const seen = await this.#look({ stutter: temporal !== null });
    const probed: ProbedStep[] = [];
    for (const { step, none, types, stutter } of seen) {
      const likely = asksDetails({ none }, this.#thresholds);
      const best = likeliest((type) => types[type]);
      const details = likely ? await this.#details(step, best) : { severity: null, places: null };
      probed.push({ start: step.start, end: step.end, probes: { none, types, stutter, ...details } });
    }
    const found = mergeProbes(probed, this.#thresholds, 0.1).filter(
      ({ region, type }) => (!place || liesIn(region, place)) && (named.length === 0 || named.includes(type)),
    );
    const surest = this.#surest(seen, null);
    const texts = ['none', ...spatialTypes, ...(temporal ? ['stutter'] : [])];
    const { options, best } = optionsOf(texts, [
      Math.min(surest.none, 1 - (surest.stutter ?? 0)),
      ...spatialTypes.map((type) => surest.types[type]),
      ...(temporal ? [surest.stutter ?? 0] : []),
    ]);
    const sentence = new Sentence(this.#path);
    if (found.length === 0) {
      sentence
        .say('Nothing that is sure enough to report in ')
        .link(spanWords(this.#read.span), this.#read.span);
      const type = texts[best] === 'none' ? null : texts[best]!;
      const least = this.#least(null);
      sentence
        .say(type ? `; the likeliest is ${type} at ` : '; the moment that is least sure to be clean is ')
        .link(spanWords(surest.step), surest.step)
        .say(
          ` (${percent(this.#chance(surest, null))}${least === null ? '' : `, ${percent(least)} would be reported`}).`,
        );
      return { parts: sentence.parts, options, probability: options[best]!.probability, score: null };
    }
    for (const [i, { type, start, end, region, severity, score }] of found.entries()) {
      const span = { start, end };
      sentence
        .say(`${i === 0 ? '' : ' '}${capital(severity)} ${type} at `)
        .link(spanWords(span), span, region, type)
        .say(', ')
        .link(placeOf(region), span, region, type)
        .say(` (${percent(score)}).`);
    }
    return {
      parts: sentence.parts,
      options,
      probability: Math.max(...found.map(({ score }) => score)),
      score: null,
    };
  }
}
