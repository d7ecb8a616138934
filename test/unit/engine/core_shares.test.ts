import { expect, test } from 'vitest';
import { CoreShares, threadsOf } from '../../../src/engine/core_shares.ts';
import { outputOf } from '../../../src/engine/encodes.ts';

/** Work that ends when it is told to. */
function tasks(shares: CoreShares) {
  const running: string[] = [];
  const ends = new Map<string, () => void>();
  const start = (name: string, threads: number, signal?: AbortSignal) =>
    shares.use(threads, signal, async () => {
      running.push(name);
      await new Promise<void>((resolve) => ends.set(name, resolve));
      running.splice(running.indexOf(name), 1);
    });
  return { running, start, end: (name: string) => ends.get(name)!() };
}
const settle = () => new Promise((resolve) => setImmediate(resolve));

test('as many at once as there are cores for, in order', async () => {
  const { running, start, end } = tasks(new CoreShares(8));
  const all = [start('a', 4), start('b', 4), start('c', 16), start('d', 1)];
  await settle();
  expect(running).toEqual(['a', 'b']);
  end('a');
  await all[0];
  await settle();
  // What needs all cores is not passed by what is small.
  expect(running).toEqual(['b']);
  end('b');
  await settle();
  expect(running).toEqual(['c']);
  end('c');
  await settle();
  expect(running).toEqual(['d']);
  end('d');
  await Promise.all(all);
});

test('what is cancelled while it waits leaves its place, and nothing of it runs', async () => {
  const { running, start, end } = tasks(new CoreShares(1));
  const abort = new AbortController();
  const first = start('a', 1);
  const second = start('b', 4, abort.signal);
  const third = start('c', 1);
  abort.abort();
  await expect(second).rejects.toMatchObject({ code: 'cancelled' });
  await expect(start('d', 1, abort.signal)).rejects.toMatchObject({ code: 'cancelled' });
  end('a');
  await first;
  await settle();
  expect(running).toEqual(['c']);
  end('c');
  await third;
});

test('work that fails gives its cores back', async () => {
  const shares = new CoreShares(2);
  await expect(shares.use(2, undefined, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await shares.use(2, undefined, async () => 'yes')).toBe('yes');
});

test.each([
  ['libx264', 1920, 4],
  ['libvpx-vp9', 1920, 4],
  ['libvpx-vp9', 640, 2],
  ['libvpx-vp9', 160, 1],
  ['mpeg4', 1920, 1],
])('%s of %i px keeps %i threads busy', (codec, width, threads) => {
  expect(threadsOf(outputOf(['-c:v', codec, '-b:v', '100k']), width)).toBe(threads);
});
