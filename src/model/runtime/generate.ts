import type { DecoderContext, OmniModel } from './model.ts';
import { throwIfCancelled } from './ort.ts';
import { createSampler, type Sampling } from './sampling.ts';
import { TextStream } from './text_stream.ts';

export interface GenerateOptions {
  readonly maxNewTokens: number;
  readonly sampling?: Sampling;
  readonly onText?: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Generated {
  /** Without the stop token. */
  readonly ids: readonly number[];
  readonly text: string;
  readonly ended: 'stop' | 'length';
}

/**
 * Decodes token by token after a prefilled prompt. Every generated id but a stop token is in the context
 * afterwards. The signal is looked at before each token.
 *
 * @param logits [vocabulary], of the prompt's last position.
 * @throws OmniError `cancelled`, `context_too_long`, `out_of_memory`, `runtime_failed`.
 */
export async function generate(
  model: OmniModel,
  context: DecoderContext,
  logits: Float32Array,
  { maxNewTokens, sampling, onText, signal }: GenerateOptions,
): Promise<Generated> {
  const sample = createSampler(sampling);
  const stream = new TextStream((ids) => model.tokenizer.decode(ids));
  const ids: number[] = [];
  let text = '';
  const say = (fresh: string) => {
    if (fresh === '') return;
    text += fresh;
    onText?.(fresh);
  };
  let ended: Generated['ended'] = 'length';
  while (ids.length < maxNewTokens) {
    throwIfCancelled(signal);
    const id = sample(logits);
    if (model.stopIds.has(id)) {
      ended = 'stop';
      break;
    }
    ids.push(id);
    say(stream.push(id));
    ({ logits } = await context.append(model.embed([id]), 1, { signal }));
  }
  say(stream.end());
  return { ids, text, ended };
}
