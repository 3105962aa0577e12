// What CUDA cannot compute yet is refused before a run starts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { checkDevice } from '../../../worker/src/device-limits.js';

test('observers that the processor alone has are refused by name; those that CUDA has are not', () => {
  const layer = (weights: object, input_activations: object | null): LayerPlan =>
    ({ name: 'linear', quantizer: null, scheme: { weights: { type: 'int', ...weights }, input_activations } }) as unknown as LayerPlan;
  const inputs = (observer: string): object => ({ type: 'int', strategy: 'tensor', dynamic: false, observer });
  for (const [refused, observer] of [
    [layer({ observer: 'imatrix_mse' }, null), 'imatrix_mse'],
    [layer({ observer: 'memoryless_mse', observer_kwargs: { expand: 1.5 } }, null), 'memoryless_mse'],
    [layer({ observer: 'memoryless_minmax' }, inputs('mse')), 'mse'],
  ] as const)
    assert.throws(() => checkDevice({ layers: [refused] }, 'cuda'), new RegExp(`the observer ${observer} of linear is not on CUDA yet`));
  const taken = [
    layer({ observer: 'memoryless_mse' }, inputs('minmax')),
    layer({ observer: 'memoryless_minmax' }, inputs('static_minmax')),
  ];
  checkDevice({ layers: taken }, 'cuda');
});
