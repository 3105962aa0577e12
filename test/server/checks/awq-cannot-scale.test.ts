// AWQ mappings that cannot be scaled: blocks without their layers, widths that do not fit, places where no input is recorded, grids of one exponent.
import { test } from 'node:test';
import { marked } from '../../support/recipe-fixture.js';

const head = 'model: model\ncalibration: {dataset: rows.jsonl}\noutput: {dir: out}\nq_stage:\n  q_modifiers:\n    AWQModifier:\n';
const quantizer = (ignore: string): string =>
  `    QuantizationModifier: {ignore: [lm_head${ignore}], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}\n`;
/** One mapping, and what is said of it. */
const mapping = (body: string, problem: string): string =>
  `${head}      mappings:\n        - ${body}\n#         ${'^'.repeat(body.length)} ${problem}\n${quantizer('')}`;

const cases: Record<string, string> = {
  'the mappings of the Llama family, values shared by heads': `${head}      n_grid: 5\n${quantizer('')}`,
  'a mapping of one block by its names': `${head}      mappings:\n        - {smooth_layer: model.layers.1.mlp.up_proj, balance_layers: [model.layers.1.mlp.down_proj]}\n${quantizer('')}`,
  'a norm of which one reader is forgotten': mapping(
    "{smooth_layer: 're:.*input_layernorm$', balance_layers: ['re:.*[qk]_proj$']}",
    'warning awq-cannot-scale: model.layers.0.self_attn.v_proj takes the output of model.layers.0.input_layernorm too and is not among',
  ),
  'inputs recorded at the MLP, which another norm feeds': mapping(
    "{smooth_layer: 're:.*input_layernorm$', balance_layers: ['re:.*[qkv]_proj$', 're:.*mlp.gate_proj$'], activation_hook_target: mlp}",
    'warning awq-cannot-scale: model.layers.0.mlp.gate_proj does not take the output of model.layers.0.input_layernorm itself',
  ),
  'balance layers in one block of two': mapping(
    "{smooth_layer: 're:.*up_proj$', balance_layers: [model.layers.0.mlp.down_proj]}",
    'error awq-cannot-scale: model.layers.1.mlp.up_proj stands in a block in which model.layers.0.mlp.down_proj matches nothing',
  ),
  'a pair of which neither feeds the other': mapping(
    "{smooth_layer: 're:.*post_attention_layernorm$', balance_layers: ['re:.*down_proj$']}",
    'error awq-cannot-scale: model.layers.0.post_attention_layernorm hands on 64 channels and model.layers.0.mlp.down_proj takes 172',
  ),
  'inputs recorded where none can be': mapping(
    "{smooth_layer: 're:.*input_layernorm$', balance_layers: ['re:.*[qkv]_proj$'], activation_hook_target: mlp}",
    'error awq-cannot-scale: activation_hook_target mlp of model.layers.0.self_attn is no linear and no MLP',
  ),
  'a grid of one exponent': `${head}      n_grid: 2\n#             ^ error value-out-of-range: n_grid is 2; it leaves one exponent\n${quantizer('')}`,
  'a grid of one exponent, twice': `${head}      duo_scaling: both\n      n_grid: 3\n#             ^ error value-out-of-range: Use 20, or at least 3 (4 with duo_scaling: both)\n${quantizer('')}`,
  'a grid that is small and sound': `${head}      duo_scaling: false\n      n_grid: 2\n${quantizer('')}`,
  'behind a quantizer of other layers': `model: model
calibration: {dataset: rows.jsonl}
output: {dir: out}
q_stage:
  a_modifiers:
    QuantizationModifier: {config_groups: {g: {targets: ['re:.*self_attn.*_proj$'], weights: {num_bits: 8, strategy: channel}}}}
  b_modifiers:
    AWQModifier: {mappings: [{smooth_layer: 're:.*up_proj$', balance_layers: ['re:.*down_proj$']}]}
  c_modifiers:
    QuantizationModifier: {config_groups: {g: {targets: ['re:.*mlp.*_proj$'], weights: {num_bits: 4, strategy: channel}}}}
`,
  'behind the quantizer of its own layers': `model: model
calibration: {dataset: rows.jsonl}
output: {dir: out}
q_stage:
  a_modifiers:
    QuantizationModifier: {config_groups: {g: {targets: ['re:.*mlp.*_proj$'], weights: {num_bits: 4, strategy: channel}}}}
  b_modifiers:
    AWQModifier: {mappings: [{smooth_layer: 're:.*up_proj$', balance_layers: ['re:.*down_proj$']}]}
#   ^^^^^^^^^^^ error transform-after-quantizer: AWQModifier stands behind QuantizationModifier
  c_modifiers:
    GPTQModifier: {config_groups: {g: {targets: ['re:.*self_attn.*_proj$'], weights: {num_bits: 4, strategy: channel}}}}
`,
};

for (const [name, text] of Object.entries(cases)) test(name, marked(text));
