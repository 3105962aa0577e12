// What a CUDA device cannot compute is refused before a run starts; these it computes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quantizerFacts } from '../../../schemas/src/modifiers.js';
import { RunFailureError } from '../../../schemas/src/run-failure.js';
import type { LayerPlan, QuantizationPlan, QuantizerPlan } from '../../../schemas/src/generated/plan.js';
import { checkDevice } from '../../../worker/src/device-limits.js';

const planOf = (name: string, modifier: string): Pick<QuantizationPlan, 'layers'> =>
  ({
    layers: [
      { name: 'a', quantizer: null },
      { name: 'model.layers.0.mlp.up_proj', quantizer: { name, modifier } },
    ],
  }) as never;

/** Those without kernels. */
const onProcessor = ['vptq'];
for (const [name, { title }] of Object.entries(quantizerFacts).filter(([stem]) => !onProcessor.includes(stem)))
  test(`${title} runs on CUDA`, () => checkDevice(planOf(name, title), 'cuda'));

test('a quantizer that has no kernels is refused on CUDA in one sentence, and runs on the processor', () => {
  const lacking: readonly QuantizerPlan['name'][] = ['bitsandbytes'];
  const plan = planOf('bitsandbytes', 'BitsAndBytesModifier');
  assert.throws(
    () => checkDevice(plan, 'cuda', lacking),
    (error) =>
      error instanceof RunFailureError &&
      error.failure.code === 'device-unavailable' &&
      error.message.includes('BitsAndBytesModifier is not on CUDA yet, and quantizes model.layers.0.mlp.up_proj'),
  );
  checkDevice(plan, 'cpu', lacking);
});

test('VPTQModifier is refused on CUDA in one sentence', () =>
  assert.throws(
    () => checkDevice(planOf('vptq', 'VPTQModifier'), 'cuda'),
    (error) => error instanceof RunFailureError && error.message.includes('VPTQModifier is not on CUDA yet, and quantizes model.layers.0'),
  ));

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
