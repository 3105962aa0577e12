// Hover on keys, patterns, layers, presets and the model.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hover } from '../../support/recipe-features.js';

const recipe = (modifier: string): string => `model: ./
output: {dir: ../out}
quant_stage:
  quant_modifiers:
    QuantizationModifier: ${modifier}
`;

test('a field: meaning, type and default', async () => {
  const text = (await hover('calibration: {dataset: x, num_cali$0bration_samples: 4}')) ?? '';
  assert.match(text, /^\*\*num_calibration_samples\*\*/);
  assert.match(text, /Default: `512`/);
});

test('output.runtime: what it is for, its names, and a version', async () => {
  const text = (await hover('output: {dir: x, run$0time: vllm==0.11.0}')) ?? '';
  assert.match(
    text,
    /^\*\*runtime\*\* · string\n\nWhat the checkpoint is for; .*`vllm`, `llama\.cpp`, `onnxruntime`, `transformers`, `vllm==0\.11\.0`/s,
  );
});

test('a pattern lists the layers it matches', async () => {
  const text = await hover(recipe("{scheme: W8A8, targets: ['re:.*q_$0proj$']}"));
  assert.equal(text, 'Matches 2 of 16 layers:\n\n- `model.layers.0.self_attn.q_proj`\n- `model.layers.1.self_attn.q_proj`');
});

test('a pattern that matches nothing, and one that is no regular expression', async () => {
  assert.equal(await hover(recipe("{scheme: W8A8, targets: [Linear, 're:q_$0proj']}")), 'Matches none of the 16 layers of the model.');
  assert.match((await hover(recipe("{scheme: W8A8, targets: ['re:($0q']}"))) ?? '', /^Not a regular expression/);
});

test('a layer name: shape and the scheme in force', async () => {
  const text = await hover(recipe('{scheme: W8A8, targets: [model.layers.0.mlp.down_$0proj]}'));
  assert.match(text ?? '', /64 × 176 F32/);
  assert.match(text ?? '', /Becomes int8 channel, inputs int8 token.*by QuantizationModifier/s);
  assert.match((await hover(recipe('{scheme: W8A8, ignore: [lm_$0head]}'))) ?? '', /Stays as it is/);
});

test('a preset shows what it stands for', async () => {
  assert.match((await hover(recipe('{scheme: w4$0a16}'))) ?? '', /weights: `num_bits: 4`.*`group_size: 128`/s);
});

test('the model: architecture and sizes', async () => {
  const text = (await hover('model: $0./\n')) ?? '';
  assert.match(text, /LlamaForCausalLM/);
  assert.match(text, /2 blocks, hidden 64/);
});

test('nothing where nothing is meant', async () => {
  assert.equal(await hover('unknown_$0key: 3\n'), null);
  assert.equal(await hover('$0\n'), null);
});
