// RTN: every weight to the nearest value of the grid that the observed range gives. Needs no data.
import { quantizeRtn, weightScales } from '../tensor/operations.js';
import type { Quantizer } from './quantizer.js';
import { layerArgs, weightObserverArgs } from './weight-observer.js';

export const rtn: Quantizer = {
  quantize: ({ layer, weight }) => {
    const [scale, zeroPoint] = weightScales(weight, null, weightObserverArgs(layer));
    const q = quantizeRtn(weight, scale, zeroPoint, null, layerArgs(layer));
    return Promise.resolve({ q, scale, zeroPoint, gIdx: null, findings: null, problems: [] });
  },
};
