// Magnitude pruning: the smallest weights of a layer become zero. The selection is native (prune_magnitude).
// llm-compressor's MagnitudePruningModifier gets to final_sparsity over the steps of a training; in one shot it is taken at once.
import type { MagnitudePlan } from '../../../schemas/src/generated/plan.js';
import { pruneMagnitude } from '../tensor/operations/pruning.js';
import type { Pruner } from './pruner.js';

export const magnitude: Pruner<MagnitudePlan> = ({ weight, sparsity }) => {
  const [pruned, mask] = pruneMagnitude(weight, { sparsity });
  return Promise.resolve({ weight: pruned, mask, findings: null, problems: [] });
};
