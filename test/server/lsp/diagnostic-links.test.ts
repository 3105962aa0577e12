// Diagnostics over the wire: the page of each code and the related places, for clients that show them and for no others.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { serverPath } from '../../support/bitwright-process.js';
import { startLanguageServer, type LanguageServer, type LspDiagnostic } from '../../support/language-server.js';
import { temporaryFolder, writeTinyLlama } from '../../support/tiny-llama-folder.js';

const folder = temporaryFolder('lsp-links');
const uri = pathToFileURL(path.join(folder, 'a.quant.yaml')).href;
const text = `model: model
output: {dir: out}
quant_stage:
  quant_modifiers:
    GPTQModifier:
      scheme: W8A16
      scheme: W4A1
      targets: [q_proj]
      percdamp: 0.1
`;

before(() => writeTinyLlama(path.join(folder, 'model')));

async function diagnosticsFor(publishDiagnostics: object, use: (server: LanguageServer, found: LspDiagnostic[]) => Promise<void> | void) {
  const server = await startLanguageServer([serverPath, '--stdio'], { publishDiagnostics });
  try {
    await server.open(uri, text);
    await use(server, await server.diagnostics(uri, 1));
    assert.deepEqual(server.bugs, []);
  } finally {
    await server.stop();
  }
}

test('each code links to its page, which is there', () =>
  diagnosticsFor({ codeDescriptionSupport: true }, (_, found) => {
    assert.ok(found.length >= 3, JSON.stringify(found));
    for (const { code, codeDescription } of found) {
      assert.ok(codeDescription !== undefined, `${code} has no link`);
      const file = fileURLToPath(codeDescription.href);
      assert.ok(existsSync(file), file);
      assert.equal(path.basename(file), `${code}.md`);
    }
    assert.ok(found.every(({ relatedInformation }) => relatedInformation === undefined));
  }));

test('related places come with their range; the action names the same diagnostic', () =>
  diagnosticsFor({ relatedInformation: true }, async (server, found) => {
    const duplicate = found.find(({ code }) => code === 'duplicate-key');
    const range = { start: { line: 5, character: 6 }, end: { line: 5, character: 12 } };
    assert.deepEqual(duplicate?.relatedInformation, [{ location: { uri, range }, message: 'scheme here is lost' }]);
    assert.ok(found.every(({ codeDescription }) => codeDescription === undefined));
    const scheme = found.find(({ code }) => code === 'unknown-scheme');
    const actions = await server.request<{ diagnostics?: LspDiagnostic[] }[]>('textDocument/codeAction', {
      textDocument: { uri },
      range: scheme?.range,
      context: { diagnostics: [] },
    });
    assert.deepEqual(actions[0]?.diagnostics, [scheme]);
  }));

test('a client that says nothing gets neither', () =>
  diagnosticsFor({}, (_, found) => {
    assert.ok(found.every((diagnostic) => !('codeDescription' in diagnostic) && !('relatedInformation' in diagnostic)));
  }));
