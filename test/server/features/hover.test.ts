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

test('canary and its fields: what it stops, in which unit, and how often it measures', async () => {
  const text = (await hover('can$0ary: {max_mean_kld: 0.5}')) ?? '';
  assert.match(text, /^\*\*canary\*\*/);
  assert.match(text, /Stops the run where the half-quantized model has come too far from itself/);
  assert.match(
    (await hover('canary: {max_$0mean_kld: 0.5}')) ?? '',
    /^\*\*max_mean_kld\*\* · number\n\nMean KL divergence in nats, at most;/,
  );
  for (const [field, usual] of [
    ['num_samples', '4'],
    ['max_seq_length', '256'],
  ])
    assert.match(
      (await hover(`canary: {max_mean_kld: 0.5, $0${field}: 7}`)) ?? '',
      new RegExp(`^\\*\\*${field}\\*\\*.*Default: \`${usual}\``, 's'),
    );
  assert.match((await hover('canary: {max_mean_kld: 0.5, ev$0ery: 7}')) ?? '', /^\*\*every\*\*.*Blocks from one measure to the next/s);
});

test('a pattern lists the layers it matches', async () => {
  const text = await hover(recipe("{scheme: W8A8, targets: ['re:.*q_$0proj$']}"));
  assert.equal(
    text,
    `Matches 2 of 16 layers:

- \`model.layers.0.self_attn.q_proj\`
- \`model.layers.1.self_attn.q_proj\`

In force: 2 × int8 channel, inputs int8 token by QuantizationModifier.`,
  );
});

test('a pattern that others overrule says what becomes of its layers', async () => {
  const text = await hover(recipe("{scheme: W8A8, ignore: [model.layers.0.mlp.up_proj], targets: ['re:.*up_$0proj$']}"));
  assert.match(text ?? '', /In force: 1 × unchanged; 1 × int8 channel/);
});

test('a pattern of modules without a matrix names one', async () => {
  const text = await hover(recipe("{scheme: W8A8, ignore: ['re:.*self_$0attn$']}"));
  assert.equal(
    text,
    'Matches none of the 16 layers of the model.\n\nIt fits 2 modules without a matrix, such as `model.layers.0.self_attn`.',
  );
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

test('a layer name: every rule that names it, and why each holds or does not', async () => {
  const text = await hover(`model: ./
output: {dir: ../out}
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      config_groups:
        a: {targets: [Linear], weights: {num_bits: 8, strategy: channel}}
        b: {targets: [model.layers.0.mlp.down_$0proj], weights: {num_bits: 4, strategy: channel}}
        c: {targets: ['re:.*down_proj$'], weights: {num_bits: 2, strategy: channel}}
    GPTQModifier:
      scheme: W8A16
      ignore: ['re:.*layers.0.*']
`);
  assert.equal(
    text,
    `\`model.layers.0.mlp.down_proj\` · Linear · 64 × 176 F32

Becomes int4 channel, by QuantizationModifier (45.1 kB → 5.9 kB as pack-quantized).

Rules that name it:

- line 7: \`Linear\` (a of QuantizationModifier) is passed over for \`model.layers.0.mlp.down_proj\`: full names go first, then patterns in the order of their letters, then classes
- line 8: \`model.layers.0.mlp.down_proj\` (b of QuantizationModifier) **holds**
- line 9: \`re:.*down_proj$\` (c of QuantizationModifier) is passed over for \`model.layers.0.mlp.down_proj\`: full names go first, then patterns in the order of their letters, then classes
- line 11: \`Linear\` (W8A16 of GPTQModifier) is passed over: \`re:.*layers.0.*\` in ignore wins over targets
- line 12: \`re:.*layers.0.*\` (ignore of GPTQModifier) leaves it out of that modifier`,
  );
});

test('a layer name: a later modifier takes it over; a layer that nothing names', async () => {
  const two = (ignore: string): string =>
    recipe(`{scheme: W8A8, targets: [model.layers.1.mlp.up_proj], ignore: [${ignore}]}\n    GPTQModifier: {scheme: W8A16}`);
  const text = await hover(two('lm_head').replace('mlp.up_proj', 'mlp.up_$0proj'));
  assert.match(text ?? '', /W8A8 of QuantizationModifier\) is overwritten by `Linear` of the later GPTQModifier/);
  const named = await hover(recipe('{scheme: W8A8, targets: [model.layers.1.mlp.up_proj], mappings: [lm_$0head]}'));
  assert.match(named ?? '', /No target names it/);
});

test('whose field it is, what older releases did, and the paper', async () => {
  const origin = async (text: string): Promise<string> => (await hover(text))?.split('\n\n').at(-1) ?? '';
  const gptq = (body: string): string => recipe('{}').replace('QuantizationModifier: {}', `GPTQModifier: ${body}`);
  assert.equal(
    await origin(gptq('{scheme: W4A16, act$0order: static}')),
    'GPTQModifier, llm-compressor 0.13 · [arXiv 2210.17323](https://arxiv.org/abs/2210.17323). A field of the modifier since 0.6; static by default since 0.8.',
  );
  assert.equal(await origin(gptq('{config_groups: {a: {targets: [Linear], weights: {num_$0bits: 4}}}}')), 'compressed-tensors 0.18');
  assert.equal(await origin('dev$0ice: cpu\n'), 'A key of Bitwright; llm-compressor passes over it.');
  assert.match((await hover(gptq('{}').replace('GPTQM', 'GP$0TQM'))) ?? '', /\[arXiv 2210\.17323\]\(https:.*llm-compressor 0\.13$/s);
});

test('a preset shows what it stands for', async () => {
  assert.match((await hover(recipe('{scheme: w4$0a16}'))) ?? '', /weights: `num_bits: 4`.*`group_size: 128`/s);
  assert.match((await hover(recipe('{scheme: W8$0A16}'))) ?? '', /One scale per channel until compressed-tensors 0\.15/);
  assert.match((await hover(recipe('{scheme: {NV$0FP4: Linear}}'))) ?? '', /Since compressed-tensors 0\.10\.$/);
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
