// Qronos: the first code for the true target, all others by GPTQ's walk on the weights that answer best to it.
// Zhang, Zhang, Colbert and Saab, arXiv 2505.11695. Native: corrected_weight, qronos_start (legend there) and quantize_gptq. Columns go by
// descending diag(H), as in the authors' experiments; each keeps the scale of its group.
// On a pruned layer a zero counts as a rounding to zero, whose error the columns behind make up for, as in sparse-gptq.ts.
import type { QronosPlan } from '../../../schemas/src/generated/plan.js';
import { quantizeSparse } from '../tensor/operations/pruning.js';
import { correctedWeight, qronosStart, quantizeGptq } from '../tensor/operations/quantizers.js';
import type { Quantizer } from './quantizer.js';
import { deadColumnProblems, factorOf, factorProblems, inputsOf } from './solver-problems.js';
import { layerArgs, observeWeight } from './weight-observer.js';

/** Zeros are chosen already. */
const noSelection = { sparsity: 0, mask_n: 0, mask_m: 0 };

export const qronos: Quantizer<QronosPlan> = {
  quantize: async (input) => {
    const { layer, plan, weight } = input;
    const inputs = await inputsOf(input);
    if ('q' in inputs) return inputs;
    const { hessian, dead } = inputs.hessian;
    // Where the inputs are those of the unquantized model, as in the first block, the products are one.
    const cross = inputs.hessian.cross ?? hessian;
    const permutation = inputs.hessian.order();
    // The correction has the columns in their own order.
    const unordered = (await factorOf(layer, inputs.hessian, plan.dampening_frac)).inverse();
    const factored = await factorOf(layer, inputs.hessian, plan.dampening_frac, 'descending');
    const { factor, findings } = factored;
    const inverse = factored.inverse();
    const scales = await observeWeight(input, null);
    const args = layerArgs(layer);
    using corrected = correctedWeight(weight, hessian, cross, unordered, 1);
    using begun = qronosStart(weight, corrected, hessian, cross, inverse, scales.scale, scales.zeroPoint, permutation, args);
    const options = { ...args, block_size: plan.block_size };
    const mask = input.zeros?.mask ?? null;
    const [q, ...rest] =
      mask === null
        ? quantizeGptq(begun, factor, scales.scale, scales.zeroPoint, permutation, null, dead, options)
        : quantizeSparse(begun, inverse, scales.scale, scales.zeroPoint, permutation, null, dead, mask, { ...options, ...noSelection });
    for (const tensor of rest) tensor.dispose();
    const problems = [...factorProblems(layer, plan.dampening_frac, findings), ...deadColumnProblems(layer, inputs.dead_columns)];
    return { ...scales, q, gIdx: null, findings, problems };
  },
};
