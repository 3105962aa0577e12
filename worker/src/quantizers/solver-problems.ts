// What solvers with a Hessian tell of a layer: that it had no inputs and is rounded to nearest, and what the damped inverse took.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { quantizerFacts } from '../../../schemas/src/modifiers.js';
import { RunFailureError, runFailure } from '../../../schemas/src/run-failure.js';
import { layerProblem } from './layer-problem.js';
import type { FactorFindings, HessianFactor, QuantizedWeight, QuantizerInput, SharedHessian } from './quantizer.js';
import { rtn } from './rtn.js';

export interface LivingInputs {
  hessian: SharedHessian;
  dead_columns: number;
}

/** The statistics of a layer that has inputs; else the layer rounded to nearest, and why. */
export async function inputsOf(input: QuantizerInput): Promise<LivingInputs | QuantizedWeight> {
  const { hessian } = input;
  if (hessian === null) return roundToNearest(input, 'no calibration row reached it');
  const dead = await hessian.dead.read();
  const dead_columns = dead.reduce((sum, flag) => sum + flag, 0);
  if (dead_columns === dead.length) return roundToNearest(input, 'all of its calibration inputs are zero');
  return { hessian, dead_columns };
}

async function roundToNearest(input: QuantizerInput, reason: string): Promise<QuantizedWeight> {
  const { layer, plan } = input;
  const message = `${layer.name} is rounded to nearest instead of by ${quantizerFacts[plan.name].title}: ${reason}. Use more varied calibration rows, or add the layer to ignore.`;
  return { ...(await rtn.quantize(input)), problems: [layerProblem(layer, 'solver-without-inputs', 'warning', message)] };
}

export async function factorOf(
  layer: LayerPlan,
  hessian: SharedHessian,
  dampening_frac: number,
  order: 'original' | 'descending' = 'original',
): Promise<HessianFactor> {
  try {
    return await hessian.factor(order, dampening_frac);
  } catch (error) {
    if (error instanceof Error && !(error instanceof RunFailureError) && error.message.includes('not positive definite'))
      throw runFailure.hessianNotPositiveDefinite(layer.name, error.message);
    throw error;
  }
}

export function factorProblems(layer: LayerPlan, wanted: number, { dampening_frac, retries }: FactorFindings): RunProblem[] {
  if (dampening_frac > wanted)
    return [
      layerProblem(
        layer,
        'solver-damping-raised',
        'warning',
        `The Hessian of ${layer.name} could not be factored with dampening_frac ${wanted}; ${dampening_frac} was used. Its inputs are nearly dependent: use more calibration rows, or set dampening_frac yourself.`,
      ),
    ];
  if (retries === 0) return [];
  return [
    layerProblem(
      layer,
      'solver-factored-in-double',
      'information',
      `The Hessian of ${layer.name} was factored in double precision with the same dampening_frac ${wanted}, because single precision did not suffice.`,
    ),
  ];
}

export function deadColumnProblems(layer: LayerPlan, dead_columns: number): RunProblem[] {
  if (dead_columns === 0) return [];
  return [
    layerProblem(
      layer,
      'solver-dead-columns',
      'information',
      `${dead_columns} of ${layer.columns} input columns of ${layer.name} were zero in every calibration row; their weights are stored as zero. More varied rows would keep them.`,
    ),
  ];
}
