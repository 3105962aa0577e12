// Inside VS Code's extension host: proposed changes of a recipe, which the user sees and decides over.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import * as vscode from 'vscode';
import { createProposals, type Proposals } from '../../../client/src/views/proposals.js';

const text = 'model: models/stories-and-sums-1m\n';

describe('a proposed change', () => {
  let proposals: Proposals;
  beforeEach(() => (proposals = createProposals()));
  afterEach(() => proposals.dispose());

  it('takes the place of one that nobody has decided over, and is decided over itself', async () => {
    const folder = vscode.workspace.workspaceFolders?.[0];
    assert.ok(folder);
    const uri = vscode.Uri.joinPath(folder.uri, 'proposed.quant.yaml');
    await vscode.workspace.fs.writeFile(uri, Buffer.from(text));
    const document = await vscode.workspace.openTextDocument(uri);
    const tabs = (): string[] => vscode.window.tabGroups.all.flatMap((group) => group.tabs).map(({ label }) => label);
    const shown = async (what: string): Promise<void> => {
      while (!tabs().includes(`proposed.quant.yaml: ${what}`)) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const first = proposals.propose(document, text, `${text}# one\n`, 'one');
    await shown('one');
    const second = proposals.propose(document, text, `${text}# two\n`, 'two');
    assert.equal(await first, false);
    await shown('two');
    proposals.decide(true);
    assert.equal(await second, true);
    assert.equal(document.getText(), `${text}# two\n`);
    assert.ok(!tabs().some((label) => /: (one|two)$/.test(label)), tabs().join());
    await document.save();
  });
});
