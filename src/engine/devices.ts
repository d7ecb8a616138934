/** What becomes of a model whose device fails: less at a time on the same one, then the CPU; always a fresh process. */
import type { DeviceLimit, DeviceReport } from '../protocol/engine.ts';
import { OmniError, type Problem } from '../protocol/errors.ts';

/** After these nothing that a provider holds is used again. */
const broken: ReadonlySet<string> = new Set(['device_lost', 'out_of_memory', 'runtime_failed']);

export const isBroken = (error: unknown): error is OmniError => OmniError.is(error) && broken.has(error.code);

/** Whether an error says that a device is of no more use to this process; the CPU always is. */
export const isDeviceFailure = (error: unknown, on: string): error is OmniError =>
  on !== 'cpu' && isBroken(error);

/** Names the model of a limit or a report. */
export const modelKey = ({ model, provider }: Pick<DeviceReport, 'model' | 'provider'>): string =>
  JSON.stringify([model, provider]);

/**
 * What a model may use after its device failed.
 *
 * @param earlier The limit under which it failed.
 */
export function nextLimit(
  { model, provider, on }: DeviceReport,
  { code, message }: { readonly code: string; readonly message: string },
  earlier: DeviceLimit | undefined,
): DeviceLimit {
  // One that fails while it is tried out does not do so for want of memory.
  const step = earlier || on === null ? 'cpu' : 'smaller';
  return { model, provider, step, code, message: on ? `${on} failed: ${message}` : message };
}

/** A limit as `loadModel` takes it: this file is the client's too, which loads nothing of a model. */
export const loadLimit = ({ step, message }: DeviceLimit) => ({ step, reason: message });

/** A limit as a record tells of it. */
export function problemOf({ code, message }: DeviceLimit, on: string): Problem {
  const goesOn = on === 'cpu' ? 'on the CPU' : `on ${on}, with less at a time`;
  return { code, message: `${message} The work went on ${goesOn}.` };
}
