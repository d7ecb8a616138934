import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Assessment } from '../../../src/assessment/record.ts';
import { Collected, omnivqa } from '../../support/cli.ts';
import { checkpointWith, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

/** Arguments that assess a clip with one random model, and its worst windows with another one. */
function call(seconds: number, ...more: string[]): string[] {
  const clip = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds, size: '128x72' });
  const model = checkpointWith({ window_seconds: 2, step_seconds: 1 });
  return ['assess', clip, '--model', model, '--provider', 'cpu', '--threads', '1', ...more];
}

const second = () => checkpointWith({ window_seconds: 1 }, { name: 'joined-patch' });

describe('omnivqa assess --refine', () => {
  it('puts what the second model says into the record, and finds it again', async () => {
    temporaryCache();
    const command = [...call(4, '--refine', second(), '--refine-windows', '2'), '--format', 'json'];
    const { status, stdout, stderr } = await omnivqa(command);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const record = JSON.parse(stdout) as Assessment;
    expect(record.refinements).toHaveLength(2);
    expect(record.refinements![0]!.model.id).toBe('joined-patch');
    expect(JSON.parse((await omnivqa(command)).stdout)).toEqual(record);
    // The first model's result is the same without.
    const { refinements: _, ...rest } = record;
    const plain = [...command.slice(0, command.indexOf('--refine')), '--format', 'json', '--no-cache'];
    const alone = JSON.parse((await omnivqa(plain)).stdout) as Assessment;
    expect({ ...rest, timing: null }).toEqual({ ...alone, timing: null });
  });

  it('of what was looked at closely stays apart from what was not', async () => {
    temporaryCache();
    const clip = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 2, size: '128x72' });
    const model = checkpointWith({ comparison_key_frames: 2 });
    const flags = ['--model', model, '--provider', 'cpu', '--threads', '1', '--format', 'json'];
    const assess = async (...more: string[]) =>
      JSON.parse((await omnivqa(['assess', clip, ...flags, ...more])).stdout) as Assessment;
    const refined = ['--refine', second(), '--refine-windows', '1'];
    const close = await assess('--closely', ...refined);
    expect([close.model.closely, close.refinements?.length]).toEqual([true, 1]);
    const plain = await assess();
    expect([plain.model.closely, plain.refinements]).toEqual([undefined, undefined]);
    expect(await assess('--closely')).toEqual(close);
  });

  it('says in the reports which model said what', async () => {
    temporaryCache();
    const command = call(3, '--refine', second(), '--refine-windows', '1');
    const text = await omnivqa(command);
    expect(text.stdout).toMatch(
      /refined\s+\d:\d\d\S*–\d:\d\d\S*\s+MOS \d\.\d\d by joined-patch, \d\.\d\d by the first/,
    );
    const html = await omnivqa([...command, '--format', 'html']);
    expect(html.stdout).toContain('<th>Second model</th>');
    expect(html.stdout).toMatch(/<td>joined-patch [0-9a-f]{8}, fp32<\/td>/);
  });

  it('without that model: nothing is assessed, and the hint says what is missing', async () => {
    temporaryCache();
    const { status, stdout, stderr } = await omnivqa(call(1, '--refine', '/nowhere'));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('There is no directory /nowhere.');
  });

  it('with one that can not be loaded: the record stays, and a problem says why', async () => {
    temporaryCache();
    const broken = temporaryDirectory();
    const { status, stdout, stderr } = await omnivqa(call(1, '--refine', broken, '--format', 'json'));
    expect(status).toBe(0);
    const record = JSON.parse(stdout) as Assessment;
    expect(record.status).toBe('complete');
    expect(record).not.toHaveProperty('refinements');
    expect(record.problems.map(({ code }) => code)).toContain('not_refined');
    expect(stderr).toContain('could not be refined');
  });

  it('interrupted: the first record is there, and the next call does the rest', async () => {
    temporaryCache();
    const controller = new AbortController();
    class Impatient extends Collected {
      override _write(chunk: string | Buffer, encoding: string, done: () => void): void {
        super._write(chunk, encoding, done);
        if (this.text.includes('refining')) controller.abort();
      }
    }
    const command = [...call(4, '--refine', second(), '--refine-windows', '4'), '--format', 'json'];
    const { signal } = controller;
    const stopped = await omnivqa(command, { signal, stderr: new Impatient({ isTTY: true, columns: 300 }) });
    expect(stopped.status).toBe(130);
    const first = JSON.parse(stopped.stdout) as Assessment;
    expect(first.status).toBe('complete');
    const whole = JSON.parse((await omnivqa(command)).stdout) as Assessment;
    expect(whole.refinements).toHaveLength(4);
    expect(whole.refinements).toEqual(expect.arrayContaining(first.refinements ?? []));
  });
});
