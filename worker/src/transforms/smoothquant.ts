// SmoothQuant: divide the channels of an activation by s and multiply the columns of the weights that read it by s.
// Xiao et al., arXiv 2211.10438, equation 4; log_equalization: s from the activation alone, arXiv 2308.15987. Scales are native (smoothquant_scales).
import { columnAbsmaxAccumulate, divideRows, multiplyColumns, smoothquantScales } from '../tensor/operations.js';
import type { Transform } from './transform.js';

export const smoothquant: Transform = {
  apply: ({ plan, mapping, ranges, weights }) => {
    using absmax = ranges.device.zeros('F32', [ranges.shape[1] ?? 0]);
    for (const layer of mapping.balance_layers) columnAbsmaxAccumulate(absmax, weights.tensor(`${layer}.weight`));
    using s = smoothquantScales(ranges, absmax, { smoothing_strength: plan.smoothing_strength, algorithm: plan.algorithm });
    for (const layer of mapping.balance_layers) {
      const name = `${layer}.weight`;
      weights.replace(name, multiplyColumns(weights.tensor(name), s));
    }
    for (const name of [`${mapping.smooth_layer}.weight`, `${mapping.smooth_layer}.bias`])
      if (weights.has(name)) weights.replace(name, divideRows(weights.tensor(name), s));
  },
};
