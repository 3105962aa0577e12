// What a plan asks for and a device cannot compute yet: refused before a run starts, not by the operation that is missing.
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import { runFailure } from '../../schemas/src/run-failure.js';
import type { NativeDevice } from './native-core.js';

/** Throws device-unavailable. */
export function checkDevice({ transforms, layers }: Pick<QuantizationPlan, 'transforms' | 'layers'>, kind: NativeDevice['kind']): void {
  if (kind !== 'cuda') return;
  const search = transforms.find(({ name }) => name === 'awq');
  if (search !== undefined) throw runFailure.deviceUnavailable(kind, `the search of ${search.modifier} is not on CUDA yet`);
  const ofFloats = layers.find(({ scheme }) =>
    [scheme?.weights, scheme?.input_activations].some((args) => args?.type === 'float' || args?.strategy === 'block'),
  );
  if (ofFloats !== undefined) throw runFailure.deviceUnavailable(kind, `the float scheme of ${ofFloats.name} is not on CUDA yet`);
}
