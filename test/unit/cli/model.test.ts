import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSafetensorsHeader } from '../../../src/model/checkpoint/safetensors.ts';
import { copyCheckpoint, fixtures } from '../../support/checkpoints.ts';
import { omnivqa } from '../../support/cli.ts';
import { temporaryCache } from '../../support/engine.ts';
import { flipBits, patchFile, temporaryDirectory } from '../../support/media.ts';

const checkpoint = join(fixtures, 'separate-patch');

const positive = expect.toSatisfy((value: unknown) => typeof value === 'number' && value > 0) as number;
/** Fields of `model bench` that hold a figure. */
const measured = {
  loadSeconds: positive,
  secondsPer10sClip: positive,
  prefillTokensPerSecond: positive,
  decodeTokensPerSecond: positive,
  peakMemoryBytes: positive,
  plannedMemoryBytes: positive,
  limits: {
    flopPerSecond: positive,
    layerBytesPerSecond: positive,
    headBytesPerSecond: positive,
    prefillTokensPerSecond: positive,
    decodeTokensPerSecond: positive,
    bytesPerToken: positive,
  },
  ofLimit: { prefill: positive, decode: positive },
};

describe('omnivqa model', () => {
  it('compile, list and verify go together', async () => {
    const cache = temporaryCache();
    const compiled = await omnivqa(['model', 'compile', checkpoint, '--precision', 'int4']);
    expect(compiled).toMatchObject({ status: 0, stderr: '' });
    const [directory, facts] = compiled.stdout.split('\n') as [string, string];
    expect(directory.startsWith(join(cache, 'models'))).toBe(true);
    expect(facts).toMatch(/^ {2}int4, vision int8, \d+\.\d MB, \d+\.\d s$/);

    const listed = await omnivqa(['model', 'list']);
    expect(listed).toMatchObject({ status: 0, stderr: '' });
    expect(listed.stdout).toMatch(/^FAMILY +PRECISION +CAN +SIZE +MODEL\n/);
    expect(listed.stdout).toMatch(/^nano-rater +checkpoint +rates +\d+\.\d MB +nano$/m);
    expect(listed.stdout).toContain(directory);
    expect(listed.stdout).toMatch(/^fixture-separate-patch +int4, vision int8 +rates, chats /m);
    const json = JSON.parse((await omnivqa(['model', 'list', '--format', 'json'])).stdout) as unknown[];
    expect(json).toHaveLength(2);
    expect(json[1]).toMatchObject({ name: directory, precision: 'int4, vision int8', chats: true });

    const verified = await omnivqa(['model', 'verify', directory]);
    expect(verified).toMatchObject({ status: 0, stderr: '' });
    expect(verified.stdout).toMatch(/: compiled, int4, vision int8, \d+ files, all as they were written\.\n/);
    expect(verified.stdout).toMatch(/\nOn the CPU it takes .* at most: weights \d+ MB.* to spare\.\n$/);
  });

  it('compile -o takes a new or empty folder, or one it wrote before, and no other', async () => {
    const folder = temporaryDirectory();
    const target = join(folder, 'compiled');
    mkdirSync(target);
    const call = (output: string) => omnivqa(['model', 'compile', checkpoint, '-o', output]);
    expect((await call(target)).status).toBe(0);
    expect((await call(target)).status).toBe(0);
    expect(readdirSync(folder)).toEqual(['compiled']);
    writeFileSync(join(folder, 'letter.txt'), 'Dear all');
    expect(await call(folder)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('other things in it'),
    });
    expect(await call(join(folder, 'letter.txt'))).toMatchObject({ status: 2 });
    expect(readdirSync(folder).sort()).toEqual(['compiled', 'letter.txt']);
  });

  it('verify reads every byte of a compiled model', async () => {
    const target = join(temporaryDirectory(), 'compiled');
    await omnivqa(['model', 'compile', checkpoint, '-o', target]);
    await flipBits(join(target, 'decoder.weights'), 100, 101, 1);
    const run = await omnivqa(['model', 'verify', target]);
    expect(run).toMatchObject({ status: 3, stdout: '' });
    expect(run.stderr).toMatch(/decoder\.weights.*\[compiled_invalid\]\n/);
  });

  it('verify reads every number of a checkpoint', async () => {
    const whole = await omnivqa(['model', 'verify', checkpoint]);
    expect(whole).toMatchObject({ status: 0, stderr: '' });
    expect(whole.stdout).toMatch(
      /checkpoint of family fixture-separate-patch, \d+ tensors in \d files?, .* all finite\.\n/,
    );

    const directory = copyCheckpoint();
    const path = join(directory, 'model.safetensors');
    const [norm] = readSafetensorsHeader(path).filter(({ name }) => name === 'model.norm.weight');
    // All bits set is no number, in 16 as in 32 bits.
    await patchFile(path, norm!.start, Buffer.alloc(4, 0xff));
    const broken = await omnivqa(['model', 'verify', directory]);
    expect(broken.status).toBe(3);
    expect(broken.stderr).toContain('[checkpoint_corrupt]');
    expect(broken.stderr).toMatch(
      /^1 of the \d+ tensors in .* can not be used[\s\S]*\n {2}- model\.norm\.weight in .* not finite/,
    );
  });

  it('bench measures, as a table and as JSON', async () => {
    const cache = temporaryCache();
    const flags = ['--provider', 'cpu', '--threads', '1'];
    const table = await omnivqa(['model', 'bench', checkpoint, ...flags]);
    const [kept] = readdirSync(join(cache, 'figures')) as [string];
    expect(kept).toMatch(/^[0-9a-f]{32}-cpu\.json$/);
    expect(table).toMatchObject({ status: 0, stderr: '' });
    expect(table.stdout).toMatch(/^seconds per 10s clip +\d/m);
    expect(table.stdout).toMatch(/^peak memory +\d+\.\d MB$/m);
    expect(table.stdout).toMatch(/^decode tokens\/s +\d\S* +\d\S* +\d+ %$/m);
    const figures = JSON.parse(
      (await omnivqa(['model', 'bench', checkpoint, '--format', 'json', ...flags])).stdout,
    ) as unknown;
    expect(figures).toMatchObject(measured);
    const { limits } = JSON.parse(readFileSync(join(cache, 'figures', kept), 'utf8')) as typeof measured;
    expect(limits).toEqual({ prefillTokensPerSecond: positive, decodeTokensPerSecond: positive });
  });

  it('bench measures the embedded model where none is named', async () => {
    temporaryCache();
    const { status, stdout } = await omnivqa(['model', 'bench', '--provider', 'cpu', '--format', 'json']);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ ...measured, model: 'omnivqa-nano', provider: 'cpu' });
  });

  it('bench measures a shape with made-up weights, and leaves nothing behind', async () => {
    const cache = temporaryCache();
    // Of one that was killed: no process has so high a number.
    mkdirSync(join(cache, `shape.partial-${hostname()}-99999999-00000000`));
    const flags = ['--shape', 'tiny', '--provider', 'cpu', '--format', 'json'];
    const { status, stdout } = await omnivqa(['model', 'bench', ...flags]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ ...measured, precision: 'int4, vision int8' });
    expect(readdirSync(cache)).toEqual([]);
    expect(await omnivqa(['model', 'bench', checkpoint, ...flags])).toMatchObject({ status: 2 });
  });
});
