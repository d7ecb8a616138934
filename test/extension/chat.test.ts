import * as assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { suite, suiteSetup, test } from 'mocha';
import * as vscode from 'vscode';

const folder = () => {
  const [first] = vscode.workspace.workspaceFolders ?? [];
  assert.ok(first, 'the tests run in a workspace');
  return first.uri;
};

/** A moving picture, made on the spot. */
function render(name: string, seconds: number): vscode.Uri {
  const target = vscode.Uri.joinPath(folder(), name);
  execFileSync('ffmpeg', [
    ...['-v', 'error', '-y', '-f', 'lavfi', '-i', `testsrc2=size=320x180:rate=25:duration=${seconds}`],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', `file:${target.fsPath}`],
  ]);
  return target;
}

async function call(name: string, input: object): Promise<string> {
  const { content } = await vscode.lm.invokeTool(name, { input, toolInvocationToken: undefined });
  return content.map((part) => (part instanceof vscode.LanguageModelTextPart ? part.value : '')).join('');
}

suite('OmniVQA for the models of the editor', () => {
  suiteSetup(async () => {
    const extension = vscode.extensions.getExtension('omnivqa.omnivqa');
    assert.ok(extension, 'the extension is installed');
    await extension.activate();
  });

  test('every contributed tool is there, with a schema of its input', () => {
    const { packageJSON } = vscode.extensions.getExtension('omnivqa.omnivqa') as vscode.Extension<unknown>;
    const contributed: { name: string }[] = packageJSON.contributes.languageModelTools;
    const ours = vscode.lm.tools.filter(({ name }) => name.startsWith('omnivqa_'));
    assert.deepEqual(ours.map(({ name }) => name).sort(), contributed.map(({ name }) => name).sort());
    for (const { inputSchema } of ours) assert.ok(inputSchema);
  });

  test('a model has a clip assessed, by a path of the workspace, and is told what the figures rest on', async () => {
    render('tool.mp4', 3);
    const text = await call('omnivqa_assess_video', { path: 'tool.mp4' });
    assert.match(text, /^MOS [1-5]\.\d\d of 5 \((excellent|good|fair|poor|bad)\), score \d+\.\d of 100\./);
    assert.match(text, /worst \d.* s at MOS [1-5]\.\d\d/);
    assert.match(text, /\[record of .*tool\.mp4: omnivqa-nano .*; assessed 0–3 s; sha256 [0-9a-f]{12}\]$/);
    assert.ok(text.length < 2000);
  });

  test('a model lists distortions and looks at a moment', async () => {
    const clip = render('moment.mp4', 3);
    const all = await call('omnivqa_list_distortions', { path: clip.fsPath });
    assert.match(all, /^(\[1\] |No distortion was found)/);
    const none = await call('omnivqa_list_distortions', { path: 'moment.mp4', type: 'underexposure' });
    assert.doesNotMatch(none, /blur|noise/);
    const moment = await call('omnivqa_describe_moment', { path: 'moment.mp4', start: 1, end: 2 });
    assert.match(
      moment,
      /^1–2 s: MOS [1-5]\.\d\d of 5, lowest [1-5]\.\d\d; the whole clip has [1-5]\.\d\d\./,
    );
    const beyond = await call('omnivqa_describe_moment', { path: 'moment.mp4', start: 100 });
    assert.match(beyond, /^100–101 s was not assessed\./);
  });

  test('a model compares encodes by their quality and size', async () => {
    render('source.mp4', 2);
    const settings = ['-c:v libx264 -preset ultrafast -crf 20', '-c:v libx264 -preset ultrafast -crf 48'];
    const text = await call('omnivqa_compare_encodes', { path: 'source.mp4', settings });
    const [good = '', bad = '', source] = text.split('\n');
    const figures = (line: string) => /MOS (\d\.\d\d) .*?(\d+) bytes/.exec(line)?.slice(1).map(Number) ?? [];
    assert.match(good, /^\[1\] .*libx264.*20.*: MOS [1-5]\.\d\d of 5/);
    assert.match(bad, /^\[2\] .*48.*: MOS/);
    assert.ok((figures(good)[1] ?? 0) > (figures(bad)[1] ?? 0), text);
    assert.match(source ?? '', /^\[encodes of .*source\.mp4/);
    await assert.rejects(
      call('omnivqa_compare_encodes', { path: 'source.mp4', settings: ['-c:v copy'] }),
      /describe no encode/,
    );
  });

  test('a file that is not there, or no video, is refused with the next step', async () => {
    await assert.rejects(
      call('omnivqa_assess_video', { path: 'gone.mp4' }),
      /no video .*gone\.mp4.*Give its path/,
    );
    await assert.rejects(call('omnivqa_assess_video', { path: '/etc/passwd' }), /no video/);
  });

  test('the command line that the MCP definition starts is part of the extension', () => {
    const { extensionUri, packageJSON } = vscode.extensions.getExtension(
      'omnivqa.omnivqa',
    ) as vscode.Extension<unknown>;
    assert.ok(existsSync(vscode.Uri.joinPath(extensionUri, 'dist', 'cli.mjs').fsPath));
    assert.deepEqual(packageJSON.contributes.mcpServerDefinitionProviders, [
      { id: 'omnivqa.mcp', label: 'OmniVQA' },
    ]);
  });

  test('a conversation opens beside the timeline of its clip', async () => {
    const clip = render('talk.mp4', 3);
    await vscode.commands.executeCommand('omnivqa.ask', clip);
    const groups = () =>
      vscode.window.tabGroups.all.map(({ tabs }) =>
        tabs.flatMap(({ input }) => {
          if (input instanceof vscode.TabInputCustom && input.uri.fsPath === clip.fsPath) return 'timeline';
          const chat =
            input instanceof vscode.TabInputWebview && input.viewType.endsWith('omnivqa.conversation');
          return chat ? 'chat' : [];
        }),
      );
    // The list of tabs follows what the command did.
    await new Promise<void>((resolve) => {
      const look = () => {
        if (!groups().some((group) => group.includes('chat'))) return;
        listening.dispose();
        resolve();
      };
      const listening = vscode.window.tabGroups.onDidChangeTabs(look);
      look();
    });
    assert.deepEqual(groups(), [['timeline'], ['chat']]);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  test('the local model is among the language models and answers about the clip that is named', async () => {
    render('named.mp4', 3);
    const [model] = await vscode.lm.selectChatModels({ vendor: 'omnivqa' });
    assert.ok(model, 'the model is offered');
    const ask = async (text: string) => {
      const { text: pieces } = await model.sendRequest([vscode.LanguageModelChatMessage.User(text)]);
      let answer = '';
      for await (const piece of pieces) answer += piece;
      return answer;
    };
    assert.match(await ask('Does named.mp4 stutter?'), /yes|no/i);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    assert.match(await ask('Is it any good?'), /Name a video file/);
  });

  test('an agent loop with the local model: it calls the tool that answers, and says what the tool said', async () => {
    const clip = render('agent.mp4', 3);
    const [model] = await vscode.lm.selectChatModels({ vendor: 'omnivqa' });
    assert.ok(model, 'the model is offered');
    const tools = vscode.lm.tools.filter(({ name }) => name.startsWith('omnivqa_'));
    const called: string[] = [];
    const loop = async (question: string) => {
      const messages = [vscode.LanguageModelChatMessage.User(question)];
      for (;;) {
        const { stream } = await model.sendRequest(messages, { tools: [...tools] });
        const calls: vscode.LanguageModelToolCallPart[] = [];
        let text = '';
        for await (const part of stream) {
          if (part instanceof vscode.LanguageModelToolCallPart) calls.push(part);
          else if (part instanceof vscode.LanguageModelTextPart) text += part.value;
        }
        if (calls.length === 0) return text;
        messages.push(vscode.LanguageModelChatMessage.Assistant(calls));
        for (const { callId, name, input } of calls) {
          called.push(name);
          assert.equal((input as { path: string }).path, clip.fsPath);
          const { content } = await vscode.lm.invokeTool(name, { input, toolInvocationToken: undefined });
          const result = new vscode.LanguageModelToolResultPart(callId, content);
          messages.push(vscode.LanguageModelChatMessage.User([result]));
        }
      }
    };
    assert.match(await loop('How good is agent.mp4?'), /^MOS [1-5]\.\d\d of 5 .*\[record of .*agent\.mp4/s);
    assert.match(await loop('Is there noise in agent.mp4?'), /noise|No distortion was found|no .*noise/i);
    assert.match(await loop('What happens at 1-2 s of agent.mp4?'), /^1–2 s: MOS [1-5]/);
    assert.deepEqual(called, ['omnivqa_assess_video', 'omnivqa_list_distortions', 'omnivqa_describe_moment']);
  });
});
