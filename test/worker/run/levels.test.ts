// Whole runs with levels: the file holds nothing but the levels, says nothing of them, and is evaluated as written; the report has both counts of bits.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { levelsFacts, type Levels } from '../../../schemas/src/levels.js';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { modelTensors, openTensorReader } from '../../../worker/src/checkpoint/tensor-reader.js';
import { unpackInt32 } from '../../../worker/src/tensor/operations/formats.js';
import { withDevice } from '../../support/native-device.js';
import { tinyLlama, writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan, runToCompletion } from '../../support/worker-run.js';

const rows = [
  [5, 6, 7, 8, 9, 10, 3, 4],
  [11, 12, 13, 2, 9, 20, 21],
  [1, 2, 3, 4, 5, 6, 7, 8],
];

for (const [levels, num_bits, modifier] of [
  ['ternary', 2, 'QuantizationModifier'],
  ['ternary', 2, 'GPTQModifier'],
  ['ternary', 2, 'BeaconModifier'],
  ['ternary', 2, 'COMQModifier'],
  ['ternary', 2, 'GPFQModifier'],
  ['ternary', 2, 'QronosModifier'],
  ['ternary', 2, 'HQQModifier'],
  ['binary', 2, 'GPTQModifier'],
  ['six', 4, 'QuantizationModifier'],
  ['six', 4, 'GPTQModifier'],
  ['power_of_two', 4, 'GPTQModifier'],
  ['power_of_two', 8, 'QuantizationModifier'],
] as const satisfies readonly (readonly [Levels, number, string])[])
  test(`${modifier} with levels ${levels} in ${num_bits} bits`, () =>
    inTemporaryFolder(async (dir) => {
      const model = path.join(dir, 'model');
      writeTinyLlama(model, 'random');
      const dataset = path.join(dir, 'rows.jsonl');
      writeFileSync(dataset, rows.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
      const output = path.join(dir, 'out');
      const weights = `{num_bits: ${num_bits}, levels: ${levels}, strategy: group, group_size: 16}`;
      const recipe = `q_stage:\n  q_modifiers:\n    ${modifier}: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: ${weights}}}}\n`;
      const plan = await resolvePlan({ recipe, model, output, calibration: { dataset, num_calibration_samples: 3 } });
      const { report } = await runToCompletion(plan);
      assert.equal(report.outcome, 'completed');
      assert.equal(report.layers.length, 7 * tinyLlama.blocks);
      const facts = levelsFacts[levels];
      for (const layer of report.layers) {
        assert.equal(layer.information_bits, Math.log2(facts.count(num_bits)));
        assert.ok(layer.bits_per_weight > num_bits, `${layer.name} ${layer.bits_per_weight}`);
        assert.match(layer.scheme ?? '', new RegExp(`^int${num_bits} ${levels} g16 sym`));
        assert.ok((layer.weight_sqnr_db ?? 0) > 1, `${layer.name} ${layer.weight_sqnr_db}`);
      }
      assert.ok(!readFileSync(path.join(output, 'config.json'), 'utf8').includes('levels'));
      const { model: written } = await describeModel(output, nodeFiles);
      assert.ok(written);
      await withDevice(async (device) => {
        const reader = openTensorReader(device, modelTensors(written));
        const name = 'model.layers.0.mlp.down_proj';
        using packed = reader.load(`${name}.weight_packed`);
        using q = unpackInt32(packed, { num_bits, axis: 1, rows: tinyLlama.hidden, columns: tinyLlama.mlp });
        const codes = new Set(new Int8Array(await q.read()));
        assert.deepEqual(
          [...codes].filter((code) => !facts.values(num_bits).includes(code)),
          [],
        );
        assert.ok(codes.size > 1);
      });
    }));
