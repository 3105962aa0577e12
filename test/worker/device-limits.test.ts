// What a CUDA device cannot compute yet is refused with the modifier and the layer; the processor refuses nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import { RunFailureError } from '../../schemas/src/run-failure.js';
import { checkDevice } from '../../worker/src/device-limits.js';

const planOf = (name: string, modifier: string): Pick<QuantizationPlan, 'layers'> =>
  ({
    layers: [
      { name: 'a', quantizer: null },
      { name: 'model.layers.0.mlp.up_proj', quantizer: { name, modifier } },
    ],
  }) as never;

for (const [name, modifier] of [
  ['beacon', 'BeaconModifier'],
  ['comq', 'COMQModifier'],
  ['gpfq', 'GPFQModifier'],
  ['qronos', 'QronosModifier'],
] as const)
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

test('GPTQ runs on CUDA', () => checkDevice(planOf('gptq', 'GPTQModifier'), 'cuda'));
