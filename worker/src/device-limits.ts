// What a plan asks for and a device cannot compute yet: refused before a run starts, not by the operation that is missing.
import type { QuantizationPlan, QuantizerPlan } from '../../schemas/src/generated/plan.js';
import { runFailure } from '../../schemas/src/run-failure.js';
import type { NativeDevice } from './native-core.js';

/** Quantizers whose operations have no kernels. A new one stands here until it has them. */
const onProcessor: readonly QuantizerPlan['name'][] = ['bitsandbytes'];

/** Columns of a group of N:M that a thread keeps at hand. */
const widestGroup = 16;

/** Throws device-unavailable. */
export function checkDevice(
  { layers, transforms, pruning }: Pick<QuantizationPlan, 'layers' | 'transforms' | 'pruning'>,
  kind: NativeDevice['kind'],
): void {
  if (kind !== 'cuda') return;
  const residual = transforms.find(({ name }) => name === 'low-rank-residual');
  if (residual) throw runFailure.deviceUnavailable(kind, `${residual.modifier} is not on CUDA yet`);
  const layer = layers.find(({ quantizer }) => quantizer !== null && onProcessor.includes(quantizer.name));
  if (layer?.quantizer)
    throw runFailure.deviceUnavailable(kind, `${layer.quantizer.modifier} is not on CUDA yet, and quantizes ${layer.name}`);
  for (const plan of pruning)
    if (plan.name === 'sparsegpt' && plan.mask_structure !== null && plan.mask_structure.m > widestGroup)
      throw runFailure.deviceUnavailable(
        kind,
        `${plan.modifier} with groups of more than ${widestGroup} inputs (mask_structure ${plan.mask_structure.n}:${plan.mask_structure.m}) is not on CUDA yet, and prunes ${plan.layers[0]?.name ?? 'a layer'}`,
      );
}
