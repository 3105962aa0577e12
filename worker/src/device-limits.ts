// What a plan asks for and a device cannot compute yet: refused before a run starts, not by the operation that is missing.
import type { QuantizationPlan, QuantizerPlan } from '../../schemas/src/generated/plan.js';
import { runFailure } from '../../schemas/src/run-failure.js';
import type { NativeDevice } from './native-core.js';

/** Quantizers whose operations have no kernels. A new one stands here until it has them. */
const onProcessor: readonly QuantizerPlan['name'][] = ['vptq'];

/** Throws device-unavailable. */
export function checkDevice({ layers }: Pick<QuantizationPlan, 'layers'>, kind: NativeDevice['kind'], lacking = onProcessor): void {
  if (kind !== 'cuda') return;
  const layer = layers.find(({ quantizer }) => quantizer !== null && lacking.includes(quantizer.name));
  if (layer?.quantizer)
    throw runFailure.deviceUnavailable(kind, `${layer.quantizer.modifier} is not on CUDA yet, and quantizes ${layer.name}`);
}
