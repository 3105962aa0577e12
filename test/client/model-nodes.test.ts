// The tree of a model: blocks, modules and tensors by their names, and what a recipe makes of them in words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  describeNode,
  keptModelNodes,
  layersOfTensors,
  modelNodes,
  outcomeOf,
  type LayersInForce,
  type ModelNode,
  type NamedTensors,
} from '../../client/src/model-nodes.js';

const tensor = (name: string, shape: number[] = [4, 4]): NamedTensors['tensors'][number] => ({
  name,
  dtype: 'BF16',
  shape,
  bytes: 2 * shape.reduce((product, extent) => product * extent, 1),
  file: 'model.safetensors',
});
const blocks = [0, 1, 2, 10].flatMap((block) => [
  tensor(`model.layers.${block}.input_layernorm.weight`, [4]),
  tensor(`model.layers.${block}.self_attn.q_proj.bias`, [4]),
  tensor(`model.layers.${block}.self_attn.q_proj.weight`),
  tensor(`model.layers.${block}.mlp.down_proj.weight`),
]);
const names = [0, 1, 2, 10].flatMap((block) => [`model.layers.${block}.self_attn.q_proj`, `model.layers.${block}.mlp.down_proj`]);
const model: NamedTensors = {
  tensors: [tensor('model.embed_tokens.weight', [8, 4]), ...blocks, tensor('model.norm.weight', [4])],
  modules: Object.fromEntries([...names, 'model.embed_tokens', 'lm_head'].map((name) => [name, 'Linear'])),
};

/** The tree as indented lines. */
const lines = ({ label, children }: ModelNode, indent = ''): string[] => [
  `${indent}${label}`,
  ...children.flatMap((child) => lines(child, `${indent}  `)),
];

test('modules with their weight alone are one line, single children join their parents, numbers count', () => {
  const block = ['input_layernorm', 'mlp.down_proj', 'self_attn.q_proj'];
  const root = modelNodes(model);
  const model_node = root.children.find(({ label }) => label === 'model');
  assert.deepEqual(
    root.children.map(({ label }) => label),
    ['lm_head', 'model'],
  );
  assert.deepEqual(
    model_node?.children.map(({ label }) => label),
    ['embed_tokens', 'layers', 'norm'],
  );
  const layers = model_node?.children[1];
  assert.deepEqual(
    layers?.children.map(({ label }) => label),
    ['0', '1', '2', '10'],
  );
  assert.deepEqual(
    layers?.children[3]?.children.map(({ label }) => label),
    block,
  );
  assert.deepEqual(lines(layers!.children[3]!.children[2]!), ['self_attn.q_proj', '  bias', '  weight']);
  assert.deepEqual([root.n_tensors, root.bytes], [18, model.tensors.reduce((sum, { bytes }) => sum + bytes, 0)]);
  assert.deepEqual([...root.layers].sort(), Object.keys(model.modules).sort());
  const joined = layers!.children[3]!.children[1]!;
  assert.deepEqual([joined.layers, joined.tensor?.shape], [['model.layers.10.mlp.down_proj'], [4, 4]]);
});

test('a filter leaves what fits, and the way to it', () => {
  const root = modelNodes(model, (name) => name.includes('layers.2.') && name.includes('down'));
  assert.deepEqual(root.layers, ['model.layers.2.mlp.down_proj']);
  assert.equal(root.n_tensors, 1);
  assert.deepEqual(lines(root), ['', '  model.layers.2.mlp.down_proj']);
});

const inForce: LayersInForce = {
  rules: [
    { entry: 'Linear', kind: 'target', where: '', range: null as never, around: null as never },
    { entry: 'lm_head', kind: 'ignore', where: '', range: null as never, around: null as never },
  ],
  layers: new Map(
    [
      ...names.map((name) => ({ name, scheme: 'int4 g128 sym', num_bits: 4, rule: 0 })),
      { name: 'lm_head', scheme: null, num_bits: null, rule: 1 },
      { name: 'model.embed_tokens', scheme: null, num_bits: null, rule: null },
    ].map((layer) => [layer.name, layer]),
  ),
};

test('what the recipe does stands behind each: scheme, ignored, kept, and counts where it differs', () => {
  const root = modelNodes(model);
  const [head, body] = root.children;
  assert.equal(describeNode(head!, inForce), 'ignored · shares its weight');
  assert.equal(describeNode(body!.children[0]!, inForce), 'kept · BF16 8 × 4, 64 B');
  assert.equal(describeNode(body!.children[1]!, inForce), 'int4 g128 sym · 320 B');
  assert.equal(describeNode(body!, inForce), '8 int4 g128 sym, 1 kept · 392 B');
  assert.equal(describeNode(body!.children[2]!, inForce), 'BF16 4, 8 B');
  assert.equal(describeNode(body!, null), '392 B');
  assert.deepEqual([outcomeOf('lm_head', inForce), outcomeOf('nothing', inForce)], ['ignored', null]);
});

test('a tensor belongs to the layer whose name begins its own', () => {
  const layers = new Set(['a.b', 'a.b.c', 'lm_head']);
  assert.deepEqual(layersOfTensors(['a.b.weight', 'a.b.c.weight_packed', 'a.b.bias', 'x.weight', 'lm_head'], layers), [
    'a.b',
    'a.b.c',
    'lm_head',
  ]);
});

test('names like those of objects, empty parts and markup are names', () => {
  const odd = ['__proto__.weight', 'constructor', 'a..b', '<img onerror=…>.weight'].map((name) => tensor(name));
  const root = modelNodes({ tensors: odd, modules: { __proto__: 'Linear', '<img onerror=…>': 'Linear' } });
  assert.equal(root.n_tensors, 4);
  assert.ok(root.children.some(({ label }) => label === '<img onerror=…>'));
});

test('a hundred thousand tensors are a tree in less than two seconds of the processor', () => {
  const many = Array.from({ length: 100_000 }, (_, i) =>
    tensor(`model.layers.${Math.floor(i / 400)}.mlp.experts.${i % 400}.up_proj.weight`),
  );
  const began = process.cpuUsage();
  assert.equal(modelNodes({ tensors: many, modules: {} }).n_tensors, many.length);
  const { user } = process.cpuUsage(began);
  assert.ok(user < 2e6, `${user / 1000} ms`);
});

test('a tree is kept while the model and the filter are the same', () => {
  const nodesOf = keptModelNodes();
  const all = nodesOf(model, '');
  assert.equal(nodesOf(model, ''), all);
  const filtered = nodesOf(model, 'down_proj');
  assert.equal(filtered.n_tensors, 4);
  assert.equal(nodesOf(model, 'down_proj'), filtered);
  assert.notEqual(nodesOf({ ...model }, 'down_proj'), filtered);
  assert.deepEqual(nodesOf(model, ''), all);
  assert.deepEqual(nodesOf(model, '/(/'), all);
});
