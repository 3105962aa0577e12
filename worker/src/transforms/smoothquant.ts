// SmoothQuant: divide the channels of an activation by s and multiply the columns of the weights that read it by s.
// Xiao et al., arXiv 2211.10438, equation 4; log_equalization: s from the activation alone, arXiv 2308.15987. Scales are native (smoothquant_scales).
import type { SmoothQuantPlan } from '../../../schemas/src/generated/plan.js';
import { columnAbsmaxAccumulate, smoothquantScales } from '../tensor/operations/transforms.js';
import type { Tensor } from '../tensor/tensor.js';
import type { ScaledMapping, TransformedWeights } from './transform.js';

/** s [columns], the caller's. `ranges`: F32 [2, columns], range of every channel of the smooth layer's output over the calibration rows. */
export function smoothquant(plan: SmoothQuantPlan, mapping: ScaledMapping, ranges: Tensor, weights: TransformedWeights): Tensor {
  using absmax = ranges.device.zeros('F32', [ranges.shape[1] ?? 0]);
  for (const layer of mapping.balance_layers) columnAbsmaxAccumulate(absmax, weights.tensor(`${layer}.weight`));
  return smoothquantScales(ranges, absmax, { smoothing_strength: plan.smoothing_strength, algorithm: plan.algorithm });
}
