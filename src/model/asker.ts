import type { SpatialType } from './checkpoint/localization.ts';
import { type Details, Prober, type StepProbes, type Words } from './localizer.ts';
import { type Rating, readLevels } from './rater.ts';
import type { DecoderContext, OmniModel } from './runtime/model.ts';
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

/**
 * One span of a clip that is asked about again and again. Its tokens are prefilled with the first question and stay in
 * the context; what was answered once is not asked again.
 */
export class Asker {
  /** Tokens given to the model so far: the clip's once, then those of each question. */
  tokens = 0;
  readonly #model: OmniModel;
  readonly #clip: ClipTokens;
  readonly #words: Words | null;
  #context: DecoderContext | null = null;
  #head: readonly Piece[] = [];
  readonly #types = new Map<number, Pick<StepProbes, 'none' | 'types'>>();
  readonly #stutters = new Map<number, number | null>();
  readonly #details = new Map<string, Details>();
  #rating: Rating | null = null;

  /** @param words Those of the model, shared by the askers of a clip; null where it has no probes. */
  constructor(model: OmniModel, clip: ClipTokens, words: Words | null) {
    this.#model = model;
    this.#clip = clip;
    this.#words = words;
  }

  /** Whether the clip's tokens are in the context. */
  get prefilled(): boolean {
    return this.#context !== null;
  }

  /** Bytes that the context takes. */
  get bytes(): number {
    const { numHiddenLayers, numKeyValueHeads, headDim } = this.#model.config;
    return 8 * numHiddenLayers * numKeyValueHeads * headDim * (this.#context?.capacity ?? 0);
  }

  /**
   * What is wrong in a second; see {@link StepProbes}.
   *
   * @param second Counted from 1. A model whose probes are about a step has one.
   * @throws OmniError `cancelled`, `context_too_long`, `out_of_memory`, `runtime_failed`.
   */
  async types(second: number, signal?: AbortSignal): Promise<Pick<StepProbes, 'none' | 'types'>> {
    return this.#once(this.#types, second, () => this.#probe(signal, (prober) => prober.types(second)));
  }

  async stutter(second: number, signal?: AbortSignal): Promise<number | null> {
    return this.#once(this.#stutters, second, () => this.#probe(signal, (prober) => prober.stutter(second)));
  }

  async details(second: number, type: SpatialType, signal?: AbortSignal): Promise<Details> {
    return this.#once(this.#details, `${second} ${type}`, () =>
      this.#probe(signal, (prober) => prober.details(second, type)),
    );
  }

  /** How good the span is. */
  async rating(signal?: AbortSignal): Promise<Rating> {
    if (this.#rating) return this.#rating;
    const { prefix, rest, problems } = ratingSequence(this.#model, this.#clip);
    const { head, tail } = splitAfterClip(rest);
    const opening = [...prefix, ...head];
    const shared = this.#words ? await this.#begin(signal) : null;
    let levelLogits: Float32Array;
    if (shared && samePieces(opening, this.#head)) {
      shared.truncate(pieceTokens(this.#head));
      ({ levelLogits } = await this.#append(shared, tail, signal));
    } else {
      const own = await this.#model.newContext({ capacity: pieceTokens(opening) + pieceTokens(tail) });
      try {
        ({ levelLogits } = await this.#append(own, [...opening, ...tail], signal));
      } finally {
        own.dispose();
      }
    }
    this.#rating = { ...readLevels(this.#model, levelLogits), problems };
    return this.#rating;
  }

  /** Frees the context; the answers stay, and another question prefills the clip again. */
  dispose(): void {
    this.#context?.dispose();
    this.#context = null;
  }

  async #once<K, V>(known: Map<K, V>, key: K, ask: () => Promise<V>): Promise<V> {
    if (!known.has(key)) known.set(key, await ask());
    return known.get(key)!;
  }

  async #append(context: DecoderContext, pieces: readonly Piece[], signal: AbortSignal | undefined) {
    const tokens = pieceTokens(pieces);
    const output = await context.append(embedPieces(this.#model, pieces), tokens, { signal });
    this.tokens += tokens;
    return output;
  }

  async #begin(signal: AbortSignal | undefined): Promise<DecoderContext> {
    if (this.#context) return this.#context;
    const { spatial } = this.#words!.form;
    const timed = this.#words!.form.scope === 'window';
    this.#head = questionSequence(this.#model, this.#clip, spatial.question, '', { timed }).head;
    const context = await this.#model.newContext({ capacity: pieceTokens(this.#head) + 64 });
    try {
      await this.#append(context, this.#head, signal);
    } catch (error) {
      context.dispose();
      throw error;
    }
    this.#context = context;
    return context;
  }

  async #probe<T>(signal: AbortSignal | undefined, ask: (prober: Prober) => Promise<T>): Promise<T> {
    const context = await this.#begin(signal);
    const prober = new Prober(this.#model, context, this.#words!, this.#clip, signal);
    prober.resume(pieceTokens(this.#head));
    try {
      return await ask(prober);
    } finally {
      this.tokens += prober.tokens;
    }
  }
}
