import { namedTimes, namedTypes } from '../../assessment/mentions.ts';

export interface ToolChoice {
  readonly name: string;
  readonly input: { readonly path: string; readonly [field: string]: unknown };
}

/**
 * The tool of ours that answers a question, as far as its words tell: a model that answers fixed questions can not be
 * asked to choose one.
 *
 * @param offered Names of the tools that may be called.
 * @returns null where none of them does.
 */
export function toolFor(question: string, path: string, offered: ReadonlySet<string>): ToolChoice | null {
  const call = (name: string, input: object = {}): ToolChoice | null =>
    offered.has(name) ? { name, input: { path, ...input } } : null;
  const time = namedTimes(question).find(({ value }) => value.start >= 0)?.value;
  if (time) {
    const { start, end } = time;
    return call('omnivqa_describe_moment', Number.isFinite(end) ? { start, end } : { start });
  }
  const type = namedTypes(question)[0]?.value;
  if (type) return call('omnivqa_list_distortions', { type });
  if (/\b(wrong|distort\w*|arte?i?facts?|flaws?|faults?|problems?|defects?)\b/i.test(question)) {
    return call('omnivqa_list_distortions');
  }
  if (/\b(good|bad|quality|scores?|mos|assess\w*|rate|rating)\b/i.test(question))
    return call('omnivqa_assess_video');
  return null;
}
