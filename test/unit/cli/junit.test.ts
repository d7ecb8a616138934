import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { junitReport } from '../../../src/cli/junit.ts';
import { omnivqa } from '../../support/cli.ts';
import { smallModel, temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

test('names of others are text in a report, whatever they hold', () => {
  const report = junitReport('suite <&"', [
    { name: 'good', seconds: 1.23456, failures: [], error: null },
    {
      name: 'a"><script>\u0000\u001b[31m\ud800\uffff',
      seconds: null,
      failures: ['x < y.', 'No & no.'],
      error: null,
    },
    { name: 'broken', seconds: null, failures: [], error: 'No video.' },
  ]);
  expect(report).toContain('<testsuite name="suite &lt;&amp;&quot;" tests="3" failures="1" errors="1">');
  expect(report).toContain('name="good" time="1.235"/>');
  expect(report).toContain('<failure message="x &lt; y. No &amp; no."/>');
  expect(report).toContain('<error message="No video."/>');
  expect(report).not.toMatch(/<script|(?!\n)\p{Cc}|\p{Cs}|\uffff/u);
});

test('assess: what is below the threshold fails, what can not be read is an error', async () => {
  temporaryCache();
  const folder = temporaryDirectory();
  const clip = writeClip(join(folder, 'clip.mp4'), { seconds: 1 });
  const broken = join(folder, 'broken.mp4');
  writeFileSync(broken, 'no video');
  const words = ['assess', clip, broken, ...smallModel, '--format', 'junit', '--fail-below', '5'];
  const { status, stdout } = await omnivqa(words);
  expect(status).toBe(3);
  expect(stdout).toContain('<testsuites tests="2" failures="1" errors="1">');
  expect(stdout).toMatch(/<failure message="MOS \d\.\d\d is below 5\."\/>/);
});

test('compare: a rung that misses its target fails', async () => {
  temporaryCache();
  const folder = temporaryDirectory();
  const source = writeClip(join(folder, 'source.mp4'), { seconds: 1 });
  const ladder = join(folder, 'a.ladder.json');
  const rung = { codec: 'libx264', preset: 'ultrafast' };
  const rungs = [
    { ...rung, name: 'top', crf: 20, targetMos: 5 },
    { ...rung, name: 'low', crf: 40 },
  ];
  writeFileSync(ladder, JSON.stringify({ rungs }));
  const words = ['compare', source, ...smallModel, '--settings', ladder, '--format', 'junit'];
  const { status, stdout, stderr } = await omnivqa(words);
  expect(status).toBe(1);
  expect(stderr).toMatch(/top: MOS .* misses its target of 5/);
  expect(stdout).toContain('tests="2" failures="1" errors="0"');
  expect(stdout).toMatch(/name="low" time="[\d.]+"\/>/);
});
