// Which scheme every layer gets: order of groups, ignore, several modifiers, tied heads, classes that cannot be quantized.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { tinyLlama, type TinyModel } from '../../support/model-fixture.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

async function layersOf(modifiers: object, model?: TinyModel): Promise<LayerPlan[]> {
  return inFolder(model === undefined ? {} : { model }, async (dir) => {
    const { resolution } = await checkIn(dir, JSON.stringify({ model: 'model', q_stage: modifiers }));
    return [...resolution.layers];
  });
}

const bits = (layers: readonly LayerPlan[], end: string): (number | null)[] =>
  layers.filter(({ name }) => name.endsWith(end)).map(({ scheme }) => scheme?.weights?.num_bits ?? null);

const group = (targets: string[], num_bits: number): object => ({ targets, weights: { num_bits, strategy: 'channel' } });
const rtn = (body: object): object => ({ q_modifiers: { QuantizationModifier: body } });

test('full names before patterns, patterns in the order of their text, classes last', async () => {
  const layers = await layersOf(
    rtn({
      config_groups: {
        a: group(['Linear'], 8),
        b: group(['re:.*q_proj'], 7),
        c: group(['re:.*'], 6),
        d: group(['model.layers.0.self_attn.q_proj'], 5),
        e: group(['re:model.*k_proj'], 4),
      },
    }),
  );
  // `re:.*` is before `re:.*q_proj` in the order of text, so b never wins; the full name does.
  assert.deepEqual(bits(layers, 'q_proj'), [5, 6]);
  assert.deepEqual(bits(layers, 'k_proj'), [6, 6]);
  assert.deepEqual(bits(layers, 'lm_head'), [6]);
});

test('ignore wins, by name, pattern and class', async () => {
  assert.deepEqual(bits(await layersOf(rtn({ scheme: 'W8A8', ignore: ['lm_head', 're:.*layers\\.1\\..*'] })), 'up_proj'), [8, null]);
  assert.deepEqual(bits(await layersOf(rtn({ scheme: 'W8A8', ignore: ['Linear'] })), 'up_proj'), [null, null]);
});

test('a later modifier wins where it targets the same layer', async () => {
  const layers = await layersOf({
    a_modifiers: { QuantizationModifier: { scheme: 'W8A8' } },
    b_modifiers: { GPTQModifier: { config_groups: { g: group(['re:.*up_proj'], 4) } } },
  });
  assert.deepEqual(bits(layers, 'up_proj'), [4, 4]);
  assert.deepEqual(bits(layers, 'gate_proj'), [8, 8]);
  assert.equal(layers.find(({ name }) => name.endsWith('up_proj'))?.quantizer?.name, 'gptq');
  assert.equal(layers.find(({ name }) => name.endsWith('gate_proj'))?.quantizer?.name, 'rtn');
});

test('blocks, roles and shapes', async () => {
  const layers = await layersOf(rtn({ scheme: 'W8A8' }));
  const down = layers.find(({ name }) => name === 'model.layers.1.mlp.down_proj');
  assert.deepEqual([down?.block, down?.role, down?.rows, down?.columns, down?.kind], [1, 'down_proj', 64, 172, 'Linear']);
  assert.deepEqual(
    layers.filter(({ block }) => block === null).map(({ name, kind }) => `${name} ${kind}`),
    ['lm_head Linear', 'model.embed_tokens Embedding'],
  );
  assert.ok(layers.every(({ name }) => !name.endsWith('norm')));
});

test('a tied head is a layer of its own with the weight of the embedding', async () => {
  const model = tinyLlama({ config: { tie_word_embeddings: true } });
  delete model.tensors['lm_head.weight'];
  const layers = await layersOf(rtn({ scheme: 'W8A8' }), model);
  const head = layers.find(({ name }) => name === 'lm_head');
  assert.deepEqual([head?.tied_to, head?.tensor], ['model.embed_tokens', 'model.embed_tokens.weight']);
});
