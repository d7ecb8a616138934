/** A process that does nothing but read a prompt and decode after it: prints tokens a second as JSON. */
import { openCompiled } from '../src/model/compiler/manifest.ts';
import { loadModel } from '../src/model/runtime/model.ts';

const [directory, tokens, fresh] = process.argv.slice(2) as [string, string, string];
const model = await loadModel(await openCompiled(directory), { provider: 'cpu' });
const [prompt, answer] = [Number(tokens), Number(fresh)];
const ids = Array.from({ length: prompt }, (_, i) => i % 1000);
let rates = {};
// As llama-bench does: the first round warms up.
for (let round = 0; round < 2; round += 1) {
  const context = await model.newContext({ capacity: prompt + answer });
  const begun = performance.now();
  let { logits } = await context.append(model.embed(ids), prompt);
  const prefilled = performance.now();
  for (let i = 0; i < answer; i += 1) {
    const best = logits.reduce((at, value, id) => (value > logits[at]! ? id : at), 0);
    ({ logits } = await context.append(model.embed([best]), 1));
  }
  const ended = performance.now();
  rates = {
    prefill: (1000 * prompt) / (prefilled - begun),
    decode: (1000 * answer) / (ended - prefilled),
  };
  context.dispose();
}
process.stdout.write(`${JSON.stringify(rates)}\n`);
process.exit(0);
