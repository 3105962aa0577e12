// Whole runs of HQQModifier: a smaller error than round to nearest in its norm, and what it says where it has nothing to move.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { HqqPlan } from '../../../schemas/src/generated/plan.js';
import { hqq } from '../../../worker/src/quantizers/hqq.js';
import { rtn } from '../../../worker/src/quantizers/rtn.js';
import { layerArgs } from '../../../worker/src/quantizers/weight-observer.js';
import { dequantize } from '../../../worker/src/tensor/operations/quantizers.js';
import { layerPlan } from '../../support/layer-plan.js';
import { withDevice } from '../../support/native-device.js';
import { seededRandom } from '../../support/random.js';
import { tinyLlama, writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan, runToCompletion } from '../../support/worker-run.js';

const plan: HqqPlan = { name: 'hqq', modifier: 'HQQModifier', recipe_path: ['a'], lp_norm: 0.7, beta: 10, kappa: 1.01, iters: 20 };
const layer = layerPlan({ name: 'linear', weights: { num_bits: 2, symmetric: false, strategy: 'group', group_size: 16 } });

async function errorAndProblems(quantizer: typeof hqq | typeof rtn, values: Float32Array): Promise<{ error: number; codes: string[] }> {
  return withDevice(async (device) => {
    using weight = device.fromFloats([values.length / 32, 32], values);
    const input = { layer, plan: plan as never, weight, fused: [], hessian: null };
    const { q, scale, zeroPoint, problems } = await quantizer.quantize(input);
    using codes = q;
    using ownScale = scale;
    using ownZero = zeroPoint;
    using back = dequantize(codes, ownScale, ownZero, null, layerArgs(layer));
    const read = await back.readFloats();
    return { error: values.reduce((sum, x, i) => sum + Math.abs(read[i]! - x) ** 0.7, 0), codes: problems.map(({ code }) => code) };
  });
}

test('the 0.7-norm of the error is smaller than that of round to nearest', async () => {
  const random = seededRandom(3);
  const values = Float32Array.from({ length: 64 * 32 }, (_, i) => (i % 16 === 5 ? 0.2 : 0.03 + 0.04 * (random.next() + random.next() - 1)));
  const [moved, plain] = [await errorAndProblems(hqq, values), await errorAndProblems(rtn, values)];
  assert.ok(moved.error < plain.error, `${moved.error} against ${plain.error}`);
  assert.deepEqual(moved.codes, []);
});

test('hqq-moved-nothing: rows of zeros', async () => {
  const values = new Float32Array(4 * 32);
  const { codes } = await errorAndProblems(hqq, values);
  assert.deepEqual(codes, ['hqq-moved-nothing']);
});

test('a recipe with HQQModifier runs without rows and quantizes every layer', () =>
  inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    const body =
      'HQQModifier: {ignore: [lm_head], iters: 10, config_groups: {g: {targets: [Linear], weights: {num_bits: 3, type: int, symmetric: false, strategy: group, group_size: 16}}}}';
    const recipe = `quant_stage:\n  quant_modifiers:\n    ${body}\n`;
    const resolved = await resolvePlan({ recipe, model, output: path.join(dir, 'out') });
    assert.equal(resolved.calibration, null);
    const { report } = await runToCompletion(resolved);
    assert.equal(report.layers.length, 7 * tinyLlama.blocks);
  }));
