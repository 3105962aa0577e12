// A config.json that gives other sizes than the tensors beside it, and those that only look like it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Problem } from '../../../schemas/src/problem.js';
import { tinyLlama, type TinyModel } from '../../support/model-fixture.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const dataFree = 'q_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}}}\n';
const evaluated = `evaluate: {perplexity: {dataset: rows.jsonl}}\n${dataFree}`;

const findingsFor = (model: TinyModel, text = dataFree): Promise<Problem[]> =>
  inFolder({ model }, async (dir) => {
    const { problems } = await checkIn(dir, `model: model\noutput: {dir: out}\n${text}`);
    return problems.filter(({ code }) => code === 'config-contradicts-tensors');
  });

const llama = tinyLlama({ blocks: 5 });
const saying = (config: TinyModel['config']): TinyModel => ({ ...llama, config: { ...llama.config, ...config } });

for (const [config, pattern] of [
  [{ hidden_size: 128 }, /model\.embed_tokens\.weight is \[32, 64\] where config\.json implies \[32, 128\]/],
  [
    { intermediate_size: 256 },
    /model\.layers\.0\.mlp\.gate_proj\.weight is \[172, 64\] where config\.json implies \[256, 64\]; .* and 13 more/,
  ],
  [{ num_key_value_heads: 8 }, /model\.layers\.0\.self_attn\.k_proj\.weight is \[32, 64\] where config\.json implies \[64, 64\]/],
  [
    { vocab_size: 1000 },
    /model\.embed_tokens\.weight is \[32, 64\] .*lm_head\.weight is \[32, 64\] where config\.json implies \[1000, 64\]\./,
  ],
  [
    { num_hidden_layers: 6 },
    /model\.layers\.4\.mlp\.down_proj\.weight \[64, 172\] is of the last block, 4, where num_hidden_layers of config\.json is 6/,
  ],
  [
    { num_hidden_layers: 4 },
    /model\.layers\.4\.mlp\.down_proj\.weight \[64, 172\] is of the last block, 4, where num_hidden_layers of config\.json is 4/,
  ],
] as const)
  test(`a config.json that says ${JSON.stringify(config)} is an error on the model`, async () => {
    const [found, ...rest] = await findingsFor(saying(config));
    assert.deepEqual(rest, []);
    assert.deepEqual([found?.severity, found?.path], ['error', ['model']]);
    assert.match(found?.message ?? '', pattern);
  });

test('tensors beside those of the architecture, tied heads and unknown architectures are no finding', async () => {
  const extra = {
    'model.layers.0.self_attn.rotary_emb.inv_freq': [4],
    'model.layers.0.self_attn.q_proj.bias': [64],
    'model.layers.61.eh_proj.weight': [64, 128],
    'model.mtp.0.mlp.gate_proj.weight': [8, 8],
    'vision_tower.layers.9.mlp.fc1.weight': [8, 8],
  };
  const { 'lm_head.weight': _head, ...tied } = llama.tensors;
  const config = { ...llama.config, tie_word_embeddings: true };
  for (const model of [
    llama,
    { ...llama, tensors: { ...llama.tensors, ...extra } },
    { config, tensors: tied },
    { config, tensors: llama.tensors },
    saying({ model_type: 'deepseek_v3', num_hidden_layers: 4 }),
    saying({ num_hidden_layers: 4, num_attention_heads: 7 }),
  ])
    for (const text of [dataFree, evaluated]) assert.deepEqual(await findingsFor(model, text), []);
});

test('a head or names of the architecture that are missing count where the model is run alone', async () => {
  const { 'lm_head.weight': _head, ...headless } = llama.tensors;
  const bare = Object.fromEntries(Object.entries(headless).map(([name, shape]) => [name.replace(/^model\./, ''), shape]));
  for (const tensors of [headless, bare]) {
    assert.deepEqual(await findingsFor({ ...llama, tensors }), []);
    const [found] = await findingsFor({ ...llama, tensors }, evaluated);
    assert.match(
      found?.message ?? '',
      tensors === bare ? /embed_tokens\.weight is missing; .*more/ : /beside it: lm_head\.weight is missing\./,
    );
  }
});
