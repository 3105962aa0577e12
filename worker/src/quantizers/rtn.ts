// RTN: every weight to the nearest value of the grid that the observed range gives. Needs no data.
import { quantizeRtn } from '../tensor/operations/quantizers.js';
import type { Quantizer } from './quantizer.js';
import { layerArgs, observeWeight } from './weight-observer.js';

export const rtn: Quantizer = {
  quantize: async (input) => {
    const { layer, weight } = input;
    const scales = await observeWeight(input, null);
    const q = quantizeRtn(weight, scales.scale, scales.zeroPoint, null, layerArgs(layer));
    return { ...scales, q, gIdx: null, findings: null, problems: [] };
  },
};
