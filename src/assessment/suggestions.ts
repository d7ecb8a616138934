import type { Assessment } from './record.ts';
import { clock } from './text.ts';

/** Questions offered at most. */
const mostSuggestions = 4;

/** Questions worth asking about a clip, from what was found in it; some that suit every clip where nothing was. */
export function suggestedQuestions(record: Assessment | null): string[] {
  const general = ['What is wrong?', 'How good is it?', 'Does it stutter?'];
  if (!record) return general;
  const ranks = ['severe', 'relatively severe', 'noticeable'];
  const found = (record.distortions ?? []).toSorted(
    (a, b) => ranks.indexOf(a.severity) - ranks.indexOf(b.severity) || b.score - a.score,
  );
  const questions: string[] = [];
  const [worst, second] = found;
  if (worst) {
    const time = `${clock(worst.start)}–${clock(worst.end)}`;
    questions.push(`What is wrong at ${time}?`);
    if (worst.type !== 'stutter') questions.push(`Where is the ${worst.type} at ${time}?`);
    const other = found.find(({ type }) => type !== worst.type);
    if (other) questions.push(`When is there ${other.type}?`);
    else if (second)
      questions.push(`How severe is the ${second.type} at ${clock(second.start)}–${clock(second.end)}?`);
  }
  const { worst: low } = record.pooling;
  const long = record.timeline.length > 1;
  if (long) questions.push(`How good is it at ${clock(low.start)}–${clock(low.end)}?`);
  return [...questions, ...general.filter((one) => !(worst && one === general[0]))].slice(0, mostSuggestions);
}
