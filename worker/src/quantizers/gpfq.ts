// GPFQ: every code makes up for the error of all codes before it, against the output of the unquantized model.
// Zhang, Zhou and Saab, arXiv 2201.11113. The method itself is native (quantize_gpfq, legend there). Zeros of pruning stay.
import type { GpfqPlan } from '../../../schemas/src/generated/plan.js';
import { quantizeGpfq } from '../tensor/operations/quantizers.js';
import type { Quantizer } from './quantizer.js';
import { deadColumnProblems, inputsOf } from './solver-problems.js';
import { layerArgs, observeWeight } from './weight-observer.js';

export const gpfq: Quantizer<GpfqPlan> = {
  quantize: async (input) => {
    const { layer, weight } = input;
    const inputs = await inputsOf(input);
    if ('q' in inputs) return inputs;
    const { hessian, cross } = inputs.hessian;
    const scales = await observeWeight(input, null);
    const q = quantizeGpfq(weight, hessian, cross, scales.scale, scales.zeroPoint, input.zeros?.mask ?? null, layerArgs(layer));
    return { ...scales, q, gIdx: null, findings: null, problems: deadColumnProblems(layer, inputs.dead_columns) };
  },
};
