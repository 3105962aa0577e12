// What a CUDA device cannot compute yet is refused before a run starts, with the modifier and the layer; the processor refuses nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { RunFailureError } from '../../../schemas/src/run-failure.js';
import { checkDevice } from '../../../worker/src/device-limits.js';

const planOf = (name: string, modifier: string): Pick<QuantizationPlan, 'layers'> =>
  ({
    layers: [
      { name: 'a', quantizer: null },
      { name: 'model.layers.0.mlp.up_proj', quantizer: { name, modifier } },
    ],
  }) as never;

for (const [name, modifier] of [['beacon', 'BeaconModifier']] as const)
  test(`${modifier} on CUDA is refused in one sentence`, () => {
    assert.throws(
      () => checkDevice(planOf(name, modifier), 'cuda'),
      (error) =>
        error instanceof RunFailureError &&
        error.failure.code === 'device-unavailable' &&
        error.message.includes(`${modifier} is not on CUDA yet, and quantizes model.layers.0.mlp.up_proj`),
    );
    checkDevice(planOf(name, modifier), 'cpu');
  });

for (const [name, modifier] of [
  ['gptq', 'GPTQModifier'],
  ['hqq', 'HQQModifier'],
  ['comq', 'COMQModifier'],
  ['gpfq', 'GPFQModifier'],
  ['qronos', 'QronosModifier'],
] as const)
  test(`${modifier} runs on CUDA`, () => checkDevice(planOf(name, modifier), 'cuda'));

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
  checkDevice({ layers }, 'cuda');
});
