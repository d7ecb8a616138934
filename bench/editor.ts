/**
 * What the extension costs its host: activation, how long the event loop is held up during a job, what ships. In a real
 * workbench with a real extension host, measured from inside by a second extension beside ours.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { launchChromium } from '../test/support/browser.ts';
import { openPage } from '../test/workbench/window.ts';
import { startWorkbench } from '../test/workbench/workbench.ts';
import type { Figure } from './support.ts';

/** What the probe writes. Milliseconds. */
interface Probed {
  readonly load: number;
  readonly activate: number;
  readonly idle: number;
  readonly job: {
    readonly max: number;
    readonly p99: number;
    readonly seconds: number;
    /** The longest that our code, and what it called, ran in one turn of the event loop, by V8's profiler. */
    readonly ours: number;
  };
  readonly again: number;
}

const manifest = {
  name: 'probe',
  publisher: 'omnivqa-bench',
  version: '0.0.1',
  engines: { vscode: '^1.105.0' },
  main: './main.cjs',
  activationEvents: ['onStartupFinished'],
};

/** Runs in the extension host: times our activation, and watches the event loop while a clip is assessed. */
const probe = `
const vscode = require('vscode');
const { writeFileSync, renameSync } = require('node:fs');
const { monitorEventLoopDelay } = require('node:perf_hooks');
const { Session } = require('node:inspector/promises');
/** The longest that functions of a file were on the stack between two rests of the event loop. */
const longestTurn = ({ nodes, samples, timeDeltas }, file) => {
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const stack = (id) => (id === undefined ? [] : [byId.get(id).callFrame, ...stack(parents.get(id))]);
  let longest = 0;
  let turn = 0;
  samples.forEach((id, index) => {
    const frames = stack(id);
    if (frames[0].functionName === '(idle)' || frames[0].functionName === '(program)') turn = 0;
    // What a sample stands for lasts until the next one.
    else if (frames.some(({ url }) => url.endsWith(file))) turn += (timeDeltas[index + 1] ?? 0) / 1000;
    longest = Math.max(longest, turn);
  });
  return longest;
};
const profiled = async (work) => {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 1000 });
  await session.post('Profiler.start');
  const result = await work();
  const { profile } = await session.post('Profiler.stop');
  session.disconnect();
  return { ...result, ours: longestTurn(profile, 'extension.cjs') };
};
const watch = async (work) => {
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  const from = performance.now();
  await work();
  delays.disable();
  return { max: delays.max / 1e6, p99: delays.percentile(99) / 1e6, seconds: (performance.now() - from) / 1000 };
};
exports.activate = async () => {
  const ours = vscode.extensions.getExtension('omnivqa.omnivqa');
  const clip = vscode.Uri.joinPath(vscode.workspace.workspaceFolders[0].uri, 'clip.mp4');
  const idle = await watch(() => new Promise((resolve) => setTimeout(resolve, 5000)));
  await ours.activate();
  const activate = performance.getEntriesByName('omnivqa.activate')[0].duration;
  // Node has the module already: read and run once more, in a copy that nobody uses.
  const file = require('node:path').join(ours.extensionPath, 'dist', 'extension.cjs');
  delete require.cache[file];
  const before = performance.now();
  require(file);
  const load = performance.now() - before;
  const job = await profiled(() => watch(() => vscode.commands.executeCommand('omnivqa.assess', clip)));
  const from = performance.now();
  await vscode.commands.executeCommand('omnivqa.assess', clip);
  const result = { load, activate, idle: idle.max, job, again: performance.now() - from };
  writeFileSync(process.env.OMNIVQA_PROBE + '.part', JSON.stringify(result));
  renameSync(process.env.OMNIVQA_PROBE + '.part', process.env.OMNIVQA_PROBE);
};
`;

/** @param root The repository, built. */
export async function benchEditor(root: string): Promise<readonly Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'omnivqa-editor-'));
  const result = join(folder, 'result.json');
  mkdirSync(join(folder, 'probe'));
  mkdirSync(join(folder, 'clips'));
  writeFileSync(join(folder, 'probe', 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'probe', 'main.cjs'), probe);
  const source = ['-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30:duration=60'];
  const encode = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'];
  execFileSync('ffmpeg', ['-v', 'error', ...source, ...encode, join(folder, 'clips', 'clip.mp4')]);
  const workbench = await startWorkbench({
    workspace: join(folder, 'clips'),
    extensions: [root, join(folder, 'probe')],
    env: { OMNIVQA_PROBE: result },
  });
  const browser = await launchChromium();
  try {
    const { page } = await openPage(browser, workbench);
    while (!existsSync(result)) await page.waitForTimeout(200);
  } finally {
    await browser.close();
    await workbench.stop();
  }
  const { load, activate, idle, job, again } = JSON.parse(readFileSync(result, 'utf8')) as Probed;
  rmSync(folder, { recursive: true, force: true });
  const kilobytes = (path: string) => statSync(join(root, 'dist', path)).size / 1000;
  const view = (name: string) =>
    [`${name}.js`, `${name}.css`].reduce(
      (sum, file) => sum + gzipSync(readFileSync(join(root, 'dist', 'webview', file))).length / 1000,
      0,
    );
  const vsix = join(root, 'dist', 'bench', 'omnivqa.vsix');
  execFileSync(process.execPath, [join(root, 'scripts', 'package.mjs'), '--out', vsix], { stdio: 'pipe' });
  return [
    {
      name: 'activating',
      value: activate,
      unit: 'ms',
      note: `limit 50; reading the module once more ${load.toFixed(1)}`,
    },
    {
      name: 'event loop held up during a job, longest',
      value: job.max,
      unit: 'ms',
      note: `limit 50; ${job.seconds.toFixed(0)} s job on a 60 s clip, its timeline open`,
    },
    { name: '… 99th percentile', value: job.p99, unit: 'ms' },
    {
      name: '… longest by our code and what it calls',
      value: job.ours,
      unit: 'ms',
      note: 'limit 50',
    },
    { name: '… longest in 5 s before the job', value: idle, unit: 'ms', note: 'the editor itself' },
    { name: 'stored result of that clip, command to answer', value: again, unit: 'ms' },
    { name: 'extension bundle', value: kilobytes('extension.cjs'), unit: 'kB', note: 'limit 600' },
    ...['timeline', 'chat', 'comparison'].map((name) => ({
      name: `${name}, gzipped`,
      value: view(name),
      unit: 'kB',
      note: 'limit 400',
    })),
    {
      name: `package for ${process.platform}-${process.arch}, Nano inside`,
      value: statSync(vsix).size / 1e6,
      unit: 'MB',
      note: 'limit 90',
    },
  ];
}
