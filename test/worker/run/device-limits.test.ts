// What CUDA cannot compute yet is refused before a run starts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AwqPlan, LayerPlan } from '../../../schemas/src/generated/plan.js';
import { checkDevice } from '../../../worker/src/device-limits.js';

test('AWQ on a CUDA device is refused with the way out; on the CPU it is not', () => {
  const awq = { name: 'awq', modifier: 'AWQModifier' } as AwqPlan;
  assert.throws(
    () => checkDevice({ transforms: [awq], layers: [] }, 'cuda'),
    /The device cuda cannot be used: the search of AWQModifier is not on CUDA yet\. Choose device: cpu/,
  );
  checkDevice({ transforms: [awq], layers: [] }, 'cpu');
  checkDevice({ transforms: [], layers: [] }, 'cuda');
});

test('a float scheme on a CUDA device is refused by the name of its layer', () => {
  const layer = { name: 'model.layers.0.mlp.up_proj', scheme: { weights: { type: 'float' } } } as LayerPlan;
  assert.throws(
    () => checkDevice({ transforms: [], layers: [layer] }, 'cuda'),
    /the float scheme of model\.layers\.0\.mlp\.up_proj is not on CUDA yet/,
  );
  checkDevice({ transforms: [], layers: [layer] }, 'cpu');
});
