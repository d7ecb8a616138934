import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Assessment } from '../../../src/assessment/record.ts';
import { fixtures } from '../../support/checkpoints.ts';
import { Collected, Keyboard, omnivqa } from '../../support/cli.ts';
import { temporaryCache } from '../../support/engine.ts';
import { hubId, hubServer } from '../../support/hub_server.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

async function published() {
  const cache = temporaryCache();
  const hub = await hubServer(join(fixtures, 'joined-patch'));
  const directory = join(cache, 'hub', hubId.replace('/', '--'), hub.commit);
  const pull = ['model', 'pull', hubId, '--endpoint', hub.endpoint];
  return { hub, cache, directory, pull };
}

const cpu = ['--provider', 'cpu', '--threads', '1'];

describe('omnivqa model pull', () => {
  it('pull, list, assess, chat: one command each', async () => {
    const { hub, directory, pull } = await published();
    const pulled = await omnivqa([...pull, '--yes']);
    expect(pulled.status, pulled.stderr).toBe(0);
    expect(pulled.stderr).toMatch(/licence +apache-2\.0\n/);
    expect(pulled.stderr).toMatch(/size +0\.3 MB in 6 files\n/);
    expect(pulled.stderr).toContain(directory);
    expect(pulled.stdout).toContain(`${directory}\n  compiled, fp32\n`);

    // From here on without a connection.
    const asked = hub.asked.length;
    const listed = await omnivqa(['model', 'list', '--format', 'json']);
    expect(JSON.parse(listed.stdout)).toContainEqual(expect.objectContaining({ name: hubId }));
    expect((await omnivqa(['model', 'verify', `${hubId}@${hub.commit.slice(0, 8)}`])).status).toBe(0);
    const clip = writeClip(join(temporaryDirectory(), 'clip.mp4'), { seconds: 1, size: '128x72' });
    const assessed = await omnivqa(['assess', clip, '--model', hubId, ...cpu, '--format', 'json']);
    expect(assessed).toMatchObject({ status: 0, stderr: '' });
    const record = JSON.parse(assessed.stdout) as Assessment;
    expect(record.model.id).toBe('VQA-Assistant-llava-qwen-enhanced');
    const answered = await omnivqa(['chat', clip, 'What is wrong?', '--model', hubId, ...cpu]);
    expect(answered.status, answered.stderr).toBe(0);
    expect(hub.asked).toHaveLength(asked);
  });

  it('--drop-checkpoint keeps the compiled model alone', async () => {
    const { hub, directory, pull } = await published();
    const pulled = await omnivqa([...pull, '--yes', '--drop-checkpoint', '--precision', 'int4']);
    expect(pulled.status, pulled.stderr).toBe(0);
    expect(readdirSync(directory)).toContain('manifest.json');
    expect(readdirSync(directory).filter((name) => name.endsWith('.safetensors'))).toEqual([]);
    expect((await omnivqa(['model', 'verify', hubId])).stdout).toContain('compiled, int4');
    const before = hub.asked.filter(({ path }) => path.includes('/resolve/')).length;
    expect((await omnivqa(pull)).status).toBe(0);
    expect(hub.asked.filter(({ path }) => path.includes('/resolve/'))).toHaveLength(before);
  });

  it.each([
    ['y', true],
    ['n', false],
    ['', false],
  ])('asks on a terminal; %j is an answer', async (answer, fetched) => {
    const { directory, pull } = await published();
    const stdin = new Keyboard();
    stdin.end(`${answer}\n`);
    const stderr = new Collected({ isTTY: true });
    const { status } = await omnivqa([...pull, '--no-compile'], { stdin, stderr });
    expect(status).toBe(0);
    expect(stderr.text).toContain('Fetch it? [y/N] ');
    expect(existsSync(directory)).toBe(fetched);
  });

  it('fetches nothing where nobody can agree', async () => {
    const { hub, cache, pull } = await published();
    expect(await omnivqa(pull)).toMatchObject({ status: 2, stderr: expect.stringContaining('Add --yes') });
    expect(hub.asked.filter(({ path }) => path.includes('/resolve/'))).toEqual([]);
    expect(existsSync(join(cache, 'hub'))).toBe(false);
  });

  it('a model that was not pulled, or not to its end, is none', async () => {
    const { hub, pull } = await published();
    const listed = () => omnivqa(['model', 'verify', hubId]);
    expect(await listed()).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('omnivqa model pull'),
    });
    hub.misbehave = (_request, response, path) => {
      if (path.includes('/resolve/')) response.writeHead(503).end();
      return path.includes('/resolve/');
    };
    expect(await omnivqa([...pull, '--yes'])).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('[hub_unreachable]'),
    });
    expect(await listed()).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('not pulled to its end'),
    });
  });

  it.each([['model'], ['../a/b'], ['owner/name@../x']])('refuses the name %s', async (name) => {
    temporaryCache();
    expect(await omnivqa(['model', 'pull', name, '--yes'])).toMatchObject({ status: 2 });
  });
});
