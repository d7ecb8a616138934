import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Contents } from '../../../src/engine/content.ts';
import { CoreShares } from '../../../src/engine/core_shares.ts';
import { Encodes, outputOf } from '../../../src/engine/encodes.ts';
import { tidy } from '../../../src/engine/files.ts';
import type { EncodeState } from '../../../src/protocol/engine.ts';
import { probeVideo } from '../../../src/video/probe.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

const open = (folder: string) => new Encodes(join(folder, 'encodes'), new Contents(join(folder, 'contents')));
const crf = (value: number) => outputOf(['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', String(value)]);

test('an encode is kept by source, settings and encoder, and made once', async () => {
  const folder = temporaryDirectory();
  const source = writeClip(join(folder, 'clip.mp4'));
  const first = await open(folder).encode(source, crf(30));
  expect(first).toMatchObject({ kept: false, problems: [], alignment: null });
  expect(first.metrics!.ssim).toBeGreaterThan(0.5);
  expect(first.speed).toBeGreaterThan(0);
  const { value } = await probeVideo(first.file);
  expect(value).toMatchObject({ codec: 'h264', width: 160, height: 96 });
  const again = await open(folder).encode(
    source,
    outputOf(['-vcodec', 'h264', '-preset', 'ultrafast', '-crf', '30']),
  );
  // The same encoder by another name is the same encode.
  expect(again.key === first.key ? again.kept : !again.kept).toBe(true);
  expect(await open(folder).encode(source, crf(30))).toMatchObject({ key: first.key, kept: true });
  expect((await open(folder).encode(source, crf(31))).key).not.toBe(first.key);
  const other = writeClip(join(folder, 'other.mp4'), { seconds: 1 });
  expect((await open(folder).encode(other, crf(30))).key).not.toBe(first.key);
});

test('an encode that nobody used in a month is removed, and made again where it is wanted', async () => {
  const folder = temporaryDirectory();
  const source = writeClip(join(folder, 'clip.mp4'));
  const [used, unused] = [
    await open(folder).encode(source, crf(30)),
    await open(folder).encode(source, crf(31)),
  ];
  const files = ({ file }: { readonly file: string }) => [file, `${file}.json`];
  const then = new Date(Date.now() - 40 * 86_400_000);
  for (const file of [...files(used), ...files(unused)]) utimesSync(file, then, then);
  expect(await open(folder).encode(source, crf(30))).toMatchObject({ kept: true });
  await tidy(folder);
  expect(files(used).map((file) => existsSync(file))).toEqual([true, true]);
  expect(files(unused).map((file) => existsSync(file))).toEqual([false, false]);
  expect(await open(folder).encode(source, crf(31))).toMatchObject({ kept: false, key: unused.key });
});

/** What the encoder wrote: the container has a random number of its own. */
const packets = (file: string) =>
  execFileSync('ffmpeg', ['-v', 'error', '-i', file, '-c', 'copy', '-f', 'framemd5', '-'], {
    encoding: 'utf8',
  });

test('encodes beside each other have the bytes of encodes one by one, and say where they stand', async () => {
  const folder = temporaryDirectory();
  const source = writeClip(join(folder, 'clip.mp4'), { seconds: 2 });
  const wanted = [crf(20), crf(30), outputOf(['-c:v', 'mpeg4', '-q:v', '5']), crf(20)];
  const one = (cores: number) =>
    new Encodes(
      join(folder, `encodes-${cores}`),
      new Contents(join(folder, 'contents')),
      new CoreShares(cores),
    );
  const [serial, parallel] = [one(1), one(16)];
  const states: EncodeState[] = [];
  const beside = await Promise.all(
    wanted.map((output, at) =>
      parallel.encode(source, output, { onState: (state) => at === 1 && states.push(state) }),
    ),
  );
  for (const [at, output] of wanted.entries()) {
    const alone = await serial.encode(source, output);
    expect(packets(beside[at]!.file)).toEqual(packets(alone.file));
  }
  // The same one was asked for twice and made once, for whichever came first.
  expect([beside[0]!.kept, beside[3]!.kept].toSorted()).toEqual([false, true]);
  expect([beside[1]!.kept, beside[2]!.kept]).toEqual([false, false]);
  expect(states[0]).toEqual({ phase: 'waiting', progress: null, eta: null });
  const encoding = states.filter(({ phase }) => phase === 'encoding').map(({ progress }) => progress!);
  expect(encoding.at(-1)).toBeGreaterThan(0.5);
  expect(encoding).toEqual(encoding.toSorted((a, b) => a - b));
  expect(states.at(-1)!.phase).toBe('measuring');
});

test('who waits for the encode of another makes it where that one is cancelled', async () => {
  const folder = temporaryDirectory();
  const source = writeClip(join(folder, 'clip.mp4'));
  const encodes = open(folder);
  const abort = new AbortController();
  let second: ReturnType<Encodes['encode']> | undefined;
  const first = encodes.encode(source, crf(30), {
    signal: abort.signal,
    onState: ({ phase }) => {
      // Asked for while the first is being made; either of two asked for at once may be the one that makes it.
      second ??= encodes.encode(source, crf(30));
      if (phase === 'measuring') abort.abort();
    },
  });
  await expect(first).rejects.toMatchObject({ code: 'cancelled' });
  expect(await second).toMatchObject({ kept: false, alignment: null });
});

test('an encode with other frames than its source says so, and is not measured against it', async () => {
  const folder = temporaryDirectory();
  const source = writeClip(join(folder, 'clip.mp4'));
  const slower = outputOf(['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '30', '-r', '5']);
  const expected = { alignment: { code: 'frame_rate' }, metrics: null };
  expect(await open(folder).encode(source, slower)).toMatchObject({ ...expected, kept: false });
  expect(await open(folder).encode(source, slower)).toMatchObject({ ...expected, kept: true });
});

test('two passes leave nothing but the encode', async () => {
  const folder = temporaryDirectory();
  const source = writeClip(join(folder, 'clip.mp4'));
  const options = ['-c:v', 'libx264', '-preset', 'ultrafast', '-b:v', '80k', '-pass', '2'];
  const { file, bytes } = await open(folder).encode(source, outputOf(options));
  expect(bytes).toBeGreaterThan(500);
  expect(
    readdirSync(join(folder, 'encodes'))
      .map((name) => join(folder, 'encodes', name))
      .sort(),
  ).toEqual([file, `${file}.json`]);
});

test('a cancelled encode leaves nothing, a damaged one is made again', async () => {
  const folder = temporaryDirectory();
  const source = writeClip(join(folder, 'clip.mp4'));
  const controller = new AbortController();
  controller.abort();
  await expect(open(folder).encode(source, crf(30), { signal: controller.signal })).rejects.toMatchObject({
    code: 'cancelled',
  });
  const { file, bytes } = await open(folder).encode(source, crf(30));
  truncateSync(file, 100);
  expect(await open(folder).encode(source, crf(30))).toMatchObject({ kept: false, bytes });
  writeFileSync(`${file}.json`, 'no JSON');
  expect(await open(folder).encode(source, crf(30))).toMatchObject({ kept: false, bytes });
});

test('an encoder that this ffmpeg lacks is said with its words', async () => {
  const folder = temporaryDirectory();
  const source = writeClip(join(folder, 'clip.mp4'));
  const failed = await open(folder)
    .encode(source, outputOf(['-c:v', 'libnosuch', '-crf', '30']))
    .catch((error: unknown) => error);
  expect(failed).toMatchObject({ code: 'ffmpeg_failed' });
  expect(readdirSync(join(folder, 'encodes'))).toEqual([]);
});

test('options that describe no encode are refused', () => {
  for (const options of [[], ['-c:v', 'copy'], ['-vn']]) {
    expect(() => outputOf(options)).toThrow(expect.objectContaining({ code: 'bad_usage' }));
  }
});
