import * as assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, suiteSetup, test } from 'mocha';
import * as vscode from 'vscode';

/** What the command answers; see `outcome` in src/extension/commands.ts. */
interface Outcome {
  readonly path: string;
  readonly outcome: string;
  readonly mos: number | null;
  readonly error: { readonly code: string } | null;
}

const folder = () => {
  const [first] = vscode.workspace.workspaceFolders ?? [];
  assert.ok(first, 'the tests run in a workspace');
  return first.uri;
};
const file = (...parts: string[]) => vscode.Uri.joinPath(folder(), ...parts);
const run = <T>(command: string, ...args: unknown[]) =>
  vscode.commands.executeCommand<T>(command, ...args) as Promise<T>;

/** A moving picture with a codec of one's choice, made on the spot. */
function render(name: string, seconds: number): vscode.Uri {
  const target = file(name);
  execFileSync('ffmpeg', [
    ...['-v', 'error', '-y', '-f', 'lavfi', '-i', `testsrc2=size=320x180:rate=25:duration=${seconds}`],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', `file:${target.fsPath}`],
  ]);
  return target;
}

/** Resolves when `ready` holds, looking again after each event. */
async function until(event: vscode.Event<unknown>, ready: () => boolean): Promise<void> {
  if (ready()) return;
  await new Promise<void>((resolve) => {
    const listening = event(() => {
      if (!ready()) return;
      listening.dispose();
      resolve();
    });
  });
}

suite('OmniVQA in the extension host', () => {
  suiteSetup(async () => {
    const extension = vscode.extensions.getExtension('omnivqa.omnivqa');
    assert.ok(extension, 'the extension is installed');
    await extension.activate();
  });

  test('every contributed command exists, and no other', async () => {
    const { packageJSON } = vscode.extensions.getExtension('omnivqa.omnivqa') as vscode.Extension<unknown>;
    const contributed = packageJSON.contributes.commands.map(({ command }: { command: string }) => command);
    const registered = (await vscode.commands.getCommands(true)).filter((name) =>
      name.startsWith('omnivqa.'),
    );
    const views =
      /^omnivqa\.(results|jobs|chat)\.(focus|open|resetViewLocation|removeView|toggleVisibility)$/;
    assert.deepEqual(registered.filter((name) => !views.test(name)).sort(), [...contributed].sort());
  });

  test('the set-up is checked by the engine process', async () => {
    const facts = await run<{ pid: number; ffmpeg: { version?: string } }>('omnivqa.checkSetup');
    assert.notEqual(facts.pid, process.pid);
    assert.ok(facts.ffmpeg.version, 'ffmpeg was found');
  });

  test('a video is assessed, its timeline opens, and a second time the result is there at once', async () => {
    const clip = render('one.mp4', 3);
    const [first] = await run<Outcome[]>('omnivqa.assess', clip);
    assert.equal(first?.outcome, 'complete');
    assert.ok(first.mos !== null && first.mos >= 1 && first.mos <= 5);
    const { activeTab } = vscode.window.tabGroups.activeTabGroup;
    assert.ok(activeTab?.input instanceof vscode.TabInputCustom);
    assert.equal(activeTab.input.viewType, 'omnivqa.timeline');
    const [again] = await run<Outcome[]>('omnivqa.assess', clip);
    assert.equal(again?.mos, first.mos);
  });

  test('a folder is assessed as a whole, a broken file in it beside the others', async () => {
    const clip = render('one.mp4', 3);
    await vscode.workspace.fs.createDirectory(file('shots', 'deep'));
    copyFileSync(clip.fsPath, file('shots', 'deep', 'copy.mp4').fsPath);
    copyFileSync(clip.fsPath, file('shots', `emoji 🎬 "quotes" 'and' $(icon).mp4`).fsPath);
    writeFileSync(file('shots', 'broken.mp4').fsPath, 'not a video');
    writeFileSync(file('shots', 'notes.txt').fsPath, 'not meant');
    const outcomes = await run<Outcome[]>('omnivqa.assessFolder', file('shots'));
    assert.equal(outcomes.length, 3);
    const broken = outcomes.find(({ path }) => path.endsWith('broken.mp4'));
    assert.equal(broken?.outcome, 'failed');
    assert.equal(broken.error?.code, 'not_a_video');
    assert.equal(outcomes.filter(({ outcome }) => outcome === 'complete').length, 2);
  });

  test('a clip that misses its target is listed in Problems until the target is met', async () => {
    const clip = render('target.mp4', 2);
    const [result] = await run<Outcome[]>('omnivqa.assess', clip);
    assert.ok(result?.mos);
    const settings = vscode.workspace.getConfiguration('omnivqa');
    const problems = () => vscode.languages.getDiagnostics(clip);
    await settings.update('threshold', 5, vscode.ConfigurationTarget.Workspace);
    try {
      await until(vscode.languages.onDidChangeDiagnostics, () => problems().length === 1);
      const [problem] = problems();
      assert.equal(problem?.code, 'below-threshold');
      assert.match(problem.message, /misses the target of 5\.0/);
      await settings.update('threshold', 1, vscode.ConfigurationTarget.Workspace);
      await until(vscode.languages.onDidChangeDiagnostics, () => problems().length === 0);
    } finally {
      await settings.update('threshold', undefined, vscode.ConfigurationTarget.Workspace);
    }
  });

  test('the record opens as JSON that is not written anywhere', async () => {
    const clip = render('record.mp4', 2);
    await run('omnivqa.assess', clip);
    const uri = clip.with({
      scheme: 'omnivqa-record',
      path: `${clip.path}.omnivqa.json`,
      query: clip.path,
    });
    const document = await vscode.workspace.openTextDocument(uri);
    const record = JSON.parse(document.getText());
    assert.equal(record.schema, 'omnivqa/assessment@1');
    assert.equal(record.video.path, clip.fsPath);
    assert.deepEqual(await vscode.workspace.findFiles('**/*.omnivqa.json'), []);
  });

  test('with omnivqa.results.inWorkspace the record is kept in .omnivqa', async () => {
    const clip = render('team.mp4', 2);
    const settings = vscode.workspace.getConfiguration('omnivqa');
    await settings.update('results.inWorkspace', true, vscode.ConfigurationTarget.Workspace);
    try {
      await run('omnivqa.assessAgain', clip);
      const [record] = await vscode.workspace.findFiles('.omnivqa/**/*.omnivqa.json', null);
      assert.ok(record);
      assert.equal(JSON.parse(readFileSync(record.fsPath, 'utf8')).status, 'complete');
    } finally {
      await settings.update('results.inWorkspace', undefined, vscode.ConfigurationTarget.Workspace);
    }
  });

  test('nothing of a video is loaded, decoded or run in the extension host', () => {
    const loaded = Object.keys(require.cache).filter((path) => path.startsWith(extensionPath()));
    const scripts = ['extension.cjs', 'encodes.cjs'].map((name) => join(extensionPath(), 'dist', name));
    assert.deepEqual(
      loaded.filter((path) => !scripts.includes(path)),
      [],
    );
  });
});

const extensionPath = () => vscode.extensions.getExtension('omnivqa.omnivqa')?.extensionPath ?? '';
