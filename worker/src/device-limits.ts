// What a plan asks for and a device cannot compute yet: refused before a run starts, not by the operation that is missing.
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import { runFailure } from '../../schemas/src/run-failure.js';
import type { NativeDevice } from './native-core.js';

/** Throws device-unavailable. */
export function checkDevice({ transforms }: Pick<QuantizationPlan, 'transforms'>, kind: NativeDevice['kind']): void {
  if (kind !== 'cuda') return;
  const search = transforms.find(({ name }) => name === 'awq');
  if (search !== undefined) throw runFailure.deviceUnavailable(kind, `the search of ${search.modifier} is not on CUDA yet`);
}
