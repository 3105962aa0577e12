// HQQ: round to nearest under scales that make a norm below 1 of the weight's error small, so that outliers count less. Needs no data.
// Badri and Shaji 2023, "Half-Quadratic Quantization of Large Machine Learning Models"; the arithmetic and what differs from it is native (hqq_scales).
import type { HqqPlan } from '../../../schemas/src/generated/plan.js';
import { hqqScales, quantizeRtn } from '../tensor/operations/quantizers.js';
import type { Quantizer } from './quantizer.js';
import { layerArgs, observeWeight } from './weight-observer.js';

export const hqq: Quantizer<HqqPlan> = {
  quantize: async (input) => {
    const { layer, plan, weight } = input;
    const args = layerArgs(layer);
    const { scale: observed, zeroPoint, levels } = await observeWeight(input, null);
    using start = observed;
    const { lp_norm, beta, kappa, iters } = plan;
    const [scale, info] = hqqScales(weight, start, zeroPoint, { ...args, lp_norm, beta, kappa, iters });
    using numbers = info;
    const q = quantizeRtn(weight, scale, zeroPoint, null, args);
    const [n_moved = NaN] = await numbers.readDoubles();
    const problems = n_moved > 0 ? [] : [nothingMoved(layer.name, layer.quantizer?.recipe_path ?? null)];
    return { q, scale, zeroPoint, levels, gIdx: null, findings: null, problems };
  },
};

const nothingMoved = (layer: string, recipe_path: (string | number)[] | null) => ({
  code: 'hqq-moved-nothing',
  severity: 'information' as const,
  message: `HQQ left every scale of ${layer} where the observer put it, because no step had a smaller error: the layer is rounded to nearest. Its weights may be constant or lie on the grid already; otherwise allow more iters.`,
  layer,
  recipe_path,
});
