// What a CUDA device cannot compute is refused before a run starts; these it computes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunFailureError } from '../../../schemas/src/run-failure.js';
import type { LayerPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { checkDevice } from '../../../worker/src/device-limits.js';

const planOf = (name: string, modifier: string): Pick<QuantizationPlan, 'layers' | 'transforms' | 'pruning'> =>
  ({
    transforms: [],
    pruning: [],
    layers: [
      { name: 'a', quantizer: null },
      { name: 'model.layers.0.mlp.up_proj', quantizer: { name, modifier } },
    ],
  }) as never;

for (const [name, modifier] of [
  ['gptq', 'GPTQModifier'],
  ['hqq', 'HQQModifier'],
  ['comq', 'COMQModifier'],
  ['gpfq', 'GPFQModifier'],
  ['qronos', 'QronosModifier'],
  ['beacon', 'BeaconModifier'],
] as const)
  test(`${modifier} runs on CUDA`, () => checkDevice(planOf(name, modifier), 'cuda'));

test('BitsAndBytesModifier on CUDA is refused in one sentence', () => {
  assert.throws(
    () => checkDevice(planOf('bitsandbytes', 'BitsAndBytesModifier'), 'cuda'),
    (error) =>
      error instanceof RunFailureError &&
      error.failure.code === 'device-unavailable' &&
      error.message.includes('BitsAndBytesModifier is not on CUDA yet, and quantizes model.layers.0.mlp.up_proj'),
  );
  checkDevice(planOf('bitsandbytes', 'BitsAndBytesModifier'), 'cpu');
});

test('CUDA has every observer', () => {
  const layer = (weights: object, observer: string): LayerPlan =>
    ({
      name: 'linear',
      quantizer: { name: 'rtn', modifier: 'QuantizationModifier' },
      scheme: {
        weights: { type: 'int', ...weights },
        input_activations: { type: 'int', strategy: 'tensor', dynamic: false, observer },
      },
    }) as unknown as LayerPlan;
  const layers = [
    layer({ observer: 'imatrix_mse' }, 'mse'),
    layer({ observer: 'memoryless_mse', observer_kwargs: { expand: 1.5 } }, 'entropy'),
    layer({ observer: 'nvfp4_expanded_mse' }, 'minmax'),
  ];
  checkDevice({ layers, transforms: [], pruning: [] }, 'cuda');
});

test('LowRankResidualModifier on CUDA is refused in one sentence', () => {
  const transforms = [{ name: 'low-rank-residual', modifier: 'LowRankResidualModifier' }] as never;
  assert.throws(() => checkDevice({ layers: [], transforms, pruning: [] }, 'cuda'), /LowRankResidualModifier is not on CUDA yet/);
  checkDevice({ layers: [], transforms, pruning: [] }, 'cpu');
});

test('SparseGPT in groups of more than 16 inputs is refused on CUDA, and runs on the processor', () => {
  const plan = (m: number): Pick<QuantizationPlan, 'layers' | 'transforms' | 'pruning'> =>
    ({
      layers: [],
      transforms: [],
      pruning: [
        { name: 'sparsegpt', modifier: 'SparseGPTModifier', mask_structure: { n: 2, m }, layers: [{ name: 'linear', sparsity: 0.1 }] },
      ],
    }) as never;
  checkDevice(plan(16), 'cuda');
  checkDevice(plan(32), 'cpu');
  assert.throws(
    () => checkDevice(plan(32), 'cuda'),
    /SparseGPTModifier with groups of more than 16 inputs \(mask_structure 2:32\) is not on CUDA yet, and prunes linear/,
  );
});
