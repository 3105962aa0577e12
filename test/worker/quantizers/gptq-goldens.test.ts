// GPTQ checkpoints of the real llm-compressor: same scales; the integers may differ where float sums differ, the error they make may not.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { describedModel, forwardPass, rowsOf } from '../../support/forward-pass.js';
import { goldenOf, readGoldenTensors } from '../../support/golden-tensors.js';
import { withDevice } from '../../support/native-device.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder, readTensors, resolvePlan, runToCompletion } from '../../support/worker-run.js';

const golden = (...parts: string[]): string => sharedPath('golden', 'compressed-tensors', ...parts);

const distance = (a: Float32Array, b: Float32Array): number => Math.sqrt(a.reduce((sum, x, i) => sum + (x - (b[i] ?? NaN)) ** 2, 0));

for (const name of ['gptq-W4A16', 'gptq-W4A16-actorder-null', 'gptq-W8A8'])
  test(`${name}: the scales of the real package, and no more error than its integers make`, { skip: skipWithoutShared }, () =>
    inTemporaryFolder(async (dir) => {
      const output = path.join(dir, name);
      const recipe = readFileSync(golden(name, 'input_recipe.yaml'), 'utf8');
      const calibration = { dataset: golden('calibration.jsonl'), num_calibration_samples: 16, max_seq_length: 48 };
      const { report } = await runToCompletion(await resolvePlan({ recipe, model: golden('base-llama'), output, calibration }));
      const ours = await readTensors(path.join(output, 'model.safetensors'));
      const theirs = await readTensors(golden(name, 'model.safetensors'));
      assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort());
      for (const [tensor, { bytes }] of theirs)
        if (!/\.weight(_packed)?$/.test(tensor) || tensor.includes('norm')) assert.ok(ours.get(tensor)!.bytes.equals(bytes), tensor);
      assert.equal(report.layers.length, 14);
      assert.ok(report.layers.every((layer) => layer.relative_output_error !== null && layer.relative_output_error < 0.05));

      await withDevice(async (device) => {
        const probe = goldenOf(await readGoldenTensors(golden(name, 'golden.safetensors')), 'input_ids');
        const documents = rowsOf(probe.values, probe.shape[1] ?? 0);
        const logitsOf = async (folder: string): Promise<Float32Array> =>
          (await forwardPass(device, await describedModel(folder), documents)).logits;
        const exact = await logitsOf(golden('base-llama'));
        const [mine, reference] = [distance(await logitsOf(output), exact), distance(await logitsOf(golden(name)), exact)];
        // Two solutions of one problem on 80 probe tokens: their errors scatter by some percent.
        assert.ok(mine <= 1.1 * reference, `our distance to the unquantized logits is ${mine}, the real package's ${reference}`);
      });
    }),
  );
