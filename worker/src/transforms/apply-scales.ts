// What every scaling transform does in the end: balance layers take their columns times s, the smooth layer gives its outputs divided by s.
import { divideRows, multiplyColumns } from '../tensor/operations/transforms.js';
import type { Tensor } from '../tensor/tensor.js';
import type { ScaledMapping, TransformedWeights } from './transform.js';

export function applyScales({ smooth_layer, balance_layers }: ScaledMapping, s: Tensor, weights: TransformedWeights): void {
  for (const layer of balance_layers) {
    const name = `${layer}.weight`;
    weights.replace(name, multiplyColumns(weights.tensor(name), s));
  }
  for (const name of [`${smooth_layer}.weight`, `${smooth_layer}.bias`])
    if (weights.has(name)) weights.replace(name, divideRows(weights.tensor(name), s));
}
