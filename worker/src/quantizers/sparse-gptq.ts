// GPTQ of a layer that is pruned: zeros stay zero, and where SparseGPT stands before it and columns keep their order, the zeros are chosen in the same walk, so that each rounding makes
// up for the zeros before it and the other way round (the joint step of Frantar and Alistarh, arXiv 2301.00774, section 3.4). The walk is native (prune_sparsegpt).
//
//   selection   SparseGPT's share or n of m, its block_size, and the larger of both dampening_fracs; scales are those of the weight before it is pruned
//   mask        zeros that are chosen already, by Wanda or by SparseGPT in a walk before: a zero that the walk moves away from counts as an error like a rounding
import type { GptqPlan } from '../../../schemas/src/generated/plan.js';
import { quantizeSparse } from '../tensor/operations/pruning.js';
import { factorOf, groupOfColumns, problemsOf, roundToNearest } from './gptq.js';
import { disposeScales, type QuantizedWeight, type QuantizerInput } from './quantizer.js';
import { layerArgs, observeWeight } from './weight-observer.js';

export async function sparseGptq(input: QuantizerInput<GptqPlan>): Promise<QuantizedWeight> {
  const { layer, plan, weight, hessian, zeros } = input;
  if (hessian === null) return alone(await roundToNearest([input], 'gptq-without-inputs', 'no calibration row reached it'));
  if ((await hessian.dead.read()).every((flag) => flag === 1))
    return alone(await roundToNearest([input], 'gptq-without-inputs', 'all of its calibration inputs are zero'));
  const args = layer.scheme?.weights;
  const byGroup = args?.actorder === 'group' && args.strategy === 'group';
  const ordered = byGroup || args?.actorder === 'weight';
  const permutation = ordered ? hessian.order() : null;
  const selection = zeros?.selection ?? null;
  const wanted = Math.max(plan.dampening_frac, selection?.dampening_frac ?? 0);
  const factored = await factorOf(input, ordered, wanted);
  const { findings } = factored;
  const gIdx = byGroup && permutation !== null ? await groupOfColumns(permutation, args.group_size ?? 1) : null;
  try {
    const scales = await observeWeight(input, byGroup ? permutation : null);
    try {
      const { sparsity, mask_n, mask_m, block_size } = selection ?? { sparsity: 0, mask_n: 0, mask_m: 0, block_size: plan.block_size };
      const options = { ...layerArgs(layer), sparsity, mask_n, mask_m, block_size };
      const kept = zeros?.mask ?? null;
      const [q, mask, loss] = quantizeSparse(
        weight,
        factored.inverse(),
        scales.scale,
        scales.zeroPoint,
        permutation,
        gIdx,
        hessian.dead,
        kept,
        options,
      );
      mask.dispose();
      loss.dispose();
      return { ...scales, q, gIdx, findings, problems: problemsOf(layer, wanted, findings) };
    } catch (error) {
      disposeScales(scales);
      throw error;
    }
  } catch (error) {
    gIdx?.dispose();
    throw error;
  }
}

const alone = ([one]: QuantizedWeight[]): QuantizedWeight => one!;
