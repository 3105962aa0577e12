// Same inputs, same bytes: at any thread count, twice in a row.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder, resolvePlan, runToCompletion } from '../../support/worker-run.js';

const recipes = {
  'GPTQ with activation order in groups':
    'GPTQModifier: {ignore: [lm_head], actorder: group, config_groups: {g: {targets: [Linear], weights: {num_bits: 3, type: int, strategy: group, group_size: 4}}}}',
  'Beacon with a zero point, past the errors of the layers before':
    'BeaconModifier: {ignore: [lm_head], error_correction: true, config_groups: {g: {targets: [Linear], weights: {num_bits: 2, type: int, strategy: channel, symmetric: false}}}}',
  'Beacon in groups':
    'BeaconModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 3, type: int, strategy: group, group_size: 4}}}}',
  COMQ: 'COMQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 3, type: int, strategy: channel}}}}',
  'GPTQ over SmoothQuant, dynamic inputs':
    '{SmoothQuantModifier: {smoothing_strength: 0.8}, GPTQModifier: {ignore: [lm_head], scheme: W8A8}}',
  'GPTQ over AWQ in groups':
    '{AWQModifier: {n_grid: 4, duo_scaling: both}, GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, type: int, strategy: group, group_size: 4}}}}}',
  'GPTQ with FP8 in blocks that do not fit, calibrated FP8 inputs':
    'GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, type: float, strategy: block, block_structure: [24, 40], observer: memoryless_mse}, input_activations: {num_bits: 8, type: float, strategy: tensor, observer: static_minmax}}}}',
  'NVFP4 with local inputs, where the columns allow it':
    "QuantizationModifier: {scheme: NVFP4, targets: [Linear], ignore: [lm_head, 're:.*down_proj']}",
};

for (const [name, modifiers] of Object.entries(recipes))
  test(`${name}: one, two and three threads write the same bytes`, { skip: skipWithoutShared }, () =>
    inTemporaryFolder(async (dir) => {
      const body = modifiers.startsWith('{') ? ` ${modifiers}` : `\n    ${modifiers}`;
      const recipe = `quant_stage:\n  quant_modifiers:${body}\n`;
      const outcome = async (threads: number): Promise<{ bytes: Buffer; errors: (number | null)[]; losses: unknown }> => {
        const output = path.join(dir, String(threads));
        const plan = await resolvePlan({
          recipe,
          model: sharedPath('data', 'models', 'stories260K'),
          output,
          calibration: {
            dataset: sharedPath('data', 'text', 'tinystories-calibration.jsonl'),
            num_calibration_samples: 40,
            max_seq_length: 512,
          },
        });
        const { report } = await runToCompletion(plan, { threads });
        return {
          bytes: readFileSync(path.join(output, 'model.safetensors')),
          errors: report.layers.map((layer) => layer.relative_output_error),
          losses: report.transforms,
        };
      };
      const one = await outcome(1);
      for (const threads of [2, 3]) {
        const more = await outcome(threads);
        assert.ok(more.bytes.equals(one.bytes), `${threads} threads`);
        assert.deepEqual(more.errors, one.errors);
        assert.deepEqual(more.losses, one.losses);
      }
    }),
  );
