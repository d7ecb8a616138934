import * as assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { suite, suiteSetup, test } from 'mocha';
import * as vscode from 'vscode';

/** What the commands answer; see `EncodeOutcome` in src/extension/comparison/runs.ts. */
interface Outcome {
  readonly id: string;
  readonly kind: string;
  readonly result?: {
    readonly mos: number;
    readonly bitrate: number;
    readonly bytes: number;
    readonly aligned: boolean;
    readonly excerpt: { readonly seconds: number; readonly duration: number; readonly error: number } | null;
  };
}

/** What a search answers; see `SearchResult` in src/comparison/search.ts. */
interface Found {
  readonly crf: number | null;
  readonly steps: readonly { readonly crf: number; readonly mos: number }[];
}

const folder = () => {
  const [first] = vscode.workspace.workspaceFolders ?? [];
  assert.ok(first, 'the tests run in a workspace');
  return first.uri;
};
const run = <T>(command: string, ...args: unknown[]) =>
  vscode.commands.executeCommand<T>(command, ...args) as Promise<T>;

async function open(name: string, lines: readonly string[]): Promise<vscode.TextDocument> {
  const uri = vscode.Uri.joinPath(folder(), name);
  await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(lines.join('\n')));
  const document = await vscode.workspace.openTextDocument(uri);
  await vscode.window.showTextDocument(document);
  return document;
}

/** The titles of the lenses, by line from 0. */
async function lenses({ uri }: vscode.TextDocument): Promise<string[]> {
  const found = await run<vscode.CodeLens[]>('vscode.executeCodeLensProvider', uri, 100);
  return found.map(({ range, command }) => `${range.start.line}: ${command?.title}`);
}

async function hover({ uri }: vscode.TextDocument, line: number): Promise<string> {
  const position = new vscode.Position(line, 8);
  const found = await run<vscode.Hover[]>('vscode.executeHoverProvider', uri, position);
  return found
    .flatMap(({ contents }) => contents)
    .map((one) => (typeof one === 'string' ? one : one.value))
    .join('\n');
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

const crfs = [18, 28, 38, 48];

suite('Encodes in documents', () => {
  suiteSetup(async () => {
    await vscode.extensions.getExtension('omnivqa.omnivqa')?.activate();
    const path = (name: string) => `file:${vscode.Uri.joinPath(folder(), name).fsPath}`;
    const ffmpeg = (...args: string[]) => execFileSync('ffmpeg', ['-v', 'error', '-y', ...args]);
    const source = 'testsrc2=size=320x180:rate=25:duration=2';
    ffmpeg('-f', 'lavfi', '-i', source, '-crf', '5', '-pix_fmt', 'yuv420p', path('source.mp4'));
  });

  test('every command has its lenses, and what is no encode has none', async () => {
    const document = await open('lenses.sh', [
      '#!/bin/sh',
      'ffmpeg -i source.mp4 -c:v libx264 -crf 23 a.mp4',
      'echo done',
      'for crf in 20 30; do',
      '  ffmpeg -i source.mp4 -c:v libx265 -crf $crf b-$crf.mp4',
      'done',
      'ffmpeg -i source.mp4 -c copy c.mkv',
    ]);
    assert.deepEqual(await lenses(document), [
      '1: Assess',
      '1: Find CRF…',
      '1: Compare with…',
      '1: Compare all 3',
      '4: Assess 2 encodes',
      '4: Find CRF…',
      '4: Compare with…',
    ]);
    await vscode.workspace
      .getConfiguration('omnivqa')
      .update('encodes.inline', false, vscode.ConfigurationTarget.Workspace);
    try {
      assert.deepEqual(await lenses(document), []);
    } finally {
      await vscode.workspace
        .getConfiguration('omnivqa')
        .update('encodes.inline', undefined, vscode.ConfigurationTarget.Workspace);
    }
  });

  test('a script with four CRFs: one command, four results inline, stale when a setting is changed', async () => {
    const document = await open(
      'four.sh',
      crfs.map((crf) => `ffmpeg -i source.mp4 -c:v libx264 -preset ultrafast -crf ${crf} out-${crf}.mp4`),
    );
    const outcomes = await run<Outcome[]>('omnivqa.encodes.compareAll', document.uri);
    assert.deepEqual(
      outcomes.map(({ id, kind }) => `${id} ${kind}`),
      crfs.map((crf) => `out-${crf}.mp4:0#0 done`),
    );
    const rates = outcomes.map(({ result }) => result?.bitrate ?? 0);
    assert.deepEqual(
      [...rates].sort((a, b) => b - a),
      rates,
    );
    const said = (await lenses(document)).filter((one) => one.includes('MOS'));
    assert.equal(said.length, 4);
    const text = await hover(document, 0);
    assert.match(text, /libx264 crf 18/);
    assert.match(text, /data:image\/svg\+xml;base64,/);
    assert.match(text, /data:image\/jpeg;base64,/);

    const edit = new vscode.WorkspaceEdit();
    const at = document.lineAt(0).text.indexOf('18');
    edit.replace(document.uri, new vscode.Range(0, at, 0, at + 2), '19');
    await vscode.workspace.applyEdit(edit);
    assert.match(await hover(document, 0), /settings changed/);
    await run('undo');
    assert.doesNotMatch(await hover(document, 0), /settings changed/);
    await run('omnivqa.encodes.forget', document.uri);
    assert.equal(await hover(document, 0), '');
    await document.save();
  });

  test('an encode that misses its target is in Problems, with a CRF that reaches it', async () => {
    const document = await open(
      'target.sh',
      crfs.map((crf) => `ffmpeg -i source.mp4 -c:v libx264 -preset ultrafast -crf ${crf} out-${crf}.mp4`),
    );
    const outcomes = await run<Outcome[]>('omnivqa.encodes.compareAll', document.uri);
    const scores = outcomes.map(({ result }) => result?.mos ?? 0);
    const [best, worst] = [Math.max(...scores), Math.min(...scores)];
    assert.ok(best > worst);
    const problems = () =>
      vscode.languages.getDiagnostics(document.uri).filter(({ code }) => code === 'misses-target');
    const settings = vscode.workspace.getConfiguration('omnivqa');
    await settings.update('threshold', (best + worst) / 2, vscode.ConfigurationTarget.Workspace);
    try {
      await until(vscode.languages.onDidChangeDiagnostics, () => problems().length > 0);
      const problem = problems().at(-1);
      assert.match(problem?.message ?? '', /MOS [1-5]\.\d\d misses the target of/);
      const actions = await run<vscode.CodeAction[]>(
        'vscode.executeCodeActionProvider',
        document.uri,
        problem?.range,
      );
      const fix = actions.find(({ title }) => /^Use crf \d+: cheapest/.test(title));
      assert.ok(fix?.edit);
      const before = problems().length;
      await vscode.workspace.applyEdit(fix.edit);
      await until(vscode.languages.onDidChangeDiagnostics, () => problems().length < before);
    } finally {
      await settings.update('threshold', undefined, vscode.ConfigurationTarget.Workspace);
      await document.save();
    }
  });

  test('the highest CRF that reaches a MOS is found from the one that is written, and its encodes stay', async () => {
    const document = await open('search.sh', [
      'ffmpeg -i source.mp4 -c:v libx264 -preset ultrafast -crf 18 best.mp4',
      'ffmpeg -i source.mp4 -c:v mpeg4 -q:v 5 other.mp4',
    ]);
    const [first] = await run<Outcome[]>('omnivqa.encodes.assess', document.uri, ['best.mp4:0#0']);
    const target = (first?.result?.mos ?? 0) - 0.5;
    const found = await run<Found>('omnivqa.encodes.findCrf', document.uri, ['best.mp4:0#0'], target);
    assert.deepEqual(found.steps[0], { crf: 18, mos: first?.result?.mos });
    assert.ok(found.crf !== null && found.crf > 18);
    const mos = (crf: number | null) => found.steps.find((step) => step.crf === crf)?.mos ?? 0;
    assert.ok(mos(found.crf) >= target);
    // Either it meets the target closely, or the next CRF was measured to miss it.
    assert.ok(mos(found.crf) - target <= 0.05 || mos(found.crf + 1) < target);
    const actions = await run<vscode.CodeAction[]>(
      'vscode.executeCodeActionProvider',
      document.uri,
      new vscode.Range(0, 0, 0, 10),
    );
    assert.deepEqual(
      actions.filter(({ title }) => /^Use crf/.test(title)),
      [],
    );
    const settings = vscode.workspace.getConfiguration('omnivqa');
    await settings.update('threshold', target, vscode.ConfigurationTarget.Workspace);
    try {
      const advised = await run<vscode.CodeAction[]>(
        'vscode.executeCodeActionProvider',
        document.uri,
        new vscode.Range(0, 0, 0, 10),
      );
      const [, advice] = /^Use crf (\d+): cheapest/.exec(advised[0]?.title ?? '') ?? [];
      // Between two that were measured it may go a little further.
      assert.ok(Number(advice) >= (found.crf ?? 0));
    } finally {
      await settings.update('threshold', undefined, vscode.ConfigurationTarget.Workspace);
    }
    // Another encoder's scale is not a CRF.
    assert.equal(await run('omnivqa.encodes.findCrf', document.uri, ['other.mp4:0#0'], target), undefined);
  });

  test('an excerpt stands for a longer source, its encodes say so, and are not held against those of the whole', async () => {
    const document = await open('excerpt.sh', [
      'ffmpeg -i source.mp4 -c:v libx264 -preset ultrafast -crf 20 high.mp4',
      'ffmpeg -i source.mp4 -c:v libx264 -preset ultrafast -crf 40 low.mp4',
    ]);
    const settings = vscode.workspace.getConfiguration('omnivqa');
    const whole = await run<Outcome[]>('omnivqa.encodes.assess', document.uri, ['high.mp4:0#0']);
    assert.equal(whole[0]?.result?.excerpt, null);
    assert.doesNotMatch(await hover(document, 0), /chosen by its scenes/);
    await settings.update('encodes.excerpt', 1, vscode.ConfigurationTarget.Workspace);
    try {
      const parts = await run<Outcome[]>('omnivqa.encodes.compareAll', document.uri);
      for (const { result } of parts) {
        assert.equal(result?.excerpt?.seconds, 1);
        assert.equal(result.excerpt.duration, 2);
        assert.ok(result.excerpt.error >= 0);
        assert.equal(result.aligned, true);
      }
      assert.ok((parts[0]?.result?.bytes ?? 0) < (whole[0]?.result?.bytes ?? 0));
      assert.match(await hover(document, 0), /1 of 2 s of the source were encoded, chosen by its scenes/);
      // A source that is no longer than the excerpt is encoded as a whole.
      await settings.update('encodes.excerpt', 2, vscode.ConfigurationTarget.Workspace);
      const [again] = await run<Outcome[]>('omnivqa.encodes.assess', document.uri, ['high.mp4:0#0']);
      assert.equal(again?.result?.excerpt, null);
      assert.equal(again?.result?.bytes, whole[0]?.result?.bytes);
    } finally {
      await settings.update('encodes.excerpt', undefined, vscode.ConfigurationTarget.Workspace);
    }
  });

  test('encodes that are not frame for frame their source say so, and advise nothing', async () => {
    const document = await open(
      'other-rate.sh',
      [18, 48].map(
        (crf) => `ffmpeg -i source.mp4 -r 24 -c:v libx264 -preset ultrafast -crf ${crf} out-${crf}.mp4`,
      ),
    );
    const outcomes = await run<Outcome[]>('omnivqa.encodes.compareAll', document.uri);
    const [best, worst] = outcomes.map(({ result }) => result?.mos ?? 0) as [number, number];
    assert.ok(best > worst);
    assert.deepEqual(
      outcomes.map(({ result }) => result?.aligned),
      [false, false],
    );
    assert.match(await hover(document, 0), /frames/);
    const problems = () =>
      vscode.languages.getDiagnostics(document.uri).filter(({ code }) => code === 'misses-target');
    const settings = vscode.workspace.getConfiguration('omnivqa');
    await settings.update('threshold', (best + worst) / 2, vscode.ConfigurationTarget.Workspace);
    try {
      // Neither meets the target, not even the better one: what was scored is not the source.
      await until(vscode.languages.onDidChangeDiagnostics, () => problems().length === 2);
      assert.match(problems()[0]?.message ?? '', /held against no target.*frames per second/);
      const actions = await run<vscode.CodeAction[]>(
        'vscode.executeCodeActionProvider',
        document.uri,
        problems()[1]?.range,
      );
      assert.ok(!actions.some(({ title }) => /cheapest/.test(title)));
    } finally {
      await settings.update('threshold', undefined, vscode.ConfigurationTarget.Workspace);
    }
  });

  test('rungs of a ladder are encoded as they are written, side by side with their targets', async () => {
    const document = await open('sizes.ladder.json', [
      '{ "source": "source.mp4", "rungs": [',
      '  { "name": "high", "crf": 20, "preset": "ultrafast", "targetMos": 1 },',
      '  { "name": "low", "height": 90, "crf": 40, "preset": "ultrafast", "targetMos": 5 }',
      '] }',
    ]);
    const outcomes = await run<Outcome[]>('omnivqa.encodes.compareAll', document.uri);
    assert.deepEqual(
      outcomes.map(({ id, kind }) => `${id} ${kind}`),
      ['rungs/high done', 'rungs/low done'],
    );
    const missed = () =>
      vscode.languages.getDiagnostics(document.uri).filter(({ code }) => code === 'misses-target');
    await until(vscode.languages.onDidChangeDiagnostics, () => missed().length === 1);
    assert.match(missed()[0]?.message ?? '', /^low: MOS [1-5]\.\d\d misses the target of 5\.0/);
  });

  test('nothing that a command names is run: a hostile one fails as an encoder that is not there', async () => {
    const document = await open('hostile.sh', [
      "ffmpeg -i source.mp4 -c:v 'libx264;touch hacked' -crf 23 a.mp4",
      'ffmpeg -i source.mp4 -c:v no_such_encoder -crf 23 "$(touch hacked).mp4"',
      "ffmpeg -i source.mp4 -c:v libx264 -x264-params 'stats=hacked:crf=30' -crf 30 c.mp4",
    ]);
    const outcomes = await run<Outcome[]>('omnivqa.encodes.compareAll', document.uri);
    assert.ok(outcomes.some(({ kind }) => kind === 'failed'));
    assert.deepEqual(await vscode.workspace.findFiles('**/hacked*', null), []);
  });

  test('a ladder with mistakes says so where they are', async () => {
    const { uri } = await open('web.ladder.yaml', [
      'source: source.mp4',
      'rungs:',
      '  - { name: high, crf: 16 }',
      '  - { name: odd, colour: red, crf: 60 }',
    ]);
    await until(
      vscode.languages.onDidChangeDiagnostics,
      () => vscode.languages.getDiagnostics(uri).length > 0,
    );
    const [problem, ...more] = vscode.languages.getDiagnostics(uri);
    assert.deepEqual(more, []);
    assert.match(problem?.message ?? '', /colour is not a field of a ladder/);
    assert.equal(problem?.range.start.line, 3);
  });
});
