// The weight that a reader would compute if the layer were rounded to nearest over its own range: what AWQ compares scales by, whatever quantizer follows.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { levelsFacts } from '../../../schemas/src/levels.js';
import { absmeanScales, dequantize, quantizeRtn, weightScales } from '../tensor/operations/quantizers.js';
import type { Tensor } from '../tensor/tensor.js';
import { layerArgs, weightObserverArgs } from './weight-observer.js';

/** Q(weight), the caller's. The observer is min-max, or absmean for the levels that may have it; groups lie side by side, as in llm-compressor's search. */
export function pseudoQuantized(layer: LayerPlan, weight: Tensor): Tensor {
  const args = layerArgs(layer);
  const levels = layer.scheme?.weights?.levels;
  // Of the range of ternary weights little but zeros would be left.
  const [scale, zeroPoint] =
    levels !== undefined && levelsFacts[levels].absmean
      ? absmeanScales(weight, null, args)
      : weightScales(weight, null, { ...weightObserverArgs(layer), observer: 'minmax', expand: 1 });
  using ownScale = scale;
  using ownZeroPoint = zeroPoint;
  using q = quantizeRtn(weight, ownScale, ownZeroPoint, null, args);
  return dequantize(q, ownScale, ownZeroPoint, null, args);
}
