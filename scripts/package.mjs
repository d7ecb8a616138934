// Makes the extension's package for one platform: dist/omnivqa-<version>-<target>.vsix.
//   node scripts/package.mjs [--target linux-x64] [--out <file>]
// What ships is copied into a folder first, by name; nothing gets in because it was not kept out. The tests of the
// extension host run from such a folder. `npm run build` comes before.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main, root } from './setup.mjs';

/** VS Code's names of the platforms that the runtime has libraries for. */
const targets = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'win32-x64', 'win32-arm64'];
const limit = 90e6;

/** Everything of ours that ships. */
const ours = [
  'README.md',
  'CHANGELOG.md',
  'LICENSE',
  'THIRD_PARTY_NOTICES',
  'package.nls.json',
  'dist/extension.cjs',
  'dist/encodes.cjs',
  'dist/engine.mjs',
  'dist/cli.mjs',
  'dist/pack_worker.mjs',
  'dist/webview/timeline.js',
  'dist/webview/timeline.css',
  'dist/webview/chat.js',
  'dist/webview/chat.css',
  'dist/webview/comparison.js',
  'dist/webview/comparison.css',
  'media/icon.png',
  'media/view.svg',
  'media/schema/assessment.schema.json',
  'media/schema/ladder.schema.json',
  'media/walkthrough',
  'models/nano',
];

const files = (directory) =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** Copies what ships for `target` into `directory`, which is emptied first. */
export function stage(directory, target = `${process.platform}-${process.arch}`) {
  if (!targets.includes(target))
    throw new Error(`There is no runtime for ${target}: the targets are ${targets.join(', ')}.`);
  rmSync(directory, { recursive: true, force: true });
  const copy = (path, to = '', filter = () => true) => {
    if (!existsSync(join(root, path))) throw new Error(`${path} is missing: run \`npm run build\` first.`);
    cpSync(join(root, path), join(directory, to, path), { recursive: true, filter });
  };
  for (const path of ours) copy(path);

  // The runtime: its scripts as they are published, and the libraries of one platform. They lie beside the engine,
  // where it finds them first; vsce leaves out a node_modules at the top.
  const runtime = join('node_modules', 'onnxruntime-node');
  const common = join('node_modules', 'onnxruntime-common');
  const script = (path) => statSync(path).isDirectory() || /\.js$|package\.json$/.test(path);
  copy(join(runtime, 'package.json'), 'dist');
  copy(join(runtime, 'dist'), 'dist', script);
  copy(join(runtime, 'bin', 'napi-v6', ...target.split('-')), 'dist');
  copy(join(common, 'package.json'), 'dist');
  copy(join(common, 'dist', 'cjs'), 'dist', script);

  // The manifest of the extension: what is only about building it stays behind.
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const key of ['private', 'bin', 'scripts', 'dependencies', 'devDependencies']) delete manifest[key];
  // The folder holds what ships and nothing else; the pattern tells vsce that this is meant.
  manifest.files = ['**'];
  delete manifest.engines.node;
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Names of the files in a zip archive, from its directory at the end. */
export function archived(path) {
  const size = statSync(path).size;
  const file = openSync(path, 'r');
  const read = (length, at) => {
    const bytes = Buffer.alloc(length);
    readSync(file, bytes, 0, length, at);
    return bytes;
  };
  const end = read(22, size - 22);
  if (end.readUInt32LE(0) !== 0x06054b50) throw new Error(`${path} is no archive, or has a comment.`);
  const directory = read(end.readUInt32LE(12), end.readUInt32LE(16));
  const names = [];
  for (let at = 0; at < directory.length; ) {
    const [name, extra, comment] = [28, 30, 32].map((field) => directory.readUInt16LE(at + field));
    names.push(directory.toString('utf8', at + 46, at + 46 + name));
    at += 46 + name + extra + comment;
  }
  return names;
}

/** What vsce makes of the folder `staged`. Returns the names of all files that should be in it. */
function archive(staged, target, vsix) {
  execFileSync(
    process.execPath,
    [
      join(root, 'node_modules', '@vscode', 'vsce', 'vsce'),
      ...['package', '--target', target, '--out', vsix],
      // What it needs is there already; links of the README stay as they are, there is no address to add.
      ...['--no-dependencies', '--allow-missing-repository', '--no-rewrite-relative-links'],
    ],
    { cwd: staged, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  // vsce adds its own two and spells three of ours its own way.
  const spelt = { 'README.md': 'readme.md', 'CHANGELOG.md': 'changelog.md', LICENSE: 'LICENSE.txt' };
  return [
    '[Content_Types].xml',
    'extension.vsixmanifest',
    ...files(staged).map((path) => {
      const inside = relative(staged, path).split(sep).join('/');
      return `extension/${spelt[inside] ?? inside}`;
    }),
  ];
}

/** Makes the package. Returns its path. */
export function pack(target, out) {
  const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const vsix = resolve(out ?? join(root, 'dist', `${name}-${version}-${target}.vsix`));
  mkdirSync(dirname(vsix), { recursive: true });
  const staged = mkdtempSync(join(tmpdir(), 'omnivqa-package-'));
  let expected;
  try {
    stage(staged, target);
    expected = archive(staged, target, vsix);
  } finally {
    rmSync(staged, { recursive: true, force: true });
  }
  const got = archived(vsix);
  const odd = [
    ...expected.filter((one) => !got.includes(one)).map((one) => `missing ${one}`),
    ...got.filter((one) => !expected.includes(one)).map((one) => `unexpected ${one}`),
  ];
  if (odd.length > 0) throw new Error(`The package is not what was staged: ${odd.join(', ')}.`);
  const { size } = statSync(vsix);
  process.stdout.write(
    `${relative(root, vsix)}: ${(size / 1e6).toFixed(1)} MB, ${got.length} files, for ${target}\n`,
  );
  if (size > limit) throw new Error(`The package is larger than ${limit / 1e6} MB.`);
  return vsix;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const value = (name) => {
    const at = process.argv.indexOf(name);
    return at < 0 ? undefined : process.argv[at + 1];
  };
  await main(() => pack(value('--target') ?? `${process.platform}-${process.arch}`, value('--out')));
}
