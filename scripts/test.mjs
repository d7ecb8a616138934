// `npm test`: lint, types, the TypeScript suite, the tests of the extension host and the Python suite, with one
// closing line for all of them.
// `npm test -- <vitest arguments>` runs that part of the TypeScript suite alone.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, main, root, setUpTests } from './setup.mjs';
import { installWorkbench } from './workbench.mjs';

await main(() => {
  const only = process.argv.slice(2);
  const python = setUpTests();
  installWorkbench();
  const reports = mkdtempSync(join(tmpdir(), 'omnivqa-test-'));
  const total = { passed: 0, failed: 0 };
  const start = (title, command, args, env = {}) => {
    process.stdout.write(`\n── ${title}\n`);
    return spawnSync(command, args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...env },
    }).status;
  };
  /** A step without tests of its own counts as one. */
  const step = (title, command, args) => {
    if (start(title, command, args) === 0) total.passed += 1;
    else total.failed += 1;
  };
  /** A runner's report; a runner that failed without saying which test did counts as one failure. */
  const suite = (status, read) => {
    let counts = { passed: 0, failed: 0 };
    try {
      counts = read();
    } catch {
      counts.failed = 1;
    }
    total.passed += counts.passed;
    total.failed += status !== 0 && counts.failed === 0 ? 1 : counts.failed;
  };

  if (only.length === 0) {
    step('lint', process.execPath, [join('node_modules', '@biomejs', 'biome', 'bin', 'biome'), 'check', '.']);
    step('types', process.execPath, [
      join('node_modules', 'typescript', 'bin', 'tsc'),
      '-p',
      'tsconfig.json',
    ]);
    step('types of the views', process.execPath, [
      join('node_modules', 'svelte-check', 'bin', 'svelte-check'),
      '--tsconfig',
      'webview-ui/tsconfig.json',
      '--fail-on-warnings',
    ]);
    step('third-party notices', process.execPath, [join('scripts', 'notices.mjs'), '--check']);
  }
  build();
  const json = join(reports, 'vitest.json');
  suite(
    start('TypeScript', process.execPath, [
      join('node_modules', 'vitest', 'vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${json}`,
      ...only,
    ]),
    () => {
      const report = JSON.parse(readFileSync(json, 'utf8'));
      return {
        passed: report.numPassedTests,
        failed: report.numFailedTests + report.numFailedTestSuites * (report.numFailedTests === 0 ? 1 : 0),
      };
    },
  );
  if (only.length === 0) {
    const host = join(reports, 'host.json');
    suite(
      start(
        'extension host',
        process.execPath,
        [join('node_modules', '@vscode', 'test-cli', 'out', 'bin.mjs')],
        { OMNIVQA_HOST_REPORT: host },
      ),
      () => {
        const { passes, failures } = JSON.parse(readFileSync(host, 'utf8'));
        return { passed: passes, failed: failures };
      },
    );
    const xml = join(reports, 'pytest.xml');
    suite(start('Python', python, ['-m', 'pytest', '-q', 'training', `--junitxml=${xml}`]), () => {
      const count = (name) =>
        Number(new RegExp(`<testsuite [^>]*\\b${name}="(\\d+)"`).exec(readFileSync(xml, 'utf8'))[1]);
      const failed = count('failures') + count('errors');
      return { passed: count('tests') - failed - count('skipped'), failed };
    });
  }
  rmSync(reports, { recursive: true, force: true });
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`);
  if (total.failed > 0) process.exitCode = 1;
});
