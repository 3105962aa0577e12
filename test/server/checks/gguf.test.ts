// Recipes for GGUF files: what stands in for a type, models and tokenizers that no such file can hold, and formats that do not go together.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { CheckedRecipe } from '../../../server/src/checks/check-recipe.js';
import { tinyLlama } from '../../support/model-fixture.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';
import { byteLevelTokenizer, sentencePieceTokenizer } from '../../support/small-tokenizer.js';

interface Wish {
  modifiers?: string;
  output?: string;
  tokenizer?: object | null;
  config?: Record<string, unknown>;
  head?: string;
}

const checked = ({
  modifiers = 'GGUFModifier: {type: Q8_0}',
  output = '',
  tokenizer,
  config = {},
  head = '',
}: Wish): Promise<CheckedRecipe> =>
  inFolder({ model: tinyLlama({ hidden: 256, intermediate: 512, keyValues: 128, vocabulary: 265, config }) }, (dir) => {
    const given = tokenizer === undefined ? sentencePieceTokenizer() : tokenizer;
    const file = path.join(dir, 'model/tokenizer.json');
    if (given === null) rmSync(file);
    else writeFileSync(file, JSON.stringify(given));
    return checkIn(dir, `model: model\noutput: {dir: out${output}}\n${head}q_stage:\n  q_modifiers:\n    ${modifiers}\n`);
  });

const told = ({ problems }: CheckedRecipe): string[] => problems.map(({ code, severity, message }) => `${severity} ${code}: ${message}`);

test('a model that llama.cpp knows has a plan, a file name and no problem', async () => {
  const { plan, ...rest } = await checked({ modifiers: 'GGUFModifier: {type: Q4_K_M}' });
  assert.deepEqual(told({ plan, ...rest }), []);
  assert.deepEqual(plan?.output.gguf, { file: 'model-Q4_K_M.gguf', name: 'model', file_type: 15, tokenizer_pre: null });
  const of = (name: string): string | undefined => plan?.layers.find((layer) => layer.name === name)?.scheme?.weights?.gguf_type;
  assert.equal(of('model.embed_tokens'), 'Q4_K');
  assert.equal(of('lm_head'), 'Q6_K');
  assert.equal(of('model.layers.0.self_attn.q_proj'), 'Q4_K');
  // 4.5 bits, and 6.5625 for the head and the layers that the mix favours.
  const weights = plan?.layers.reduce((sum, { rows, columns }) => sum + rows * columns, 0) ?? 0;
  const bits =
    plan?.layers.reduce(
      (sum, { rows, columns, scheme }) => sum + rows * columns * (scheme?.weights?.gguf_type === 'Q6_K' ? 6.5625 : 4.5),
      0,
    ) ?? 0;
  assert.equal(plan?.estimate.bits_per_weight, bits / weights);
});

test('types by layer: exactly what the groups say', async () => {
  const { plan, ...rest } = await checked({
    modifiers:
      "GGUFModifier: {config_groups: {a: {targets: ['re:.*mlp.*'], type: Q5_K}, b: {targets: ['re:.*self_attn.*', lm_head], type: Q8_0}}}",
  });
  assert.deepEqual(told({ plan, ...rest }), []);
  const types = new Map(plan?.layers.map(({ role, scheme }) => [role, scheme?.weights?.gguf_type]));
  assert.equal(types.get('down_proj'), 'Q5_K');
  assert.equal(types.get('lm_head'), 'Q8_0');
  assert.equal(types.get('embed_tokens'), undefined);
  assert.equal(plan?.output.gguf?.file, 'model-Q5_K_M.gguf');
});

test('importance needs texts, and is the one thing that does', async () => {
  const without = await checked({ modifiers: 'GGUFModifier: {importance: true}' });
  assert.deepEqual(
    without.problems.map(({ code }) => code),
    ['calibration-missing'],
  );
  const { plan, ...rest } = await checked({
    modifiers: 'GGUFModifier: {importance: true}',
    head: 'calibration: {dataset: rows.jsonl, num_calibration_samples: 8}\n',
  });
  assert.ok(plan?.calibration, told({ plan, ...rest }).join('\n'));
});

test('gguf-type-falls-back: one notice for a recipe, with the types and the layers', () =>
  inFolder({ model: tinyLlama({ vocabulary: 265 }) }, async (dir) => {
    writeFileSync(path.join(dir, 'model/tokenizer.json'), JSON.stringify(sentencePieceTokenizer()));
    const { problems, plan } = await checkIn(
      dir,
      'model: model\noutput: {dir: out}\nq_stage: {q_modifiers: {GGUFModifier: {type: Q4_K_M}}}\n',
    );
    assert.deepEqual(
      problems.map(({ code, severity }) => [code, severity]),
      [['gguf-type-falls-back', 'information']],
    );
    assert.match(
      problems[0]?.message ?? '',
      /Q5_0 stands in for Q4_K, as in llama\.cpp, where blocks of 256 weights do not divide the columns: 12 layers \(.*\) with 64 columns/,
    );
    assert.match(
      problems[0]?.message ?? '',
      /F32 stays where not even blocks of 32 divide the columns: 2 layers \(down_proj\) with 172 columns/,
    );
    const down = plan?.layers.find(({ role }) => role === 'down_proj');
    assert.deepEqual([down?.scheme?.weights, down?.quantizer], [null, null]);
  }));

for (const [what, wish, message] of [
  [
    'a window of attention',
    { config: { model_type: 'mistral', sliding_window: 16 } },
    /attends to the last 16 tokens alone \(sliding_window\)/,
  ],
  ['a rope that llama.cpp does not have', { config: { rope_scaling: { rope_type: 'dynamic', factor: 2 } } }, /its rope_type is dynamic/],
  [
    'another architecture',
    { config: { model_type: 'phantom', architectures: ['PhantomForCausalLM'] } },
    /architecture PhantomForCausalLM is none of/,
  ],
  ['no tokenizer', { tokenizer: null }, /it has no tokenizer\.json/],
  ['a unigram tokenizer', { tokenizer: { model: { type: 'Unigram', vocab: [] } } }, /its model is "Unigram", and BPE alone is written/],
  ['more tokens than rows', { tokenizer: sentencePieceTokenizer(300) }, /it has 300 tokens and the model's embedding 265 rows/],
  [
    'a pattern of its own',
    { tokenizer: byteLevelTokenizer('[a-z]+|.') },
    /no name for the way in which tokenizer\.json splits text \(\[a-z\]\+\|\.\)/,
  ],
] as const)
  test(`gguf-not-expressible: ${what}`, async () => {
    const result = await checked(wish);
    const { problems, plan } = result;
    const found = problems.filter(({ code }) => code === 'gguf-not-expressible');
    assert.equal(found.length, 1, told(result).join('\n'));
    assert.match(found[0]?.message ?? '', message);
    assert.equal(plan, null);
  });

test('a pattern of its own is taken with the name that the recipe gives', async () => {
  const { plan, ...rest } = await checked({ tokenizer: byteLevelTokenizer('[a-z]+|.'), output: ', tokenizer_pre: gpt-2' });
  assert.deepEqual(told({ plan, ...rest }), []);
  assert.equal(plan?.output.gguf?.tokenizer_pre, 'gpt-2');
});

for (const [what, wish, message] of [
  [
    'another quantizer',
    { modifiers: "GGUFModifier: {targets: ['re:.*mlp.*']}\n    QuantizationModifier: {targets: ['re:.*self_attn.*'], scheme: W8A16}" },
    /^QuantizationModifier makes integers or floats of its own grids/,
  ],
  [
    'no GGUFModifier',
    { modifiers: 'QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}', output: ', format: gguf' },
    /Use GGUFModifier in its place/,
  ],
  ['safetensors asked for', { output: ', format: compressed-tensors' }, /blocks that a GGUF file alone can hold/],
  [
    'an adapter',
    {
      modifiers: 'GGUFModifier: {type: Q8_0}\n    LowRankResidualModifier: {rank: 4, ignore: [lm_head, model.embed_tokens]}',
      head: 'calibration: {dataset: rows.jsonl, num_calibration_samples: 8}\n',
    },
    /LowRankResidualModifier keeps what quantization takes in an adapter/,
  ],
] as const)
  test(`formats-cannot-mix: ${what}`, async () => {
    const answer = await checked(wish);
    const found = answer.problems.filter(({ code }) => code === 'formats-cannot-mix');
    assert.equal(found.length, 1, told(answer).join('\n'));
    assert.match(found[0]?.message ?? '', message);
  });

test('llama.cpp loads it', async () => {
  assert.deepEqual(told(await checked({ output: ', runtime: llama.cpp' })), []);
});
