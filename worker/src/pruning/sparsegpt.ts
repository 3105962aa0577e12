// SparseGPT: the weights that cost least become zero, column by column, and the columns behind make up for it. Frantar and Alistarh, arXiv 2301.00774.
// The walk itself is native (prune_sparsegpt), the factor of the Hessian is GPTQ's; here stand which zeros are kept and what is reported.
import type { SparseGptPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { RunFailureError, runFailure } from '../../../schemas/src/run-failure.js';
import type { FactorFindings, SharedHessian } from '../quantizers/quantizer.js';
import { pruneSparsegpt, zeroMask } from '../tensor/operations/pruning.js';
import type { Tensor } from '../tensor/tensor.js';
import { missingInputs, pruningProblem, sparsityArgs, type Pruner, type PrunerInput } from './pruner.js';
import { byMagnitude } from './wanda.js';

export const sparsegpt: Pruner<SparseGptPlan> = async (input) => {
  const { weight, hessian, plan, sparsity } = input;
  const missing = await missingInputs(hessian);
  if (missing !== null || hessian === null) return byMagnitude(input, plan.mask_structure, missing ?? '');
  const factored = await factorOf(input, hessian);
  const { findings } = factored;
  using kept = zerosToKeep(plan, weight);
  const [pruned, mask, loss] = pruneSparsegpt(weight, factored.inverse(), hessian.dead, kept, {
    ...sparsityArgs(plan.mask_structure, sparsity),
    block_size: plan.block_size,
  });
  loss.dispose();
  return { weight: pruned, mask, findings, problems: problemsOf(input, findings) };
};

/** preserve_sparsity_mask: the zeros that the weight has. */
export function zerosToKeep({ preserve_sparsity_mask }: SparseGptPlan, weight: Tensor): Tensor | null {
  if (!preserve_sparsity_mask) return null;
  const [mask, counts] = zeroMask(weight, { epsilon: 0 });
  counts.dispose();
  return mask;
}

async function factorOf({ layer, plan }: PrunerInput<SparseGptPlan>, hessian: SharedHessian) {
  try {
    return await hessian.factor('original', plan.dampening_frac);
  } catch (error) {
    if (error instanceof Error && !(error instanceof RunFailureError) && error.message.includes('not positive definite'))
      throw runFailure.hessianNotPositiveDefinite(layer.name, error.message);
    throw error;
  }
}

function problemsOf(input: PrunerInput<SparseGptPlan>, { dampening_frac, dead_columns, retries }: FactorFindings): RunProblem[] {
  const { layer, plan } = input;
  const problems: RunProblem[] = [];
  if (dampening_frac > plan.dampening_frac)
    problems.push(
      pruningProblem(
        input,
        'sparsegpt-damping-raised',
        'warning',
        `The Hessian of ${layer.name} could not be factored with dampening_frac ${plan.dampening_frac}; ${dampening_frac} was used. Its inputs are nearly dependent: use more calibration rows, or set dampening_frac yourself.`,
      ),
    );
  else if (retries > 0)
    problems.push(
      pruningProblem(
        input,
        'sparsegpt-factored-in-double',
        'information',
        `The Hessian of ${layer.name} was factored in double precision with the same dampening_frac ${plan.dampening_frac}, because single precision did not suffice.`,
      ),
    );
  if (dead_columns > 0)
    problems.push(
      pruningProblem(
        input,
        'sparsegpt-dead-columns',
        'information',
        `${dead_columns} of ${layer.columns} input columns of ${layer.name} were zero in every calibration row; their weights are stored as zero. More varied rows would keep them.`,
      ),
    );
  return problems;
}
