// The contract of a pruner: it chooses which weights of one layer become zero and says what it had to do for it.
import type { LayerPlan, PrunerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import type { FactorFindings, SharedHessian } from '../quantizers/quantizer.js';
import type { SparsityArgs } from '../tensor/operations/pruning.js';
import type { Tensor } from '../tensor/tensor.js';

export interface PrunerInput<Plan extends PrunerPlan = PrunerPlan> {
  layer: LayerPlan;
  plan: Plan;
  /** Share of the layer's weights that is asked to be zero. */
  sparsity: number;
  weight: Tensor;
  /** Null without calibration, and for a layer that no calibration row reached. */
  hessian: SharedHessian | null;
}

export interface PrunedWeight {
  /** [rows, columns] in the dtype of the weight. */
  weight: Tensor;
  /** U8 [rows, columns]: 1 where the weight is to stay zero. */
  mask: Tensor;
  findings: FactorFindings | null;
  problems: RunProblem[];
}

export type Pruner<Plan extends PrunerPlan = PrunerPlan> = (input: PrunerInput<Plan>) => Promise<PrunedWeight>;

export const sparsityArgs = (mask_structure: { n: number; m: number } | null, sparsity: number): SparsityArgs => ({
  sparsity: mask_structure === null ? sparsity : 0,
  mask_n: mask_structure?.n ?? 0,
  mask_m: mask_structure?.m ?? 0,
});

/** Why calibration says nothing of a layer; null where it does. */
export async function missingInputs(hessian: SharedHessian | null): Promise<string | null> {
  if (hessian === null) return 'no calibration row reached it';
  return (await hessian.dead.read()).every((flag) => flag === 1) ? 'all of its calibration inputs are zero' : null;
}

export const pruningProblem = (
  { layer, plan }: PrunerInput,
  code: string,
  severity: RunProblem['severity'],
  message: string,
): RunProblem => ({ code, severity, message, layer: layer.name, recipe_path: plan.recipe_path });
