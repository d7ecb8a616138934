import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { bundle, removeBundle } from '../../support/cli.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

removeBundle();

/** A client of the SDK on a server of ours that may read one folder. */
async function connected(root: string): Promise<Client> {
  const client = new Client({ name: 'test', version: '1' });
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [await bundle(), 'mcp', '--root', root, '--provider', 'cpu', '--threads', '1'],
    env: { PATH: process.env.PATH ?? '', OMNIVQA_CACHE: temporaryDirectory() },
    stderr: 'ignore',
  });
  await client.connect(transport);
  onTestFinished(() => client.close());
  return client;
}

const textOf = (result: unknown) =>
  (result as { content: { type: string; text: string }[] }).content.map(({ text }) => text).join('');

describe('omnivqa mcp', () => {
  it('offers its tools and answers with small results that cite the record', async () => {
    const root = temporaryDirectory();
    writeClip(join(root, 'clip.mp4'), { seconds: 2 });
    const client = await connected(root);
    expect(client.getServerVersion()).toMatchObject({ name: 'omnivqa' });
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      'assess_video',
      'list_distortions',
      'describe_moment',
      'compare_encodes',
    ]);
    const call = (name: string, given: Record<string, unknown>) =>
      client.callTool({ name, arguments: given });
    const assessed = textOf(await call('assess_video', { path: 'clip.mp4' }));
    expect(assessed).toMatch(/^MOS \d\.\d\d of 5/);
    expect(assessed).toMatch(/\[record of .*clip\.mp4: omnivqa-nano/);
    expect(assessed.length).toBeLessThan(2_000);
    expect(textOf(await call('list_distortions', { path: 'clip.mp4', type: 'blur' }))).toContain(
      '[record of ',
    );
    expect(textOf(await call('describe_moment', { path: join(root, 'clip.mp4'), start: 0 }))).toContain(
      '0–1 s: MOS',
    );
    const compared = textOf(
      await call('compare_encodes', {
        path: 'clip.mp4',
        settings: ['-c:v libx264 -preset ultrafast -crf 45'],
      }),
    );
    expect(compared).toMatch(/^\[1\] .*MOS \d/);
  }, 120_000);

  it('says typed errors as a tool does, and reads nothing outside of its folders', async () => {
    const [root, outside] = [temporaryDirectory(), temporaryDirectory()];
    writeClip(join(outside, 'secret.mp4'), { seconds: 1 });
    symlinkSync(join(outside, 'secret.mp4'), join(root, 'link.mp4'));
    const client = await connected(root);
    const failing = async (name: string, given: Record<string, unknown>) => {
      const result = await client.callTool({ name, arguments: given });
      expect(result.isError).toBe(true);
      return textOf(result);
    };
    for (const path of [
      join(outside, 'secret.mp4'),
      '../secret.mp4',
      'link.mp4',
      'missing.mp4',
      '.',
      '/etc/passwd',
    ]) {
      expect(await failing('assess_video', { path })).toMatch(/^\[file_not_found\]/);
    }
    expect(await failing('assess_video', {})).toMatch(/^\[bad_usage\]/);
    expect(await failing('list_distortions', { path: 'a.mp4', type: 'scratch' })).toMatch(/^\[bad_usage\]/);
    expect(await failing('describe_moment', { path: 'a.mp4', start: -1 })).toMatch(/^\[bad_usage\]/);
    expect(await failing('remove_everything', {})).toMatch(/^\[bad_usage\]/);
    expect(await failing('constructor', {})).toMatch(/^\[bad_usage\]/);
  }, 120_000);
});
