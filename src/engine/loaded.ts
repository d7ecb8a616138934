import { type ProviderRequest, softwareAdapter } from '../model/runtime/providers.ts';
import type { DeviceLimit, DeviceReport } from '../protocol/engine.ts';
import type { OmniError, Problem } from '../protocol/errors.ts';
import { isBroken, isDeviceFailure, loadLimit, modelKey } from './devices.ts';
import { type EngineModel, loadEngineModel } from './models.ts';

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
  /** Called when a model is about to be loaded on something else than the CPU, and when it is known on what it runs. */
  onDevice: (report: Omit<DeviceReport, 'failure'>) => void = () => undefined;
  /**
   * Called when the device has failed that a model ran on: this process must end. Without it, the model is freed and
   * loaded again by the next use.
   */
  onLost: ((report: Omit<DeviceReport, 'failure'>, error: OmniError) => void) | null = null;
  /** Bytes that a model may take of its device's memory; undefined: what is free. */
  memory: number | undefined;
  /** Called when a model was loaded. */
  onLoaded: (model: EngineModel) => void = () => undefined;
  readonly #limits = new Map<string, DeviceLimit>();
  #lost: OmniError | null = null;

  /** @param idle Milliseconds without use after which the model is freed. */
  constructor(idle: number, onProblem: (problem: Problem) => void) {
    this.#idle = idle;
    this.#onProblem = onProblem;
  }

  get model(): EngineModel | null {
    return this.#model;
  }

  /** To be told before the model is used: what is left of its device. */
  limit(limit: DeviceLimit): void {
    this.#limits.set(modelKey(limit), limit);
  }

  limitOf(model: string, provider: ProviderRequest): DeviceLimit | undefined {
    return this.#limits.get(modelKey({ model, provider }));
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
    if (this.#lost) throw this.#lost;
    clearTimeout(this.#timer);
    this.#users++;
    try {
      const wanted = modelKey({ model: name, provider });
      if (wanted !== this.#name) await this.#free();
      this.#model ??= await this.#load(name, provider, signal);
      this.#name = wanted;
      return await work(this.#model);
    } catch (error) {
      const on = this.#model?.omni.choice.provider ?? (provider === 'auto' ? 'cpu' : provider);
      if (this.onLost && isDeviceFailure(error, on)) {
        this.#lost = error;
        this.onLost({ model: name, provider, on }, error);
      } else if (isBroken(error)) await this.#free();
      throw error;
    } finally {
      this.#users--;
      this.#timer = setTimeout(() => void this.free(), this.#idle);
      this.#timer.unref();
    }
  }

  async #load(name: string, provider: ProviderRequest, signal: AbortSignal): Promise<EngineModel> {
    const limit = this.limitOf(name, provider);
    const surely = provider === 'cpu' || limit?.step === 'cpu' || (provider === 'auto' && softwareAdapter());
    if (!surely) this.onDevice({ model: name, provider, on: null });
    const model = await loadEngineModel(name, {
      provider,
      signal,
      onProblem: this.#onProblem,
      limit: limit && loadLimit(limit),
      memory: this.memory,
    });
    this.onDevice({ model: name, provider, on: model.omni.choice.provider });
    this.onLoaded(model);
    return model;
  }

  /** Frees the model, unless it is being used. */
  async free(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#users === 0 && !this.#lost) await this.#free();
  }

  async #free(): Promise<void> {
    const model = this.#model;
    this.#model = null;
    this.#name = '';
    if (model) this.onFree();
    await model?.dispose();
  }
}
