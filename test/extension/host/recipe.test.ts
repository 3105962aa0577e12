// Inside VS Code's extension host: what the editor knows of a recipe, read through VS Code's own commands.
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'mocha';
import * as vscode from 'vscode';
import { readMarks } from '../../support/markers.js';

const folder = (): string => {
  const [first] = vscode.workspace.workspaceFolders ?? [];
  assert.ok(first, 'the tests need a workspace folder');
  return first.uri.fsPath;
};

/** Opens a text as a recipe of the workspace and answers it with its first diagnostics. */
async function openRecipe(name: string, text: string): Promise<{ document: vscode.TextDocument; diagnostics: vscode.Diagnostic[] }> {
  const uri = vscode.Uri.file(path.join(folder(), name));
  const found = diagnosticsOf(uri);
  await vscode.workspace.fs.writeFile(uri, Buffer.from(text));
  const document = await vscode.workspace.openTextDocument(uri);
  await vscode.window.showTextDocument(document);
  return { document, diagnostics: await found };
}

/** The next diagnostics published for a file. */
function diagnosticsOf(uri: vscode.Uri): Promise<vscode.Diagnostic[]> {
  return new Promise((resolve) => {
    const listener = vscode.languages.onDidChangeDiagnostics(({ uris }) => {
      if (!uris.some((changed) => changed.toString() === uri.toString())) return;
      listener.dispose();
      resolve(vscode.languages.getDiagnostics(uri));
    });
  });
}

const severities = ['error', 'warning', 'information', 'hint'];

describe('a recipe in VS Code', () => {
  it('is a recipe by its name, and activates the extension', async () => {
    const document = await vscode.workspace.openTextDocument(path.join(folder(), 'w4a16-gptq.quant.yaml'));
    assert.equal(document.languageId, 'bitwright-recipe');
    const extension = vscode.extensions.getExtension('bitwright.bitwright');
    await extension?.activate();
    const registered = await vscode.commands.getCommands(true);
    const manifest = extension?.packageJSON as { contributes: { commands: { command: string }[] } };
    for (const { command } of manifest.contributes.commands) assert.ok(registered.includes(command), command);
  });

  it('has diagnostics with exact ranges', async () => {
    const { text, expected } = readMarks(`model: models/stories-and-sums-1m
output:
  dir: out/host
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W4A61
#             ^^^^^ error unknown-scheme: did you mean W4A16?
      targets: [Linear]
      ignore: [lm_head]
      block_sise: 3
#     ^^^^^^^^^^ error unknown-field: block_sise
`);
    const { diagnostics } = await openRecipe('ranges.quant.yaml', text);
    const found = diagnostics.map(({ range, code, severity, message }) => ({ range, code, severity, message }));
    assert.equal(found.length, expected.length, JSON.stringify(found));
    for (const mark of expected) {
      const range = new vscode.Range(mark.line, mark.begin, mark.line, mark.end);
      const match = found.find((diagnostic) => diagnostic.range.isEqual(range));
      assert.ok(match, `${mark.code} at ${mark.line}:${mark.begin}, found ${JSON.stringify(found)}`);
      assert.equal(typeof match.code === 'object' ? match.code.value : match.code, mark.code);
      assert.equal(severities[match.severity], mark.severity);
      assert.ok(match.message.includes(mark.message), match.message);
    }
  });

  it('is mended by its quick fix', async () => {
    const text = `model: models/stories-and-sums-1m
output:
  dir: out/host
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W4A61
      ignore: [lm_head]
`;
    const { document, diagnostics } = await openRecipe('fix.quant.yaml', text);
    const [problem] = diagnostics;
    assert.ok(problem);
    const actions = await vscode.commands.executeCommand<vscode.CodeAction[]>(
      'vscode.executeCodeActionProvider',
      document.uri,
      problem.range,
      vscode.CodeActionKind.QuickFix.value,
    );
    const fix = actions.find(({ title }) => title === 'Change to W4A16');
    assert.ok(fix?.edit, actions.map(({ title }) => title).join(', '));
    assert.ok(await vscode.workspace.applyEdit(fix.edit));
    assert.equal(document.getText(), text.replace('W4A61', 'W4A16'));
    // Those of the text before may be told once more.
    while (vscode.languages.getDiagnostics(document.uri).length > 0) await diagnosticsOf(document.uri);
  });

  it('completes the layers of its model', async () => {
    const text = `model: models/stories-and-sums-1m
output:
  dir: out/host
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W8A16
      ignore: [lm_]
`;
    const { document } = await openRecipe('complete.quant.yaml', `${text}unknown_key: 1\n`);
    const at = document.positionAt(text.indexOf('lm_]') + 3);
    const { items } = await vscode.commands.executeCommand<vscode.CompletionList>('vscode.executeCompletionItemProvider', document.uri, at);
    assert.ok(
      items.some(({ label }) => (typeof label === 'string' ? label : label.label) === 'lm_head'),
      `${items.length} items`,
    );
  });
});
