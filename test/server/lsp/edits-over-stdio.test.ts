// The built server over stdio, in strict mode, while it is typed to: the diagnostics it ends with are those of a server that opens the final text.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { TextDocument } from 'vscode-languageserver-textdocument';
import { editStories } from '../../support/edit-story.js';
import { startLanguageServer, type LanguageServer } from '../../support/language-server.js';
import { writePageFolder } from '../../support/problem-page-folder.js';
import { splicesOf } from '../../support/random-edits.js';
import { seededRandom } from '../../support/random.js';
import { temporaryFolder } from '../../support/tiny-llama-folder.js';

const seed = 1;
const n_stories = 40;

const folder = temporaryFolder('edits-over-stdio');
let typedTo: LanguageServer;
let fresh: LanguageServer;

before(async () => {
  writePageFolder(folder);
  [typedTo, fresh] = await Promise.all([startLanguageServer(), startLanguageServer()]);
});

after(async () => {
  for (const server of [typedTo, fresh]) {
    assert.deepEqual(server.bugs, []);
    assert.equal(await server.stop(), 0);
  }
});

/** Asked while the next change is under way: an answer counts, whatever it says. */
const questions: readonly [string, (text: TextDocument, at: number) => object][] = [
  ...['completion', 'hover', 'definition', 'prepareRename'].map((name): [string, (text: TextDocument, at: number) => object] => [
    name,
    (text, at) => ({ position: text.positionAt(at) }),
  ]),
  ['codeAction', (text, at) => ({ range: { start: text.positionAt(0), end: text.positionAt(at) }, context: { diagnostics: [] } })],
  ['inlayHint', (text, at) => ({ range: { start: text.positionAt(0), end: text.positionAt(at) } })],
  ['references', (text, at) => ({ position: text.positionAt(at), context: { includeDeclaration: true } })],
  ['selectionRange', (text, at) => ({ positions: [text.positionAt(at)] })],
  ['formatting', () => ({ options: { tabSize: 2, insertSpaces: true } })],
  ...['documentSymbol', 'foldingRange', 'semanticTokens/full', 'codeLens', 'documentLink'].map((name): [string, () => object] => [
    name,
    () => ({}),
  ]),
];

test(`${n_stories} texts with up to 24 incremental changes each, seed ${seed}`, async () => {
  let n_told = 0;
  let n_changes = 0;
  const property = fc.asyncProperty(editStories(), async ({ start, edits, look }) => {
    n_told += 1;
    const random = seededRandom(look);
    const uri = pathToFileURL(path.join(folder, `${n_told}.quant.yaml`)).href;
    let text = TextDocument.create(uri, 'bitwright-recipe', 1, start);
    await typedTo.open(uri, start);
    const history: string[] = [];
    const answers: Promise<unknown>[] = [];
    for (const edit of edits) {
      const former = text.getText();
      const changes = splicesOf(edit, former, history).map(({ begin, end, newText }) => {
        const change = { range: { start: text.positionAt(begin), end: text.positionAt(end) }, text: newText };
        text = TextDocument.update(text, [change], text.version);
        return change;
      });
      if (changes.length === 0) continue;
      history.push(former);
      const version = text.version + 1;
      text = TextDocument.create(uri, 'bitwright-recipe', version, text.getText());
      await typedTo.connection.sendNotification('textDocument/didChange', { textDocument: { uri, version }, contentChanges: changes });
      const [name, params] = random.of(questions);
      const at = random.below(text.getText().length + 1);
      answers.push(typedTo.request(`textDocument/${name}`, { textDocument: { uri }, ...params(text, at) }));
      n_changes += 1;
    }
    await Promise.all(answers);
    const last = await typedTo.diagnostics(uri, text.version);
    await fresh.open(uri, text.getText());
    assert.deepEqual(last, await fresh.diagnostics(uri, 1), `with the text ${JSON.stringify(text.getText())}`);
  });
  await fc.assert(property, { seed, numRuns: n_stories, includeErrorInReport: true });
  assert.ok(n_changes > n_stories, `${n_changes} changes`);
});
