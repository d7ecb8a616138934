/**
 * VS Code as a server, for tests in a real workbench with a real extension host. Each one runs in a folder of its own,
 * which is also its home: nothing of the user's is read or written. It reaches no network.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The four kinds of themes: the name in settings, the label in the picker, the class of the workbench's root. */
export const themes = {
  dark: { name: 'Dark Modern', label: 'Dark Modern', class: 'vs-dark' },
  light: { name: 'Light Modern', label: 'Light Modern', class: 'vs' },
  'high contrast': { name: 'Default High Contrast', label: 'Dark High Contrast', class: 'hc-black' },
  'high contrast light': {
    name: 'Default High Contrast Light',
    label: 'Light High Contrast',
    class: 'hc-light',
  },
} as const;
export type Theme = keyof typeof themes;

/** No greetings, no telemetry, no updates, no second opinion: what a test sees is what it did. */
const quiet: Readonly<Record<string, unknown>> = {
  'chat.disableAIFeatures': true,
  'explorer.compactFolders': false,
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': 'off',
  'extensions.ignoreRecommendations': true,
  'files.simpleDialog.enable': true,
  'git.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'window.autoDetectColorScheme': false,
  'window.autoDetectHighContrast': false,
  'window.commandCenter': false,
  'workbench.enableExperiments': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.welcomePage.walkthroughs.openOnInstall': false,
};

export interface WorkbenchOptions {
  /** The folder, or the .code-workspace file, that pages open unless they say otherwise. */
  readonly workspace?: string;
  /** Folders of extensions, or packages (.vsix); not both in one workbench. */
  readonly extensions?: readonly string[];
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly theme?: Theme;
  /** Whether every folder is trusted without asking; true unless given. */
  readonly trusted?: boolean;
  /** Environment of the server, and so of the extension host; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Further arguments of the server. */
  readonly args?: readonly string[];
}

export interface Workbench {
  /** Address of the server, which shows the workspace. */
  readonly url: string;
  /** host:port, as the workbench names its own remote. */
  readonly authority: string;
  readonly workspace: string | undefined;
  /** The folder of this run, with home, settings and extensions in it; `stop` removes it. */
  readonly dir: string;
  /** VS Code's version. */
  readonly version: string;
  /** What the server has written so far. */
  log(): string;
  /** Merges `settings` into the user's settings; pages that load afterwards have them. */
  configure(settings: Readonly<Record<string, unknown>>): void;
  /** The user's settings as they are kept, JSON: an open page writes there a little after it shows a change. */
  settings(): string;
  /** Processes of this workbench whose command line matches. */
  processes(command: RegExp): number[];
  extensionHostPids(): number[];
  /** Ends every process of the server and removes the folder of this run. */
  stop(): Promise<void>;
}

interface Host {
  readonly version: string;
  readonly node: string;
  readonly server: string;
}

/** Puts the extensions into `directory`, as a person's would be: folders by link, packages through the installer. */
async function addExtensions(
  extensions: readonly string[],
  directory: string,
  install: (vsix: string) => Promise<unknown>,
): Promise<void> {
  const packages = extensions.filter((one) => one.endsWith('.vsix'));
  // Folders are only found as long as the installer has not written its list of what is there.
  if (packages.length > 0 && packages.length < extensions.length)
    throw new Error('A workbench takes folders of extensions or packages, not both.');
  for (const one of packages) await install(resolve(one));
  if (packages.length > 0) return;
  for (const one of extensions) {
    const manifest = JSON.parse(readFileSync(join(one, 'package.json'), 'utf8')) as Record<string, string>;
    symlinkSync(resolve(one), join(directory, `${manifest.publisher}.${manifest.name}-${manifest.version}`));
  }
}

/**
 * Starts a workbench; resolves when it serves pages.
 * @throws when the server ends instead, with what it wrote.
 */
export async function startWorkbench(options: WorkbenchOptions = {}): Promise<Workbench> {
  const host = JSON.parse(
    execFileSync(process.execPath, [join(root, 'scripts', 'workbench.mjs')], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  ) as Host;
  // Short, because the sockets that lie in it must not have paths of more than about 100 bytes.
  const dir = mkdtempSync(join(tmpdir(), 'wb-'));
  const at = (name: string) => join(dir, name);
  for (const name of ['home', 'tmp', 'extensions', 'user/User']) mkdirSync(at(name), { recursive: true });
  writeFileSync(at('config.yaml'), '');
  const settingsFile = at('user/User/settings.json');
  let settings: Record<string, unknown> = {
    ...quiet,
    'workbench.colorTheme': themes[options.theme ?? 'dark'].name,
    ...options.settings,
  };
  writeFileSync(settingsFile, JSON.stringify(settings, null, 2));

  const env: NodeJS.ProcessEnv = {
    ...process.env,
    HOME: at('home'),
    XDG_CONFIG_HOME: at('home/.config'),
    XDG_DATA_HOME: at('home/.local/share'),
    XDG_CACHE_HOME: at('home/.cache'),
    XDG_STATE_HOME: at('home/.local/state'),
    XDG_RUNTIME_DIR: at('tmp'),
    TMPDIR: at('tmp'),
    OMNIVQA_WORKBENCH_RUN: dir,
    // No marketplace: nothing is looked up there.
    EXTENSIONS_GALLERY: JSON.stringify({
      serviceUrl: '',
      itemUrl: '',
      resourceUrlTemplate: '',
      controlUrl: '',
      recommendationsUrl: '',
    }),
    ...options.env,
  };
  const places = [
    host.server,
    '--config',
    at('config.yaml'),
    '--user-data-dir',
    at('user'),
    '--extensions-dir',
    at('extensions'),
  ];
  let child: ChildProcess | undefined;
  const signal = (name: NodeJS.Signals) => {
    try {
      process.kill(-child!.pid!, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  const abandon = () => signal('SIGKILL');
  const log = () => (existsSync(at('server.log')) ? readFileSync(at('server.log'), 'utf8') : '');
  const stop = async () => {
    process.off('exit', abandon);
    if (child?.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      signal('SIGTERM');
      const patience = setTimeout(() => signal('SIGKILL'), 5000);
      await gone;
      clearTimeout(patience);
    }
    // What the server started shares its group and may outlive it.
    if (child) signal('SIGKILL');
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  };

  try {
    await addExtensions(options.extensions ?? [], at('extensions'), (vsix) =>
      promisify(execFile)(host.node, [...places, '--install-extension', vsix], { env }),
    );
    const output = openSync(at('server.log'), 'a');
    child = spawn(
      host.node,
      [
        ...places,
        '--auth=none',
        '--bind-addr=127.0.0.1:0',
        '--disable-telemetry',
        '--disable-update-check',
        '--disable-getting-started-override',
        ...(options.trusted === false ? [] : ['--disable-workspace-trust']),
        ...(options.args ?? []),
      ],
      { env, stdio: ['ignore', 'pipe', output], detached: true },
    );
    closeSync(output);
    process.once('exit', abandon);
    const url = await new Promise<string>((found, fail) => {
      child!.once('error', fail);
      child!.once('exit', (code) => fail(new Error(`The server ended with status ${code}:\n${log()}`)));
      createInterface({ input: child!.stdout! }).on('line', (line) => {
        writeFileSync(at('server.log'), `${line}\n`, { flag: 'a' });
        const address = /listening on (http:\/\/\S+?)\/?$/.exec(line);
        if (address) found(address[1]!);
      });
    });

    const processes = (command: RegExp) =>
      readdirSync('/proc')
        .filter((name) => /^\d+$/.test(name))
        .filter((pid) => {
          try {
            return (
              command.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')) &&
              readFileSync(`/proc/${pid}/environ`, 'utf8')
                .split('\0')
                .includes(`OMNIVQA_WORKBENCH_RUN=${dir}`)
            );
          } catch {
            // It ended meanwhile, or is somebody else's.
            return false;
          }
        })
        .map(Number);
    return {
      url,
      authority: new URL(url).host,
      workspace: options.workspace && resolve(options.workspace),
      dir,
      version: host.version,
      log,
      configure(more) {
        settings = { ...settings, ...more };
        writeFileSync(settingsFile, JSON.stringify(settings, null, 2));
      },
      settings: () => readFileSync(settingsFile, 'utf8'),
      processes,
      extensionHostPids: () => processes(/--type=extensionHost/),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
