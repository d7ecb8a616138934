import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { NutReader } from '../../../src/video/nut.ts';
import { ffmpeg, sharedDirectory } from '../../support/media.ts';

const path = join(sharedDirectory(), 'two-streams.nut');
const source = 'testsrc2=size=64x48:rate=10:duration=3';
let file: Buffer;
let raw: Buffer[];

beforeAll(() => {
  // The second stream is small enough for the frame codes that hold their size, and has every third frame.
  const graph = "split[a][b];[a]format=gbrp[x];[b]select='not(mod(n,3))',scale=10:8,format=gbrp[y]";
  const outputs = ['-c:v', 'rawvideo', '-fps_mode', 'passthrough', '-f'];
  ffmpeg(
    '-f',
    'lavfi',
    '-i',
    source,
    '-filter_complex',
    graph,
    '-map',
    '[x]',
    '-map',
    '[y]',
    ...outputs,
    'nut',
    path,
  );
  file = readFileSync(path);
  raw = ['x', 'y'].map((label) => {
    const other = label === 'x' ? 'y' : 'x';
    const one = `${path}.${label}.raw`;
    ffmpeg(
      ...[
        '-f',
        'lavfi',
        '-i',
        source,
        '-filter_complex',
        `${graph};[${other}]nullsink`,
        '-map',
        `[${label}]`,
      ],
      ...[...outputs, 'rawvideo', one],
    );
    return readFileSync(one);
  });
});

function read(chunks: Iterable<Buffer>): { frames: Buffer[][]; complete: boolean } {
  const frames: Buffer[][] = [[], []];
  const open: (Buffer | undefined)[] = [];
  const reader = new NutReader({
    target: (stream, size) => {
      open[stream] = Buffer.alloc(size);
      return open[stream];
    },
    filled: (stream) => frames[stream]!.push(open[stream]!),
  });
  for (const chunk of chunks) reader.push(chunk);
  return { frames, complete: reader.complete };
}

function* split(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe('NUT as ffmpeg writes it', () => {
  it.each([1, 7, 4_096, 65_536, Number.POSITIVE_INFINITY])('in chunks of %d bytes', (size) => {
    const { frames, complete } = read(split(file, size));
    expect(frames.map((list) => list.length)).toEqual([30, 10]);
    for (const [stream, list] of frames.entries())
      expect(Buffer.concat(list).equals(raw[stream]!)).toBe(true);
    expect(complete).toBe(true);
  });

  it('cut in a frame: the frames before it, and not complete', () => {
    const { frames, complete } = read([file.subarray(0, Math.floor(file.length / 2))]);
    expect(complete).toBe(false);
    expect(frames[0]!.length).toBeGreaterThan(5);
    expect(raw[0]!.subarray(0, frames[0]!.length * 64 * 48 * 3).equals(Buffer.concat(frames[0]!))).toBe(true);
  });

  it('something else', () => {
    expect(() => read([Buffer.alloc(100)])).toThrow(/NUT file id/);
    const broken = Buffer.concat([file.subarray(0, 25), Buffer.alloc(100)]);
    expect(() => read([broken])).toThrow(/frame code/);
  });
});
