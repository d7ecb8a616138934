import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { families, ratingQuestion } from '../../../src/model/checkpoint/families.ts';
import { ratingPrompts } from '../../../src/model/rating_prompts.ts';
import { omnivqa } from '../../support/cli.ts';
import { smallModel, temporaryCache } from '../../support/engine.ts';
import { sharedDirectory, temporaryDirectory, writeClip } from '../../support/media.ts';

const shared = sharedDirectory();
const sigmas = [0.01, 1, 2, 3, 4, 6, 8, 12];
beforeAll(() => {
  for (const sigma of sigmas) {
    writeClip(join(shared, `blur-${sigma}.mp4`), {
      seconds: 1,
      size: '128x72',
      filter: `gblur=sigma=${sigma}`,
    });
  }
});
const labels = sigmas.map((sigma, i) => ({ video: `blur-${sigma}.mp4`, mos: 5 - i / 2 }));
const [, ...flags] = smallModel;
const model = flags[0]!;
const probe = (value: unknown, more: readonly string[] = [], signal?: AbortSignal) => {
  const file = join(temporaryDirectory(), 'labels.json');
  writeFileSync(file, JSON.stringify(value));
  const call = ['model', 'probe', model, '--labels', file, '--videos', shared, ...flags.slice(1), ...more];
  return omnivqa(call, signal ? { signal } : {});
};

describe('the prompts that are tried', () => {
  it.each(Object.entries(families))(
    'of %s: its own first, each once, all about the clip',
    (_, { rating }) => {
      const prompts = ratingPrompts(rating);
      expect(prompts[0]).toEqual(rating);
      expect(new Set(prompts.map((prompt) => JSON.stringify(prompt))).size).toBe(prompts.length);
      const images = (text: string) => text.split('<image>').length;
      for (const { user, assistant } of prompts) {
        expect(images(user)).toBe(images(rating.user));
        expect(assistant).not.toBe('');
      }
      expect(prompts.length).toBeGreaterThanOrEqual(25);
    },
  );

  it('a question of its own is kept', () => {
    const own = { user: '<image>\nHow sharp is it?', assistant: 'It is' };
    const prompts = ratingPrompts(own);
    expect(prompts.every(({ user }) => user === own.user && !user.includes(ratingQuestion))).toBe(true);
  });
});

describe('omnivqa model probe', () => {
  it('reads each clip once for all prompts, and says what the own one is worth as evaluate rating does', async () => {
    temporaryCache();
    const run = await probe(labels, ['--format', 'json']);
    expect(run.status, run.stderr).toBe(0);
    const report = JSON.parse(run.stdout) as {
      clips: number;
      own: number;
      tokens: { clips: number; prompts: number };
      prompts: { user: string; srcc: { value: number }; mass: number }[];
    };
    expect(report.clips).toBe(sigmas.length);
    for (const { mass } of report.prompts) {
      expect(mass).toBeGreaterThan(0);
      expect(mass).toBeLessThanOrEqual(1);
    }
    // Not one prefill per prompt.
    expect(report.tokens.clips / report.clips).toBeLessThan(200);
    const file = join(temporaryDirectory(), 'labels.json');
    writeFileSync(file, JSON.stringify(labels));
    const call = ['--labels', file, '--videos', shared, '--format', 'json', ...smallModel];
    const rated = JSON.parse((await omnivqa(['evaluate', 'rating', ...call])).stdout) as {
      rows: { srcc: { value: number } }[];
    };
    expect(report.prompts[report.own]!.srcc.value).toBeCloseTo(rated.rows[0]!.srcc.value, 6);
    const text = await probe(labels);
    expect(text.stdout).toContain('(own) ');
    expect(text.stdout).toMatch(/leave it as it is|"rating"/);
  });

  it('names clips that are missing, and refuses fewer than eight', async () => {
    temporaryCache();
    const missing = await probe([...labels, { video: 'gone.mp4', mos: 3 }]);
    expect(missing).toMatchObject({ status: 3, stderr: expect.stringContaining('gone.mp4') });
    expect(missing.stderr).toContain('8 of 9 clips were read');
    expect(missing.stdout).toContain('(own) ');
    const few = await probe(labels.slice(1));
    expect(few).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('7 contents') });
    const left = await probe([...labels.slice(1), { video: 'gone.mp4', mos: 3 }]);
    expect(left).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('7 contents') });
    expect(await probe('no list')).toMatchObject({ status: 2, stdout: '' });
  });

  it('an interrupted one ends with what it has', async () => {
    temporaryCache();
    const stop = new AbortController();
    stop.abort();
    expect(await probe(labels, [], stop.signal)).toMatchObject({ status: 130, stdout: '' });
  });
});
