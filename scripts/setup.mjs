// Brings a fresh checkout to the point where it builds: npm packages, ffmpeg, and for the tests a software
// Vulkan driver and the Python environment of training/. Everything that is already there is left alone.
// Node's standard library only: this runs before anything is installed.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

const say = (line) => process.stderr.write(`${line}\n`);

/** Runs a command with its output shown; throws a one-line error that names the command. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32' && command === 'npm',
    ...options,
  });
  if (result.error || result.status !== 0) {
    throw new Error(
      `${[command, ...args].join(' ')} ${result.error ? `did not start: ${result.error.message}` : `ended with status ${result.status}`}`,
    );
  }
}

function answers(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** npm packages exactly as package-lock.json names them; no package's install script is run, none is needed. */
function installPackages() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  const marker = join(root, 'node_modules', '.omnivqa-lock');
  if (existsSync(marker) && readFileSync(marker, 'utf8') === lock) return;
  say('Installing npm packages …');
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']);
  writeFileSync(marker, lock);
}

let aptUpdated = false;

/** Installs Debian packages where that is possible without asking anybody: on apt systems, as root. */
function apt(packages) {
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || !answers('apt-get', ['--version']))
    return false;
  say(`Installing ${packages.join(', ')} …`);
  const quiet = {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  };
  if (!aptUpdated) run('apt-get', ['update', '-qq'], quiet);
  aptUpdated = true;
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], quiet);
  return true;
}

function ensureFfmpeg() {
  if (process.env.OMNIVQA_FFMPEG || (answers('ffmpeg', ['-version']) && answers('ffprobe', ['-version'])))
    return;
  if (apt(['ffmpeg'])) return;
  const how = {
    darwin: 'brew install ffmpeg',
    win32: 'winget install Gyan.FFmpeg',
  };
  throw new Error(
    `ffmpeg and ffprobe are not on PATH. Install them: ${how[process.platform] ?? 'sudo apt-get install ffmpeg'}`,
  );
}

const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json';

/** The WebGPU tests run on SwiftShader, a Vulkan driver in software that Debian's chromium package carries. */
function ensureSoftwareVulkan() {
  if (process.env.VK_ICD_FILENAMES || existsSync(swiftShader) || apt(['chromium'])) return;
  say(
    'No software Vulkan driver found: set VK_ICD_FILENAMES to one (Debian: apt-get install chromium). The WebGPU tests will fail without it.',
  );
}

/** The tests of graphics devices that fail make a Vulkan driver that does. */
function ensureCompiler() {
  if (process.platform !== 'linux' || answers('cc', ['--version']) || apt(['gcc', 'libc6-dev'])) return;
  say('No C compiler found as cc (Debian: apt-get install gcc). Two test files will fail without it.');
}

/** A virtual environment of training/'s pinned packages; OMNIVQA_PYTHON names an environment of your own instead. */
function ensurePython() {
  if (process.env.OMNIVQA_PYTHON) return process.env.OMNIVQA_PYTHON;
  const requirements = join(root, 'training', 'requirements.txt');
  const directory = join(root, '.venv');
  const python =
    process.platform === 'win32'
      ? join(directory, 'Scripts', 'python.exe')
      : join(directory, 'bin', 'python');
  const wanted = createHash('sha256').update(readFileSync(requirements)).digest('hex');
  const marker = join(directory, '.omnivqa-requirements');
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) return python;
  say('Installing the Python packages of training/ …');
  const base = ['python3.11', 'python3', 'python'].find((name) =>
    answers(name, ['-c', 'import sys; sys.exit(sys.version_info < (3, 11))']),
  );
  if (!base) throw new Error('Python 3.11 or newer is not on PATH: the tests of training/ need it.');
  run(base, ['-m', 'venv', directory]);
  run(python, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', '-r', requirements]);
  writeFileSync(marker, wanted);
  return python;
}

/** What `npm start` needs. */
export function setUp() {
  if (Number(process.versions.node.split('.')[0]) < 20)
    throw new Error(`Node ${process.versions.node} is too old: 20 or newer is needed.`);
  installPackages();
  ensureFfmpeg();
}

/** What `npm test` needs on top. Returns the Python interpreter for training/. */
export function setUpTests() {
  setUp();
  ensureSoftwareVulkan();
  ensureCompiler();
  return ensurePython();
}

/** What a step that failed may lack: installers seldom name a full disk, and npm does so only in its log. */
function shortage() {
  const { bavail, bsize } = statfsSync(root);
  const free = bavail * bsize;
  return free < 2 ** 30
    ? `\nOnly ${Math.round(free / 2 ** 20)} MiB are free on the disk of ${root}: \`npm start\` takes about 1 GiB there, \`npm test\` about 4.`
    : '';
}

/** Ends the process with a readable line if `body` throws. */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    say(`\n${error.message}${shortage()}`);
    process.exitCode ||= 1;
  }
}

/** The repository's own bundler, in a process of its own because esbuild is only there after set-up. */
export function build() {
  execFileSync(process.execPath, [join(root, 'scripts', 'build.mjs')], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
