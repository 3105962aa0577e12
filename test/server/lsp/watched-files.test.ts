// What changes on disk beside a recipe: the server asks its client to watch, and finds the problems anew when told.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { serverPath } from '../../support/bitwright-process.js';
import { startLanguageServer } from '../../support/language-server.js';
import { temporaryFolder, writeTinyLlama } from '../../support/tiny-llama-folder.js';

const recipe = `model: model
evaluate: {perplexity: {dataset: rows.jsonl}}
output: {dir: out}
quant_stage:
  quant_modifiers:
    QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}
`;

test('a data set that appears clears its problem without a key press', async () => {
  const folder = temporaryFolder('watched');
  writeTinyLlama(path.join(folder, 'model'));
  const server = await startLanguageServer([serverPath, '--stdio'], {
    workspace: { didChangeWatchedFiles: { dynamicRegistration: true } },
  });
  try {
    const uri = pathToFileURL(path.join(folder, 'a.quant.yaml')).href;
    await server.open(uri, recipe);
    const found = await server.diagnostics(uri, 1);
    assert.deepEqual(
      found.map(({ code }) => code),
      ['dataset-not-found'],
    );
    const [watching] = server.registered.filter(({ method }) => method === 'workspace/didChangeWatchedFiles');
    assert.match(JSON.stringify(watching?.registerOptions), /tokenizer\.json.*\*\.jsonl/);
    const data = path.join(folder, 'rows.jsonl');
    writeFileSync(data, '{"input_ids": [1]}\n');
    const again = server.nextDiagnostics(uri);
    await server.connection.sendNotification('workspace/didChangeWatchedFiles', { changes: [{ uri: pathToFileURL(data).href, type: 1 }] });
    assert.deepEqual(await again, []);
    assert.deepEqual(server.bugs, []);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});

test('a client that does not watch is not asked', async () => {
  const server = await startLanguageServer();
  await server.open('file:///nowhere/a.quant.yaml', 'device: cpu\n');
  await server.diagnostics('file:///nowhere/a.quant.yaml', 1);
  assert.deepEqual(server.registered, []);
  assert.equal(await server.stop(), 0);
});
