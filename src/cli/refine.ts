import type { Assessment } from '../assessment/record.ts';
import { printable } from '../assessment/text.ts';
import { type EngineModel, findIdentity, modelConfig, modelDirectory } from '../engine/models.ts';
import { isRefined, notRefined, refineAssessment } from '../engine/refine.ts';
import type { ResultCache } from '../engine/results.ts';
import { type Io, type ProgressLine, serialized } from './io.ts';
import { loadForCommand, type RuntimeFlags } from './load.ts';

/** The second model of `omnivqa assess --refine`: loaded with the first clip that needs it. */
export class Refiner {
  readonly #name: string;
  readonly #windows: number;
  readonly #flags: RuntimeFlags;
  readonly #io: Io;
  readonly #progress: ProgressLine;
  #model: EngineModel | undefined;

  /** @throws OmniError `model_not_found`, before anything is assessed. */
  constructor(
    name: string,
    flags: RuntimeFlags & { readonly refineWindows: number },
    io: Io,
    progress: ProgressLine,
  ) {
    modelDirectory(name);
    this.#name = name;
    this.#windows = flags.refineWindows;
    this.#flags = flags;
    this.#io = io;
    this.#progress = progress;
  }

  /**
   * Has the windows of a clip that matter most looked at, and keeps that with the record. Where it fails, the record
   * says why; where it is interrupted, it has what was finished.
   */
  async refine(
    path: string,
    record: Assessment,
    cache: ResultCache | undefined,
    label: string,
  ): Promise<Assessment> {
    let refined = record;
    try {
      // Of another precision it is another model, which is known once it is loaded.
      const identity =
        this.#model ?? (this.#flags.precision === 'auto' ? await findIdentity(this.#name) : null);
      const config = this.#model?.config ?? (await modelConfig(this.#name));
      if (identity && isRefined(record, identity, { config }, this.#windows)) return record;
      this.#model ??= await loadForCommand(this.#name, this.#flags, this.#io, this.#progress);
      return await refineAssessment(path, record, this.#model, {
        windows: this.#windows,
        signal: this.#io.signal,
        onProgress: ({ frames, total }) => this.#progress.show(`${label}, refining`, frames, total, 'frames'),
        onRecord: (so) => {
          refined = so;
        },
      });
    } catch (error) {
      if (this.#io.signal.aborted) return refined;
      const problem = notRefined(this.#name, serialized(error));
      this.#progress.clear();
      this.#io.stderr.write(`${printable(path)}: ${printable(problem.message)}\n`);
      return { ...refined, problems: [...refined.problems, problem] };
    } finally {
      if (refined !== record) await cache?.put(refined, record.model);
    }
  }

  async dispose(): Promise<void> {
    await this.#model?.dispose();
  }
}
