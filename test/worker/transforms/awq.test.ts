// AWQ's parts: the grid, the choice, and that scaling a block leaves what it computes.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { packDocuments } from '../../../worker/src/calibration/token-batches.js';
import { loadWeights } from '../../../worker/src/checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader } from '../../../worker/src/checkpoint/tensor-reader.js';
import { openDecoder } from '../../../worker/src/models/open-decoder.js';
import { applyScales } from '../../../worker/src/transforms/apply-scales.js';
import { bestOf, gridOf } from '../../../worker/src/transforms/awq.js';
import { describedModel } from '../../support/forward-pass.js';
import { normRelative } from '../../support/golden-tensors.js';
import { withDevice } from '../../support/native-device.js';
import { temporaryFolder, tinyLlama, writeTinyLlama } from '../../support/tiny-llama-folder.js';

test('the grid: ratios from 0 to 1, the first point leaves the weights as they are', () => {
  const points = (duo_scaling: boolean | 'both', n_grid: number): string[] =>
    gridOf({ duo_scaling, n_grid }).map((point) => `${point.ratio}${point.duo_scaling ? ' duo' : ''}`);
  assert.deepEqual(points(false, 5), ['0', '0.25', '0.5', '0.75', '1']);
  assert.deepEqual(points(true, 6), ['0', '0 duo', '0.25 duo', '0.5 duo', '0.75 duo', '1 duo']);
  assert.deepEqual(points('both', 7), ['0', '0 duo', '0.5', '0.5 duo', '1', '1 duo']);
  assert.deepEqual(points(true, 1), ['0']);
  assert.deepEqual(points(true, 20).length, 20);
});

test('the first of the least losses is chosen, and none that is no number', () => {
  assert.equal(bestOf([3, 2, 2, 5]), 1);
  assert.equal(bestOf([NaN, Infinity, 7]), 2);
  assert.equal(bestOf([NaN, Infinity]), null);
});

test('scaled norms and linears: the block computes what it computed, and so does each of its modules', async () => {
  const dir = path.join(temporaryFolder('awq'), 'model');
  writeTinyLlama(dir, 'random');
  const model = await describedModel(dir);
  await withDevice(async (device) => {
    using decoder = openDecoder(model, device, 16, 'The test');
    using weights = await loadWeights(
      openTensorReader(device, modelTensors(model)),
      () => true,
      () => null,
    );
    const batch = packDocuments([Int32Array.from({ length: 16 }, (_, i) => (7 * i) % tinyLlama.vocabulary)], device);
    using ids = batch.ids;
    using positions = batch.positionIds;
    using offsets = batch.documentOffsets;
    assert.ok(ids && positions && offsets);
    using hidden = decoder.embed(batch, weights);
    const output = async (): Promise<Float32Array> => {
      using result = decoder.forwardBlock(0, hidden, batch, weights, null);
      return result.readFloats();
    };
    const before = await output();
    const prefix = 'model.layers.0';
    const modules = new Map<string, Promise<Float32Array>>();
    for (const module of [prefix, `${prefix}.self_attn`, `${prefix}.mlp`, `${prefix}.mlp.down_proj`])
      decoder.observeModule(module, 0, hidden, batch, weights, (input) => {
        using result = decoder.forwardModule(module, 0, input, batch, weights);
        modules.set(module, result.readFloats());
      });
    assert.deepEqual(await modules.get(prefix), before);
    const sum = async (one: string, other: string): Promise<Float32Array> => {
      const [a, b] = [await modules.get(one), await modules.get(other)];
      const start = await hidden.readFloats();
      return start.map((value, i) => value + (a?.[i] ?? NaN) + (b?.[i] ?? NaN));
    };
    assert.ok(normRelative(await sum(`${prefix}.self_attn`, `${prefix}.mlp`), before) < 1e-6, 'attention and MLP add up to the block');
    assert.deepEqual(await modules.get(`${prefix}.mlp.down_proj`), await modules.get(`${prefix}.mlp`));

    for (const [smooth, ...balance] of [
      ['input_layernorm', 'self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
      ['self_attn.v_proj', 'self_attn.o_proj'],
      ['post_attention_layernorm', 'mlp.gate_proj', 'mlp.up_proj'],
      ['mlp.up_proj', 'mlp.down_proj'],
    ]) {
      const width = weights.tensor(`${prefix}.${smooth}.weight`).shape[0] ?? 0;
      using s = device.fromFloats(
        [width],
        Float32Array.from({ length: width }, (_, i) => 0.2 + ((13 * i) % 17) / 4),
      );
      applyScales({ smooth_layer: `${prefix}.${smooth}`, balance_layers: balance.map((name) => `${prefix}.${name}`) }, s, weights);
      assert.ok(normRelative(await output(), before) < 1e-5, smooth);
    }
  });
});
