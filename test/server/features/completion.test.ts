// Completion at cursors in whole, half-written and broken recipes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completeRecipe } from '../../../server/src/features/completion.js';
import { knownModifiers } from '../../../server/src/plan/read-modifiers.js';
import { check, chooseCompletion, complete, tinyModel, withCursor } from '../../support/recipe-features.js';

const inModifier = (lines: string): string => `quant_stage:
  quant_modifiers:
    GPTQModifier:
${lines
  .split('\n')
  .map((line) => `      ${line}`)
  .join('\n')}
`;

test('output.runtime offers the names and the form of a version, tensor_parallel_size a few degrees', async () => {
  assert.deepEqual((await complete('output: {dir: out, runtime: $0}')).labels, [
    'vllm',
    'llama.cpp',
    'onnxruntime',
    'transformers',
    'vllm==0.11.0',
  ]);
  assert.deepEqual((await complete('output:\n  tensor_parallel_size: $0')).labels, ['1', '2', '4', '8']);
  assert.ok((await complete('output:\n  $0')).labels.includes('runtime'));
});

test('canary is offered, and in it the fields that it has not yet', async () => {
  assert.ok((await complete('$0')).labels.includes('canary'));
  assert.ok(!(await complete('canary: {max_mean_kld: 1}\n$0')).labels.includes('canary'));
  assert.deepEqual((await complete('canary:\n  $0')).labels.sort(), ['every', 'max_mean_kld', 'max_seq_length', 'num_samples']);
  assert.deepEqual((await complete('canary:\n  max_mean_kld: 0.5\n  $0')).labels.sort(), ['every', 'max_seq_length', 'num_samples']);
  assert.ok((await complete('canary:\n  max_mean_kld: $0')).labels.includes('0.5'));
});

test('top level of an empty recipe: own keys and a stage', async () => {
  const { labels } = await complete('$0');
  for (const key of ['model', 'calibration', 'evaluate', 'output', 'device', 'quant_stage']) assert.ok(labels.includes(key), key);
});

test('keys that the mapping has already are not offered again', async () => {
  const { labels } = await complete('model: m\ndevice: cpu\n$0');
  assert.ok(!labels.includes('model') && !labels.includes('device') && labels.includes('calibration'));
});

test('a half-written key between two others', async () => {
  const { labels, begin, end } = await complete(inModifier('scheme: W4A16\nign$0\ntargets: [Linear]'));
  assert.ok(labels.includes('ignore') && labels.includes('dampening_frac'));
  assert.ok(!labels.includes('scheme') && !labels.includes('targets'));
  assert.equal(end - begin, 3);
});

test('fields that only llm-compressor itself writes are not offered', async () => {
  const { labels } = await complete(inModifier('$0'));
  assert.deepEqual(
    labels.filter((label) => label.endsWith('_') || label === 'index'),
    [],
  );
});

test('a modifier brings its usual fields', async () => {
  const recipe = 'quant_stage:\n  quant_modifiers:\n    $0\n';
  const { labels } = await complete(recipe);
  assert.deepEqual(labels.slice(0, 3), ['QuantizationModifier', 'GPTQModifier', 'SmoothQuantModifier']);
  assert.equal(labels.length, knownModifiers.length);
  assert.equal(await chooseCompletion(recipe, 'GPTQModifier'), inModifier('scheme: W4A16\ntargets: [Linear]\nignore: [lm_head]'));
});

for (const name of knownModifiers)
  test(`the skeleton of ${name} is a body that llm-compressor takes`, async () => {
    const recipe = 'quant_stage:\n  quant_modifiers:\n    $0\n    QuantizationModifier: {scheme: W8A8}\n';
    const inserted = await chooseCompletion(name === 'QuantizationModifier' ? recipe.replace(/ {4}Quant.*\n/, '') : recipe, name);
    const { problems } = await check(inserted);
    const errors = problems.filter(({ severity, code }) => severity === 'error' && code !== 'modifier-not-runnable-yet');
    assert.deepEqual(
      errors.map(({ message }) => message),
      [],
      inserted,
    );
  });

test('presets with their meaning', async () => {
  const { entries } = await complete(inModifier('scheme: W4$0'));
  const preset = entries.find(({ label }) => label === 'W4A16');
  assert.equal(preset?.detail, '4-bit integer weights, groups of 128, inputs in 16 bits');
  assert.match(preset?.documentation ?? '', /`group_size: 128`/);
});

test('a value replaces what is typed of it, before and after the cursor', async () => {
  assert.equal(await chooseCompletion(inModifier('scheme: W4$0A1'), 'W8A8'), inModifier('scheme: W8A8'));
});

test('true and false with the default marked', async () => {
  const { entries } = await complete(inModifier('offload_hessians: $0'));
  assert.deepEqual(
    entries.map(({ label, detail }) => [label, detail]),
    [
      ['true', undefined],
      ['false', 'default'],
    ],
  );
});

test('an enumeration at top level', async () => {
  assert.deepEqual((await complete('device: $0')).labels, ['auto', 'cpu', 'cuda', 'cuda:0', 'cuda:0,1']);
});

test('keys and values inside a flow mapping', async () => {
  const group = (args: string): string => inModifier(`config_groups:\n  g:\n    targets: [Linear]\n    weights: {${args}}`);
  const { labels } = await complete(group('num_bits: 4, $0'));
  assert.ok(labels.includes('group_size') && !labels.includes('num_bits'));
  assert.deepEqual((await complete(group('num_bits: 4, strategy: $0'))).labels, ['tensor', 'channel', 'group', 'token']);
});

test('targets: classes, patterns by role and layer names of the model, with counts', async () => {
  const { entries } = await complete(inModifier('targets: [$0]'));
  const detail = (label: string): string | undefined => entries.find((entry) => entry.label === label)?.detail;
  assert.equal(detail('Linear'), '15 of 16 layers');
  assert.equal(detail('re:.*q_proj$'), '2 of 16 layers');
  assert.equal(detail('re:.*mlp.*'), '6 of 16 layers');
  assert.equal(detail('model.layers.1.mlp.down_proj'), '64 × 176 F32');
  assert.ok(entries.every((entry) => !entry.label.includes('norm')));
});

test('targets in a block list, in a flow list, and as the first item of a list', async () => {
  assert.equal(await chooseCompletion(inModifier('targets:\n  - re:$0'), 're:.*q_proj$'), inModifier('targets:\n  - re:.*q_proj$'));
  assert.equal(await chooseCompletion(inModifier('ignore: [lm_head, $0]'), 're:.*mlp.*'), inModifier('ignore: [lm_head, re:.*mlp.*]'));
  assert.equal(await chooseCompletion(inModifier('targets:\n  $0'), 'Linear'), inModifier('targets:\n  - Linear'));
  assert.equal(await chooseCompletion(inModifier('ignore: $0'), 'lm_head'), inModifier('ignore: [lm_head$0]'));
});

test('a pattern with brackets is quoted inside a flow list', async () => {
  const chosen = await chooseCompletion(inModifier('ignore: [$0]'), 're:model.layers.0[.]');
  assert.equal(chosen, inModifier("ignore: ['re:model.layers.0[.]']"));
});

test('files for a dataset, folders for a model', async () => {
  const files = [
    { name: 'data', isFolder: true },
    { name: 'rows.jsonl', isFolder: false },
    { name: 'notes.md', isFolder: false },
  ];
  assert.deepEqual((await complete('calibration:\n  dataset: $0', files)).labels, ['data', 'rows.jsonl']);
  assert.deepEqual((await complete('model: $0', files)).labels, ['data']);
});

test('nothing in a comment', async () => {
  assert.deepEqual((await complete('model: m # the $0')).labels, []);
});

test('completing a key that has its colon leaves the colon', async () => {
  assert.equal(await chooseCompletion(inModifier('sche$0: W4A16'), 'scheme'), inModifier('scheme: W4A16'));
});

test('a recipe that is no YAML below the cursor is completed above it', async () => {
  const { labels } = await complete('device: $0\nquant_stage: [unclosed\n  more: {');
  assert.deepEqual(labels, ['auto', 'cpu', 'cuda', 'cuda:0', 'cuda:0,1']);
});

test('Windows line ends and Markdown front matter', async () => {
  assert.equal(await chooseCompletion('device: c$0\r\nmodel: m\r\n', 'cuda'), 'device: cuda\r\nmodel: m\r\n');
  assert.ok((await complete('---\ndevice: $0\n---\n# A model card\n')).labels.includes('cpu'));
});

test('of a model with many layers the list is cut, says so, and follows what is typed', async () => {
  const { description } = await tinyModel();
  const names = Array.from({ length: 1000 }, (_, i) => `model.layers.${i}.mlp.down_proj`);
  const model = { ...description, modules: Object.fromEntries(names.map((name) => [name, 'Linear' as const])), tensors: [] };
  const at = (marked: string): ReturnType<typeof completeRecipe> =>
    completeRecipe({
      ...withCursor(`q_stage:\n  q_modifiers:\n    GPTQModifier:\n      ignore: [${marked}]\n`),
      model,
      datasets: { calibration: null, evaluations: [] },
      listFolder: () => Promise.resolve(null),
    });
  const all = await at('$0');
  assert.equal(all.isIncomplete, true);
  assert.equal(all.entries.filter(({ kind }) => kind === 'layer').length, 200);
  const some = await at('layers.77$0');
  assert.equal(some.isIncomplete, false);
  assert.ok(some.entries.some(({ label }) => label === 'model.layers.777.mlp.down_proj'));
});

test('an empty first line, with the cursor at its beginning', async () => {
  const { entries, begin, end } = await completeRecipe({
    text: '\noutput:',
    offset: 0,
    model: null,
    datasets: { calibration: null, evaluations: [] },
    listFolder: () => Promise.resolve(null),
  });
  assert.deepEqual([begin, end], [0, 0]);
  assert.ok(entries.some(({ label }) => label === 'model'));
});
