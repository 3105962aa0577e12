// COMQ: the error of the output minimized along one code after the other, then along the scale, n_iters times.
// Zhang et al., arXiv 2403.07134. The method itself is native (quantize_comq, legend there). Zeros of pruning stay.
import type { ComqPlan } from '../../../schemas/src/generated/plan.js';
import { quantizeComq } from '../tensor/operations/quantizers.js';
import type { Quantizer } from './quantizer.js';
import { deadColumnProblems, inputsOf } from './solver-problems.js';
import { layerArgs, observeWeight } from './weight-observer.js';

export const comq: Quantizer<ComqPlan> = {
  quantize: async (input) => {
    const { layer, plan, weight } = input;
    const inputs = await inputsOf(input);
    if ('q' in inputs) return inputs;
    const { scale: observed, zeroPoint } = await observeWeight(input, null);
    using scaleBefore = observed;
    const [q, scale, error] = quantizeComq(weight, inputs.hessian.hessian, scaleBefore, zeroPoint, input.zeros?.mask ?? null, {
      ...layerArgs(layer),
      n_iters: plan.n_iters,
    });
    error.dispose();
    return { q, scale, zeroPoint, levels: null, gIdx: null, findings: null, problems: deadColumnProblems(layer, inputs.dead_columns) };
  },
};
