// AWQ's mappings: the default of the Llama family, those of a recipe, the parent whose output is compared, and the pairs that are passed over.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AwqPlan } from '../../../schemas/src/generated/plan.js';
import { parentOf } from '../../../server/src/plan/resolve-awq-mappings.js';
import { tinyLlama } from '../../support/model-fixture.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const recipe = (awq: string, ignore = ''): string =>
  `model: model\ncalibration: {dataset: rows.jsonl}\noutput: {dir: out}\nq_stage:\n  q_modifiers:\n    AWQModifier: ${awq}\n    QuantizationModifier: {ignore: [lm_head${ignore}], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}\n`;

/** `wide`: as many values as queries. */
async function planOf(text: string, wide = false): Promise<{ awq: AwqPlan; peak: number; operations: number }> {
  const model = tinyLlama(wide ? { config: { num_key_value_heads: 8 } } : {});
  for (const name of Object.keys(model.tensors)) if (wide && /[kv]_proj/.test(name)) model.tensors[name] = [64, 64];
  return inFolder({ model }, async (dir) => {
    const { plan, problems } = await checkIn(dir, text);
    assert.deepEqual(
      problems.filter(({ severity }) => severity === 'error'),
      [],
    );
    const [awq] = plan?.transforms ?? [];
    assert.ok(plan && awq?.name === 'awq');
    return { awq, peak: plan.estimate.peak_memory_bytes, operations: plan.estimate.operations };
  });
}

const short = ({ mappings }: AwqPlan): string[] =>
  mappings.map(({ smooth_layer, balance_layers, parent, observed }) =>
    [smooth_layer, balance_layers.map((name) => name.split('.').at(-1)).join(' '), parent, observed]
      .join(' | ')
      .replaceAll('model.layers.', ''),
  );

test('the default: four pairs in every block; attention, MLP or the one linear is compared', async () => {
  const { awq } = await planOf(recipe('{}'), true);
  assert.deepEqual(
    short(awq).filter((line) => line.startsWith('1.')),
    [
      '1.input_layernorm | q_proj k_proj v_proj | 1.self_attn | 1.self_attn.q_proj',
      '1.self_attn.v_proj | o_proj | 1.self_attn.o_proj | 1.self_attn.o_proj',
      '1.post_attention_layernorm | gate_proj up_proj | 1.mlp | 1.mlp.gate_proj',
      '1.mlp.up_proj | down_proj | 1.mlp.down_proj | 1.mlp.down_proj',
    ],
  );
  assert.equal(awq.mappings.length, 8);
  assert.deepEqual(awq.passed_over, []);
  assert.deepEqual([awq.duo_scaling, awq.n_grid, awq.modifier], [true, 20, 'AWQModifier']);
});

test('heads that share values, and layers that are not quantized, are passed over with the reason', async () => {
  const { awq } = await planOf(recipe('{}'));
  assert.deepEqual(awq.passed_over[0], {
    smooth_layer: 'model.layers.0.self_attn.v_proj',
    reason: 'v_proj hands on 32 channels and o_proj takes 64: heads share their values',
  });
  assert.equal(awq.passed_over.length, 2);
  const { awq: without } = await planOf(recipe('{}', ", 're:.*down_proj$'"), true);
  assert.deepEqual(
    without.passed_over.map(({ reason }) => reason),
    ['none of down_proj is quantized by this recipe', 'none of down_proj is quantized by this recipe'],
  );
});

test('mappings of the recipe, with a place of their own where inputs are recorded', async () => {
  const { awq } = await planOf(
    recipe(
      "{duo_scaling: both, n_grid: 6, offload_device: cpu, mappings: [{smooth_layer: 're:.*input_layernorm$', balance_layers: ['re:.*q_proj$', 're:.*k_proj$', 're:.*v_proj$'], activation_hook_target: k_proj}, {smooth_layer: 're:.*post_attention_layernorm$', balance_layers: ['re:.*up_proj$', 're:.*gate_proj$']}]}",
    ),
  );
  assert.deepEqual([awq.duo_scaling, awq.n_grid], ['both', 6]);
  assert.deepEqual(
    short(awq).filter((line) => line.startsWith('0.')),
    [
      '0.input_layernorm | q_proj k_proj v_proj | 0.self_attn | 0.self_attn.k_proj',
      '0.post_attention_layernorm | up_proj gate_proj | 0.mlp | 0.mlp.up_proj',
    ],
  );
});

test('the parent is the lowest module that holds all', () => {
  assert.equal(parentOf(['a.b.c']), 'a.b.c');
  assert.equal(parentOf(['a.b.c', 'a.b.d', 'a.b.cc']), 'a.b');
  assert.equal(parentOf(['a.b.c', 'a.x.c']), 'a');
});

test('what a search costs is in the estimate: one forward of the parents for every point of the grid', async () => {
  const [few, many] = [await planOf(recipe('{n_grid: 10}'), true), await planOf(recipe('{n_grid: 20}'), true)];
  // Of the data no more is known than its size: 112 bytes, at least two to a token.
  const N = 56;
  const inParents = 2 * (4 * 64 * 64 + 64 * 64 + 3 * 172 * 64 + 172 * 64);
  const balanced = 2 * (4 * 64 * 64 + 3 * 172 * 64);
  assert.equal(many.operations - few.operations, 10 * (N * inParents + 40 * balanced));
  assert.ok(many.peak >= few.peak);
});
