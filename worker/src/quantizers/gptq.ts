// GPTQ: round column by column and spread each rounding error over the columns still free, weighted by the inverse Hessian.
// Frantar et al., arXiv 2210.17323. The walk itself is native (quantize_gptq); here stand the orders of columns and what is reported.
//
//   actorder null     columns in their own order
//   actorder weight   columns by descending diag(H); every column keeps the scale of its original group; nothing is stored for it
//   actorder group    the same order, groups formed along it; weight_g_idx (column → group) is stored
import type { GptqPlan, LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { RunFailureError, runFailure } from '../../../schemas/src/run-failure.js';
import { quantizeGptq } from '../tensor/operations.js';
import type { Tensor } from '../tensor/tensor.js';
import type { FactorFindings, Quantizer, QuantizerInput } from './quantizer.js';
import { rtn } from './rtn.js';
import { layerArgs, observeWeight } from './weight-observer.js';

export const gptq: Quantizer<GptqPlan> = {
  quantize: async (input) => {
    const { layer, plan, weight, hessian } = input;
    if (hessian === null) return roundToNearest(input, 'gptq-without-inputs', 'no calibration row reached it');
    const dead = await hessian.dead.read();
    if (dead.every((flag) => flag === 1)) return roundToNearest(input, 'gptq-without-inputs', 'all of its calibration inputs are zero');
    const args = layer.scheme?.weights;
    const byGroup = args?.actorder === 'group' && args.strategy === 'group';
    const ordered = byGroup || args?.actorder === 'weight';
    const permutation = ordered ? hessian.order() : null;
    const wanted = plan.dampening_frac;
    const { factor, findings } = await factorOf(input, ordered, wanted);
    const gIdx = byGroup && permutation !== null ? await groupOfColumns(permutation, args.group_size ?? 1) : null;
    const scales = await observeWeight(input, byGroup ? permutation : null);
    const [q, loss] = quantizeGptq(weight, factor, scales.scale, scales.zeroPoint, permutation, gIdx, hessian.dead, {
      ...layerArgs(layer),
      block_size: plan.block_size,
    });
    loss.dispose();
    return { ...scales, q, gIdx, findings, problems: problemsOf(layer, wanted, findings) };
  },
};

async function factorOf({ layer, hessian }: QuantizerInput, ordered: boolean, dampening_frac: number) {
  try {
    return await hessian!.factor(ordered ? 'descending' : 'original', dampening_frac);
  } catch (error) {
    if (error instanceof Error && !(error instanceof RunFailureError) && error.message.includes('not positive definite'))
      throw runFailure.hessianNotPositiveDefinite(layer.name, error.message);
    throw error;
  }
}

/** Group of each original column when groups are formed along the permutation: I32 [columns]. */
async function groupOfColumns(permutation: Tensor, group_size: number): Promise<Tensor> {
  const bytes = await permutation.read();
  const columns = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const groups = new Int32Array(columns.length);
  columns.forEach((column, place) => (groups[column] = Math.floor(place / group_size)));
  return permutation.device.fromInts([groups.length], groups);
}

async function roundToNearest(input: QuantizerInput, code: string, reason: string) {
  const { layer } = input;
  const message = `${layer.name} is rounded to nearest instead of by GPTQ: ${reason}. Use more varied calibration rows, or add the layer to ignore.`;
  return { ...(await rtn.quantize(input)), problems: [problem(layer, code, 'warning', message)] };
}

function problemsOf(layer: LayerPlan, wanted: number, findings: FactorFindings): RunProblem[] {
  const problems: RunProblem[] = [];
  const { dampening_frac, dead_columns, retries } = findings;
  if (dampening_frac > wanted)
    problems.push(
      problem(
        layer,
        'gptq-damping-raised',
        'warning',
        `The Hessian of ${layer.name} could not be factored with dampening_frac ${wanted}; ${dampening_frac} was used. Its inputs are nearly dependent: use more calibration rows, or set dampening_frac yourself.`,
      ),
    );
  else if (retries > 0)
    problems.push(
      problem(
        layer,
        'gptq-factored-in-double',
        'information',
        `The Hessian of ${layer.name} was factored in double precision with the same dampening_frac ${wanted}, because single precision did not suffice.`,
      ),
    );
  if (dead_columns > 0)
    problems.push(
      problem(
        layer,
        'gptq-dead-columns',
        'information',
        `${dead_columns} of ${layer.columns} input columns of ${layer.name} were zero in every calibration row; their weights are stored as zero. More varied rows would keep them.`,
      ),
    );
  return problems;
}

const problem = (layer: LayerPlan, code: string, severity: RunProblem['severity'], message: string): RunProblem => ({
  code,
  severity,
  message,
  layer: layer.name,
  recipe_path: layer.quantizer?.recipe_path ?? null,
});
