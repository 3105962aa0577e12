// Wanda: in every row the weights go whose magnitude times the norm of their input is smallest. Sun et al., arXiv 2306.11695.
// The selection is native (prune_wanda); the norms are the diagonal of the Hessian, which all methods share.
import type { WandaPlan } from '../../../schemas/src/generated/plan.js';
import { pruneMagnitude, pruneWanda } from '../tensor/operations/pruning.js';
import { missingInputs, pruningProblem, sparsityArgs, type Pruner, type PrunerInput } from './pruner.js';

export const wanda: Pruner<WandaPlan> = async (input) => {
  const { weight, hessian, plan, sparsity } = input;
  const missing = await missingInputs(hessian);
  if (missing !== null || hessian === null) return byMagnitude(input, plan.mask_structure, missing ?? '');
  const [pruned, mask] = pruneWanda(weight, hessian.diagonal(), sparsityArgs(plan.mask_structure, sparsity));
  return { weight: pruned, mask, findings: null, problems: [] };
};

/** What is left where nothing is known of the inputs, said as a warning: in groups all inputs weigh alike, else the whole layer is compared. */
export function byMagnitude(input: PrunerInput, structure: { n: number; m: number } | null, reason: string): ReturnType<Pruner> {
  const { layer, plan, weight, sparsity } = input;
  const message = `${layer.name} is pruned by magnitude instead of by ${plan.modifier}: ${reason}. Use more varied calibration rows, or add the layer to ignore.`;
  const problems = [pruningProblem(input, 'pruned-without-inputs', 'warning', message)];
  if (structure === null) {
    const [pruned, mask] = pruneMagnitude(weight, { sparsity });
    return Promise.resolve({ weight: pruned, mask, findings: null, problems });
  }
  using alike = weight.device.fromFloats([layer.columns], new Float32Array(layer.columns).fill(1));
  const [pruned, mask] = pruneWanda(weight, alike, sparsityArgs(structure, sparsity));
  return Promise.resolve({ weight: pruned, mask, findings: null, problems });
}
