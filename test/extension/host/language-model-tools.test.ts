// Inside VS Code's extension host: what a language model may ask, called as a chat calls it.
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import * as vscode from 'vscode';

const recipe = 'w8a16-rtn.quant.yaml';

async function ask(name: string, input: object): Promise<string> {
  const { content } = await vscode.lm.invokeTool(name, { input, toolInvocationToken: undefined });
  return content.map((part) => (part instanceof vscode.LanguageModelTextPart ? part.value : '')).join('');
}

describe('language-model tools', () => {
  it('are those of the manifest', () => {
    const known = vscode.lm.tools.map(({ name }) => name).filter((name) => name.startsWith('bitwright_'));
    assert.deepEqual(known.sort(), ['bitwright_analyze', 'bitwright_check', 'bitwright_plan', 'bitwright_suggest']);
  });

  it('answer as the command line', async () => {
    assert.equal(await ask('bitwright_check', { recipe }), '1 recipe: no problems\nExit code 0.');
    const plan = await ask('bitwright_plan', { recipe });
    assert.match(plan, /30 layers/);
    assert.match(plan, /Exit code 0\.$/);
    assert.ok(plan.length < 12_500, `${plan.length} characters`);
    // It needs an analysis, and says how to get one.
    assert.match(await ask('bitwright_suggest', { recipe, budget: '4.25bpw' }), /bitwright analyze[^]*Exit code 1\.$/);
  });

  it('analyze measures the layers, and suggest then writes an edit from it', async () => {
    const folder = vscode.workspace.workspaceFolders?.[0];
    assert.ok(folder);
    const before = await vscode.workspace.fs.readFile(vscode.Uri.joinPath(folder.uri, recipe));
    const analysis = await ask('bitwright_analyze', { recipe });
    assert.match(analysis, /2 bit +3 bit +4 bit +8 bit/);
    assert.equal(analysis.match(/^ +model\.layers\.\d/gm)?.length, 28, analysis);
    assert.match(analysis, /Analysis .*28 layers[^]*Exit code 0\.$/);
    // How far it was tells a model nothing when it is done.
    assert.doesNotMatch(analysis, /\d %/);
    const suggestion = await ask('bitwright_suggest', { recipe, budget: '4.25bpw' });
    assert.match(suggestion, /num_bits/);
    assert.match(suggestion, /Exit code 0\.$/);
    assert.deepEqual(await vscode.workspace.fs.readFile(vscode.Uri.joinPath(folder.uri, recipe)), before);
  });

  it('refuse what is no recipe of the workspace', async () => {
    await assert.rejects(ask('bitwright_check', { recipe: '/etc/passwd' }), /\*\.quant\.yaml/);
    await assert.rejects(ask('bitwright_check', { recipe: '../elsewhere.quant.yaml' }), /not in a folder of this workspace/);
    await assert.rejects(ask('bitwright_check', { recipe: 'missing.quant.yaml' }), /There is no file/);
    await assert.rejects(ask('bitwright_suggest', { recipe, budget: '--write' }), /bits per weight/);
    await assert.rejects(ask('bitwright_check', {}), /recipe/);
  });
});
