// The built language server over stdio: diagnostics, completion, hover, fixes, plans, and that nothing a user types ends it.
import assert from 'node:assert/strict';
import { rmSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { describeModelRequest, recipeModelRequest, resolvePlanRequest } from '../../../schemas/src/protocol/client-server.js';
import type { DescribeModelResult, RecipeModelResult, ResolvePlanResult } from '../../../schemas/src/protocol/client-server.js';
import { startLanguageServer, type LanguageServer, type LspRange } from '../../support/language-server.js';
import { temporaryFolder, writeTinyLlama } from '../../support/tiny-llama-folder.js';

let server: LanguageServer;
const folder = temporaryFolder('lsp');
const uriOf = (name: string): string => pathToFileURL(path.join(folder, name)).href;

before(async () => {
  writeTinyLlama(path.join(folder, 'model'));
  writeFileSync(path.join(folder, 'model/tokenizer.json'), '{}');
  server = await startLanguageServer();
});

after(async () => {
  assert.deepEqual(server.bugs, []);
  assert.equal(await server.stop(), 0);
});

const recipe = (modifier: string): string => `model: model
output: {dir: out}
quant_stage:
  quant_modifiers:
    QuantizationModifier: ${modifier}
`;

const at = (line: number, from: number, to: number): LspRange => ({ start: { line, character: from }, end: { line, character: to } });

test('a diagnostic with its code, severity and exact range, and gone when the cause is', async () => {
  const uri = uriOf('a.quant.yaml');
  await server.open(uri, recipe('{scheme: W8A8, targets: [q_proj]}'));
  const found = await server.diagnostics(uri, 1);
  const target = found.find(({ code }) => code === 'target-matches-nothing');
  assert.deepEqual([target?.severity, target?.range], [1, at(4, 51, 57)], JSON.stringify(found));
  await server.change(uri, 2, recipe('{scheme: W8A8, targets: [Linear], ignore: [lm_head]}'));
  assert.deepEqual(await server.diagnostics(uri, 2), []);
});

test('errors of the text are told before the model is read for the first time, all problems after it', async () => {
  const uri = uriOf('early.quant.yaml');
  const next = server.nextDiagnostics(uri);
  await server.open(uri, recipe('{scheme: W8A8, targets: 7, ignore: [lm_hea]}'));
  const codes = (found: readonly { code: string }[]): string[] => found.map(({ code }) => code);
  assert.deepEqual(codes(await next), ['wrong-type']);
  const all = codes(await server.diagnostics(uri, 1));
  assert.ok(all.includes('wrong-type') && all.includes('ignore-matches-nothing'), all.join());
});

test('a malformed document: the syntax error is told, the outline and completion still answer', async () => {
  const uri = uriOf('b.quant.yaml');
  await server.open(uri, 'device: \nquant_stage: {a: [b\n  - c: "d\n');
  const found = await server.diagnostics(uri, 1);
  assert.ok(found.length > 0 && found.every(({ code }) => code === 'yaml-syntax'), JSON.stringify(found));
  await server.request('textDocument/documentSymbol', { textDocument: { uri } });
  const list = await server.request<{ items: { label: string }[] }>('textDocument/completion', {
    textDocument: { uri },
    position: { line: 0, character: 8 },
  });
  assert.deepEqual(
    list.items.map(({ label }) => label),
    ['auto', 'cpu', 'cuda', 'cuda:0', 'cuda:0,1'],
  );
});

test('completion edits exactly what is typed', async () => {
  const uri = uriOf('c.quant.yaml');
  await server.open(uri, recipe('{scheme: W8, targets: [Linear]}'));
  const list = await server.request<{ items: { label: string; textEdit: { range: LspRange; newText: string } }[] }>(
    'textDocument/completion',
    { textDocument: { uri }, position: { line: 4, character: 37 } },
  );
  const preset = list.items.find(({ label }) => label === 'W8A16');
  assert.deepEqual(preset?.textEdit, { range: at(4, 35, 37), newText: 'W8A16' });
});

test('hover, quick fix, folding and lens answer', async () => {
  const uri = uriOf('d.quant.yaml');
  await server.open(uri, recipe('{scheme: W8A8, targets: [Linear], ignore: [lm_hea]}'));
  const textDocument = { uri };
  const hover = await server.request<{ contents: { value: string } }>('textDocument/hover', {
    textDocument,
    position: { line: 4, character: 36 },
  });
  assert.match(hover.contents.value, /W8A8/);
  const actions = await server.request<{ title: string; edit: { changes: Record<string, { range: LspRange }[]> } }[]>(
    'textDocument/codeAction',
    {
      textDocument,
      range: at(4, 70, 70),
      context: { diagnostics: [] },
    },
  );
  assert.deepEqual(
    actions.map(({ title }) => title.split(' ')[0]),
    ['Change', 'Suppress', 'Fix'],
  );
  assert.deepEqual(actions[0]?.edit.changes[uri]?.[0]?.range, at(4, 69, 75));
  const folds = await server.request<unknown[]>('textDocument/foldingRange', { textDocument });
  assert.equal(folds.length, 2);
  const lenses = await server.request<{ command: { title: string } }[]>('textDocument/codeLens', { textDocument });
  assert.match(lenses[0]?.command.title ?? '', /15 of 16 layers/);
});

test('hints, colours, links, selection, references, rename, formatting and workspace symbols answer', async () => {
  const uri = uriOf('g.quant.yaml');
  const text = `model: model
output: {dir:   out}
bits: &four {num_bits: 4, type: int}
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      config_groups: {g: {targets: [Linear], weights: *four}}
      ignore: [lm_head]
`;
  await server.open(uri, text);
  const ask = <Result>(method: string, params: object = {}): Promise<Result> =>
    server.request<Result>(`textDocument/${method}`, { textDocument: { uri }, ...params });
  const alias = { line: 6, character: 56 };
  const hints = await ask<{ label: string }[]>('inlayHint', { range: at(0, 0, 0) });
  assert.deepEqual(hints, []);
  const all = { start: { line: 0, character: 0 }, end: { line: 9, character: 0 } };
  assert.deepEqual((await ask<{ label: string }[]>('inlayHint', { range: all })).map(({ label }) => label).slice(0, 2), [
    '15 layers',
    '1 layer',
  ]);
  assert.ok((await ask<{ data: number[] }>('semanticTokens/full')).data.length >= 5 * 10);
  const [link] = await ask<{ target: string }[]>('documentLink');
  assert.equal(link?.target, uriOf('model/config.json'));
  const [selection] = await ask<{ parent: object | undefined }[]>('selectionRange', { positions: [alias] });
  assert.ok(selection?.parent);
  assert.deepEqual(await ask('definition', { position: alias }), [{ uri, range: at(2, 7, 11) }]);
  const named = await ask<{ uri: string }[]>('definition', { position: { line: 0, character: 9 } });
  assert.equal(named[0]?.uri, uriOf('model/config.json'));
  const rule = await ask('definition', { position: { line: 7, character: 17 } });
  assert.deepEqual(rule, [{ uri, range: at(7, 15, 22) }]);
  assert.equal((await ask<object[]>('references', { position: alias, context: { includeDeclaration: true } })).length, 2);
  assert.deepEqual(await ask('prepareRename', { position: alias }), { range: at(6, 55, 59), placeholder: 'four' });
  const renamed = await ask<{ changes: Record<string, object[]> }>('rename', { position: alias, newName: 'five' });
  assert.equal(renamed.changes[uri]?.length, 2);
  await assert.rejects(ask('rename', { position: alias, newName: 'two words' }), /two words is no name/);
  const [layout] = await ask<{ newText: string }[]>('formatting', { options: { tabSize: 2, insertSpaces: true } });
  assert.equal(layout?.newText, text.replace('dir:   out', 'dir: out'));
  const symbols = await server.request<{ name: string; location: { uri: string } }[]>('workspace/symbol', { query: 'config_groups' });
  assert.ok(symbols.some(({ location }) => location.uri === uri));
});

test('resolvePlan: a plan, or the problems in its way; overrides win', async () => {
  const uri = uriOf('e.quant.yaml');
  const good = await server.request<ResolvePlanResult>(resolvePlanRequest, { uri, text: recipe('{scheme: W8A8, ignore: [lm_head]}') });
  assert.equal(good.plan?.layers.filter((layer) => layer.scheme !== null).length, 14, JSON.stringify(good.problems));
  assert.equal(good.plan?.output.dir, path.join(folder, 'out'));
  const told = await server.request<ResolvePlanResult>(resolvePlanRequest, {
    uri,
    text: recipe('{scheme: W8A8, ignore: [lm_hea]}'),
    wanted: 'problems',
  });
  assert.equal(told.plan, null);
  assert.deepEqual(
    told.problems.map(({ code }) => code),
    ['ignore-matches-nothing'],
  );
  const bad = await server.request<ResolvePlanResult>(resolvePlanRequest, { uri, text: recipe('{scheme: W9}') });
  assert.equal(bad.plan, null);
  assert.ok(bad.problems.some(({ severity }) => severity === 'error'));
  const plain = 'quant_stage:\n  quant_modifiers:\n    QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}\n';
  const overrides = { model: path.join(folder, 'model'), output_dir: path.join(folder, 'elsewhere'), device: 'cpu' };
  const overridden = await server.request<ResolvePlanResult>(resolvePlanRequest, { uri, text: plain, overrides });
  assert.equal(overridden.plan?.output.dir, path.join(folder, 'elsewhere'));
  assert.equal(overridden.plan?.device, 'cpu');
});

test('resolvePlan of a file that does not exist says so', async () => {
  const { plan, problems } = await server.request<ResolvePlanResult>(resolvePlanRequest, { uri: uriOf('no-such.quant.yaml') });
  assert.equal(plan, null);
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['recipe-unreadable'],
  );
});

test('describeModel: facts of a folder, or why there are none', async () => {
  const good = await server.request<DescribeModelResult>(describeModelRequest, { model: path.join(folder, 'model') });
  assert.equal(good.model?.architecture?.num_hidden_layers, 2);
  const bad = await server.request<DescribeModelResult>(describeModelRequest, { model: path.join(folder, 'none') });
  assert.equal(bad.model, null);
  assert.deepEqual(
    bad.problems.map(({ code }) => code),
    ['model-not-found'],
  );
});

test('recipeModel: the model that a recipe names with its layers, once; or why there is none', async () => {
  const ask = (text: string, more: object = {}): Promise<RecipeModelResult> =>
    server.request<RecipeModelResult>(recipeModelRequest, { uri: uriOf('f.quant.yaml'), text, ...more });
  const text = recipe('{scheme: W8A8, ignore: [lm_head]}');
  const first = await ask(text);
  assert.equal(first.model?.dir, path.join(folder, 'model'));
  assert.equal(first.layers.find(({ name }) => name === 'lm_head')?.scheme, null);
  assert.ok(first.layers.filter(({ scheme }) => scheme !== null).length === 14 && first.reason === null);
  const again = await ask(text, { known: first.id });
  assert.deepEqual([again.id, again.model, again.layers.length], [first.id, null, first.layers.length]);
  // An error elsewhere in the recipe takes nothing from the model.
  assert.equal((await ask(recipe('{scheme: W9}'))).id, first.id);
  const none = await ask('device: cpu\n');
  assert.deepEqual([none.id, none.model], [null, null]);
  assert.match(none.reason ?? '', /model/);
});

test('a model that changes on disk is read again', async () => {
  const dir = path.join(folder, 'changing');
  writeTinyLlama(dir);
  const shards = async (): Promise<string[]> =>
    (await server.request<DescribeModelResult>(describeModelRequest, { model: dir })).problems.map(({ code }) => code);
  assert.deepEqual(await shards(), []);
  writeFileSync(path.join(dir, 'model.safetensors'), 'cut off');
  utimesSync(path.join(dir, 'model.safetensors'), new Date(), new Date());
  assert.deepEqual(await shards(), ['model-unreadable']);
});

/** The codes of an unchanged text, once they are these; a watched file tells no version. */
async function untilCodes(uri: string, wanted: readonly string[]): Promise<void> {
  let found: string[] = [];
  for (let tries = 0; tries < 200; tries += 1) {
    found = (await server.diagnostics(uri, 1)).map(({ code }) => code);
    if (found.join() === wanted.join()) return;
    await setTimeout(25);
  }
  assert.deepEqual(found, wanted);
}

test('a dataset that changes on disk: fresh diagnostics and columns of a recipe that nobody touched', async () => {
  const uri = uriOf('watched.quant.yaml');
  const rows = path.join(folder, 'watched.jsonl');
  const text = `${recipe('{scheme: W8A8, ignore: [lm_head], requires_calibration_data: true}')}calibration: {dataset: watched.jsonl}\n`;
  const changed = async (content: string | null): Promise<void> => {
    if (content === null) rmSync(rows);
    else writeFileSync(rows, content);
    const changes = [{ uri: uriOf('watched.jsonl'), type: content === null ? 3 : 2 }];
    await server.connection.sendNotification('workspace/didChangeWatchedFiles', { changes });
  };
  await server.open(uri, text);
  await untilCodes(uri, ['dataset-not-found']);
  await changed('{"body": "a"}\n');
  await untilCodes(uri, ['dataset-column-missing']);
  const columns = async (): Promise<string[]> => {
    const started = text.replace('jsonl}', 'jsonl, text_column: }');
    await server.change(uri, 2, started);
    const list = await server.request<{ items: { label: string }[] }>('textDocument/completion', {
      textDocument: { uri },
      position: { line: 5, character: started.split('\n')[5]?.lastIndexOf('}') ?? 0 },
    });
    await server.change(uri, 1, text);
    return list.items.map(({ label }) => label);
  };
  assert.deepEqual(await columns(), ['body']);
  await changed('no json\n');
  await untilCodes(uri, ['dataset-unreadable']);
  await changed('{"text": "a"}\n');
  await untilCodes(uri, []);
  await changed(null);
  await untilCodes(uri, ['dataset-not-found']);
});

/** Deterministic, so that a failure can be repeated. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test('random edits never end the server and never hit a bug', async () => {
  const uri = uriOf('fuzz.quant.yaml');
  const random = randomNumbers(20250101);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item;
  const pieces = [
    '\n',
    '  ',
    '    ',
    ': ',
    '- ',
    '[',
    ']',
    '{',
    '}',
    '"',
    "'",
    '#',
    '&a ',
    '*a',
    '<<: *a',
    '|',
    '>',
    '!!int ',
    '? ',
    're:(',
    're:.*',
    '\t',
    '\r',
    '\u{1F600}',
    '-1',
    'null',
    '.',
    '~',
    '\u0000',
    'W4A16',
    'targets',
    '__proto__',
    'constructor',
    '0x',
    '1e999',
    '%YAML 1.3\n',
    '---\n',
    '...\n',
  ];
  let text = recipe('{scheme: W4A16, targets: [Linear], config_groups: {g: {targets: [re:.*], weights: {num_bits: 4}}}}');
  const start = text;
  await server.open(uri, text);
  for (let version = 2; version < 400; version += 1) {
    const from = Math.floor(random() * (text.length + 1));
    const cut = random() < 0.4 ? Math.floor(random() * 12) : 0;
    text = text.slice(0, from) + (random() < 0.8 ? pick(pieces) : '') + text.slice(from + cut);
    if (text.length > 900 || random() < 0.02) text = start;
    await server.change(uri, version, text);
    const lines = text.split('\n');
    const line = Math.floor(random() * lines.length);
    const position = { line, character: Math.floor(random() * ((lines[line] ?? '').length + 1)) };
    const params = { textDocument: { uri }, position, range: { start: position, end: position }, context: { diagnostics: [] } };
    const method = pick(['completion', 'completion', 'hover', 'codeAction', 'documentSymbol', 'foldingRange', 'codeLens']);
    await server.request(`textDocument/${method}`, params).catch((error: Error) => {
      throw new Error(`${method} at ${line}:${position.character} of ${JSON.stringify(text)}: ${error.message}\n${server.bugs.join('\n')}`);
    });
  }
  await server.change(uri, 400, recipe('{scheme: W8A8, ignore: [lm_head]}'));
  assert.deepEqual(await server.diagnostics(uri, 400), []);
});
