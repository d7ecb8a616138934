import { OmniError } from '../protocol/errors.ts';
import { type Localization, type SpatialType, spatialTypes } from './checkpoint/localization.ts';
import { softmax } from './grammar.ts';
import { type Rating, readLevels } from './rater.ts';
import type { DecoderContext, OmniModel } from './runtime/model.ts';
import { asksDetails, leastPlace, likeliest, thresholdsOf, wholeFrame } from './segments.ts';
import {
  type ClipTokens,
  embedPieces,
  type Piece,
  pieceTokens,
  questionSequence,
  ratingSequence,
  samePieces,
  splitAfterClip,
} from './sequence.ts';

/** Fractions of the displayed frame. */
export interface Region {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What the model says is wrong in one step or second; plain JSON. Probabilities are calibrated. */
export interface StepProbes {
  /** Nothing that has a place is wrong. */
  readonly none: number;
  /** With `none` they sum to 1. */
  readonly types: Readonly<Record<SpatialType, number>>;
  /** noticeable, relatively severe, severe; null where nothing was found that could have one. */
  readonly severity: readonly [number, number, number] | null;
  /** Where the likeliest type is: the likeliest places, the whole frame among them; null as above. */
  readonly places: readonly { readonly region: Region; readonly probability: number }[] | null;
  /** Whether the video stutters; null where the model was not trained to say. */
  readonly stutter: number | null;
}

/** How severe and where a distortion is; see {@link StepProbes}. */
export interface Details {
  readonly severity: NonNullable<StepProbes['severity']>;
  readonly places: NonNullable<StepProbes['places']>;
}

export interface SpanAnswer {
  /** null for a branch that the model was not trained for. */
  readonly rating: Rating | null;
  /** One per second that was asked about; null where none was. */
  readonly probes: readonly StepProbes[] | null;
}

export interface AskOptions {
  readonly branch?: string;
  /**
   * How many seconds of each span are asked about, 0 for none. A model whose probes are about a step answers once for
   * the whole span, whatever the number.
   */
  readonly seconds?: readonly number[];
  readonly signal?: AbortSignal | undefined;
}

/** A question with its placeholders filled. */
const asked = (template: string, second: number, type = '') =>
  template.replaceAll('{second}', String(second)).replaceAll('{type}', type);

/** How many probes a model answers for a span of so many seconds. */
export function probesOf({ scope }: Localization, seconds: number): number {
  return scope === 'step' ? Math.min(1, seconds) : seconds;
}

/**
 * Rates spans of one clip and asks what is wrong in them, all on one prefix: the prompt's beginning is prefilled once
 * for all spans, a span's video tokens once for all its questions, and every question is forgotten before the next.
 *
 * @param spans As for `rateSpans`; none may be empty.
 * @throws OmniError `context_too_long`, `out_of_memory`, `runtime_failed`, `checkpoint_config` where an option is not
 *   one token, `cancelled`.
 */
export async function askSpans(
  model: OmniModel,
  spans: readonly ClipTokens[],
  { branch, seconds = [], signal }: AskOptions = {},
): Promise<readonly SpanAnswer[]> {
  const { branches, localization } = model.config.omnivqa;
  const rated = branch === undefined || branches.includes(branch);
  const words = localization && new Words(model, localization);
  const plans = spans.map((span, i) => {
    const { prefix, rest, problems } = ratingSequence(model, span, branch);
    const wanted = words ? (seconds[i] ?? 0) : 0;
    return { span, prefix, ...splitAfterClip(rest), problems, wanted };
  });
  const [first] = plans;
  if (!first) return [];
  const shared = pieceTokens(first.prefix);
  const capacity = Math.max(
    ...plans.map(({ head, tail }) => shared + pieceTokens(head) + pieceTokens(tail) + longestProbe),
  );
  const context = await model.newContext({ capacity });
  try {
    const answers: SpanAnswer[] = [];
    if (plans.length > 1) await append(model, context, first.prefix, signal);
    for (const { span, prefix, head, tail, problems, wanted } of plans) {
      const opening = context.length === 0 ? [...prefix, ...head] : head;
      let rating: Rating | null = null;
      const probing = words !== null && wanted > 0;
      let clipEnd = 0;
      if (probing && rated) {
        // The rating's tail is forgotten like a question's: one run instead of two.
        const begun = context.length;
        rating = { ...(await rate(model, context, [...opening, ...tail], signal)), problems };
        clipEnd = begun + pieceTokens(opening);
      } else if (probing) {
        await append(model, context, opening, signal);
        clipEnd = context.length;
      } else if (rated) {
        // Nothing else is asked about this span: one run instead of two.
        rating = { ...(await rate(model, context, [...opening, ...tail], signal)), problems };
      }
      let probes: StepProbes[] | null = null;
      if (probing) {
        const prober = new Prober(model, context, words, span, signal);
        await prober.begin([...prefix, ...head], clipEnd);
        probes = [];
        for (let second = 1; second <= probesOf(localization!, wanted); second++) {
          probes.push(await prober.probe(second));
        }
        if (!prober.sharesPrefix && plans.length > 1) {
          context.truncate(0);
          await append(model, context, first.prefix, signal);
        }
      }
      answers.push({ rating, probes });
      context.truncate(plans.length > 1 ? shared : 0);
    }
    return answers;
  } finally {
    context.dispose();
  }
}

/** Room for the longest question with its answer, tokens; a context grows where it is not enough. */
const longestProbe = 64;

function append(
  model: OmniModel,
  context: DecoderContext,
  pieces: readonly Piece[],
  signal: AbortSignal | undefined,
) {
  return context.append(embedPieces(model, pieces), pieceTokens(pieces), { signal });
}

async function rate(
  model: OmniModel,
  context: DecoderContext,
  pieces: readonly Piece[],
  signal: AbortSignal | undefined,
) {
  return readLevels(model, (await append(model, context, pieces, signal)).levelLogits);
}

/** The tokens of a model's options, checked once. */
export class Words {
  readonly form: Localization;
  readonly #model: OmniModel;
  readonly #tails = new Map<string, readonly Piece[]>();

  constructor(model: OmniModel, form: Localization) {
    this.#model = model;
    this.form = form;
    const { spatial, severity, place, temporal } = form;
    const options = [spatial.none, ...Object.values(spatial.types), ...severity.levels, place.whole];
    if ('columns' in place) options.push(place.part, ...place.columns, ...place.rows);
    else options.push(...place.regions.map(({ word }) => word));
    if (temporal) options.push(temporal.yes, temporal.no);
    for (const option of options) this.id(option);
  }

  /** A question after its clip: text alone, the same for every clip of so many frames. */
  tail(
    question: string,
    answer: string,
    { keyFrames, motionFrames }: ClipTokens,
    make: () => readonly Piece[],
  ): readonly Piece[] {
    const key = JSON.stringify([question, answer, keyFrames, motionFrames]);
    const known = this.#tails.get(key) ?? make();
    this.#tails.set(key, known);
    return known;
  }

  /** @throws OmniError `checkpoint_config` where a word is not one token. */
  id(word: string): number {
    const ids = this.#model.tokenizer.encodePlain(word);
    if (ids.length === 1) return ids[0]!;
    throw new OmniError(
      'checkpoint_config',
      `omnivqa.localization: the option ${JSON.stringify(word)} is ${ids.length} tokens of this tokenizer; its logit is read at one position.`,
      'Choose options that are one token each, or take config.json and tokenizer.json from the same checkpoint.',
    );
  }
}

/** Asks the questions about one span whose video tokens are in the context. */
export class Prober {
  readonly #model: OmniModel;
  readonly #context: DecoderContext;
  readonly #words: Words;
  readonly #clip: ClipTokens;
  readonly #signal: AbortSignal | undefined;
  readonly #timed: boolean;
  /** Where the clip's last token stands in the context. */
  #clipEnd = 0;
  /** Whether what the context held for the rating serves the questions too. */
  sharesPrefix = true;
  /** Tokens of questions and answers that were read. */
  tokens = 0;

  constructor(
    model: OmniModel,
    context: DecoderContext,
    words: Words,
    clip: ClipTokens,
    signal: AbortSignal | undefined,
  ) {
    this.#model = model;
    this.#context = context;
    this.#words = words;
    this.#clip = clip;
    this.#signal = signal;
    this.#timed = words.form.scope === 'window';
  }

  /** @param head What stands in the context up to `clipEnd`; another prompt's beginning is prefilled anew. */
  async begin(head: readonly Piece[], clipEnd: number): Promise<void> {
    const own = this.#sequence(this.#words.form.spatial.question, '').head;
    this.sharesPrefix = samePieces(head, own);
    if (!this.sharesPrefix) {
      this.#context.truncate(0);
      await append(this.#model, this.#context, own, this.#signal);
    }
    this.#clipEnd = this.sharesPrefix ? clipEnd : this.#context.length;
  }

  /** Goes on where the context holds this clip's own beginning already, up to `clipEnd`. */
  resume(clipEnd: number): void {
    this.#clipEnd = clipEnd;
  }

  /** @param second Counted from 1. */
  async probe(second: number): Promise<StepProbes> {
    const stutter = await this.stutter(second);
    const { none, types } = await this.types(second);
    if (!asksDetails({ none }, thresholdsOf(this.#words.form)))
      return { none, types, severity: null, places: null, stutter };
    const best = likeliest((type) => types[type]);
    return { none, types, ...(await this.#detailsOf(second, best)), stutter };
  }

  /** Whether the second stutters; null where the model was not trained to say. */
  async stutter(second: number): Promise<number | null> {
    const { temporal, calibration } = this.#words.form;
    if (!temporal) return null;
    const logits = await this.#ask(asked(temporal.question, second), temporal.answer);
    return this.#choose(logits, [temporal.yes, temporal.no], calibration.temporal.temperature)[0]!;
  }

  /** What is wrong in the second; see {@link StepProbes}. */
  async types(second: number): Promise<Pick<StepProbes, 'none' | 'types'>> {
    const { spatial, calibration } = this.#words.form;
    const logits = await this.#ask(asked(spatial.question, second), spatial.answer);
    const options = [spatial.none, ...spatialTypes.map((type) => spatial.types[type])];
    const [none, ...found] = this.#choose(logits, options, calibration.spatial.temperature) as [
      number,
      ...number[],
    ];
    const types = Object.fromEntries(spatialTypes.map((type, i) => [type, found[i]!])) as Record<
      SpatialType,
      number
    >;
    return { none, types };
  }

  /** How severe and where a type is, given that it is what is wrong in the second. */
  async details(second: number, type: SpatialType): Promise<Details> {
    const { spatial, severity, place } = this.#words.form;
    // Where both go on in the answer to what is wrong, that answer comes first.
    if (severity.question === undefined || place.question === undefined) {
      await this.#ask(asked(spatial.question, second), spatial.answer);
    }
    return this.#detailsOf(second, type);
  }

  async #detailsOf(second: number, type: SpatialType): Promise<Details> {
    const { spatial, severity, place, calibration } = this.#words.form;
    const graded =
      severity.question === undefined
        ? await this.#goOn(spatial.types[type] + severity.prefix)
        : await this.#ask(asked(severity.question, second, type), severity.prefix);
    const degrees = this.#choose(graded, severity.levels, calibration.severity.temperature) as [
      number,
      number,
      number,
    ];
    const degree = severity.levels[degrees.indexOf(Math.max(...degrees))]!;
    const located =
      place.question === undefined
        ? await this.#goOn(degree + place.prefix)
        : await this.#ask(asked(place.question, second, type), place.prefix);
    return { severity: degrees, places: await this.#places(located) };
  }

  async #places(logits: Float32Array): Promise<Details['places']> {
    const { place, grid, size, calibration } = this.#words.form;
    const { temperature } = calibration.place;
    if ('regions' in place) {
      const options = [place.whole, ...place.regions.map(({ word }) => word)];
      const chances = this.#choose(logits, options, temperature);
      const regions = [wholeFrame, ...place.regions.map(({ word: _, ...region }) => region)];
      return likely(regions.map((region, i) => ({ region, probability: chances[i]! })));
    }
    const [whole, part] = this.#choose(logits, [place.whole, place.part], temperature) as [number, number];
    if (part < leastPlace) return [{ region: wholeFrame, probability: whole }];
    const columns = this.#choose(await this.#goOn(place.part), place.columns, temperature);
    const column = place.columns[columns.indexOf(Math.max(...columns))]!;
    // The row is asked given the likeliest column; the two edges of a place are taken for independent.
    const rows = this.#choose(await this.#goOn(column + place.between), place.rows, temperature);
    const places = columns.flatMap((horizontal, x) =>
      rows.map((vertical, y) => ({
        region: { x: x / grid, y: y / grid, width: size / grid, height: size / grid },
        probability: part * horizontal * vertical,
      })),
    );
    return likely([{ region: wholeFrame, probability: whole }, ...places]);
  }

  #sequence(question: string, answer: string) {
    return questionSequence(this.#model, this.#clip, question, answer, { timed: this.#timed });
  }

  /** Forgets the question before, asks this one and gives the logits where its answer goes on. */
  async #ask(question: string, answer: string): Promise<Float32Array> {
    this.#context.truncate(this.#clipEnd);
    const tail = this.#words.tail(question, answer, this.#clip, () => this.#sequence(question, answer).tail);
    this.tokens += pieceTokens(tail);
    return (await append(this.#model, this.#context, tail, this.#signal)).logits;
  }

  /** Writes on in the answer. A word that was read is one token, whatever follows it. */
  async #goOn(text: string): Promise<Float32Array> {
    const ids = this.#model.tokenizer.encodePlain(text);
    this.tokens += ids.length;
    return (await append(this.#model, this.#context, [{ ids }], this.#signal)).logits;
  }

  #choose(logits: Float32Array, options: readonly string[], temperature: number): number[] {
    return softmax(
      options.map((word) => logits[this.#words.id(word)]!),
      temperature,
    );
  }
}

/** The places worth keeping, likeliest first. */
function likely(places: { readonly region: Region; readonly probability: number }[]) {
  return places
    .filter(({ probability }) => probability >= leastPlace)
    .sort((a, b) => b.probability - a.probability);
}
