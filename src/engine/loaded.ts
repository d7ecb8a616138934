import type { ProviderRequest } from '../model/runtime/providers.ts';
import { OmniError, type Problem } from '../protocol/errors.ts';
import { type EngineModel, loadEngineModel } from './models.ts';

/** After these the sessions of a model are not used again. */
const broken: readonly string[] = ['out_of_memory', 'runtime_failed'];

/** The model that is loaded: one at a time, kept from job to job, freed when nothing needed it for a time. */
export class LoadedModel {
  readonly #idle: number;
  readonly #onProblem: (problem: Problem) => void;
  #name = '';
  #model: EngineModel | null = null;
  #users = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Called before a model is freed: what holds contexts of it must let go of them. */
  onFree: () => void = () => undefined;

  /** @param idle Milliseconds without use after which the model is freed. */
  constructor(idle: number, onProblem: (problem: Problem) => void) {
    this.#idle = idle;
    this.#onProblem = onProblem;
  }

  get model(): EngineModel | null {
    return this.#model;
  }

  /**
   * Calls `work` with a model, loading it first where another one, or none, is loaded. Calls must not overlap.
   *
   * @throws OmniError those of compiling and loading, and whatever `work` throws.
   */
  async use<T>(
    name: string,
    provider: ProviderRequest,
    signal: AbortSignal,
    work: (model: EngineModel) => Promise<T>,
  ): Promise<T> {
    clearTimeout(this.#timer);
    this.#users++;
    try {
      const wanted = JSON.stringify([name, provider]);
      if (wanted !== this.#name) await this.#free();
      this.#model ??= await loadEngineModel(name, { provider, signal, onProblem: this.#onProblem });
      this.#name = wanted;
      return await work(this.#model);
    } catch (error) {
      if (OmniError.is(error) && broken.includes(error.code)) await this.#free();
      throw error;
    } finally {
      this.#users--;
      this.#timer = setTimeout(() => void this.free(), this.#idle);
      this.#timer.unref();
    }
  }

  /** Frees the model, unless it is being used. */
  async free(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#users === 0) await this.#free();
  }

  async #free(): Promise<void> {
    const model = this.#model;
    this.#model = null;
    this.#name = '';
    if (model) this.onFree();
    await model?.dispose();
  }
}
