// Which of llama.cpp's types a layer gets: the mixes against what llama-quantize chooses for 32 blocks, and what stands in where blocks do not divide the columns.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { ggufTypeOf, ggufWish } from '../../../server/src/plan/quantizers/gguf.js';
import { describedLlama } from '../../support/plan-inputs.js';

const blocks = 32;
const model = (sizes: { kv?: number; tied?: boolean; blocks?: number } = {}): ModelDescription => {
  const described = describedLlama({ hidden: 512, intermediate: 1024, blocks: 1, vocabulary: 64, heads: 8, kvHeads: 8, dtype: 'F32' });
  assert.ok(described.architecture);
  return {
    ...described,
    architecture: {
      ...described.architecture,
      num_hidden_layers: sizes.blocks ?? blocks,
      num_attention_heads: 8,
      num_key_value_heads: sizes.kv ?? 8,
      tie_word_embeddings: sizes.tied ?? false,
    },
  };
};
const layer = (role: string, block: number | null, columns = 512): LayerPlan =>
  ({
    name: block === null ? (role === 'embed_tokens' ? 'model.embed_tokens' : role) : `model.layers.${block}.${role}`,
    role,
    block,
    columns,
    rows: 8,
  }) as LayerPlan;

function typesOf(name: string, role: string, of = model(), importance = false): string {
  const wish = ggufWish(name, false, importance);
  assert.ok(wish);
  const types = Array.from(
    { length: of.architecture?.num_hidden_layers ?? 0 },
    (_, block) => ggufTypeOf(wish, layer(role, block), of).type ?? '-',
  );
  const rest = types.filter((type) => type !== types.at(-1));
  return `${types.at(-1)}${rest.length === 0 ? '' : `, ${rest[0]} in ${types.flatMap((type, block) => (type === rest[0] ? [block] : [])).join(' ')}`}`;
}

test('Q4_K_M: v and down have more bits in the first and last eighth and every third block between', () => {
  const more = 'Q6_K, Q4_K in 4 5 7 8 10 11 13 14 16 17 19 20 22 23 25 26';
  assert.equal(typesOf('Q4_K_M', 'v_proj'), more);
  assert.equal(typesOf('Q4_K_M', 'down_proj'), more);
  for (const role of ['q_proj', 'k_proj', 'o_proj', 'gate_proj', 'up_proj']) assert.equal(typesOf('Q4_K_M', role), 'Q4_K', role);
  assert.equal(typesOf('Q4_K', 'v_proj'), more, 'the name is an alias');
});

test('the other mixes, role by role', () => {
  for (const [name, role, wanted] of [
    ['Q4_K_S', 'v_proj', 'Q4_K, Q5_K in 0 1 2 3'],
    ['Q4_K_S', 'down_proj', 'Q4_K, Q5_K in 0 1 2 3'],
    ['Q5_K_M', 'down_proj', 'Q6_K, Q5_K in 4 5 7 8 10 11 13 14 16 17 19 20 22 23 25 26'],
    ['Q5_K_S', 'v_proj', 'Q5_K'],
    ['Q3_K_M', 'v_proj', 'Q4_K, Q5_K in 0 1'],
    ['Q3_K_M', 'down_proj', 'Q4_K, Q5_K in 0 1'],
    ['Q3_K_M', 'o_proj', 'Q4_K'],
    ['Q3_K_M', 'q_proj', 'Q3_K'],
    ['Q3_K_L', 'o_proj', 'Q5_K'],
    ['Q3_K_L', 'v_proj', 'Q5_K'],
    ['Q3_K_S', 'down_proj', 'Q3_K'],
    ['Q2_K', 'v_proj', 'Q3_K'],
    ['Q2_K', 'down_proj', 'Q3_K'],
    ['Q2_K', 'o_proj', 'Q3_K'],
    ['Q2_K_S', 'down_proj', 'Q2_K, Q4_K in 0 1 2 3'],
    ['Q6_K', 'v_proj', 'Q6_K'],
    ['Q8_0', 'down_proj', 'Q8_0'],
  ] as const)
    assert.equal(typesOf(name, role), wanted, `${name} ${role}`);
  assert.equal(typesOf('Q2_K', 'v_proj', model({ kv: 2 })), 'Q4_K', 'v that four heads share');
  assert.equal(typesOf('Q4_0', 'down_proj', model(), true), 'Q4_0, Q4_1 in 0 1 2 3', 'with importance');
  assert.equal(typesOf('Q3_K_M', 'v_proj', model({ kv: 1, blocks: 80 })), 'Q5_K', '80 blocks');
});

test('the head is in Q6_K, and so is an embedding that it shares', () => {
  const type = (name: string, role: string, of: ModelDescription, columns = 512, pure = false): string | null => {
    const wish = ggufWish(name, pure, false);
    assert.ok(wish);
    return ggufTypeOf(wish, layer(role, null, columns), of).type;
  };
  assert.equal(type('Q4_K_M', 'lm_head', model()), 'Q6_K');
  assert.equal(type('Q4_K_M', 'embed_tokens', model()), 'Q4_K');
  assert.equal(type('Q4_K_M', 'embed_tokens', model({ tied: true })), 'Q6_K');
  assert.equal(type('Q8_0', 'lm_head', model()), 'Q8_0');
  assert.equal(type('Q4_K_M', 'lm_head', model(), 128), 'Q8_0', 'no k-quant divides it');
  assert.equal(type('Q4_K', 'lm_head', model(), 512, true), 'Q4_K', 'pure');
});

test('what stands in', () => {
  for (const [asked, columns, wanted] of [
    ['Q4_K', 128, 'Q5_0'],
    ['Q5_K', 128, 'Q5_1'],
    ['Q6_K', 128, 'Q8_0'],
    ['Q3_K', 128, 'Q4_0'],
    ['Q2_K', 128, 'Q4_0'],
    ['Q4_K', 172, null],
    ['Q8_0', 172, null],
    ['Q8_0', 160, 'Q8_0'],
    ['Q4_K', 256, 'Q4_K'],
  ] as const) {
    const wish = ggufWish(asked, true, false);
    assert.ok(wish);
    assert.equal(ggufTypeOf(wish, layer('q_proj', 0, columns), model()).type, wanted, `${asked} ${columns}`);
  }
  assert.equal(ggufWish('Q9_K', false, false), null);
});
