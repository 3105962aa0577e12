// What CUDA cannot compute yet is refused before a run starts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AwqPlan } from '../../../schemas/src/generated/plan.js';
import { checkDevice } from '../../../worker/src/device-limits.js';

test('AWQ on a CUDA device is refused with the way out; on the CPU it is not', () => {
  const awq = { name: 'awq', modifier: 'AWQModifier' } as AwqPlan;
  assert.throws(
    () => checkDevice({ transforms: [awq] }, 'cuda'),
    /The device cuda cannot be used: the search of AWQModifier is not on CUDA yet\. Choose device: cpu/,
  );
  checkDevice({ transforms: [awq] }, 'cpu');
  checkDevice({ transforms: [] }, 'cuda');
});
