// What a plan asks for and a device cannot compute yet: refused before a run starts, not by the operation that is missing.
import type { QuantizationArgs, QuantizationPlan, QuantizerPlan } from '../../schemas/src/generated/plan.js';
import { runFailure } from '../../schemas/src/run-failure.js';
import type { NativeDevice } from './native-core.js';

/** Quantizers whose operations have no kernels. */
const onProcessor: readonly QuantizerPlan['name'][] = ['beacon', 'comq', 'gpfq', 'qronos'];

/** Throws device-unavailable. */
export function checkDevice({ layers }: Pick<QuantizationPlan, 'layers'>, kind: NativeDevice['kind']): void {
  if (kind !== 'cuda') return;
  const layer = layers.find(({ quantizer }) => quantizer !== null && onProcessor.includes(quantizer.name));
  if (layer?.quantizer)
    throw runFailure.deviceUnavailable(kind, `${layer.quantizer.modifier} is not on CUDA yet, and quantizes ${layer.name}`);
  for (const { name, scheme } of layers) {
    const observer = searchedByProcessor(scheme?.weights ?? null, scheme?.input_activations ?? null);
    if (observer !== null) throw runFailure.deviceUnavailable(kind, `the observer ${observer} of ${name} is not on CUDA yet`);
  }
}

/** An observer that CUDA has no kernel for: it has extremes, and the search of mse over weights. */
function searchedByProcessor(weights: QuantizationArgs | null, inputs: QuantizationArgs | null): string | null {
  const ofWeights = weights?.observer ?? 'memoryless_minmax';
  const isWider = weights !== null && (weights.observer_kwargs?.['expand'] ?? 1) !== 1;
  if (['imatrix_mse', 'nvfp4_expanded_mse'].includes(ofWeights) || isWider) return ofWeights;
  const ofInputs = inputs === null || inputs.dynamic === true ? null : (inputs.observer ?? 'memoryless_minmax');
  if (ofInputs === null || ['memoryless_minmax', 'static_minmax'].includes(ofInputs)) return null;
  return ofInputs === 'minmax' && inputs?.strategy === 'tensor' ? null : ofInputs;
}
