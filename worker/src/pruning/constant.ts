// Constant pruning: the zeros that a weight has stay zero through all that comes behind. Source of the bound: llm-compressor's ConstantPruningModifier.
import type { ConstantPlan } from '../../../schemas/src/generated/plan.js';
import { pruneMagnitude, zeroMask } from '../tensor/operations/pruning.js';
import { pruningProblem, type Pruner } from './pruner.js';

/** What is no larger counts as zero. */
const epsilon = 1e-8;

export const constant: Pruner<ConstantPlan> = async (input) => {
  const { layer, weight, plan } = input;
  const [found, numbers] = zeroMask(weight, { epsilon });
  found.dispose();
  using counts = numbers;
  const [zeros = 0] = await counts.readDoubles();
  // As many as there are: those are the smallest.
  const [pruned, mask] = pruneMagnitude(weight, { sparsity: zeros / (layer.rows * layer.columns) });
  const message = `${layer.name} has no zeros for ${plan.modifier} to keep. Prune it before, with SparseGPTModifier or WandaPruningModifier, or take the layer out of targets.`;
  return {
    weight: pruned,
    mask,
    findings: null,
    problems: zeros > 0 ? [] : [pruningProblem(input, 'no-zeros-to-keep', 'warning', message)],
  };
};
