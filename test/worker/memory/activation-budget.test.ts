// What is left for hidden states on a CUDA device: the parts of a product and of a Hessian are those of 4096 rows, however long a document is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activationBudget } from '../../../worker/src/memory/activation-budget.js';
import type { Device } from '../../../worker/src/tensor/tensor.js';
import { weightArgs } from '../../support/layer-plan.js';
import { describedLlama, layersOf } from '../../support/plan-inputs.js';

const [d, f] = [512, 5632];
const model = describedLlama({ hidden: d, intermediate: f, blocks: 1, vocabulary: 1000, heads: 8, kvHeads: 4, dtype: 'BF16' });
const gptq = layersOf(
  model,
  { weights: weightArgs({ num_bits: 4 }), input_activations: null, output_activations: null, format: 'pack-quantized' },
  'gptq',
);

const takenOf = (layers: typeof gptq, T: number): number => {
  const free_bytes = 1e12;
  const device = { native: { kind: 'cuda', memory: () => ({ free_bytes }) } } as unknown as Device;
  return (free_bytes - activationBudget(device, 1, model, layers, 1e12, T).device) / 1.25;
};

test('twice the tokens take twice the activations, and the same for the parts of a product', () => {
  const activations = 4 * (6 * d + 3 * f);
  for (const T of [4096, 8192, 65_536]) assert.ok(Math.abs(takenOf([], 2 * T) - takenOf([], T) - T * activations) < 1, `${T} tokens`);
  assert.ok(Math.abs(takenOf([], 4096) - takenOf([], 2048) - 2048 * (activations + 6 * f)) < 1);
});

test('where a Hessian is summed, the sum of a batch is counted with two parts of its rows', () => {
  const hessians = 4 * (f ** 2 + 6 * d ** 2);
  const more = 4 * f * (f + 4096) - 6 * 4096 * f;
  assert.ok(Math.abs(takenOf(gptq, 65_536) - takenOf([], 65_536) - hessians - more) < 1);
});
